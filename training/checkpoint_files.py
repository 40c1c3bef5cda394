"""One checkpoint: a folder `checkpoints/<step>`, the same whatever the number of processes and the sharding.

    state.json              step, sample position, identity, validation loss, versions; size and sha256 of each file
    <module>.safetensors    trained parameters of a module (frozen ones belong to the base)
    <module>.optimiser.pt   its optimiser and learning rate schedule
    averaged.safetensors    averaged weights of the first module, if there are any
    random-<rank>.pt        random states of each process

`.pt` files hold tensors and plain values and are read with `weights_only=True`. Here: its files, written, checked and
read. When they are written and which are kept is decided in `checkpoints.py`.
"""

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from decoupage.weights.files import share
from training.averages import Averages
from training.remote import STATE
from training.state import Learner, read_weights, restore_optimiser, restore_random_states

AVERAGED = "averaged.safetensors"
_PACKAGES = ("torch", "diffusers", "peft", "accelerate")
_UNREADABLE = (OSError, EOFError, LookupError, AttributeError, TypeError, ValueError, RuntimeError)
_OF_FILES = (SafetensorError, pickle.UnpicklingError)
"""Exceptions that reading a damaged or foreign file raises."""


@dataclass
class Progress:
    """The progress of a run.

    Attributes:
        step: updates done; position: position of the first sample that was not used yet.
        identity: see `training.task.Task`.
        validation_loss, judged_step: the last validation loss, and the step whose weights it judges.
        best_loss, best_step: lowest validation loss so far, and where.
    """

    identity: dict[str, str]
    step: int = 0
    position: int = 0
    validation_loss: float | None = None
    judged_step: int | None = None
    best_loss: float | None = None
    best_step: int | None = None
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _PACKAGES})


_PROGRESS = TypeAdapter(Progress)

# ---- writing


def write_files(folder: Path, files: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a checkpoint to an empty folder, through to the disk: files by name, and the state, which lists them."""
    written = {}
    for name, contents in files.items():
        if name.endswith(".safetensors"):
            save_file(contents, folder / name)
        else:
            torch.save(contents, folder / name)
        flush(folder / name)
        written[name] = _facts(folder / name)
    (folder / STATE).write_text(json.dumps({**state, "files": written}, indent=1), encoding="utf-8")
    share(folder)
    flush(folder / STATE)
    flush(folder)


def rewrite_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state of a checkpoint, in one step; its list of files stays."""
    path = folder / STATE
    files = _read_state(folder)[1]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({**state, "files": files}, indent=1), encoding="utf-8")
    flush(partial)
    partial.replace(path)


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def flush(path: Path) -> None:
    """Write a file or folder through to the disk, so that a rename never outlives the contents."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- reading


def fault_of(path: Path) -> str:
    """What is wrong with a checkpoint's files, as half a sentence that names the first such file; empty = nothing."""
    try:
        progress, files = _read_state(path)
        if not files:
            return f"{STATE} does not list its files: an earlier version wrote it"
        if progress.step != int(path.name):
            return f"{STATE} is of step {progress.step}"
        return next(filter(None, (_fault_of_file(path / name, written) for name, written in files.items())), "")
    except FileNotFoundError:
        return f"{STATE} is missing"
    except (BadSetup, OSError) as error:
        return str(error)


def _fault_of_file(path: Path, written: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f"{path.name} is missing"
    size = path.stat().st_size
    if size != written["bytes"]:
        return f"{path.name} holds {size} of {written['bytes']} bytes"
    return "" if _facts(path) == written else f"{path.name} was changed after it was written"


def _read_state(path: Path) -> tuple[Progress, dict[str, dict[str, Any]]]:
    """Progress of a checkpoint, and size and sum of each of its files by name, where it lists them.

    Raises:
        BadSetup: the state is not what was written; the message begins with its file's name.
        OSError: it cannot be read.
    """
    state = parse_json((path / STATE).read_bytes(), STATE)
    try:
        files = state.pop("files", {})
        listed = all(Path(name).name == name and {"bytes", "sha256"} <= set(entry) for name, entry in files.items())
        progress = _PROGRESS.validate_json(json.dumps(state), strict=True)
        if not listed or set(state) != set(asdict(progress)) or min(progress.step, progress.position) < 0:
            raise ValueError("impossible keys or values")
    except (AttributeError, TypeError, ValueError) as error:
        reason = f"{error.error_count()} values" if isinstance(error, ValidationError) else str(error)
        raise BadSetup(f"{STATE} is not what a run writes ({reason})") from error
    return progress, files


def read_progress(path: Path) -> Progress:
    """The progress of the run that a checkpoint was written in.

    Raises:
        BadSetup: there is no checkpoint at the path, or its state is damaged.
    """
    try:
        return _read_state(path)[0]
    except (BadSetup, OSError) as error:
        raise BadSetup(f"{path} is not a readable checkpoint ({error})") from error


def check_identity(path: Path, identity: Mapping[str, str]) -> None:
    """Make sure that a checkpoint belongs to a run.

    Raises:
        BadSetup: its recipe, data or base differ; the message says which, and what to do.
    """
    theirs = read_progress(path).identity
    differing = sorted(name for name in {*theirs, *identity} if theirs.get(name) != identity.get(name))
    if differing:
        what = ", ".join(f"{name} {theirs.get(name, 'none')} (now {identity.get(name, 'none')})" for name in differing)
        raise BadSetup(
            f"{path} belongs to another run: {what}. Continue with what it was made from, write to another folder, or "
            "take only its weights with --warm-start"
        )


def load_checkpoint(
    path: Path, learners: Mapping[str, Learner], averages: Averages | None, device: torch.device, rank: int = 0
) -> Progress:
    """Restore a complete checkpoint: weights, moments, schedules, averages and random states.

    Each rank reads the files by itself and takes its part.

    Raises:
        BadSetup: a file is missing, does not fit the modules, or holds what no run writes; the message names it.
    """
    progress = read_progress(path)
    fix = f"move {path} away; then --resume continues from the checkpoint before it"
    for name, learner in learners.items():
        with _named(path / f"{name}.safetensors", fix) as file:
            read_weights(file, learner.parameters)
        with _named(path / f"{name}.optimiser.pt", fix) as file:
            restore_optimiser(learner, _read(file))
    if averages is not None:
        with _named(path / AVERAGED, fix) as file:
            read_weights(file, averages.values)
    # With another number of processes there is none for some; noise is drawn by position and needs none.
    if (path / f"random-{rank}.pt").is_file():
        with _named(path / f"random-{rank}.pt", fix) as file:
            restore_random_states(_read(file), device)
    return progress


@contextmanager
def _named(file: Path, fix: str) -> Iterator[Path]:
    """The file; a fault on reading it becomes a BadSetup that names it and says how to continue."""
    try:
        yield file
    except (*_UNREADABLE, *_OF_FILES) as error:
        if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
            reason = "it holds objects other than tensors and plain values, and none of its code was run"
        else:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadSetup(f"{file} cannot be loaded: {reason}; {fix}") from error


def _read(path: Path) -> Any:
    """A `.pt` file. Its tensors stay in the file until they are used: several ranks share the memory."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def load_weights(path: Path, name: str, learner: Learner) -> None:
    """Load a module's trained parameters from a checkpoint, and nothing else of it.

    Raises:
        BadSetup: they are absent, damaged, or have other names or shapes than the module's.
    """
    file = path / f"{name}.safetensors"
    if not file.is_file():
        raise BadSetup(f"{path} holds no weights of {name}")
    with _named(file, "name another checkpoint"):
        read_weights(file, learner.parameters)
