"""`decoupage ablations`: rows trained and judged through Dagster in this one process, and the table printed.

Training and evaluation do not know each other; what puts them together is the job `ablate`, and this runs it,
after the job `ablation_data` for a row that has data of its own.
Heavy imports wait for the call, so that `--help` need not.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from decoupage.faults import BadSetup

STEPS = {"ablation_data": "making its data", "ablate": "training and judging"}
"""What a person reads of each job while it runs."""


def ablations(
    context: typer.Context,
    rows: Annotated[list[str] | None, typer.Argument(help="Rows to train; else evaluation.ablations.rows.")] = None,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print table.json instead of the table.")] = False,
) -> None:
    """Train and judge the paper's ablations on the finished dataset of the root, and print them side by side.

    Leaves with 1 when a row could not be trained or judged. What is trained already is not trained again.
    """
    import dagster as dg

    from assets_defs.ablations import jobs_of
    from assets_defs.definitions import build_defs
    from assets_defs.plan import Plan
    from assets_defs.summary import failures
    from evaluation.ablation_rows import ROW_NAMES
    from evaluation.ablations.table import TABLE
    from pipelines.stages.store import Store

    loaded = context.obj(profile, root)
    asked = rows or list(loaded.evaluation.ablations.rows)
    unknown = [row for row in asked if row not in ROW_NAMES]
    if unknown:
        raise ValueError(f"there is no ablation {unknown[0]!r}; known: {', '.join(ROW_NAMES)}")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Dagster's database logs its own making.
    definitions = build_defs(loaded, dg.in_process_executor)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    failed = False
    _check_home(os.environ.get("DAGSTER_HOME", ""))
    with dg.DagsterInstance.get() if os.environ.get("DAGSTER_HOME") else dg.DagsterInstance.ephemeral() as instance:
        for row in asked:
            for name in jobs_of(Plan(loaded), row):
                print(f"{row}: {STEPS[name]}", file=sys.stderr)
                result = definitions.resolve_job_def(name).execute_in_process(
                    instance=instance, partition_key=row if name == "ablate" else None,
                    run_config=quiet, raise_on_error=False,
                )  # fmt: skip
                if not result.success:
                    print(failures(result), file=sys.stderr)
                    failed = True
                    break
    store = Store(loaded.root)
    if store.exists(TABLE):
        print(store.read(TABLE if as_json else TABLE.replace(".json", ".md")).decode(), end="")
    raise typer.Exit(1 if failed else 0)


def _check_home(folder: str) -> None:
    """Raises BadSetup where Dagster would refuse its home; empty = none is set."""
    if folder and not (Path(folder).is_absolute() and Path(folder).is_dir()):
        raise BadSetup(
            f"DAGSTER_HOME = {folder} must be the absolute path of a folder that is there; without the variable "
            "Dagster keeps no record of the run"
        )
