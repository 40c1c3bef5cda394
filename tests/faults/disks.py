"""Small disks: a file system in memory, whose size is set while programs write to it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BLOCK_BYTES = 4096


class Disk:
    """A mounted file system of some bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, num_bytes: int) -> None:
        """Give it another size, not below what lies on it."""
        size = -(-num_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True, capture_output=True)

    @property
    def used_bytes(self) -> int:
        """What lies on it."""
        state = os.statvfs(self.path)
        return (state.f_blocks - state.f_bfree) * state.f_frsize


@contextmanager
def small_disk(path: Path, num_bytes: int) -> Iterator[Disk]:
    """A disk of its own at a path; the test is skipped where this user may not mount one."""
    path.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(path)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
