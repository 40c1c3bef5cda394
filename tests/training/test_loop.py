"""The loop keeps its promises whatever it trains: a line through points stands for the models."""

import json
import os
import re
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from decoupage.faults import BadSetup
from tests.training.toy_task import Killed, ToyTask, toy_config
from training import loop
from training.alone import alone_in
from training.checkpoint_files import _facts, read_progress, write_files
from training.checkpoints import Checkpoints
from training.journal import read_metrics
from training.licences import Sources
from training.loop import Diverged, Outcome, OutOfMemory, export, fit, make_accelerator
from training.run import RunPlan, train, train_current

ROOT = Path(__file__).parents[2]


def train_toy(folder: Path, task: ToyTask | None = None, **options) -> tuple[Outcome, ToyTask]:
    task = task or ToyTask(toy_config())
    return fit(task, make_accelerator(task.config, "cpu"), folder, **options), task


def weights(outcome: Outcome) -> dict[str, torch.Tensor]:
    return load_file(outcome.checkpoint / "line.safetensors")


def assert_same(first: Outcome, second: Outcome) -> None:
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name]), name
    ours, theirs = (torch.load(each.checkpoint / "line.optimiser.pt", weights_only=True) for each in (first, second))
    assert same(ours, theirs)
    assert same(*(load_file(each.checkpoint / "averaged.safetensors") for each in (first, second)))


