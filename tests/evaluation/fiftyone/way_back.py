"""A small dataset in FiftyOne, and the way back of its tags, step by step."""

from pathlib import Path

from evaluation.fiftyone.inspect import build_dataset
from evaluation.fiftyone.tags import apply_tags
from pipelines.library.exclusions import read_exclusions
from pipelines.stages.manifest import read_manifest
from pipelines.stages.store import Store
from tests.evaluation.fiftyone.conftest import factory_of, profile_of

NAME = "decoupage-demo"
FOLDERS = ("shards", "held_out/shards")


def build(root: Path, **changes: str):
    profile = profile_of(root, **changes)
    return build_dataset(factory_of(root, **changes), profile.evaluation, profile.name)


def load():
    import fiftyone as fo

    return fo.load_dataset(NAME)


def composites():
    return load().select_group_slices("composite")


def group_of(item: str) -> dict:
    """Slice -> sample."""
    dataset = load()
    sample = composites().match({"item": item}).first()
    return dataset.get_group(sample.group.id)


def gone_after_applying(root: Path) -> set[str]:
    """Apply the tags `reject`, make everything again, and see that every byte which drew nothing tagged is the same.

    Returns the assets that were in the dataset and are not any more.
    """
    before_assets = drawn_assets(root)
    before = {folder: members(root, folder) for folder in FOLDERS}
    applied = apply_tags(factory_of(root), "demo")
    assets = {exclusion.id for exclusion in applied.new}
    assert {exclusion.reason for exclusion in read_exclusions(Store(str(root)))} == {"reject"}
    listed = {(shard.folder, shard.shard) for shard in applied.effect.shards}
    assert ("shards", "00000") in listed
    touched = scenes_that_drew(root, applied.effect.excluded)
    untouched_shards = {
        path: (root / path).read_bytes() for path in tars(root) if (path.parent.as_posix(), path.stem) not in listed
    }

    factory_of(root).make_shards()
    factory_of(root).make_held_out()
    for folder, members_before in before.items():
        after = members(root, folder)
        kept = {name: sha for name, sha in members_before.items() if (folder, name.split(".")[0]) not in touched}
        assert kept and {name: after.get(name) for name in kept} == kept
    assert untouched_shards == {path: (root / path).read_bytes() for path in untouched_shards}
    assert not drawn_assets(root) & assets
    found = build(root)
    assert found.changes.added and found.changes.added == found.changes.removed
    assert not assets & set(load().select_group_slices(_allow_mixed=True).distinct("asset"))
    assert apply_tags(factory_of(root), "demo").new == ()
    return assets & before_assets


def members(root: Path, folder: str) -> dict[str, str]:
    store = Store(str(root))
    shards = [name.removesuffix(".tar") for name in store.names(folder, ".tar")]
    return {m.name: m.sha256 for shard in shards for m in read_manifest(store, folder, shard).members}


def drawn_assets(root: Path) -> set[str]:
    """Everything that is in a shard, of training or held out."""
    store = Store(str(root))
    shards = [(folder, name[:-4]) for folder in FOLDERS for name in store.names(folder, ".tar")]
    return {asset for folder, shard in shards for asset in read_manifest(store, folder, shard).assets}


def tars(root: Path) -> list[Path]:
    return [
        path.relative_to(root) for top in ("", "held_out") for path in sorted((root / top / "shards").glob("*.tar"))
    ]


def scenes_that_drew(root: Path, assets) -> set[tuple[str, str]]:
    import pyarrow.parquet as pq

    found = set()
    for folder in FOLDERS:
        for path in (root / folder).glob("*.parquet"):
            for row in pq.read_table(path, columns=["key", "draws"]).to_pylist():
                if {token.rpartition("@")[0] for token in row["draws"]} & set(assets):
                    found.add((folder, row["key"]))
    return found
