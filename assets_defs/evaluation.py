"""Assets of the evaluation: held-out scenes, the scores of every method on them, and the report."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from assets_defs.asset import asset
from assets_defs.metadata import check, check_spec, nothing_to_do, picture, readable, shrunk, table
from assets_defs.plan import Plan
from assets_defs.serving import served_url
from assets_defs.training import POOL
from evaluation import checks as judged
from evaluation.checks import MAIN_FIGURES
from evaluation.commands import ADAPTER, REPORT
from evaluation.rivals import rivals_first
from evaluation.statistics import Interval
from pipelines import checks
from pipelines.dataset.stand_ins import stand_ins
from pipelines.factory import HELD_OUT
from pipelines.previews import preview, scene_tiles
from pipelines.stages.manifest import read_manifest, read_manifests
from pipelines.stages.store import Store

GROUP = "evaluation"
SHORT = {
    "psnr_mask": "PSNR mask",
    "psnr_ring": "PSNR ring",
    "ssim_mask": "SSIM mask",
    "psnr_whole": "PSNR whole",
    "soft_iou": "soft IoU",
    "soft_iou_hidden": "hidden IoU",
}
"""Column heads of the main figures; PSNR in dB."""
DECIBELS_FROM = 3.0
"""Figures above this are decibels, shown with two digits after the point; shares have three."""
CHECKS: dict[str, Callable[[judged.Values], checks.CheckResult]] = {
    "background_beats_base": judged.background_beats_base,
    "alpha_beats_given_mask": judged.alpha_beats_given_mask,
    "every_output_there": judged.every_output_there,
    "maps_help": judged.maps_help,
}


def evaluation_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The assets from held-out scenes over scores to the report's pages."""
    return [_held_out_scenes(plan), _evaluation(plan), _report(plan)]


