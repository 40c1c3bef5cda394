"""Turns whatever libraries raise on unreadable weights into one fault that names folder and file."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from decoupage.faults import BadSetup
from decoupage.text_files import parse_json
from decoupage.weights.files import file_fault

_UNREADABLE = (AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError)
"""What libraries raise on such files; a RecursionError is a RuntimeError."""
_OF_FILES = (SafetensorError, pickle.UnpicklingError)


@contextmanager
def readable(source: str | Path) -> Iterator[None]:
    """Within it, what a library raises on damaged weights or configurations is a ValueError that names their place.

    Args:
        source: folder or hub id.

    Raises:
        ValueError: the weights are damaged, or of another class.
        OSError: they are not there, or there is no connection; libraries name the place themselves.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except OSError as error:  # Also of what is there and damaged: libraries then look for it on the Hub.
        reason = _fault(Path(source))
        if not reason:
            raise
        raise ValueError(f"the weights in {source} cannot be read: {reason}") from error
    except (*_UNREADABLE, *_OF_FILES) as error:
        reason = _fault(Path(source)) or f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"the weights in {source} cannot be read: {reason}") from error


def _fault(folder: Path) -> str:
    """The first file of a folder that is damaged, and how; empty if none is, or if it is not a local folder."""
    for path in sorted(folder.rglob("*.json")) if folder.is_dir() else ():
        try:
            if not isinstance(parse_json(path.read_bytes(), str(path)), dict):
                return f"{path} holds no table"
        except (BadSetup, OSError) as error:
            return str(error)
    damaged = ((path, file_fault(path)) for path in sorted(folder.rglob("*.safetensors")))
    return next((f"{path.parent}/{fault}" for path, fault in damaged if fault), "")
