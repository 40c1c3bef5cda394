"""Shards as folders of PNG files."""

import json

import numpy as np
from PIL import Image

from pipelines.shards.export import export_folder
from pipelines.shards.reader import read_triplets
from pipelines.synthetic import build_dataset


def test_each_triplet_becomes_a_folder(tmp_path):
    store = build_dataset(tmp_path / "data")
    out = tmp_path / "out"
    assert export_folder(store.root, str(out)) == 7
    assert len(list(out.iterdir())) == 7
    for t in read_triplets(store):
        folder = out / f"{t.key}-{t.layer}"
        assert sorted(file.name for file in folder.iterdir()) == [
            *("background.png", "composite.png", "foreground.png", "mask.png", "sample.json"),
        ]
        assert (np.asarray(Image.open(folder / "composite.png")) == t.composite).all()
        assert (np.asarray(Image.open(folder / "background.png")) == t.background).all()
        foreground = Image.open(folder / "foreground.png")
        assert foreground.mode == "RGBA" and (np.asarray(foreground) == t.foreground).all()
        assert (np.asarray(Image.open(folder / "mask.png").convert("L")) > 127).tolist() == t.mask.tolist()
        sample = json.loads((folder / "sample.json").read_text())
        assert (sample["key"], sample["layer"], sample["num_layers"]) == (t.key, t.layer, len(t.record["layers"]))
        assert sample["target"] == t.record["layers"][t.layer]


def test_a_second_export_replaces_and_clears_what_a_killed_one_left(tmp_path):
    store = build_dataset(tmp_path / "data")
    out = tmp_path / "out"
    tar = f"{store.root}/shards/00000.tar"
    assert export_folder(tar, str(out)) == 3
    (out / "00000000-0/mask.png").write_bytes(b"spoiled")
    (out / ".00000001-0.new.tmp").mkdir()
    (out / ".00000001-0.new.tmp/half.png").write_bytes(b"half")
    assert export_folder(tar, str(out)) == 3
    assert sorted(folder.name for folder in out.iterdir()) == ["00000000-0", "00000001-0", "00000001-1"]
    assert Image.open(out / "00000000-0/mask.png").size == (64, 64)
