"""The code location of the environment's profile, for a daemon: each run of a backfill takes one shard, in one process.

Beside it an asset that is killed while it holds a pool's slot, the first time that it is made.
"""

import os
import signal
from pathlib import Path

import dagster as dg

from assets_defs import plan

plan.SHARDS_PER_RUN = 1
from assets_defs.definitions import build_defs  # noqa: E402 - it reads the number above

POOL = "gpu"


@dg.asset(pool=POOL, partitions_def=dg.StaticPartitionsDefinition(["only"]))
def killed_once() -> None:
    """Leaves a note, which the second time is there."""
    note = Path(os.environ["FAULTS_NOTE"])
    if not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)


defs = dg.Definitions.merge(build_defs(executor=dg.in_process_executor), dg.Definitions(assets=[killed_once]))
