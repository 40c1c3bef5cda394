"""`decoupage ablations`: rows trained and judged through Dagster in this one process, and the table printed.

Training and evaluation do not import each other. The job `ablate` combines them; this runs it, after the job
`ablation_data` for a row that has its own data. Heavy imports happen in the call, so `--help` is quick.
"""

import os
import sys
from typing import Annotated

import typer

STEPS = {"ablation_data": "making its data", "ablate": "training and judging"}
"""What is printed about each job while it runs."""


def ablations(
    context: typer.Context,
    rows: Annotated[list[str] | None, typer.Argument(help="Rows to train; else evaluation.ablations.rows.")] = None,
    profile: Annotated[str | None, typer.Option(help="Name in configs/, or path of a .toml file.")] = None,
    root: Annotated[str | None, typer.Option(help="Where the files are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print table.json instead of the table.")] = False,
) -> None:
    """Train and judge the paper's ablations on the finished dataset of the root, and print them side by side.

    Exits with status 1 when a row could not be trained or judged. Rows that are already trained are not trained again.
    """
    import dagster as dg

    from assets_defs.ablations import jobs_of
    from assets_defs.definitions import build_defs
    from assets_defs.home import opened_instance
    from assets_defs.plan import Plan
    from assets_defs.summary import failures
    from evaluation.ablation_rows import ROW_NAMES
    from evaluation.ablations.table import TABLE
    from evaluation.terminal import from_markdown
    from pipelines.stages.store import Store

    loaded = context.obj(profile, root)
    asked = rows or list(loaded.evaluation.ablations.rows)
    unknown = [row for row in asked if row not in ROW_NAMES]
    if unknown:
        raise ValueError(f"there is no ablation {unknown[0]!r}; known: {', '.join(ROW_NAMES)}")
    definitions = build_defs(loaded, dg.in_process_executor)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    failed = False
    with opened_instance() if os.environ.get("DAGSTER_HOME") else dg.DagsterInstance.ephemeral() as instance:
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
        said = store.read(TABLE if as_json else TABLE.replace(".json", ".md")).decode()
        print(said if as_json else from_markdown(said), end="")
    raise typer.Exit(1 if failed else 0)
