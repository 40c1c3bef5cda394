"""Assets of the ablations: the profile's recipe trained with one change each, judged on one list, in one table."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets_defs.asset import asset
from assets_defs.evaluation import with_interval
from assets_defs.plan import Plan
from assets_defs.training import OWNERS, POOL, train_run, training_folder
from evaluation.ablation_rows import ROW_NAMES
from evaluation.ablations.records import RowRecord, forget_row, report_folder, write_row
from evaluation.checks import MAIN_FIGURES
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import HELD_OUT
from training.ablations import FULL, DoesNotApply, ablation_changes
from training.config import TrainingConfig, with_changes

GROUP = "ablations"


@dataclass(frozen=True)
class RowPlan:
    """The run of one row in a profile.

    Attributes:
        config: configuration of its run.
        changes: values that differ from the full row, by dotted key.
        all_changes: values that differ from the recipe that the profile names.
        folder: folder of the run, below `training/`.
        base: folder or hub id of its base's weights; None = the published ones.
    """

    config: TrainingConfig
    changes: dict[str, Any]
    all_changes: dict[str, Any]
    folder: str
    base: str | None


def ablation_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The rows, an adapter each, and the table of them."""
    return [_ablations(plan), _ablation_table(plan)]


def plan_row(plan: Plan, row: str) -> RowPlan:
    """The run of a row.

    Raises:
        DoesNotApply: the profile's recipe or data cannot have that change.
        ValueError: `evaluation.ablations.changes` names an unknown key or an impossible value.
    """
    section, settings = plan.profile.training, plan.profile.evaluation.ablations
    try:
        full = with_changes(section.adapter_config(), settings.changes)
    except ValueError as error:
        raise ValueError(f"evaluation.ablations.changes: {error}") from None
    share = plan.profile.scenes.generated_share
    kinds = [kind for kind, there in (("real", share < 1), ("generated", share > 0)) if there]
    changes = ablation_changes(row, full, kinds)
    try:
        config = with_changes(full, changes)
    except ValueError as error:
        raise DoesNotApply(str(error)) from None
    # The profile's own adapter is the full row where nothing else is changed: its hours are not spent twice.
    folder = "adapter" if config == section.adapter_config() else f"ablations/{row}"
    base = settings.kontext_base if row == "kontext_base" else section.base
    return RowPlan(config, changes, {**section.changes, **settings.changes, **changes}, folder, base or None)


def row_recipes(plan: Plan) -> dict[str, str]:
    """Fingerprint of the run of each row that applies to the profile, by row."""
    found: dict[str, str] = {}
    for row in ROW_NAMES:
        try:
            found[row] = plan_row(plan, row).config.fingerprint()
        except DoesNotApply:
            continue
    return found


def _ablations(plan: Plan) -> dg.AssetsDefinition:
    store = plan.factory.store

    @asset(
        partitions_def=dg.StaticPartitionsDefinition(list(ROW_NAMES)),
        deps=["dataset", "base_model", "rgba_vae", "held_out_scenes"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pytorch", "peft"},
        pool=POOL,
        description="The paper's ten ablations and two further seeds, a partition each: the profile's own recipe with "
        "one change, trained in a folder of its own and judged on the held-out scenes. A row that this profile cannot "
        "have says why. "
        f"`{FULL}` is the full recipe, which the others are compared with.",
    )
    def ablations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Trains and judges one row. Raises dg.Failure: the training did not end well; the message says why."""
        row = context.partition_key
        try:
            planned = plan_row(plan, row)
        except DoesNotApply as why:
            write_row(store, RowRecord(row, "does_not_apply", why=str(why)))
            return dg.MaterializeResult(metadata={"status": "does not apply", "why": str(why)})
        vae = str(training_folder(plan, "rgba_vae") / "export")
        section = plan.profile.training
        trained = train_run(
            context, plan, planned.folder, section.recipe, planned.config, planned.all_changes,
            rgba_vae=vae, base=planned.base,
        )  # fmt: skip
        figures = _judge(plan, row, planned)
        metadata = {**(trained.metadata or {}), "changes": dg.MetadataValue.json(planned.changes), **figures}
        return dg.MaterializeResult(metadata=metadata, data_version=trained.data_version)

    return ablations


def _judge(plan: Plan, row: str, planned: RowPlan) -> dict[str, Any]:
    """Judge a row's export and write its record; returns its main figures."""
    # torch comes with the methods.
    from evaluation.methods.models import adapter_recipe
    from evaluation.report import About
    from evaluation.run import evaluate
    from evaluation.test_sets.shards import HeldOut
    from training.run import exported_identity

    store, profile = plan.factory.store, plan.profile
    config, folder = profile.evaluation, training_folder(plan, planned.folder)
    export = str(folder / "export")
    forget_row(store, row)
    record = "" if planned.folder == "adapter" else f"ablation-{row}"
    method = adapter_recipe(export, planned.base, config, folder=record)
    test_set = HeldOut(store.url(HELD_OUT), config.max_images)
    about = About(profile.name, stand_ins(profile))
    values = evaluate(test_set, [method], config, store.url(report_folder(row)), about, store).values
    changes, identity = planned.changes, exported_identity(folder) or {}
    recipe, num_steps = planned.config.fingerprint(), planned.config.schedule.num_steps
    write_row(store, RowRecord(row, "judged", "", recipe, changes, identity, num_steps))
    return {f"{part}.{key}": with_interval(values["methods"]["adapter"][part][key]) for part, key in MAIN_FIGURES}


def _ablation_table(plan: Plan) -> dg.AssetsDefinition:
    store = plan.factory.store
    recipes = row_recipes(plan)

    @asset(
        deps=["ablations"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"json", "markdown"},
        description="All rows side by side: figures with intervals, paired differences to the full recipe, and the "
        "paper's own figures, which do not compare. Rows that are not trained say so.",
    )
    def ablation_table() -> dg.MaterializeResult:
        """Writes the table of all rows that are judged. Raises BadSetup: the record of a row is damaged."""
        from evaluation.ablations.table import TABLE, write_table  # Knows every metric, and OpenCV with them.

        table = write_table(store, plan.profile.evaluation, recipes)
        text = store.read(TABLE.replace(".json", ".md")).decode()
        judged = [row["row"] for row in table["rows"] if row["status"] == "judged"]
        return dg.MaterializeResult(
            metadata={
                "table": dg.MetadataValue.md(text),
                "rows_judged": len(judged),
                "rows": len(table["rows"]),
                "dagster/uri": store.url(TABLE),
            },
        )

    return ablation_table
