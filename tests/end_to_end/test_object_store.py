"""The command with its root in an object store: the same bytes as in a folder, to the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.stages.store import Store

SMALL = {
    "DECOUPAGE__SCENES__SCENES_PER_SHARD": "4",
    "DECOUPAGE__SCENES__SIZE_PX": "96",
    "DECOUPAGE__GENERATED__PROMPTS_PER_CATEGORY": "1",
    "DECOUPAGE__GENERATED__SIZE_PX": "160",
    "DECOUPAGE__ENGINE__KIND": "serial",
}


def decoupage(*arguments, **environment):
    command = [sys.executable, "-m", "commands.main", *map(str, arguments)]
    env = {**os.environ, **SMALL, **environment, "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_scenes_in_a_bucket_are_those_in_a_folder(s3, tmp_path):
    bucket, folder = f"{s3.bucket()}/run", tmp_path / "run"
    for root in (bucket, folder):
        done = decoupage("scenes", "make", "--root", root, "--scenes", 8, DECOUPAGE_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
    there, here = Store(bucket), Store(str(folder))
    made = [path for path in here.tree() if path.endswith((".tar", ".parquet"))]
    assert {f"shards/{shard}.{end}" for shard in ("00000", "00001") for end in ("tar", "parquet")} <= set(made)
    for path in made:
        assert there.read(path) == here.read(path), path
    assert set(there.tree()) == set(here.tree())
    # Another machine has no copies of its own.
    verified = decoupage("shards", "verify", bucket, DECOUPAGE_CACHE=str(tmp_path / "another"))
    assert (verified.returncode, "0 faults" in verified.stdout) == (0, True), verified.stderr
    exported = decoupage("shards", "export", bucket, tmp_path / "out", "--layout", "folder")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out" / "00000000-0" / "composite.png").is_file()
    again = decoupage("scenes", "make", "--root", bucket, "--scenes", 8, DECOUPAGE_CACHE=str(tmp_path / "another"))
    assert again.returncode == 0, again.stderr
    assert "shards: 8 items in 2 shards (0 made now)" in again.stderr
