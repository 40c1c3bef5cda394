"""`decoupage decompose` around a pipeline that only cuts out: what it reads, passes on and writes."""

import json
import os
import sys
from types import ModuleType

import numpy as np
import pytest
import typer
from PIL import Image
from psd_tools import PSDImage
from typer.testing import CliRunner

from commands import main as cli
from decoupage.adapter import AdapterConfig
from decoupage.commands import decompose
from decoupage.faults import BadOutput
from decoupage.images.blending import recompose
from decoupage.images.profiles import srgb_profile
from decoupage.publishing import shipped_adapter
from decoupage.selection import objects
from decoupage.selection.nets import Segmenter
from tests.decoupage.cutting import CuttingPipeline
from tests.decoupage.images.made import cmyk_profile, gray_profile, wide_profile

HEIGHT, WIDTH = 40, 56
BOXES = {"dog": (6, 8, 20, 24), "cat": (30, 10, 50, 36)}  # left, top, right, bottom


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with photo.png, a mask for each of BOXES and an adapter; the pipeline's module is the fake."""
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    for name, (left, top, right, bottom) in BOXES.items():
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[top:bottom, left:right] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    (tmp_path / "adapter").mkdir()
    module = ModuleType("decoupage.pipeline")
    module.LayerDecompositionPipeline = CuttingPipeline
    monkeypatch.setitem(sys.modules, "decoupage.pipeline", module)
    monkeypatch.setattr(CuttingPipeline, "calls", [], raising=False)
    monkeypatch.setattr(CuttingPipeline, "folder", tmp_path, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def app():
    mounted = typer.Typer()
    mounted.command("decompose")(decompose)
    return mounted


def run(*arguments):
    return CliRunner().invoke(app(), [str(argument) for argument in arguments])


COMMON = ("photo.png", "--model", "adapter", "--out", "out", "--device", "cpu")


def test_one_mask_gives_the_three_pictures_and_the_report(place):
    done = run(*COMMON, "--mask", "dog.png")
    assert done.exit_code == 0, done.output
    out = place / "out"
    assert {path.name for path in out.iterdir()} == {
        "background.png",
        "foreground.png",
        "recomposition.png",
        "used-mask.png",
        "layers.json",
    }
    with Image.open(out / "foreground.png") as foreground, Image.open(out / "recomposition.png") as recomposition:
        assert foreground.mode == "RGBA" and foreground.getchannel("A").getbbox() == BOXES["dog"]
        assert np.array_equal(np.asarray(recomposition), np.asarray(Image.open("photo.png")))
    assert Image.open(out / "background.png").mode == "RGB"

    report = json.loads((out / "layers.json").read_text())
    assert report["size_px"] == [WIDTH, HEIGHT]
    assert report["layers"] == [
        {"name": "dog", "file": "foreground.png", "box_px": list(BOXES["dog"])},
        {"name": "background", "file": "background.png", "box_px": [0, 0, WIDTH, HEIGHT]},
    ]
    assert report["files"] == {"foreground": "foreground.png", "recomposition": "recomposition.png"}
    assert report["objects"] == [{"name": "dog", "mask": "dog.png", "by": "given", "mask_used": "used-mask.png"}]
    assert np.array_equal(np.asarray(Image.open(out / "used-mask.png")), np.asarray(Image.open("dog.png")) > 0)
    assert report["recomposition_error"] == {"mean_absolute_levels": 0.0, "psnr_db": None}
    assert (report["seed"], report["steps"], report["model"]) == (0, 30, "adapter")
    assert report["seconds"]["decompose"] >= 0 and report["peak_memory_bytes"] > 1_000_000
    assert "dog, 6, 8 to 20, 24 px" in done.output and "peak memory" in done.output


def test_several_masks_are_numbered_front_to_back(place):
    done = run(*COMMON, "--mask", "cat.png", "--mask", "dog.png", "--psd", "--ora", "--json")
    assert done.exit_code == 0, done.output
    out, report = place / "out", json.loads(done.stdout)
    assert report == json.loads((out / "layers.json").read_text())
    assert [(layer["name"], layer["file"]) for layer in report["layers"]] == [
        ("cat", "foreground-1.png"),
        ("dog", "foreground-2.png"),
        ("background", "background.png"),
    ]
    assert [layer["box_px"] for layer in report["layers"][:2]] == [list(BOXES["cat"]), list(BOXES["dog"])]
    assert (out / report["files"]["ora"]).exists()
    document = PSDImage.open(out / report["files"]["psd"])
    assert [(layer.name, layer.bbox) for layer in document][1:] == [("dog", BOXES["dog"]), ("cat", BOXES["cat"])]
    # All foregrounds in one, laid over the background, are the picture again.
    merged = recompose(Image.open(out / "foreground.png"), Image.open(out / "background.png"))
    assert np.array_equal(merged, np.asarray(Image.open("photo.png")))
    assert CuttingPipeline.calls[0]["mask"] is None and len(CuttingPipeline.calls[0]["layers"]) == 2


def test_no_result_takes_the_place_of_what_it_is_made_of(place):
    (place / "foreground.png").write_bytes((place / "dog.png").read_bytes())
    done = run("photo.png", "--model", "adapter", "--device", "cpu", "--out", ".", "--mask", "foreground.png")
    assert "foreground.png: results in . would overwrite it" in str(done.exception)
    assert (place / "foreground.png").read_bytes() == (place / "dog.png").read_bytes()


def test_options_reach_the_pipeline(place):
    options = ("--steps", 7, "--guidance", 2.5, "--seed", 11, "--prompt", "a lawn", "--dtype", "bfloat16")
    done = run(*COMMON, "--mask", "dog.png", "--no-paste-back", "--base", "other", *options)
    assert done.exit_code == 0, done.output
    call = CuttingPipeline.calls[0]
    assert call["layers"] is None and call["generator"].initial_seed() == 11
    expected = {"num_inference_steps": 7, "guidance_scale": 2.5, "prompt": "a lawn", "paste_back": False}
    assert {key: call[key] for key in expected} == expected and call["output_type"] == "pil"
    loaded = CuttingPipeline.loaded
    assert (str(loaded["dtype"]), loaded["base"], loaded["device"]) == ("torch.bfloat16", "other", "cpu")


def test_names_that_come_again_get_numbers(place):
    (place / "second").mkdir()
    (place / "second" / "dog.png").write_bytes((place / "cat.png").read_bytes())
    (place / "background.png").write_bytes((place / "cat.png").read_bytes())
    arguments = [part for path in ("dog.png", "second/dog.png", "background.png") for part in ("--mask", path)]
    report = json.loads(run(*COMMON, *arguments, "--json").stdout)
    assert [layer["name"] for layer in report["layers"]] == ["dog", "dog-2", "background-2", "background"]


def test_orientation_tags_are_applied(place):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise.
    Image.open("photo.png").rotate(90, expand=True).save("photo.jpg", exif=exif, quality=95)
    done = run("photo.jpg", *COMMON[1:], "--mask", "dog.png")
    assert done.exit_code == 0, done.output
    assert Image.open("out/background.png").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": "missing.png"}, "missing.png"),
        ({"mask": "empty.png"}, "empty.png: the mask is empty"),
        ({"mask": "small.png"}, "small.png: the mask is 20x10 px, the picture is 56x40 px"),
        ({"mask": "full.png"}, "covers the whole picture"),
        ({"mask": "text.png"}, "text.png: not a readable picture"),
        ({"mask": "photo.png"}, "photo.png: the mask is a coloured picture"),
        ({"mask": "labels.png"}, "labels.png: the mask is a label picture of 2 objects (1, 2)"),
        ({"mask": "pipe"}, "pipe is not a regular file"),
        ({"image": "pipe"}, "pipe is not a regular file"),
        ({"image": "page.png"}, "page.png: not a readable picture (no picture in a known format"),
        ({"image": "dark.png"}, "dark.png: 16-bit gray that ends at 3000 would be black"),
        ({"guidance": "inf"}, "--guidance must be a finite number"),
        ({"prompt": "\udcff"}, "--prompt is not UTF-8 text"),
        ({"maps": "wrong"}, "edges.png is not a regular file"),
        ({"image": "clear.png"}, "clear.png: the picture has transparent pixels"),
        ({"model": "nowhere"}, "--model nowhere: nowhere/model_index.json is missing"),
        ({"device": "toaster"}, "--device must be"),
        ({"device": "cuda:99"}, "CUDA devices"),
        ({"dtype": "int8"}, "--dtype must be one of auto, float32"),
        ({"steps": "0"}, "steps"),
        ({"out": "text.png"}, "text.png"),
        ({"out": "text.png/deeper"}, "cannot be made"),
    ],
)
def test_wrong_use_leaves_with_2_and_says_why(place, monkeypatch, capsys, change, message):
    for name, picture in {
        "empty": Image.new("L", (WIDTH, HEIGHT)),
        "small": Image.new("L", (20, 10), 255),
        "full": Image.new("L", (WIDTH, HEIGHT), 255),
        "clear": Image.new("RGBA", (WIDTH, HEIGHT)),
        "dark": Image.fromarray(np.full((HEIGHT, WIDTH), 3000, np.uint16)),
    }.items():
        picture.save(place / f"{name}.png")
    labels = Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 3).convert("P")
    labels.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    labels.save(place / "labels.png")
    os.mkfifo(place / "pipe")
    (place / "wrong").mkdir()
    os.mkfifo(place / "wrong" / "edges.png")
    (place / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (place / "text.png").write_text("no picture")
    given = {"image": "photo.png", "mask": "dog.png", "model": "adapter", "out": "out", "device": "cpu", **change}
    image = given.pop("image")
    options = [part for key, value in given.items() for part in (f"--{key}", value)]
    monkeypatch.setattr(cli, "app", app())
    monkeypatch.setattr(sys, "argv", ["decoupage", image, *options])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    # typer frames and folds its own messages.
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (place / "out" / "layers.json").exists()


# ---- objects pointed out without a mask


def test_boxes_are_objects_front_to_back(place):
    boxes = [",".join(map(str, BOXES[name])) for name in ("cat", "dog")]
    done = run(*COMMON, "--box", boxes[0], "--box", boxes[1], "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [layer["box_px"] for layer in report["layers"][:2]] == [list(BOXES["cat"]), list(BOXES["dog"])]
    assert report["objects"] == [
        {"name": "box", "box": boxes[0], "by": "given", "mask_used": "used-mask-1.png"},
        {"name": "box-2", "box": boxes[1], "by": "given", "mask_used": "used-mask-2.png"},
    ]
    assert Image.open("out/used-mask-2.png").getbbox() == BOXES["dog"]


def scene_with_a_square():
    """A blue square from (20, 10) to (40, 30) on noise about gray."""
    picture = np.random.default_rng(0).integers(110, 130, (HEIGHT, WIDTH, 3), np.uint8)
    picture[10:30, 20:40] = (20, 40, 220)
    Image.fromarray(picture).save("square.png")
    return ("square.png", *COMMON[1:])


@pytest.mark.parametrize(
    ("said", "key"),
    [(("--box", "15,5,45,35", "--refine"), "box"), (("--point", "30,20"), "points"),
     (("--point", "+25,15", "--point=-5,5"), "points")],
)  # fmt: skip
def test_a_box_or_clicks_become_a_mask_by_colours_and_the_report_says_so(place, said, key):
    done = run(*scene_with_a_square(), *said, "--json")
    assert done.exit_code == 0, done.output
    (entry,) = json.loads(done.stdout)["objects"]
    assert entry["by"] == "GrabCut" and key in entry
    mask = np.asarray(Image.open("out/used-mask.png"))
    assert mask[11:29, 21:39].all() and mask.sum() < 460


def test_all_objects_that_a_segmenter_finds_become_layers_the_nearest_first(place, monkeypatch):
    found = [np.zeros((HEIGHT, WIDTH), bool) for _ in BOXES]
    for mask, (left, top, right, bottom) in zip(found, BOXES.values(), strict=True):
        mask[top:bottom, left:right] = True
    monkeypatch.setattr(objects, "find_everything", lambda segmenter, picture: found)
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda cls, place, device: cls(place, None)))
    done = run(*COMMON, "--all", "--segmenter", "sam2", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)["objects"]
    # Without a map of depth the one that stands lowest is nearest: the cat.
    assert [(each["name"], each["by"], each["ordered_by"]) for each in said] == [
        ("object 1", "sam2", "lowest point"), ("object 2", "sam2", "lowest point"),
    ]  # fmt: skip
    assert (
        np.asarray(Image.open("out/used-mask-1.png"))[20, 40] and np.asarray(Image.open("out/used-mask-2.png"))[10, 8]
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ((), "an object is pointed out by --mask, --box, --point, --text or --all: give one kind, got none of them"),
        (("--all",), "--all needs --segmenter, a SAM 2 such as facebook/sam2.1-hiera-small"),
        (("--all", "--box", "1,2,3,4", "--segmenter", "x"), "give one kind, got --box and --all"),
        (("--mask", "dog.png", "--box", "1,2,3,4"), "give one kind, got --mask and --box"),
        (
            ("--mask", "dog.png", "--refine"),
            "--refine draws what is in a --box to its outline; it does not go with --mask",
        ),
        (("--mask", "dog.png", "--segmenter", "x"), "--segmenter makes masks of a --box, --point or --text"),
        (("--text", " . "), "--text must name the object in words"),
        (("--text", "a dog", "--detector", "nowhere"), "--detector nowhere: nowhere has no config.json"),
        (("--box", "1,2,3,4", "--segmenter", "nowhere"), "--segmenter nowhere: nowhere has no config.json"),
        (("--box", "1,2,3"), "--box must be LEFT,TOP,RIGHT,BOTTOM in pixels, such as 120,80,360,400, got '1,2,3'"),
        (("--box", "1,2,3,\uff14"), "--box must be"),
        (("--box", "1,2,3,99999999"), "--box must be"),
        (("--box", "30,10,30,20"), "--box 30,10,30,20 holds no pixel of the picture, which is 56x40 px"),
        (("--box", "100,100,200,200"), "holds no pixel of the picture"),
        (("--box", "0,0,900,900"), "is the whole picture (56x40 px): no background is left"),
        (("--point", "1"), "--point must be X,Y in pixels"),
        (("--point", "56,3"), "--point 56,3 lies outside of the picture, which is 56x40 px"),
        (("--point=-3,3",), "at least one must be on the object"),
        (("--point", "30,20", "--point=-31,21"), "GrabCut cannot tell the object from what is beside it there"),
    ],
)
def test_what_points_out_nothing_is_refused_before_the_model_is_loaded(place, said, message):
    CuttingPipeline.loaded = None
    done = run(*scene_with_a_square(), *said)
    assert isinstance(done.exception, ValueError) and message in str(done.exception)
    assert CuttingPipeline.loaded is None and not (place / "out").exists()


