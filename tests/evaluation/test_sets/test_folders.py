"""Folders of pictures as test sets: what is read, what is excluded and why, and that nothing is dropped in silence."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decoupage.faults import BadSetup
from evaluation.test_sets.choose import find_layout
from evaluation.test_sets.folders import FolderPictures
from evaluation.test_sets.listed import ListedSet
from pipelines.config.pairs import LAYOUTS, LayoutConfig
from tests.evaluation.test_sets.pairs import BOX, SIZE, scene, write, write_set


def listed(folder, layout="plain", **options):
    layout = LAYOUTS[layout] if isinstance(layout, str) else layout
    return ListedSet(FolderPictures("mine", folder, layout, "tests"), **options)


def reasons(test_set):
    return {found.name: found.reason for found in test_set.excluded}


def test_a_case_holds_the_pictures_of_its_name(tmp_path):
    test_set = listed(write_set(tmp_path, "b", "a"))
    first, second = test_set.cases()
    assert (first.name, second.name) == ("a", "b") and first.size == SIZE
    truth = scene(1)
    assert np.array_equal(first.composite, truth["image"]) and np.array_equal(first.background, truth["background"])
    assert np.array_equal(first.mask, truth["mask"] > 0) and np.array_equal(first.visible, first.mask)
    assert first.foreground is None and first.alpha is None and first.hidden is None and first.maps is None
    assert first.occluded_fraction is None and set(first.strata) == {"size", "clutter", "source"}
    assert first.strata["size"] == "medium" and first.strata["source"] == "tests"
    assert reasons(test_set) == {}


def test_a_foreground_tells_what_is_hidden(tmp_path):
    pictures = scene(0)
    pictures["mask"][BOX[0], 35:50] = 0  # Half of the object is behind something.
    write(tmp_path, "a", pictures)
    (case,) = listed(tmp_path).cases()
    assert np.array_equal(case.foreground, pictures["foreground"])
    assert case.occluded_fraction == 0.5 and case.strata["occlusion"] == "heavy"
    assert case.hidden.sum() == 24 * 15


def test_masks_are_grown_for_all_methods_and_regions_are_not(tmp_path):
    (case,) = listed(write_set(tmp_path, "a"), dilate_px=4).cases()
    assert np.array_equal(case.visible, scene(0)["mask"] > 0)
    assert case.mask[8:40, 35].all() and not case.mask[7, 35] and case.mask.sum() > case.visible.sum()


def test_all_is_judged_at_the_pictures_own_size(tmp_path):
    (case,) = listed(write_set(tmp_path, "a")).cases()
    assert case.size == SIZE and case.background.shape == (*SIZE, 3) and case.visible.shape == SIZE


def test_what_cannot_be_judged_on_is_listed_with_its_reason(tmp_path):
    write_set(tmp_path, "good", "no_mask", "no_background", "no_image", "twice", "cut", "bomb", "small")
    (tmp_path / "mask/no_mask.png").unlink()
    (tmp_path / "background/no_background.png").unlink()
    (tmp_path / "image/no_image.png").unlink()
    Image.fromarray(scene(0)["mask"]).save(tmp_path / "mask/twice.webp")
    whole = (tmp_path / "image/cut.png").read_bytes()
    (tmp_path / "image/cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "background/bomb.png")
    write(tmp_path, "other_size", scene(3))
    Image.fromarray(scene(3)["background"][:40]).save(tmp_path / "background/other_size.png")
    write(tmp_path, "black", scene(4) | {"mask": np.zeros(SIZE, np.uint8)})
    write(tmp_path, "white", scene(4) | {"mask": np.full(SIZE, 255, np.uint8)})
    write(tmp_path, "labels", scene(4) | {"mask": scene(4)["mask"] // 255})
    save_palette(tmp_path / "mask/labels.png", np.indices(SIZE)[1] // 30)
    write(tmp_path, "photo_as_mask", scene(4) | {"mask": scene(4)["image"]})
    write(tmp_path, "see_through", scene(4) | {"image": scene(4)["foreground"]})
    write(tmp_path, "mixed_up", scene(5) | {"background": scene(5)["image"], "mask": scene(5)["mask"]})
    Image.fromarray(scene(5)["image"]).save(tmp_path / "foreground/small.png")
    test_set = listed(tmp_path)
    assert [case.name for case in test_set.cases()] == ["good"]
    assert reasons(test_set) == {
        "no_mask": "missing_mask",
        "no_background": "missing_background",
        "no_image": "missing_image",
        "twice": "ambiguous",
        "cut": "truncated",
        "bomb": "too_large",
        "other_size": "shape_mismatch",
        "black": "empty_mask",
        "white": "full_mask",
        "labels": "bad_mask",
        "photo_as_mask": "bad_mask",
        "see_through": "transparent",
        "mixed_up": "mask_disagrees",
        "small": "no_alpha",
    }
    about = test_set.about
    assert about["num_excluded"] == 14 == len(about["excluded"]) and about["test_set"] == "mine"
    assert {"name": "no_background", "reason": "missing_background", "detail": "no background/no_background"} in about[
        "excluded"
    ]
    assert str(tmp_path) not in str(about)


def save_palette(path, labels):
    """A label picture with VOC's colours: 0 black, 1 dark red, 2 dark green, ..., 255 cream."""
    image = Image.fromarray(labels.astype(np.uint8), "P")
    colours = np.zeros((256, 3), np.uint8)
    colours[1:4], colours[255] = ((128, 0, 0), (0, 128, 0), (128, 128, 0)), (224, 224, 192)
    image.putpalette(colours.tobytes())
    image.save(path)


