"""Contact shadows in finished shards: checked, exported, loaded and remade after a takedown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from decoupage.images.codecs import decode_opacity, encode_gray
from evaluation.test_sets.shards import case_of
from pipelines.scenes.parts import SceneParts
from pipelines.shards.export import export_folder
from pipelines.shards.reader import read_scenes, read_triplets
from pipelines.shards.verify import verify
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from pipelines.synthetic import build_dataset
from tests.library import Meadow, shadowed_scenes, write_library
from tests.pipelines.scenes.test_shadow import on_canvas
from tests.pipelines.shards.test_content import Members, forge, found, with_layer
from training.data import DataLoading, TripletLoader

NUMBERS = tuple(range(20))
SHOWS = 10
"""Opacity (of 255) from which a shadow counts as seen."""


def build(root: Path | str, real: tuple[int, ...] = NUMBERS, generated: tuple[int, ...] = NUMBERS) -> Store:
    """Twelve scenes from their library to joined shards; again, with other numbers, after a takedown."""
    write_library(str(root), real=real, generated=generated, layouts=Meadow())
    return build_dataset(root, shadowed_scenes(root))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    return build(tmp_path_factory.mktemp("shadowed"))


@pytest.fixture(scope="module")
def scene(whole) -> tuple[str, list[int]]:
    """A scene of which two layers cast shadows that show, and which."""
    for key, members in read_scenes(whole):
        parts = SceneParts.decode(key, members)
        shadows = {i: on_canvas(layer.shadow, 96) for i, layer in enumerate(parts.layers) if layer.shadow}
        if len(shadows) == 2 and all((opacity[bare(parts)] > SHOWS).any() for opacity in shadows.values()):
            return key, list(shadows)
    raise AssertionError("no scene shows two shadows")


def bare(parts: SceneParts) -> np.ndarray:
    """[H, W]: where no layer is."""
    return np.all([parts.foreground(i)[..., 3] == 0 for i in range(len(parts.layers))], axis=0)


@pytest.fixture
def store(whole, tmp_path) -> Store:
    shutil.copytree(whole.root, tmp_path / "copy")
    return Store(str(tmp_path / "copy"))


def test_whole_shards_have_shadows_and_no_fault(whole):
    for folder in ("shards", "scenes"):
        report = verify([f"{whole.root}/{folder}"])
        assert report.faults == [] and report.num_scenes == 20
        assert any(".shadow" in member.name for member in read_manifest(whole, folder, "00000").members)


def lost(i: int, members: Members) -> None:
    del members[f"shadow{i}.png"]


def untold(i: int, members: Members) -> None:
    with_layer(members, i, shadow_box=None)


def lighter(i: int, members: Members) -> None:
    opacity = decode_opacity(members[f"shadow{i}.png"])
    members[f"shadow{i}.png"] = encode_gray(opacity - opacity // 3)


def no_picture(i: int, members: Members) -> None:
    members[f"shadow{i}.png"] = b"no picture"


def of_16_bits(i: int, members: Members) -> None:
    members[f"shadow{i}.png"] = encode_gray(decode_opacity(members[f"shadow{i}.png"]).astype(np.uint16))


def smaller(i: int, members: Members) -> None:
    members[f"shadow{i}.png"] = encode_gray(np.ascontiguousarray(decode_opacity(members[f"shadow{i}.png"])[:, :-1]))


def empty(i: int, members: Members) -> None:
    members[f"shadow{i}.png"] = encode_gray(np.zeros_like(decode_opacity(members[f"shadow{i}.png"])))


def loose(i: int, members: Members) -> None:
    opacity = decode_opacity(members[f"shadow{i}.png"]).copy()
    opacity[:, 0] = 0
    members[f"shadow{i}.png"] = encode_gray(opacity)


def outside(i: int, members: Members) -> None:
    left, top, right, bottom = json.loads(members["json"])["layers"][i]["shadow_box"]
    with_layer(members, i, shadow_box=[left + 96, top, right + 96, bottom])


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        *((lost, "missing_member"), (untold, "unknown_member"), (no_picture, "bad_image"), (of_16_bits, "pixel_type")),
        *((smaller, "box_size"), (empty, "empty_alpha"), (loose, "box_loose"), (outside, "box_outside")),
    ],
)
def test_an_untrue_shadow_is_found(store, scene, edit, kind):
    key, (i, _) = scene
    forge(store, lambda members: edit(i, members), key=key)
    faults = found(store)
    assert (f"{key}.shadow{i}.png", kind) in faults
    assert all(member.startswith(key) for member, _ in faults)


def test_another_opacity_no_longer_recomposes(store, scene):
    key, (i, _) = scene
    forge(store, lambda members: lighter(i, members), key=key)
    assert found(store) == {(f"{key}.json", "composite")}


def test_a_damaged_byte_is_named(store, scene):
    key, (i, _) = scene
    name = f"{key}.shadow{i}.png"
    member = next(member for member in read_manifest(store, "shards", "00000").members if member.name == name)
    data = bytearray(store.read("shards/00000.tar"))
    data[member.offset + member.num_bytes // 2] ^= 255
    store.write("shards/00000.tar", bytes(data))
    assert (name, "sha256") in found(store)


def test_the_target_takes_its_shadow_along_and_the_other_keeps_its_own(whole, scene, tmp_path):
    key, casting = scene
    parts = SceneParts.decode(key, dict(read_scenes(whole))[key])
    export_folder(whole.root, str(tmp_path))
    for i, other in (casting, casting[::-1]):
        folder = tmp_path / f"{key}-{i}"
        composite, background = (np.asarray(Image.open(folder / f"{name}.png")) for name in ("composite", "background"))
        assert np.array_equal(composite, parts.composite)
        assert np.array_equal(background, parts.flatten(without=i))
        own, others = (on_canvas(parts.layers[k].shadow, 96) for k in (i, other))
        # Outside the layers the photograph comes back, but where the other shadow lies.
        clear = bare(parts) & (others == 0)
        assert np.array_equal(background[clear], parts.background[clear])
        for opacity, lit, dark in ((own, background, composite), (others, parts.background, background)):
            where = bare(parts) & (opacity > SHOWS)
            assert where.any() and (dark[where].sum(-1, dtype=int) < lit[where].sum(-1, dtype=int)).all()


def test_loader_reader_and_evaluation_see_the_same(whole):
    stored = {(triplet.key, triplet.layer): triplet for triplet in read_triplets(whole)}
    loader = TripletLoader(whole.root, DataLoading(batch_size=2, flip=False, redraw_masks=False))
    seen = set()
    for _, batch in zip(range(12), loader.batches(0), strict=False):
        for i, place in enumerate(zip(batch.keys, batch.layers, strict=True)):
            want = stored[place]
            case = case_of(want.parts, want.maps, want.layer)
            for tensor_3HW, rgb, cased in (
                (batch.composite_B3HW[i], want.composite, case.composite),
                (batch.background_B3HW[i], want.background, case.background),
            ):
                assert torch.allclose(tensor_3HW, torch.from_numpy(rgb.copy()).permute(2, 0, 1) / 127.5 - 1.0)
                assert np.array_equal(rgb, cased)
            seen.add(want.parts.layers[want.layer].shadow is not None)
    assert seen == {True, False}


def test_after_a_takedown_the_remade_scenes_have_their_shadows(whole, store, scene):
    key, (i, _) = scene
    before = dict(read_scenes(whole))
    gone = json.loads(before[key]["json"])["layers"][i]["foreground"]["id"]
    kind, number = gone.split("-")
    build(store.root, **{kind: tuple(n for n in NUMBERS if n != int(number))})
    after = dict(read_scenes(store))
    assert found(store) == set()
    assert gone.encode() not in b"".join(members["json"] for members in after.values())
    assert after[key] != before[key] and any(after[key] == members for key, members in before.items())
    assert any(suffix.startswith("shadow") for members in after.values() for suffix in members)
