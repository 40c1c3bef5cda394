"""Assets of the ablations: the profile's recipe trained with one change each, judged on one list, in one table.

One row changes the data instead of the recipe: it is trained on scenes of its own, the asset `real_only_scenes`.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets_defs.asset import asset
from assets_defs.evaluation import SHORT, held_out_version, trained_identity, with_interval
from assets_defs.metadata import NOTHING, check, check_spec, layer_metadata, nothing_to_do, picture, readable, table
from assets_defs.plan import Plan
from assets_defs.training import OWNERS, POOL, train_run
from decoupage.fingerprint import fingerprint
from evaluation.ablation_rows import ROW_NAMES
from evaluation.ablations.records import RowRecord, forget_row, report_folder, write_row
from evaluation.checks import MAIN_FIGURES
from pipelines import checklists, checks, index_rows, scene_checks
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import HELD_OUT, REAL_ONLY, Dataset
from pipelines.previews import preview, scene_tiles
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store
from training.ablations import FULL, ROWS, DoesNotApply, ablation_changes
from training.config import TrainingConfig, with_changes

GROUP = "ablations"


@dataclass(frozen=True)
class RowPlan:
    """The run of one row in a profile.

    Attributes:
        config: configuration of its run.
        changes: values of the recipe that differ from the full row, by dotted key.
        data_changes: values of the profile's data that do.
        all_changes: values that differ from the recipe that the profile names.
        folder: folder of the run, below `training/`.
        base: folder or hub id of its base's weights; None = the published ones.
    """

    config: TrainingConfig
    changes: dict[str, Any]
    data_changes: dict[str, Any]
    all_changes: dict[str, Any]
    folder: str
    base: str | None


def ablation_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The rows, an adapter each, and the table of them."""
    return [_real_only_scenes(plan), _ablations(plan), _ablation_table(plan)]


def jobs_of(plan: Plan, row: str) -> list[str]:
    """Names of the jobs that make a row, in order: one of data first, where it has data of its own."""
    try:
        own_data = bool(plan_row(plan, row).data_changes)
    except DoesNotApply:
        own_data = False
    return ["ablation_data", "ablate"] if own_data else ["ablate"]