def masks_of_datasets():
    """Name -> how it writes the same mask [H, W] of 0 and 255 to a path."""
    gray = np.full(SIZE, 90, np.uint8)
    return {
        "zero_one": lambda mask, path: Image.fromarray(mask // 255).save(path),
        "one_bit": lambda mask, path: Image.fromarray(mask > 0).save(path),
        "sixteen_bits": lambda mask, path: Image.fromarray(mask.astype(np.uint16) * 257).save(path),
        "voc": lambda mask, path: save_palette(path, mask // 255),
        "alpha": lambda mask, path: Image.fromarray(np.dstack([gray, gray, gray, mask])).save(path),
        "black_alpha": lambda mask, path: Image.fromarray(np.dstack([gray * 0] * 3 + [mask])).save(path),
        "gray_alpha": lambda mask, path: Image.merge("LA", [Image.fromarray(gray), Image.fromarray(mask)]).save(path),
        "colours": lambda mask, path: Image.fromarray(np.dstack([mask] * 3)).save(path),
    }


@pytest.mark.parametrize("mask_is", ["white", "black"])
@pytest.mark.parametrize("kind", masks_of_datasets())
def test_masks_as_datasets_publish_them(tmp_path, kind, mask_is):
    write(tmp_path, "one", {role: scene(0)[role] for role in ("image", "background")})
    (tmp_path / "mask").mkdir()
    mask = scene(0)["mask"]
    masks_of_datasets()[kind](mask if mask_is == "white" else 255 - mask, tmp_path / "mask/one.png")
    layout = LAYOUTS["plain"].model_copy(update={"mask_is": mask_is})
    (case,) = listed(tmp_path, layout).cases()
    assert np.array_equal(case.mask, mask > 0)


def test_undecided_pixels_of_a_label_picture_are_not_the_object(tmp_path):
    pictures = scene(0)
    write(tmp_path, "one", pictures)
    labels = pictures["mask"] // 255
    labels[BOX[0], 20] = 255
    save_palette(tmp_path / "mask/one.png", labels)
    (case,) = listed(tmp_path).cases()
    assert not case.mask[BOX[0], 20].any() and case.mask[BOX[0], 21:50].all()


def test_sixteen_bit_photographs_keep_their_levels(tmp_path):
    pictures = scene(0)
    write(tmp_path, "one", pictures)
    for role in ("image", "background"):
        gray = pictures[role][..., 0].astype(np.uint16) * 257
        Image.fromarray(gray).save(tmp_path / role / "one.png")
    (case,) = listed(tmp_path).cases()
    for role, found in (("image", case.composite), ("background", case.background)):
        assert np.array_equal(found, np.repeat(pictures[role][..., :1], 3, axis=2))


def save_turned(path, picture, orientation=6):
    """As a phone stores it: turned, with a tag that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90)
    stored.save(path, exif=exif, quality=100, subsampling=0)


def test_orientation_tags_turn_pictures_before_they_are_compared(tmp_path):
    pictures = scene(0)
    write(tmp_path, "phone", pictures)
    for role in ("image", "background"):
        (tmp_path / role / "phone.png").unlink()
        save_turned(tmp_path / role / "phone.jpg", pictures[role])
    (case,) = listed(tmp_path).cases()
    assert case.size == SIZE and np.array_equal(case.mask, pictures["mask"] > 0)
    assert np.abs(case.background.astype(int) - pictures["background"]).mean() < 3
    assert np.array_equal(case.foreground, pictures["foreground"])


@pytest.mark.parametrize("role", ["mask", "background", "foreground"])
def test_what_fits_only_as_stored_gets_a_hint(tmp_path, role):
    pictures = scene(0)
    write(tmp_path, "phone", pictures)
    for turned in {"image", "background"} - {role}:
        (tmp_path / turned / "phone.png").unlink()
        save_turned(tmp_path / turned / "phone.jpg", pictures[turned])
    Image.fromarray(np.rot90(pictures[role])).save(tmp_path / role / "phone.png")
    with pytest.raises(BadSetup, match=rf"the {role} is 48x80, the image 80x48; they fit as stored, before the"):
        list(listed(tmp_path).cases())


def test_decomposed_and_composed_names_are_one(tmp_path):
    write_set(tmp_path, "caf\u00e9", "ok")
    (tmp_path / "mask/caf\u00e9.png").rename(tmp_path / "mask/cafe\u0301.png")
    test_set = listed(tmp_path)
    assert [case.name for case in test_set.cases()] == ["caf\u00e9", "ok"]
    write(tmp_path, "cafe\u0301", scene(2))
    (tmp_path / "mask/caf\u00e9.png").unlink(missing_ok=True)
    assert reasons(listed(tmp_path)) == {"caf\u00e9": "ambiguous"}


def test_files_that_are_no_pictures_are_told_and_the_others_are_read(tmp_path):
    write_set(tmp_path, "good", "pipe", "nowhere", "garbage", "exif")
    (tmp_path / "image/pipe.png").unlink()
    os.mkfifo(tmp_path / "image/pipe.png")
    (tmp_path / "background/nowhere.png").unlink()
    (tmp_path / "background/nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "mask/garbage.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    Image.fromarray(scene(4)["image"]).save(tmp_path / "image/exif.png", exif=b"Exif\0\0MM\0*\xff\xff")
    (tmp_path / "image/._good.png").write_bytes(b"\0\5\x16\7 of the Finder")
    latin = os.fsencode(tmp_path / "image") + b"/caf\xe9.png"
    Path(os.fsdecode(latin)).write_bytes((tmp_path / "image/good.png").read_bytes())
    test_set = listed(tmp_path)
    assert [case.name for case in test_set.cases()] == ["exif", "good"]
    assert reasons(test_set) == {
        "pipe": "not_a_file",
        "nowhere": "missing_background",
        "garbage": "bad_image",
        "'._good'": "bad_name",
        "'caf\\udce9'": "bad_name",
    }
    details = {found.name: found.detail for found in test_set.excluded}
    assert "macOS" in details["'._good'"] and "not UTF-8" in details["'caf\\udce9'"]


def test_a_mask_the_wrong_way_round_is_noticed_and_can_be_said(tmp_path):
    for number in range(3):
        write(tmp_path, str(number), scene(number) | {"mask": 255 - scene(number)["mask"]})
    with pytest.raises(BadSetup, match=r"none of the 3 images of mine.*mask_disagrees 3.*mask_is"):
        list(listed(tmp_path).cases())
    layout = LAYOUTS["plain"].model_copy(update={"mask_is": "black"})
    assert [int(case.mask.sum()) for case in listed(tmp_path, layout).cases()] == [24 * 30] * 3


@pytest.mark.parametrize("name", [".hidden", "-rf", "a\nb", "x" * 129, "\u5b57" * 80])
def test_names_that_could_harm_are_excluded(tmp_path, name):
    write_set(tmp_path, "good")
    write(tmp_path, name, scene(1))
    test_set = listed(tmp_path)
    assert [case.name for case in test_set.cases()] == ["good"]
    assert reasons(test_set) == {ascii(name)[:80]: "bad_name"}


def test_a_part_of_a_list_and_cases_by_name(tmp_path, monkeypatch):
    test_set = listed(write_set(tmp_path, *"abcde"))
    assert [case.name for case in listed(tmp_path, max_images=2).cases()] == ["a", "b"]
    hashes = {case.name: case.sha256 for case in test_set.cases()}
    assert [case.sha256 for case in test_set.cases()] == list(hashes.values()) and len(set(hashes)) == 5
    (tmp_path / "image/a.png").write_bytes(b"is not read")
    assert {case.name: case.sha256 for case in test_set.cases(["d", "b"])} == {n: hashes[n] for n in "bd"}
    with pytest.raises(BadSetup, match="a cannot be used"):
        list(test_set.cases(["a"]))


def test_frames_of_one_video_are_one_scene(tmp_path):
    folder = tmp_path / "rord"
    names = ["I-210614_O04019_W01_F0109", "I-210614_O04019_W01_F0188", "I-210614_O05_W02_F0001", "other"]
    for number, name in enumerate(names):
        pictures = scene(number)
        write(folder, name, {"paste": pictures["image"], "mask": pictures["mask"], "gt": pictures["background"]})
    cases = list(listed(folder, "rord_val").cases())
    assert [case.key for case in cases] == ["I-210614_O04019", "I-210614_O04019", "I-210614_O05", "other"]
    # They share their photograph; nobody says which targets are the same, so each is its own.
    assert [case.photograph for case in cases] == [case.key for case in cases]
    assert [case.origin for case in cases] == sorted(names)


@pytest.mark.parametrize(
    ("layout", "folders"),
    {
        "rord": {"image": "img", "mask": "mask", "background": "gt"},
        "rord_val": {"image": "paste", "mask": "mask", "background": "gt"},
        "ober": {"image": "input", "mask": "object_mask", "background": "gt"},
        "removal_bench": {"image": "images", "mask": "masks", "background": "gt"},
        "corne": {"image": "shot", "mask": "mask_sam", "background": "bg"},
    }.items(),
)
def test_named_layouts(tmp_path, layout, folders):
    pictures = scene(0)
    if LAYOUTS[layout].mask_is == "black":
        pictures["mask"] = 255 - pictures["mask"]
    write(tmp_path, "one", {folder: pictures[role] for role, folder in folders.items()}, ".bmp")
    (case,) = listed(tmp_path, layout).cases()
    assert np.array_equal(case.mask, scene(0)["mask"] > 0) and np.array_equal(case.composite, pictures["image"])


@pytest.mark.parametrize(("layout", "given"), [("ober_effect", "object_effect_mask"), ("corne_effect", "mask_eff")])
def test_a_mask_of_object_and_shadow_is_given_and_regions_come_from_the_object(tmp_path, layout, given):
    pictures, effect = scene(0), scene(0)["mask"]
    effect[36:44, 20:60] = 255
    roles = LAYOUTS[layout]
    folders = {role: getattr(roles, role).split("/")[0] for role in ("image", "background", "visible", "mask")}
    assert folders["mask"] == given
    shown = pictures | {"visible": pictures["mask"], "mask": effect}
    write(tmp_path, "one", {folder: shown[role] for role, folder in folders.items()})
    (case,) = listed(tmp_path, layout).cases()
    assert np.array_equal(case.mask, effect > 0) and np.array_equal(case.visible, pictures["mask"] > 0)


def test_a_layout_of_ones_own_with_a_folder_for_each_image(tmp_path):
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        for role, picture in scene(number).items():
            Image.fromarray(picture).save(folder / f"{role}.png")
    layout = LayoutConfig(image="*/image.png", mask="*/mask.png", background="*/background.png")
    assert [case.name for case in listed(tmp_path, layout).cases()] == ["first", "second"]


def test_set_ups_that_cannot_work_say_so(tmp_path):
    with pytest.raises(BadSetup, match="there is no folder"):
        list(listed(tmp_path / "nowhere").cases())
    with pytest.raises(BadSetup, match=r"holds no mask \(mask/\*\).*evaluation.test_sets.layouts"):
        list(listed(write_set(tmp_path, "a", roles=("image", "background"))).cases())
    with pytest.raises(BadSetup, match="there is no layout 'rrod'; known: plain, rord"):
        find_layout("rrod", {})
