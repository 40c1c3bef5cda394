"""Rebuilt layers are the official formula's pixels, whatever types the annotation comes in."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from decoupage.faults import BadItem
from decoupage.images.codecs import encode_jpeg
from decoupage.images.profiles import srgb_profile
from pipelines.foregrounds.mulan.annotation import parse_annotation
from pipelines.foregrounds.mulan.reader import Layers, read_photograph, rebuild
from pipelines.foregrounds.mulan.unpickle import unpickle
from tests.pipelines.foregrounds.mulan.annotations import make_annotation, make_photograph, official_colours

MASKS = {
    "bool": lambda mask: mask,
    "flat": lambda mask: mask[..., 0],
    "three channels": lambda mask: np.repeat(mask, 3, axis=2).astype(np.uint8),
    "uint8": lambda mask: mask.astype(np.uint8),
    "0/255": lambda mask: mask.astype(np.uint8) * np.uint8(255),
    "int64": lambda mask: mask.astype(np.int64),
    "float32": lambda mask: mask.astype(np.float32),
    "float 0/255": lambda mask: mask.astype(np.float64) * 255,
    "Fortran order": lambda mask: np.asfortranarray(np.repeat(mask, 3, axis=2)),
}
ALPHAS = {
    "L": Image.fromarray,
    "array": lambda alpha: alpha,
    "array with a channel": lambda alpha: alpha[..., None],
    "int32": lambda alpha: alpha.astype(np.int32),
    "float": lambda alpha: alpha.astype(np.float64) / 255,
    "float 0..255": lambda alpha: alpha.astype(np.float32),
}
DELTAS = ["int16", "int32", "int64", "float32", "float64"]


def read(annotation: Any, photograph: np.ndarray, protocol: int = 4) -> Layers:
    return rebuild(parse_annotation(unpickle(pickle.dumps(annotation, protocol), 1 << 24)), photograph)


@given(
    seed=st.integers(0, 999),
    masks=st.tuples(*[st.sampled_from(sorted(MASKS))] * 3),
    delta=st.sampled_from(DELTAS),
    alpha=st.sampled_from(sorted(ALPHAS)),
    text_keys=st.booleans(),
    instance_mask=st.booleans(),
    captions=st.booleans(),
    protocol=st.integers(2, 5),
)
def test_every_variant_gives_the_official_pixels(
    seed: int,
    masks: tuple[str, str, str],
    delta: str,
    alpha: str,
    text_keys: bool,
    instance_mask: bool,
    captions: bool,
    protocol: int,
) -> None:
    plain = make_annotation(seed)
    photograph = make_photograph(seed + 1)
    for fields in plain["instances"].values():
        if not instance_mask:
            del fields["instance_mask"]
        if not captions:
            del fields["blip2"]
    varied = make_annotation(seed)
    for fields in varied["instances"].values():
        fields["original_image_mask"] = MASKS[masks[0]](fields["original_image_mask"])
        fields["instance_mask"] = MASKS[masks[1]](fields["instance_mask"])
        fields["inpainted_delta"] = fields["inpainted_delta"].astype(delta)
        fields["instance_alpha"] = ALPHAS[alpha](np.asarray(fields["instance_alpha"]))
        for key, gone in (("instance_mask", not instance_mask), ("blip2", not captions)):
            if gone:
                del fields[key]
    back = varied["background"]
    back["original_image_mask"] = MASKS[masks[2]](back["original_image_mask"])
    back["inpainted_delta"] = back["inpainted_delta"].astype(delta if seed % 2 else "uint8")
    if text_keys:
        varied["instances"] = {str(key): value for key, value in varied["instances"].items()}

    found = read(varied, photograph, protocol)

    assert (found.background == official_colours(photograph, plain["background"])).all()
    assert len(found.instances) == 2
    for rgba, fields in zip(found.instances, plain["instances"].values(), strict=True):
        assert (rgba[..., :3] == official_colours(photograph, fields)).all()
        assert (rgba[..., 3] == np.asarray(fields["instance_alpha"])).all()


def test_a_one_bit_alpha_is_0_or_255() -> None:
    annotation = make_annotation(3)
    shape = np.asarray(annotation["instances"][1]["instance_alpha"]) > 0
    annotation["instances"][1]["instance_alpha"] = Image.fromarray(shape)
    annotation["instances"][2]["instance_alpha"] = shape
    found = read(annotation, make_photograph(4))
    for rgba in found.instances:
        assert (rgba[..., 3] == shape * 255).all()


def test_fractional_masks_and_deltas_are_cut_off_as_a_cast_does() -> None:
    annotation, photograph = make_annotation(5), make_photograph(6)
    random = np.random.default_rng(7)
    mask = random.random((40, 56, 1))
    delta = random.random((40, 56, 3)) * 90
    annotation["background"] |= {"original_image_mask": mask, "inpainted_delta": delta}
    total = photograph * mask + np.floor(delta)
    assert (read(annotation, photograph).background == np.clip(total, 0, 255).astype(np.uint8)).all()


def test_large_pictures_are_rebuilt_across_bands_of_rows() -> None:
    annotation, photograph = make_annotation(8, 700, 60, 1), make_photograph(9, 700, 60)
    assert (read(annotation, photograph).background == official_colours(photograph, annotation["background"])).all()


def test_layers_keep_the_order_of_the_file() -> None:
    annotation = make_annotation(1, num_instances=3)
    annotation["instances"] = {key: annotation["instances"][key] for key in (3, 1, 2)}
    parsed = parse_annotation(unpickle(pickle.dumps(annotation), 1 << 24))
    assert [instance.key for instance in parsed.instances] == ["3", "1", "2"]
    assert parsed.instances[0].layer.captions.blip2 == "thing 3"
    assert parsed.instances[0].layer.captions.llava == "N/A"


def test_a_picture_without_instances_has_a_background() -> None:
    found = read(make_annotation(1, num_instances=0), make_photograph(2))
    assert found.instances == ()


def test_the_consistency_error_is_zero_for_layers_that_agree_and_grows_with_disagreement() -> None:
    photograph = make_photograph(1)
    shape = np.zeros((40, 56, 1), bool)
    shape[10:30, 10:30] = True
    annotation = make_annotation(1, num_instances=1)
    none = np.zeros((40, 56, 3), np.int16)
    annotation["background"] |= {"original_image_mask": ~shape, "inpainted_delta": none}
    annotation["instances"][1] |= {
        "original_image_mask": shape,
        "instance_mask": shape,
        "inpainted_delta": none,
        "instance_alpha": Image.fromarray(shape[..., 0].astype(np.uint8) * np.uint8(255)),
    }
    assert read(annotation, photograph).consistency_error == 0.0
    annotation["background"]["original_image_mask"] = np.ones_like(shape)
    annotation["background"]["inpainted_delta"] = none + 10
    expected = np.abs(np.clip(photograph.astype(int) + 10, 0, 255) - photograph)[~shape[..., 0]].sum() / photograph.size
    assert read(annotation, photograph).consistency_error == pytest.approx(expected, abs=0.001)


def _without(path: str) -> Any:
    annotation = make_annotation(0)
    *parents, last = path.split(".")
    fields: Any = annotation
    for part in parents:
        fields = fields[int(part) if part.isdigit() else part]
    del fields[last]
    return annotation


@pytest.mark.parametrize(
    "path",
    [
        *("background", "instances", "background.original_image_mask", "background.inpainted_delta"),
        *("instances.1.original_image_mask", "instances.2.inpainted_delta", "instances.2.instance_alpha"),
    ],
)
def test_a_missing_key_is_named(path: str) -> None:
    with pytest.raises(BadItem) as fault:
        read(_without(path), make_photograph(0))
    assert (fault.value.reason, fault.value.detail) == ("missing_key", path)


@pytest.mark.parametrize(
    ("layer", "key", "value", "reason"),
    [
        ("background", "original_image_mask", np.ones((40, 56, 2), bool), "shape_mismatch"),
        ("background", "original_image_mask", np.ones(40, bool), "shape_mismatch"),
        ("background", "original_image_mask", np.ones((0, 56, 1), bool), "shape_mismatch"),
        ("background", "original_image_mask", np.full((40, 56, 1), 7, np.uint8), "bad_values"),
        ("background", "original_image_mask", np.full((40, 56, 1), -1), "bad_values"),
        ("background", "original_image_mask", np.full((40, 56, 1), np.nan), "bad_values"),
        ("background", "original_image_mask", Image.new("L", (56, 40)), "bad_type"),
        ("background", "inpainted_delta", np.zeros((40, 56, 1), np.int16), "shape_mismatch"),
        ("background", "inpainted_delta", np.zeros((40, 56, 3), bool), "bad_type"),
        ("background", "inpainted_delta", np.full((40, 56, 3), 256, np.int16), "bad_values"),
        ("background", "inpainted_delta", np.full((40, 56, 3), np.inf), "bad_values"),
        ("background", "blip2", 7, "bad_type"),
        ("instance", "instance_mask", np.ones((40, 55, 1), bool), "shape_mismatch"),
        ("instance", "instance_alpha", Image.new("L", (40, 56)), "shape_mismatch"),
        ("instance", "instance_alpha", Image.new("RGBA", (56, 40)), "bad_type"),
        ("instance", "instance_alpha", np.zeros((56, 40), np.uint8), "shape_mismatch"),
        ("instance", "instance_alpha", np.full((40, 56), 300), "bad_values"),
        ("instance", "instance_alpha", "opaque", "bad_type"),
    ],
)
def test_what_fits_no_variant_is_refused(layer: str, key: str, value: Any, reason: str) -> None:
    annotation = make_annotation(0)
    (annotation["background"] if layer == "background" else annotation["instances"][2])[key] = value
    with pytest.raises(BadItem) as fault:
        read(annotation, make_photograph(0))
    assert fault.value.reason == reason
    assert key in fault.value.detail


@pytest.mark.parametrize("tree", [None, 3, [], {"background": [], "instances": {}}, {"background": {}, "instances": 1}])
def test_other_trees_are_refused(tree: Any) -> None:
    with pytest.raises(BadItem) as fault:
        read(tree, make_photograph(0))
    assert fault.value.reason in ("bad_type", "missing_key")


def test_a_photograph_of_another_size_is_neither_decoded_nor_resized(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    # The head of a picture of 8,000 x 8,000 pixels; it could not be decoded.
    path.write_bytes(encode_jpeg(make_photograph(0)).replace(b"\x08\x00\x28\x00\x38", b"\x08\x1f\x40\x1f\x40"))
    with pytest.raises(BadItem) as fault:
        read_photograph(path, (40, 56))
    assert fault.value.reason == "shape_mismatch" and "not 56x40" in fault.value.detail


@pytest.mark.parametrize("turn", [1, 6])
def test_a_photograph_is_read_as_it_is_stored(tmp_path: Path, turn: int) -> None:
    """Deltas refer to stored pixels: neither the orientation nor a colour profile is applied."""
    exif, path = Image.Exif(), tmp_path / "photograph.jpg"
    exif[0x0112] = turn
    swapped = srgb_profile().replace(b"rXYZ", b"oXYZ").replace(b"bXYZ", b"rXYZ").replace(b"oXYZ", b"bXYZ")
    Image.fromarray(make_photograph(0)).save(path, exif=exif, icc_profile=swapped)
    assert (read_photograph(path, (40, 56)) == np.asarray(Image.open(path))).all()


@pytest.mark.parametrize("text", ["\ud800", "a\x1b[31mb", "a\u202eb", "a\0b"])
@pytest.mark.parametrize("place", ["caption", "key"])
def test_text_that_tables_cannot_hold_is_refused(place: str, text: str) -> None:
    annotation = make_annotation(0)
    if place == "caption":
        annotation["instances"][1]["blip2"] = text
    else:
        annotation["instances"][text] = annotation["instances"].pop(1)
    with pytest.raises(BadItem) as fault:
        read(annotation, make_photograph(0))
    assert fault.value.reason == "bad_text" and fault.value.detail.isprintable()


def test_a_caption_of_several_lines_is_one_line() -> None:
    annotation = make_annotation(0)
    annotation["background"]["llava"] = "a room\n\twith\u00a0chairs, \U0001f600"
    parsed = parse_annotation(unpickle(pickle.dumps(annotation, 4), 1 << 24))
    assert parsed.background.captions.llava == "a room with chairs, \U0001f600"