# ---- the packaged model, and what a small one does to a large photograph


UNNAMED = ("photo.png", "--mask", "dog.png", "--out", "out", "--device", "cpu")


def test_without_a_model_the_packaged_one_is_used_and_said(place, monkeypatch):
    monkeypatch.setattr(CuttingPipeline, "adapter", AdapterConfig(base="small-fill", size_px=128))
    done = run(*UNNAMED, "--json")
    assert done.exit_code == 0, done.output
    assert CuttingPipeline.loaded["folder"] == str(shipped_adapter())
    assert done.stderr.startswith("model: small, packaged, 128 px: for trying; a model trained on FLUX.1-Fill is what ")
    assert len(done.stderr.splitlines()) == 1 and json.loads(done.stdout)["model"] == "packaged"


def test_a_photograph_much_larger_than_the_model_sees_gets_a_warning(place, monkeypatch):
    Image.new("RGB", (640, 480), "gray").save("large.png")
    mask = Image.new("1", (640, 480))
    mask.paste(1, (100, 100, 300, 300))
    mask.save("large-mask.png")
    for size_px, warned in ((64, True), (512, False)):
        monkeypatch.setattr(CuttingPipeline, "adapter", AdapterConfig(base="small-fill", size_px=size_px))
        done = run("large.png", *COMMON[1:], "--mask", "large-mask.png", "--json")
        assert done.exit_code == 0, done.output
        width, height = json.loads(done.stdout)["working_size_px"]
        assert width * height <= size_px**2 and abs(width / height - 4 / 3) < 0.1
        said = f"the model works at {width}x{height} px, the photograph has 640x480 px: what was hidden"
        assert (said in done.stderr) == warned