def same(ours, theirs) -> bool:
    """Bit for bit; a saved tuple comes back as a list."""
    if isinstance(ours, dict):
        return set(ours) == set(theirs) and all(same(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_a_run_learns_and_tells_of_it(tmp_path):
    outcome, task = train_toy(tmp_path, ToyTask(toy_config(60)))
    lines = read_metrics(tmp_path)
    first, last = (np.mean([line["line.loss"] for line in part]) for part in (lines[:10], lines[-10:]))
    assert outcome.status == "done"
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert last < 0.5 * first
    assert lines[-1]["line.twice"] == pytest.approx(2 * lines[-1]["line.loss"])
    assert not any("none" in name for name in lines[0])
    assert {"samples_per_s", "step_s", "loader_wait_s", "line.grad_norm", "line.learning_rate"} <= set(lines[0])
    assert [line["step"] for line in lines if "validation_loss" in line] == list(range(3, 61, 3))
    assert len(list((tmp_path / "samples").glob("*.png"))) == 15
    assert np.asarray(Image.open(tmp_path / "samples" / "000004.png")).shape == (8, 8, 3)
    assert list((tmp_path / "tensorboard").iterdir())
    assert outcome.progress.position == 60 * task.config.batch.size


def test_only_trained_parameters_are_kept(tmp_path):
    outcome, _ = train_toy(tmp_path)
    assert set(weights(outcome)) == {"0.weight", "0.bias", "2.weight"}


def test_the_export_holds_averaged_weights(tmp_path):
    outcome, task = train_toy(tmp_path)
    exported = torch.load(export(task, outcome, make_accelerator(task.config, "cpu"), tmp_path) / "line.pt")
    averages = load_file(outcome.checkpoint / "averaged.safetensors")
    assert torch.equal(exported["0.weight"], averages["0.weight"])
    assert not torch.equal(exported["0.weight"], weights(outcome)["0.weight"])


@pytest.mark.parametrize("position", [1, 4, 9, 22, 40])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, position):
    whole, _ = train_toy(tmp_path / "whole")
    task = ToyTask(toy_config())
    task.leave_at = position
    first, _ = train_toy(tmp_path / "halved", task)
    assert first.status == "interrupted"
    assert first.progress.step < 12
    assert read_progress(first.checkpoint).step == first.progress.step
    second, _ = train_toy(tmp_path / "halved", resume=True)
    assert_same(whole, second)
    assert [line["step"] for line in read_metrics(tmp_path / "halved")] == list(range(1, 13))
    losses = [[line["line.loss"] for line in read_metrics(tmp_path / name)] for name in ("whole", "halved")]
    assert losses[0] == losses[1]


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    train_toy(tmp_path)
    with pytest.raises(BadSetup, match="--resume"):
        train_toy(tmp_path)


def test_a_finished_run_does_nothing_more(tmp_path):
    first, _ = train_toy(tmp_path)
    before = first.checkpoint.stat().st_mtime_ns
    again, _ = train_toy(tmp_path, resume=True)
    assert again.status == "done"
    assert again.checkpoint.stat().st_mtime_ns == before


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    task = ToyTask(toy_config())
    task.leave_at = 20
    train_toy(tmp_path, task)
    other = ToyTask(toy_config(), identity={"recipe": task.identity["recipe"], "data": "other points"})
    with pytest.raises(BadSetup, match=r"data points \(now other points\).*--warm-start"):
        train_toy(tmp_path, other, resume=True)


def test_a_warm_start_takes_weights_only_and_says_so(tmp_path, caplog):
    first, _ = train_toy(tmp_path / "first")
    other = ToyTask(toy_config(12, seed=5), identity={"data": "other points"})
    with caplog.at_level("WARNING"):
        train_toy(tmp_path / "second", other, warm_start=first.checkpoint)
    assert "warm start" in caplog.text
    lines = read_metrics(tmp_path / "second")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[0]["line.loss"] < read_metrics(tmp_path / "first")[0]["line.loss"]


def test_what_is_not_finite_stops_the_run_and_keeps_the_state_before(tmp_path):
    task = ToyTask(toy_config())
    task.nan_at = 7
    with pytest.raises(Diverged, match=r"step 8: line\.loss = nan.*state before it is in"):
        train_toy(tmp_path, task)
    assert Checkpoints(tmp_path / "checkpoints", 2).steps()[-1] == 7
    whole, _ = train_toy(tmp_path / "whole")
    mended, _ = train_toy(tmp_path, resume=True)
    assert_same(whole, mended)


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    outcome, _ = train_toy(tmp_path, ToyTask(toy_config(30)))
    steps = Checkpoints(tmp_path / "checkpoints", 2).steps()
    judged = {line["step"]: line["validation_loss"] for line in read_metrics(tmp_path) if "validation_loss" in line}
    best = min(judged, key=judged.__getitem__)
    assert set(steps) == {27, 30, best}
    assert (outcome.progress.best_step, outcome.progress.best_loss) == (best, pytest.approx(judged[best]))


def test_half_a_checkpoint_is_never_taken_for_one(tmp_path):
    train_toy(tmp_path)
    partial = tmp_path / "checkpoints" / ".0000099.partial"
    partial.mkdir()
    (partial / "state.json").write_text(json.dumps({"step": 99}))
    again, _ = train_toy(tmp_path, resume=True)
    assert again.progress.step == 12


def damage_and_resume(folder: Path, caplog, damage) -> str:
    """Twelve steps with checkpoints after 3, 6 and 9 (two are kept), killed in the tenth; the newest is damaged."""
    task = ToyTask(toy_config())
    task.fail[10] = Killed()
    with pytest.raises(Killed):
        train_toy(folder, task)
    assert Checkpoints(folder / "checkpoints", 2).steps() == [6, 9]
    damage(folder / "checkpoints" / "0000009")
    caplog.clear()
    train_toy(folder, resume=True)
    return caplog.text


def cut(name: str):
    return lambda path: os.truncate(path / name, (path / name).stat().st_size // 2)


def empty(name: str):
    return lambda path: os.truncate(path / name, 0)


def state(change):
    def damage(path: Path) -> None:
        (path / "state.json").write_bytes(change((path / "state.json").read_text()))

    return damage


def flip(path: Path) -> None:
    with (path / "line.safetensors").open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        byte = file.read(1)
        file.seek(-3, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut("line.safetensors"), r"line\.safetensors holds \d+ of \d+ bytes"),
        (cut("other.optimiser.pt"), r"other\.optimiser\.pt holds \d+ of \d+ bytes"),
        (empty("line.safetensors"), r"line\.safetensors holds 0 of \d+ bytes"),
        (empty("line.optimiser.pt"), r"line\.optimiser\.pt holds 0 of \d+ bytes"),
        (cut("state.json"), r"state\.json is not JSON"),
        (empty("state.json"), r"state\.json is not JSON: Expecting value \(it is empty\)"),
        (state(lambda text: text.replace("points", "p\xefints").encode("latin-1")), r"state\.json is not UTF-8"),
        (state(lambda text: text.replace('"step": 9', '"step": NaN').encode()), r"state\.json is not usable JSON"),
        (state(lambda text: text.replace('"step": 9', '"step": 6').encode()), r"state\.json is of step 6"),
        (
            state(lambda text: text.replace('"step": 9', '"step": "9"').encode()),
            r"state\.json is not what a run writes",
        ),
        (state(lambda text: text.replace('"step": 9', '"pace": 9').encode()), r"state\.json is not what a run writes"),
        (state(lambda text: text.replace("line.saf", "../line.saf").encode()), r"state\.json is not what a run writes"),
        (state(lambda text: b"[" * 99_999), r"state\.json is not usable JSON: its brackets"),
        (state(lambda text: b"[]"), r"state\.json is not what a run writes"),
        (lambda path: (path / "state.json").unlink(), r"state\.json is missing"),
        (flip, r"line\.safetensors was changed after it was written"),
        (lambda path: (path / "averaged.safetensors").unlink(), r"averaged\.safetensors is missing"),
        (lambda path: (path / "random-0.pt").unlink(), r"random-0\.pt is missing"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_taken(tmp_path, caplog, damage, reason):
    whole, _ = train_toy(tmp_path / "whole")
    said = damage_and_resume(tmp_path / "cut", caplog, damage)
    assert re.search(rf"checkpoint \S+0000009 is damaged \({reason}.*kept as 0000009\.damaged", said)
    last = Checkpoints(tmp_path / "cut" / "checkpoints", 2).latest()
    assert_same(whole, Outcome("done", read_progress(last), last))
    assert (tmp_path / "cut" / "checkpoints" / "0000009.damaged").is_dir()


def test_when_all_checkpoints_are_damaged_each_is_named(tmp_path):
    train_toy(tmp_path)
    for step in ("0000009", "0000012"):
        cut("line.safetensors")(tmp_path / "checkpoints" / step)
    found = r"no checkpoint can be loaded: \S+0000012 \(line\.safetensors .*\); \S+0000009 \(line\.saf.* start again"
    with pytest.raises(BadSetup, match=found):
        train_toy(tmp_path, resume=True)
    assert Checkpoints(tmp_path / "checkpoints", 2).steps() == [9, 12]


class Code:
    def __reduce__(self):
        return (os.system, ("touch ran",))


def relisted(path: Path) -> None:
    """Give a checkpoint's state the sums of its files as they now are: somebody changed them on purpose."""
    listed = json.loads((path / "state.json").read_text())
    write_sums = {name: _facts(path / name) for name in listed["files"]}
    (path / "state.json").write_text(json.dumps({**listed, "files": write_sums}))


def spoil(name: str, value: float):
    def damage(path: Path) -> None:
        tensors = load_file(path / name)
        next(iter(tensors.values())).view(-1)[0] = value
        save_file(tensors, path / name)

    return damage


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        (
            "line.optimiser.pt",
            lambda path: torch.save({"a": Code()}, path / "line.optimiser.pt"),
            "none of its code was",
        ),
        ("line.optimiser.pt", lambda path: torch.save({"a": 1}, path / "line.optimiser.pt"), "'optimiser'"),
        ("line.optimiser.pt", lambda path: (path / "line.optimiser.pt").write_bytes(b""), ""),
        ("line.optimiser.pt", lambda path: (path / "line.optimiser.pt").write_bytes(b"x" * 999), ""),
        ("random-0.pt", lambda path: torch.save([], path / "random-0.pt"), ""),
        ("line.safetensors", lambda path: (path / "line.safetensors").write_bytes(b"x" * 999), ""),
        ("line.safetensors", spoil("line.safetensors", float("nan")), "0.bias holds values that are not finite"),
        (
            "averaged.safetensors",
            spoil("averaged.safetensors", float("inf")),
            "0.bias holds values that are not finite",
        ),
    ],
)
def test_a_checkpoint_that_was_changed_on_purpose_runs_no_code_and_is_named(
    tmp_path, monkeypatch, file, damage, reason
):
    monkeypatch.chdir(tmp_path)
    outcome, _ = train_toy(tmp_path / "run")
    damage(outcome.checkpoint)
    relisted(outcome.checkpoint)
    with pytest.raises(BadSetup) as refusal:
        train_toy(tmp_path / "run", resume=True)
    message = str(refusal.value)
    assert message.startswith(f"{outcome.checkpoint / file} cannot be loaded: ")
    assert reason in message
    assert "weights_only" not in message
    assert message.endswith(f"move {outcome.checkpoint} away; then --resume continues from the checkpoint before it")
    assert not (tmp_path / "ran").exists()


def test_weights_that_an_update_breaks_are_not_saved(tmp_path):
    task = ToyTask(toy_config())
    losses = task.losses

    def broken(modules, batch, step):
        if step == 8:  # The ninth update, after which a checkpoint is due.
            for group in train_groups:
                group["lr"] = float("inf")
        yield from losses(modules, batch, step)

    train_groups: list = []
    make = loop.make_optimiser

    def noted(*arguments):
        optimiser = make(*arguments)
        train_groups.extend(optimiser.param_groups)
        return optimiser

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "make_optimiser", noted)
        task.losses = broken
        with pytest.raises(Diverged, match=r"step 9: the update produced weights that are not finite; .*0000006"):
            train_toy(tmp_path, task)
    assert Checkpoints(tmp_path / "checkpoints", 2).steps() == [3, 6]
    again, _ = train_toy(tmp_path, resume=True)
    assert again.status == "done"


