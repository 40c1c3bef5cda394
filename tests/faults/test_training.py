"""Training that is killed, told to end, or finds a damaged checkpoint or a full disk: the same weights in the end."""

import os
import re
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from commands.faults import WRONG_USE, Told, told
from tests.faults.disks import small_disk
from tests.training import toy_task
from tests.training.adapter.adapter_runs import Place64, command, last, lay_out
from tests.training.toy_task import run
from training.checkpoints import Checkpoints
from training.journal import read_metrics

pytestmark = pytest.mark.faults
NUM_STEPS = 60
SPACE_BYTES = 400_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place64:
    return lay_out(tmp_path_factory.mktemp("training"))


def weights(folder: Path) -> dict[str, list[float]]:
    """Of the last checkpoint."""
    files = sorted(last(folder).glob("*.safetensors"))
    return {f"{file.name} {name}": value.tolist() for file in files for name, value in load_file(file).items()}


def losses(folder: Path, name: str) -> list[float]:
    return [line[name] for line in read_metrics(folder)]


def cut_newest(folder: Path) -> Path:
    """Cut off the largest file of the newest checkpoint."""
    newest = last(folder)
    largest = max(newest.glob("*.safetensors"), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    return newest


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut off"])
def test_a_killed_run_goes_on_from_its_newest_sound_checkpoint(tmp_path, commands, caplog, cut):
    run(tmp_path / "whole", NUM_STEPS)
    folder = tmp_path / "killed"
    killed = commands.module("tests.training.toy_task", folder, NUM_STEPS)
    killed.until(lambda: len(Checkpoints(folder / "checkpoints", 2).steps()) >= 2, "second checkpoint")
    killed.kill()
    killed.assert_all_gone()
    assert len(read_metrics(folder)) < NUM_STEPS
    newest = cut_newest(folder) if cut else last(folder)
    with caplog.at_level("INFO"):
        run(folder, NUM_STEPS)
    said = rf"checkpoint {newest} is damaged \(\S+ holds \d+ of \d+ bytes\): kept as {newest.name}\.damaged, not used"
    assert bool(re.search(said, caplog.text)) == cut
    assert (f"continuing from {newest}" in caplog.text) != cut and "continuing from" in caplog.text
    assert weights(folder) == weights(tmp_path / "whole")
    assert losses(folder, "line.loss") == losses(tmp_path / "whole", "line.loss")


def test_a_training_that_is_told_to_end_saves_a_checkpoint_first(place, tmp_path, commands):
    """SIGTERM is what Kubernetes and compose send."""
    changes = {"schedule.num_steps": 12, "output.save_every_steps": 4}
    assert commands.start(*command(place, tmp_path / "whole", changes=changes)).ended() == 0
    folder = tmp_path / "told"
    first = commands.start(*command(place, folder, changes=changes))
    first.until(lambda: len(read_metrics(folder)) >= 5, "fifth step")
    first.send(signal.SIGTERM)
    assert first.ended() == 128 + signal.SIGINT, first.said
    first.assert_all_gone()
    at = int(last(folder).name)
    assert at >= 5 and "SIGTERM: saving a checkpoint, then stopping" in first.said
    assert f"interrupted after step {at}; saved {last(folder)}; --resume continues from there" in first.said
    newest = cut_newest(folder)
    second = commands.start(*command(place, folder, changes=changes), "--resume")
    assert second.ended() == 0, second.said
    assert f"checkpoint {newest} is damaged" in second.said
    assert weights(folder) == weights(tmp_path / "whole")
    assert losses(folder, "adapter.loss") == losses(tmp_path / "whole", "adapter.loss")


def fault_of(folder: Path) -> Told | None:
    """How the command would report what a run of this folder ends with."""
    try:
        run(folder, NUM_STEPS)
    except Exception as error:  # noqa: BLE001 - it is reported as the command reports any
        return told(error) or Told(f"not a sentence: {error!r}", 0)
    return None


def test_a_disk_that_fills_in_the_middle_of_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_task, "DIM", 4096)  # A checkpoint is then larger than all else that a run writes.
    run(tmp_path / "whole", NUM_STEPS)
    with small_disk(tmp_path / "disk", SPACE_BYTES) as disk:
        folder, size_bytes, full = disk.path / "run", SPACE_BYTES, []
        while (found := fault_of(folder)) is not None:
            assert found.status == WRONG_USE and "free space" in found.sentence, found
            full.append(found.sentence)
            assert not list(folder.glob("checkpoints/.*"))
            assert len(full) < 40
            size_bytes += SPACE_BYTES
            disk.resize(size_bytes)
        assert sum("could not be written" in sentence for sentence in full) >= 2, full
        assert weights(folder) == weights(tmp_path / "whole")
        assert losses(folder, "line.loss") == losses(tmp_path / "whole", "line.loss")