def _held_out_scenes(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile

    @asset(
        deps=["foreground_library", "background_library"],
        group_name=GROUP,
        owners=["team:data"],
        kinds={"webdataset"},
        code_version=plan.code_version(factory.held_out.shards),
        check_specs=[
            check_spec("held_out_scenes", "no_origin_in_both_splits", checks.held_out_apart),
            check_spec("held_out_scenes", "enough_held_out_scenes", checks.held_out_planned),
        ],
        description="Scenes for evaluation: made like training scenes, of photographs and prompts that training never "
        "sees, with their maps and imperfect masks.",
    )
    def held_out_scenes() -> dg.MaterializeResult:
        """Writes `held_out/` in the root. Raises BadSetup: a library is not there, or too small."""
        reports = factory.make_held_out()
        report, made_now = reports[-1], any(found.made for found in reports)
        forced_by = f"remove {factory.store.url(HELD_OUT)} and materialize again"
        unchanged = {} if made_now else nothing_to_do(forced_by)
        first = read_manifest(factory.store, report.stage, next(iter(report.shards)))
        assert first is not None, "the report is of finished shards"
        return dg.MaterializeResult(
            metadata=unchanged
            | {
                "preview": picture(preview(scene_tiles(factory.store, first))),
                "scenes": report.num_items,
                "dagster/row_count": report.num_rows,
                "megabytes": round(report.num_bytes / 1e6, 2),
                "dagster/uri": factory.store.url(report.stage),
            },
            data_version=dg.DataVersion(held_out_version(plan)),
            check_results=[
                check("no_origin_in_both_splits", checks.held_out_apart(factory.store, report)),
                check("enough_held_out_scenes", checks.held_out_planned(report.num_items, profile)),
            ],
        )

    return held_out_scenes


def held_out_version(plan: Plan) -> str:
    """Hash of the contents of all held-out shards; a shard that is missing counts as empty."""
    store, stage = plan.factory.store, plan.factory.held_out.shards
    manifests = read_manifests(store, stage.name, stage.shards())
    hashes = "".join(manifest.tar_sha256 for manifest in manifests if manifest is not None)
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def trained_identity(store: Store, folder: str) -> dict[str, str]:
    """What an export was made from, by fingerprints; empty where it does not say.

    Args:
        folder: of the root, where the run trained.
    """
    from training.exports import IDENTITY

    path = f"{folder}/{IDENTITY}"
    return dict(store.read_json(path)) if store.exists(path) else {}


def _evaluation(plan: Plan) -> dg.AssetsDefinition:
    factory, profile = plan.factory, plan.profile

    @asset(
        deps=["adapter", "held_out_scenes", "baselines"],
        group_name=GROUP,
        owners=["team:models"],
        kinds={"pytorch"},
        pool=POOL,
        check_specs=[check_spec("evaluation", name, function, blocking=False) for name, function in CHECKS.items()],
        description="The adapter against its own base and other methods, on the held-out scenes, all with the "
        "same imperfect masks and judged where the target is visible; paired intervals on every difference, clustered "
        "by photograph and by origin. Outputs of methods are kept, and only missing ones are made. Writes "
        "`report.json`, the raw scores, and the pictures that the report shows.",
    )
    def evaluation() -> dg.MaterializeResult:
        """Writes `records/` and `report/`. Raises BadSetup or ValueError: no adapter, no base, or no held-out scene."""
        # torch comes with the methods.
        from evaluation.methods.standard import standard_recipes
        from evaluation.report import REPORT as FILE
        from evaluation.report import About
        from evaluation.run import PICTURE
        from evaluation.test_sets.shards import HeldOut
        from evaluation.unchanged import QUESTION, judge_changed

        store, base = factory.store, profile.training.base or None
        methods = standard_recipes(profile.evaluation, store.url(ADAPTER), base, store)
        about = About(profile.name, stand_ins(profile))
        test_set = HeldOut(store.url(HELD_OUT), profile.evaluation.max_images)
        asked = (test_set, held_out_version(plan), methods, profile.evaluation, store.url(REPORT), about, store)
        values, made_now = judge_changed(*asked)
        forced_by = f"remove {store.url(f'{REPORT}/{QUESTION}')} and materialize again"
        unchanged = {} if made_now else nothing_to_do(forced_by)
        return dg.MaterializeResult(
            metadata=unchanged
            | {
                "preview": picture(shrunk(store.read(f"{REPORT}/{PICTURE}"))),
                "main_figures": figures_table(
                    {name: values["methods"][name] for name in rivals_first(values["methods"])}
                ),
                "differences": figures_table(values["differences"]),
                **controls_table(values),
                "images": values["num_images"],
                "photographs": values["num_photographs"],
                "origins": values["num_origins"],
                "answer": dg.MetadataValue.url(served_url(f"{REPORT}/{PICTURE}")),
                "stand_ins": readable(values["stand_ins"]),
            },
            data_version=dg.DataVersion(hashlib.sha256(store.read(f"{REPORT}/{FILE}")).hexdigest()[:16]),
            check_results=[check(name, function(values), blocking=False) for name, function in CHECKS.items()],
        )

    return evaluation


def _report(plan: Plan) -> dg.AssetsDefinition:
    store = plan.factory.store

    @asset(
        deps=["evaluation"],
        group_name=GROUP,
        owners=["team:models"],
        kinds={"html", "markdown"},
        description="The report of the evaluation: one page that opens from disk, with intervals, curves, and best, "
        "median and worst cases under sliders; and the same figures as Markdown.",
    )
    def report() -> dg.MaterializeResult:
        """Writes the pages next to `report.json`. Raises BadSetup: nothing is evaluated, or its files are damaged."""
        # The pages' figures need scikit-image and pandas, and every worker loads this module.
        from evaluation.page.render import summary_lines
        from evaluation.page.write import MARKDOWN, PAGE, write_pages

        values = write_pages(store.url(REPORT))
        page = store.read(f"{REPORT}/{PAGE}")
        return dg.MaterializeResult(
            metadata={
                "summary": dg.MetadataValue.md(summary_lines(values)),
                "report": dg.MetadataValue.url(served_url(f"{REPORT}/{PAGE}")),
                "file": dg.MetadataValue.path(store.url(f"{REPORT}/{PAGE}")),
                "markdown": dg.MetadataValue.path(store.url(f"{REPORT}/{MARKDOWN}")),
                "megabytes": round(len(page) / 1e6, 3),
            },
            data_version=dg.DataVersion(hashlib.sha256(page).hexdigest()[:16]),
        )

    return report


def figures_table(by_name: Mapping[str, Any]) -> dg.MetadataValue:
    """A table with a row for each method or difference: the main figures and their intervals."""
    return table(
        {"name": name} | {SHORT[key]: with_interval(found[part][key]) for part, key in MAIN_FIGURES}
        for name, found in by_name.items()
    )


def controls_table(values: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """`do_the_maps_help`: the adapter with its own maps minus without maps, and minus with another scene's."""
    controls = values["controls"]
    return {} if controls is None else {"do_the_maps_help": figures_table(controls["differences"])}


def with_interval(figure: Mapping[str, Any] | None) -> str:
    """A mean with its interval; a dash where nothing was measured. What it counts stands in the report."""
    if figure is None:
        return "-"
    found = Interval.from_dict(figure)
    digits = 2 if abs(found.mean) >= DECIBELS_FROM else 3
    ends = "" if found.low is None else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return f"{found.mean:.{digits}f}{ends}"