def test_a_validation_loss_that_is_not_finite_counts_as_not_measured(tmp_path, caplog):
    task = ToyTask(toy_config())
    task.validation_loss = lambda modules: float("nan")
    outcome, _ = train_toy(tmp_path, task)
    assert (outcome.progress.validation_loss, outcome.progress.best_step) == (None, None)
    assert read_progress(outcome.checkpoint) == outcome.progress
    assert "the validation loss of step 12 is nan: it counts as not measured" in caplog.text


def test_a_journal_that_a_disk_has_spoilt_is_read_as_far_as_it_goes(tmp_path):
    lines = [b'{"step": 1, "line.loss": 2.0}', b"\xff\xfe", b"[1]", b"{}", b'{"step": "x"}', b'{"step": 2}', b'{"st']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert read_metrics(tmp_path) == [{"step": 1, "line.loss": 2.0}, {"step": 2}]


def test_a_second_run_in_a_folder_is_refused(tmp_path, monkeypatch):
    plan = RunPlan("small_base", tmp_path / "run")
    with alone_in(plan.out):
        with pytest.raises(BadSetup, match=r"another process trains in .*run: wait until it ends"):
            train(plan)
        monkeypatch.setenv("RANK", "1")
        with alone_in(plan.out):  # One of the same run's.
            pass


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_warm_start_from_damaged_weights_is_a_wrong_setup(tmp_path, damage):
    first, _ = train_toy(tmp_path / "first")
    file = first.checkpoint / "line.safetensors"
    os.truncate(file, 40) if damage == "cut" else file.unlink()
    with pytest.raises(BadSetup, match=r"line\.safetensors cannot be loaded|holds no weights of line"):
        train_toy(tmp_path / "second", warm_start=first.checkpoint)


