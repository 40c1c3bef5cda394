"""Disks that fill: a sentence, whole files only, and the same command goes on once there is room."""

import re

import pytest

from tests.faults.disks import small_disk
from tests.faults.harness import assert_like, copy_sources, decoupage, hidden

pytestmark = pytest.mark.faults
ROOM_BYTES = 60 * 1024
"""What each run gets more than the one before; a tar of two scenes has about 35 kB."""


def test_a_disk_that_fills_again_and_again(whole, tmp_path, capsys):
    """In turn in the middle of a tar, an index, a manifest and a plan, as it comes."""
    with small_disk(tmp_path / "disk", 1 << 28) as disk:
        root = copy_sources(whole, disk.path / "root")
        size_bytes = disk.used_bytes + ROOM_BYTES
        disk.resize(size_bytes)
        full = []
        while (status := decoupage("scenes", "make", "--root", root)) != 0:
            told = capsys.readouterr().err.splitlines()[-1]
            assert status == 2
            said = re.search(rf"No space left on device while writing {root}/(\S+); free space and run again", told)
            assert said, told
            full.append(said[1])
            assert hidden(root) == []
            size_bytes += ROOM_BYTES
            disk.resize(size_bytes)
            assert len(full) < 100
        assert len(set(full)) > 5
        assert_like(root, whole, capsys)