# ---- orientation


TAG = 6  # Turn by 90 degrees clockwise.


def save_turned(name, source, tag=TAG):
    """A picture as a phone stores it: the upright one turned back, with a tag."""
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.open(source).rotate(90, expand=True).save(name, exif=exif)


@pytest.mark.parametrize("tagged", [False, True])
def test_masks_of_a_turned_photograph_are_upright_or_carry_its_tag(place, tagged):
    save_turned("phone.png", "photo.png")
    if tagged:
        save_turned("dog.png", "dog.png")
    done = run("phone.png", *COMMON[1:], "--mask", "dog.png")
    assert done.exit_code == 0 and "warning" not in done.output
    assert np.array_equal(np.asarray(Image.open("out/recomposition.png")), np.asarray(Image.open("photo.png")))
    assert Image.open("out/foreground.png").getchannel("A").getbbox() == BOXES["dog"]


def test_a_mask_that_fits_only_as_stored_is_told_how_to_be_mended(place):
    save_turned("phone.png", "photo.png")
    Image.open("dog.png").rotate(90, expand=True).save("dog.png")
    done = run("phone.png", *COMMON[1:], "--mask", "dog.png")
    said = "the mask is 40x56 px, the picture is 56x40 px upright: the mask fits it only as it is stored, before its "
    said += "orientation tag (6) is applied. Save the mask turned by 90 degrees clockwise"
    assert said in str(done.exception) and not CuttingPipeline.calls
    save_turned("cat.png", "dog.png")
    done = run("photo.png", *COMMON[1:], "--mask", "cat.png")
    assert "its orientation tag" not in str(done.exception)