# --- saving


def test_validation_that_fails_costs_no_step_and_is_made_up_for(tmp_path):
    whole, _ = train_toy(tmp_path / "whole")
    task = ToyTask(toy_config())
    task.validation_error = RuntimeError("no validation today")
    with pytest.raises(RuntimeError, match="no validation today"):
        train_toy(tmp_path / "halved", task)
    saved = Checkpoints(tmp_path / "halved" / "checkpoints", 2).latest()
    assert saved is not None and saved.name == "0000003" and read_progress(saved).judged_step is None
    second, _ = train_toy(tmp_path / "halved", resume=True)
    assert_same(whole, second)
    judged = [
        {line["step"]: line["validation_loss"] for line in read_metrics(tmp_path / name) if "validation_loss" in line}
        for name in ("whole", "halved")
    ]
    assert judged[0] == judged[1] and list(judged[0]) == [3, 6, 9, 12]
    assert second.progress == whole.progress == read_progress(second.checkpoint)
    assert second.progress.judged_step == 12


def test_the_clock_asks_for_checkpoints_too_and_changes_no_weight(tmp_path, monkeypatch):
    whole, _ = train_toy(tmp_path / "whole")
    seconds = iter(range(0, 10_000, 20))
    monkeypatch.setattr("training.requests.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    saved = []
    save = Checkpoints.save

    def noted(self, learners, averages, progress):
        saved.append(progress.step)
        return save(self, learners, averages, progress)

    monkeypatch.setattr(Checkpoints, "save", noted)
    # The clock is read before each of two micro-batches, and after a save.
    output = toy_config().output.model_copy(update={"save_every_steps": 8, "save_every_s": 100.0})
    timed, _ = train_toy(tmp_path / "timed", ToyTask(toy_config(output=output)))
    assert saved == [3, 6, 8, 11, 12]
    assert_same(whole, timed)
    assert [line["step"] for line in read_metrics(tmp_path / "timed") if "validation_loss" in line] == [8, 12]
    saved.clear()
    output = output.model_copy(update={"save_every_s": 0.0})
    train_toy(tmp_path / "untimed", ToyTask(toy_config(output=output)))
    assert saved == [8, 12]


def test_files_are_written_beside_the_steps_and_a_fault_of_theirs_ends_the_run(tmp_path, monkeypatch):
    written, may_write = [], threading.Event()

    def slow(folder, files, state):
        may_write.wait(30)
        written.append(state["step"])
        write_files(folder, files, state)

    monkeypatch.setattr("training.checkpoints.write_files", slow)
    task = ToyTask(toy_config())
    steps_meanwhile = []
    losses = task.losses

    def watched(modules, batch, step):
        if not may_write.is_set():
            steps_meanwhile.append(step)
        if step == 5:
            may_write.set()
        return losses(modules, batch, step)

    task.losses = watched
    outcome, _ = train_toy(tmp_path / "beside", task)
    assert written == [3, 6, 9, 12] and {3, 4} <= set(steps_meanwhile)
    monkeypatch.undo()
    whole, _ = train_toy(tmp_path / "whole")
    assert_same(whole, outcome)  # What is written is the state at the save, not at the writing.
    state = torch.load(tmp_path / "beside" / "checkpoints" / "0000009" / "line.optimiser.pt", weights_only=True)
    assert {float(moments["step"]) for moments in state["optimiser"]["state"].values()} == {9.0}

    def broken(folder, files, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.checkpoints.write_files", broken)
    with pytest.raises(BadSetup, match=r"No space left.*--resume"):
        train_toy(tmp_path / "broken")
    assert len(read_metrics(tmp_path / "broken")) == 6  # The next save says so.


@pytest.mark.parametrize("where", ["forward", "update"])
def test_out_of_memory_keeps_a_whole_state_and_says_what_would_fit(tmp_path, monkeypatch, where):
    whole, _ = train_toy(tmp_path / "whole")
    fault = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")
    task = ToyTask(toy_config())
    if where == "forward":
        task.fail[7] = fault
    else:
        step = torch.optim.AdamW.step
        calls = iter(range(100))

        def failing(self, *arguments, **options):
            if next(calls) == 15:  # Of two optimisers: the second one's eighth step.
                raise fault
            return step(self, *arguments, **options)

        monkeypatch.setattr(torch.optim.AdamW, "step", failing)
    kept = (
        r"the state before it is in \S+0000007; --resume"
        if where == "forward"
        else r"the last checkpoint is \S+0000006"
    )
    with pytest.raises(OutOfMemory, match=rf"out of memory after step 7 \(CUDA out of memory\); {kept}"):
        train_toy(tmp_path / "small", task)
    monkeypatch.undo()
    mended, _ = train_toy(tmp_path / "small", resume=True)
    assert_same(whole, mended)


def test_out_of_memory_anywhere_in_a_run_is_one_sentence_with_what_would_fit(tmp_path, monkeypatch):
    asked = []

    def what_would_fit(config, device, source, num_processes):
        asked.append((config, device.type, source, num_processes))
        return "set batch.micro_batch = 1"

    monkeypatch.setattr("training.preflight.what_would_fit", what_would_fit, raising=False)
    monkeypatch.setattr("training.run._permitted", lambda plan: Sources((), ()))
    plan = RunPlan("demo", tmp_path, base="weights", device="cpu")
    while_loading = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    in_a_step = OutOfMemory("out of memory after step 7 (CUDA out of memory); kept")
    for fault, said in ((while_loading, "out of memory: CUDA out of memory"), (in_a_step, str(in_a_step))):
        for start in (train, train_current):
            monkeypatch.setattr("training.run._ready", partial(throw, fault))
            with pytest.raises(BadSetup) as raised:
                start(plan)
            assert str(raised.value) == f"{said}; set batch.micro_batch = 1"
    assert asked == [(plan.config(), "cpu", "weights", 1)] * 4
    monkeypatch.setattr("training.run._ready", partial(throw, BadSetup("no such folder")))
    with pytest.raises(BadSetup, match=r"^no such folder$"):
        train(plan)


def throw(fault: Exception, *_: object) -> None:
    raise fault


def test_a_batch_must_divide_over_the_processes():
    with pytest.raises(ValueError, match=r"batch\.accumulation must be a multiple of the number of processes \(3\)"):
        toy_config().batch.accumulation_for(3)
