"""One table of all rows: figures with intervals, differences to the full row, the paper's own figures beside them.

Differences are paired, image by image, and only between rows of one list and protocol that were trained on the same
data with the profile's current recipes; a row whose data are its change is the exception.
"""

import json
from collections.abc import Mapping
from typing import Any

from decoupage.faults import BadSetup
from evaluation.ablation_rows import FULL, NOT_COMPARABLE, ROWS, SEEDS, Row
from evaluation.ablations.records import FOLDER, RowRecord, read_row, report_folder
from evaluation.ablations.seeds import Seeds, seeds_of
from evaluation.config import EvaluationConfig
from evaluation.metrics.catalogue import find_metric
from evaluation.results import read_result
from evaluation.saved_scores import SavedScores, read_scores
from evaluation.statistics import difference
from pipelines.stages.store import Store

TABLE = f"{FOLDER}/table.json"
METHOD = "adapter"
COLUMNS = (
    "background.psnr_mask",
    "background.psnr_ring",
    "background.ssim_mask",
    "background.psnr_whole",
    "background.ssim_whole",
    "background.lpips_whole",
    "background.fid_whole",
    "foreground.soft_iou",
    "foreground.soft_iou_hidden",
    "recomposition.psnr_whole",
)
SAME = ("data", "masks", "rgba_vae")
"""Parts of a row's identity that must equal the full row's, so that a difference is due to the change alone."""
CAVEAT = (
    "Intervals cover the choice of photographs and origins. One run was trained for each row, so they do not cover "
    "the effect of another training seed; the spread of seeds shows how large that is. Each interval holds by itself; "
    "with many differences, some exclude 0 by chance."
)


def make_table(store: Store, config: EvaluationConfig, recipes: Mapping[str, str]) -> dict[str, Any]:
    """Content of `table.json`.

    Args:
        recipes: row -> fingerprint of the run that the profile asks for; rows of other runs are named as such.

    Raises:
        BadSetup: a row's files are damaged.
    """
    records = {row.name: read_row(store, row.name) for row in ROWS}
    full = _judged(store, records[FULL], recipes)
    seeds = None if full is None else _seeds(store, records, full, recipes)
    return {
        "list_sha256": None if full is None else full.list_sha256,
        "num_images": None if full is None else len(full.images),
        **(dict.fromkeys(("num_photographs", "num_origins")) if full is None else full.clusters.counts),
        "columns": list(COLUMNS),
        "rows": [_row(store, row, records, full, config, recipes) for row in ROWS],
        "seeds": None if seeds is None else seeds.to_dict(),
        "paper": {"comparable": False, "why": NOT_COMPARABLE},
        "caveat": CAVEAT,
    }


def write_table(store: Store, config: EvaluationConfig, recipes: Mapping[str, str]) -> dict[str, Any]:
    """Write `table.json` and `table.md`; returns the former's content."""
    from evaluation.ablations.markdown import table_markdown

    table = make_table(store, config, recipes)
    store.write(TABLE.replace(".json", ".md"), table_markdown(table).encode())
    store.write(TABLE, (json.dumps(table, indent=1, allow_nan=False) + "\n").encode())
    return table


def _judged(store: Store, record: RowRecord | None, recipes: Mapping[str, str]) -> SavedScores | None:
    if record is None or record.status != "judged" or record.recipe != recipes.get(record.row):
        return None
    return read_scores(store, report_folder(record.row), METHOD)


def _seeds(
    store: Store, records: Mapping[str, RowRecord | None], full: SavedScores, recipes: Mapping[str, str]
) -> Seeds | None:
    """The spread of the full row and of those beside it that differ from it by their seed alone."""
    found = {FULL: full}
    for name in SEEDS[1:]:
        record, scores = records[name], _judged(store, records[name], recipes)
        if record is not None and scores is not None and not _obstacle(record, records[FULL], scores, full):
            found[name] = scores
    return seeds_of(found, recipes)


def _row(
    store: Store,
    row: Row,
    records: Mapping[str, RowRecord | None],
    full: SavedScores | None,
    config: EvaluationConfig,
    recipes: Mapping[str, str],
) -> dict[str, Any]:
    record = records[row.name]
    line: dict[str, Any] = {"row": row.name, "title": row.title, "paper": dict(row.paper), "status": "not_trained"}
    line |= {"note": "not trained", "changes": {}, "figures": {}, "differences": {}}
    if record is None:
        return line
    line |= {"status": record.status, "note": record.why, "recipe": record.recipe}
    line |= {"changes": {**record.changes, **record.data_changes}}
    if record.status != "judged":
        return line
    if record.recipe != recipes.get(row.name):
        return line | {"status": "outdated", "note": "trained by another recipe than the profile's current one"}
    scores = read_scores(store, report_folder(row.name), METHOD)
    line |= {"num_steps": record.num_steps, "failures": len(scores.failed), "figures": _figures(store, row.name)}
    note = "" if row.name == FULL else _obstacle(record, records[FULL], scores, full)
    if full is not None and row.name != FULL and not note:
        line["differences"] = _differences(scores, full)
        planned = ", ".join(f"{key} = {value:g}" for key, value in record.data_changes.items())
        note = f"its data intentionally differ from the full recipe's: planned with {planned}" if planned else ""
    return line | {"note": note}


def _obstacle(record: RowRecord, of_full: RowRecord | None, scores: SavedScores, full: SavedScores | None) -> str:
    """Why a row is not compared with the full one; empty where it is."""
    if full is None or of_full is None:
        return "not compared: the full recipe is not trained"
    if scores.terms != full.terms:
        return "not compared: judged on another list, or by another protocol, than the full recipe"
    same = {name: record.identity.get(name) == of_full.identity.get(name) for name in SAME}
    if record.data_changes and same.pop("data"):
        return "not compared: trained on the full recipe's own data"
    other = [name for name, is_same in same.items() if not is_same]
    return f"not compared: trained with other {', '.join(other)} than the full recipe" if other else ""


def _figures(store: Store, row: str) -> dict[str, Any]:
    """Column -> mean with interval; None = not measured."""
    path = f"{report_folder(row)}/report.json"
    try:
        found = read_result(store, path, "methods")["methods"][METHOD]
        return {name: found[name.split(".")[0]].get(name.split(".")[1]) for name in COLUMNS}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadSetup(f"{store.url(path)} has no figures for {METHOD} ({error!r}); judge the row again") from error


def _differences(scores: SavedScores, full: SavedScores) -> dict[str, Any]:
    """Column -> row minus full row; None = not measured, or one figure for the whole list."""
    found: dict[str, Any] = {}
    for name in COLUMNS:
        of_list = find_metric(*name.split(".")).of_list
        result = None if of_list else difference(scores.column(name), full.column(name), scores.clusters)
        found[name] = None if result is None else result.to_dict()
    return found