def test_a_mask_with_a_tag_of_its_own_is_told(place):
    exif = Image.Exif()
    exif[0x0112] = TAG
    Image.open("dog.png").save("dog.png", exif=exif)
    done = run(*COMMON, "--mask", "dog.png")
    assert "the mask's own orientation tag (6) turns it: remove that tag" in str(done.exception)


def test_a_photograph_upside_down_gets_a_warning_for_a_mask_without_tag(place):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open("photo.png").rotate(180).save("phone.png", exif=exif)
    done = run("phone.png", *COMMON[1:], "--mask", "dog.png")
    assert done.exit_code == 0 and "dog.png: the mask is taken as drawn on the upright photograph" in done.stderr


# ---- doubts, profiles, what is known before a model is loaded


def test_doubtful_masks_are_taken_with_a_warning(place):
    levels = np.asarray(Image.open("dog.png"))
    for name, doubtful, words in (
        ("inverted", 255 - levels, "covers 90% of the picture: is it inverted"),
        (
            "frame",
            np.pad(np.zeros((HEIGHT - 4, WIDTH - 4), np.uint8), 2, constant_values=255),
            "picture's border: is it",
        ),
        ("soft", np.where(levels > 0, 140, 0).astype(np.uint8), "is mostly gray"),
        ("vast", np.pad(np.full((HEIGHT - 2, WIDTH - 2), 255, np.uint8), 1), "of the picture: is it inverted"),
    ):
        Image.fromarray(doubtful).save(f"{name}.png")
        done = run(*COMMON, "--mask", f"{name}.png")
        assert done.exit_code == 0 and f"warning: {name}.png: the mask" in done.stderr and words in done.stderr
    assert run(*COMMON, "--mask", "dog.png").stderr == ""


