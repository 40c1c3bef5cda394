"""One file of weights: whether it is whole, and its hash."""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PinnedFile:
    """A file by its path and by the SHA-256 that it must have."""

    path: str
    sha256: str

    def find(self) -> Path | None:
        """The file; None = it is not here."""
        path = Path(self.path)
        return path if path.is_file() else None

    def fault(self) -> str:
        """What is wrong with the file, by its content; empty when it is the one that is wanted."""
        path = self.find()
        if path is None:
            return f"there is no file {self.path}"
        found = read_sha256(path)
        return "" if found == self.sha256 else f"{path} has the sha256 {found}, not {self.sha256}"


def tensor_names(path: Path) -> set[str]:
    """Names of a safetensors file's tensors, by its header; the tensors are not read.

    Raises:
        ValueError: the header is damaged, the file's end is missing, or it holds no tensors; the message names it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            names = set(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error
    if not names:
        raise ValueError(f"{path.name} is damaged (no tensors)")
    return names


def file_fault(path: Path) -> str:
    """What is wrong with a safetensors file, as `tensor_names` says; empty when it is whole."""
    try:
        tensor_names(path)
    except ValueError as fault:
        return str(fault)
    return ""


def check_values(path: Path, limit: float = math.inf) -> None:
    """Look at every value of a safetensors file; about 0.1 s per gigabyte, besides reading it.

    Args:
        path: the file.
        limit: greatest magnitude that the number format of its use holds.

    Raises:
        ValueError: it is damaged, or a value is not finite or beyond the limit; the message names file and tensor.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                tensor = tensors.get_tensor(name)
                if tensor.is_floating_point() and tensor.numel():
                    low, high = (float(end) for end in tensor.aminmax())
                    _check_range(f"{path}: {name}", low, high, limit)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from error


def _check_range(what: str, low: float, high: float, limit: float) -> None:
    largest = max(-low, high)
    if not math.isfinite(low + high):
        raise ValueError(f"{what} holds values that are not finite: its training diverged, or the file was damaged")
    if largest > limit:
        raise ValueError(
            f"{what} holds {largest:.4g}, and float16 ends at {limit:.0f}: use bfloat16 or float32 (--dtype)"
        )


def share(folder: Path) -> None:
    """Make every file below a folder as readable as the folder that it is in.

    safetensors gives its files to their owner alone (mode 0600), whatever the umask says, and a published folder is
    read by others: a server, a colleague, another user's job.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.parent.stat().st_mode & 0o666)


def sha256(path: Path) -> str:
    """A file's SHA-256. In the Hub's cache a large file has it for a name; others are read, see `read_sha256`."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else read_sha256(path)


def read_sha256(path: Path) -> str:
    """A file's SHA-256 by its content: read once per process and state of the file, about a second per gigabyte."""
    stat = path.stat()
    return _read(path.resolve(), stat.st_size, stat.st_mtime_ns)


def hashes(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files in a folder, by their path in it, sorted."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(files)}


@lru_cache(256)
def _read(path: Path, num_bytes: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
