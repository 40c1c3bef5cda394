"""Damaged manifests: whoever reads one says which it is and what to do, and doing that mends it."""

import shutil

import pytest

from decoupage.faults import BadSetup
from pipelines.factory import Factory
from pipelines.stages.store import Store
from profiles.profile import load_profile
from tests.faults.harness import assert_recovers, decoupage

pytestmark = pytest.mark.faults


def flipped(data: bytes, other: bytes) -> bytes:
    place = data.index(b'"num_items":') + len(b'"num_items":')
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = {
    "a flipped bit": flipped,
    "cut off": lambda data, other: data[: len(data) // 2],
    "empty": lambda data, other: b"",
    "zeros, as after a power cut": lambda data, other: bytes(len(data)),
    "another shard's": lambda data, other: other,
}


@pytest.fixture
def made(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "made")


def spoil(root, stage, damage):
    path, other = root / stage / "00001.json", root / stage / "00000.json"
    path.write_bytes(DAMAGES[damage](path.read_bytes(), other.read_bytes()))
    return path


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_manifests_stop_a_run_one_after_another_with_a_remedy_that_works(whole, made, capsys, damage):
    for path in [spoil(made, stage, damage) for stage in ("foregrounds/generated", "scenes", "edges", "shards")]:
        assert decoupage("scenes", "make", "--root", made) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert f"{path} is damaged" in told and told.endswith("remove it to rebuild the shard")
        path.unlink()
    assert_recovers(made, whole, capsys)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_stage_names_the_damaged_manifest_of_the_stage_before_it(whole, made, capsys, damage):
    """As when the join alone is materialized."""
    path = spoil(made, "masks", damage)
    factory = Factory(load_profile("demo", str(made)), Store(str(made)))
    with pytest.raises(BadSetup, match=r"masks/00001\.json is damaged \(.*\); remove it to rebuild the shard"):
        factory.run(factory.shards, ["00001"])
    path.unlink()
    assert_recovers(made, whole, capsys)