@pytest.mark.parametrize("profile", [wide_profile(), srgb_profile()])
def test_outputs_are_in_the_profile_of_the_photograph(place, profile):
    Image.open("photo.png").save("wide.png", icc_profile=profile)
    done = run("wide.png", *COMMON[1:], "--mask", "dog.png", "--psd", "--ora")
    assert done.exit_code == 0, done.output
    recomposed = Image.open("out/recomposition.png")
    assert recomposed.info.get("icc_profile") == (None if profile == srgb_profile() else profile)
    assert np.array_equal(np.asarray(recomposed), np.asarray(Image.open("photo.png")))


@pytest.mark.parametrize(("mode", "profile"), [("CMYK", cmyk_profile()), ("L", gray_profile())])
def test_colours_that_are_converted_come_out_as_srgb_and_say_so(place, mode, profile):
    Image.open("photo.png").convert(mode).save("other.tif", icc_profile=profile)
    done = run("other.tif", *COMMON[1:], "--mask", "dog.png")
    assert done.exit_code == 0, done.output
    background = Image.open("out/background.png")
    assert background.mode == "RGB" and background.info["icc_profile"] == srgb_profile()


def test_16_bit_gray_is_a_picture(place):
    gray = np.asarray(Image.open("photo.png").convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 257).save("gray.png")
    assert run("gray.png", *COMMON[1:], "--mask", "dog.png").exit_code == 0
    recomposed = np.asarray(Image.open("out/recomposition.png")).astype(int)
    assert np.abs(recomposed - gray[..., None]).max() <= 1