def plan_row(plan: Plan, row: str) -> RowPlan:
    """The run of a row.

    Raises:
        DoesNotApply: the profile's recipe or data cannot have that change.
        ValueError: the profile's changes of all rows or of this one name an unknown key or an impossible value.
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
    own = settings.row_changes.get(row, {})
    try:
        config = with_changes(config, own)
    except ValueError as error:
        raise ValueError(f"evaluation.ablations.row_changes.{row}: {error}") from None
    changes |= own
    # The profile's own adapter is the full row where nothing else is changed: its hours are not spent twice. Rows begin
    # from nothing, because a published adapter has one form; an adapter that began from one is compared with none.
    data_changes = dict(ROWS[row].data_changes)
    is_own = config == section.adapter_config() and not data_changes and not section.start
    folder = "adapter" if is_own else f"ablations/{row}"
    base = settings.kontext_base if row == "kontext_base" else section.base
    all_changes = {**section.changes, **settings.changes, **changes}
    return RowPlan(config, changes, data_changes, all_changes, folder, base or None)


def row_recipes(plan: Plan) -> dict[str, str]:
    """Fingerprint of the run of each row that applies to the profile, by row."""
    found: dict[str, str] = {}
    for row in ROW_NAMES:
        try:
            found[row] = plan_row(plan, row).config.fingerprint()
        except DoesNotApply:
            continue
    return found


def _real_only_scenes(plan: Plan) -> dg.AssetsDefinition:
    factory, store = plan.factory, plan.factory.store
    named = {**checklists.SCENES, "layers_as_in_training": scene_checks.layers_as_in}

    @asset(
        deps=["foreground_library", "background_library"],
        group_name="ablation_data",
        owners=["team:data"],
        kinds={"webdataset"},
        code_version=plan.code_version(factory.real_only.shards),
        check_specs=[check_spec("real_only_scenes", name, function) for name, function in named.items()],
        description="The training data of the ablation without generated foregrounds: as many scenes, planned by the "
        "same seed with scenes.generated_share = 0, so that as many layers are in each scene. Made once for that row.",
    )
    def real_only_scenes() -> dg.MaterializeResult:
        """Writes `real_only/` in the root. Raises BadSetup: a library is not there, or holds no real foreground."""
        reports = {report.stage: report for report in factory.make_real_only()}
        scenes, shards = (reports[stage.name] for stage in (factory.real_only.scenes, factory.real_only.shards))
        rows = checks.rows_of(store, scenes, index_rows.SCENES)
        plans = [
            factory.scenes.task.pool.plan(key)
            for shard in factory.scenes.shards()
            for key in factory.scenes.keys(shard)
        ]
        results = checklists.check_scenes(scenes, rows, factory, factory.real_only.scenes)
        results["layers_as_in_training"] = scene_checks.layers_as_in(rows, plans, plan.profile.checks)
        made_now = any(report.made for report in reports.values())
        unchanged = {} if made_now else nothing_to_do(f"remove {store.url(REAL_ONLY)} and materialize again")
        hashes = "".join(manifest.tar_sha256 for manifest in shards.shards.values())
        return dg.MaterializeResult(
            metadata=unchanged
            | {
                "preview": picture(preview(scene_tiles(store, next(iter(shards.shards.values()))))),
                "scenes": shards.num_items,
                "dagster/row_count": shards.num_rows,
                "megabytes": round(shards.num_bytes / 1e6, 2),
                "layers_per_scene": table(scene_checks.compare_layers(rows, plans)),
                **layer_metadata(rows),
            },
            data_version=dg.DataVersion(hashlib.sha256(hashes.encode()).hexdigest()[:16]),
            check_results=[check(name, result) for name, result in results.items()],
        )

    return real_only_scenes


def require_made(store: Store, data: Dataset) -> None:
    """Make sure that a dataset is there, made by the current profile.

    Raises:
        dg.Failure: it is not; the message names the asset.
    """
    wanted = fingerprint(data.shards.recipe)
    shards = data.shards.shards()
    for shard, manifest in zip(shards, read_manifests(store, data.shards.name, shards), strict=True):
        if manifest is None or manifest.fingerprint != wanted:
            what = "missing" if manifest is None else "of another recipe"
            name = "real_only_scenes" if data.shards.name.startswith(REAL_ONLY) else "shards"
            raise dg.Failure(
                f"{store.url(data.shards.name)}: shard {shard} is {what}; materialize {name} first", allow_retries=False
            )


def _ablations(plan: Plan) -> dg.AssetsDefinition:
    store = plan.factory.store

    @asset(
        partitions_def=dg.StaticPartitionsDefinition(list(ROW_NAMES)),
        deps=["dataset", "real_only_scenes", "base_model", "rgba_vae", "held_out_scenes"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pytorch", "peft"},
        pool=POOL,
        description="The paper's ten ablations and two more seeds, one partition each: the profile's own recipe with "
        "one change, trained in its own folder and judged on the held-out scenes. A row that does not apply to this "
        "profile says why. "
        f"`{FULL}` is the full recipe, which the others are compared with.",
    )
    def ablations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Trains and judges one row. Raises dg.Failure: its training did not end well, or its data are not made."""
        row = context.partition_key
        try:
            planned = plan_row(plan, row)
        except DoesNotApply as why:
            write_row(store, RowRecord(row, "does_not_apply", why=str(why)))
            return dg.MaterializeResult(metadata={"status": "does not apply", "why": str(why)})
        data = plan.factory.real_only if planned.data_changes else plan.factory.training
        require_made(store, data)
        vae = store.url("training/rgba_vae/export")
        section = plan.profile.training
        trained = train_run(
            context, plan, planned.folder, section.recipe, planned.config, planned.all_changes,
            rgba_vae=vae, base=planned.base, data=(store.url(data.shards.name),),
        )  # fmt: skip
        figures, judged_now = _judge(plan, row, planned)
        changes = readable({**planned.changes, **planned.data_changes})
        metadata = {**(trained.metadata or {}), "changes": changes, **figures}
        if judged_now:
            metadata.pop(NOTHING, None)  # Only training had nothing to do.
        return dg.MaterializeResult(metadata=metadata, data_version=trained.data_version)

    return ablations


def _judge(plan: Plan, row: str, planned: RowPlan) -> tuple[dict[str, Any], bool]:
    """Judge a row's export and write its record; returns its main figures, and whether they were measured now."""
    # torch comes with the methods.
    from evaluation.methods.models import adapter_recipe
    from evaluation.page.write import write_pages
    from evaluation.report import About
    from evaluation.test_sets.shards import HeldOut
    from evaluation.unchanged import judge_changed

    store, profile = plan.factory.store, plan.profile
    config, folder = profile.evaluation, f"training/{planned.folder}"
    forget_row(store, row)
    record = "" if planned.folder == "adapter" else f"ablation-{row}"
    method = adapter_recipe(store.url(f"{folder}/export"), planned.base, config, folder=record)
    test_set = HeldOut(store.url(HELD_OUT), config.max_images)
    about = About(profile.name, stand_ins(profile))
    out = store.url(report_folder(row))
    values, judged_now = judge_changed(test_set, held_out_version(plan), [method], config, out, about, store)
    write_pages(out)
    identity = trained_identity(store, folder)
    recipe, num_steps = planned.config.fingerprint(), planned.config.schedule.num_steps
    made_of = (recipe, planned.changes, identity, num_steps, planned.data_changes)
    write_row(store, RowRecord(row, "judged", "", *made_of))
    figures = {SHORT[key]: with_interval(values["methods"]["adapter"][part][key]) for part, key in MAIN_FIGURES}
    return figures, judged_now


def _ablation_table(plan: Plan) -> dg.AssetsDefinition:
    store = plan.factory.store
    recipes = row_recipes(plan)

    @asset(
        deps=["ablations"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"json", "markdown"},
        description="All rows side by side: figures with intervals, paired differences to the full recipe, and the "
        "paper's own figures, which are not comparable. Rows that are not trained say so.",
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