def test_what_no_psd_can_hold_is_told_before_the_model_is_loaded(place):
    Image.new("RGB", (30_001, 301)).save("long.png")
    mask = Image.new("1", (30_001, 301))
    mask.paste(1, (5, 5, 50, 50))
    mask.save("long-mask.png")
    done = run("long.png", "--model", "nowhere", "--out", "out", "--mask", "long-mask.png", "--psd")
    assert "PSD takes sides up to 30000 px, got 30001x301 px: use --ora instead" in str(done.exception)


def test_names_that_are_no_text_reach_the_report_and_the_terminal_as_text(place):
    odd = os.fsdecode(b"\xff\n.png")
    (place / odd).write_bytes((place / "dog.png").read_bytes())
    done = run(*COMMON, "--mask", odd, "--psd", "--ora")
    assert done.exit_code == 0, done.output
    report = json.loads((place / "out" / "layers.json").read_bytes())
    assert report["layers"][0]["name"] == "__" and report["objects"][0]["mask"] == "\\udcff\n.png"


def test_where_the_pipeline_gives_no_answer_nothing_is_written(place, monkeypatch):
    def refuse(self, *_, **__):
        raise BadOutput("the background is not finite")

    monkeypatch.setattr(CuttingPipeline, "__call__", refuse)
    done = run(*COMMON, "--mask", "dog.png")
    assert isinstance(done.exception, BadOutput) and list((place / "out").iterdir()) == []
