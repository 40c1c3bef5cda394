"""What must hold before the next stage may start, as plain functions: the assets turn them into checks.

Each looks at one property and says in words what it found. `shards verify` is the full examination; these are
the quick ones on the way there.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadSetup
from pipelines.backgrounds.openimages.fetch import PhotographsReport
from pipelines.config import ChecksConfig, DataConfig, GateConfig, MasksConfig
from pipelines.config.build import DropLimits
from pipelines.index_rows import IndexRows
from pipelines.library.catalogue import CatalogueReport, read_catalogue
from pipelines.library.leaks import LEAKS, LeakReport
from pipelines.library.records import BackgroundRecord, ForegroundRecord, Record
from pipelines.licences.combined import read_licences
from pipelines.licences.terms import why_not_commercial
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import read_members, scene_keys
from pipelines.shards.verify import verify
from pipelines.stages.drop_kinds import count_kinds
from pipelines.stages.engine import Engine
from pipelines.stages.manifest import Manifest, read_manifests
from pipelines.stages.run import Report
from pipelines.stages.store import Store

if TYPE_CHECKING:
    from pipelines.dataset.uses import Uses

SCENES_RECOMPUTED = 4
"""Scenes of each shard that are decoded to recompute their occlusion."""


@dataclass(frozen=True)
class CheckResult:
    """Whether a property holds, a sentence on what was found, and figures."""

    passed: bool
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)


def source_drops(report: Report, checks: ChecksConfig) -> CheckResult:
    """Not too much of a source is unreadable, unlicensed or filtered out."""
    source = report.stage.rpartition("/")[2]
    limits: DropLimits = getattr(checks.max_drop_share, source)
    counts = count_kinds(report.drops)
    # A file of MULAN holds several cutouts, each kept or filtered on its own; of other sources it is one item.
    kept = report.num_rows
    num_files = report.counts.get("files", kept + len(report.drops))
    whole = {"unreadable": num_files, "unlicensed": num_files, "filtered": kept + counts["filtered"]}
    parts: list[str] = []
    figures: dict[str, Any] = {}
    too_many: list[str] = []
    for kind, count in counts.items():
        share, limit = count / max(1, whole[kind]), getattr(limits, kind)
        figures |= {kind: count, f"{kind}_share": round(share, 4)}
        parts.append(f"{count} of {whole[kind]} {kind} ({share:.1%}, at most {limit:.0%})")
        if share > limit:
            too_many.append(f"checks.max_drop_share.{source}.{kind}")
    sentence = f"{kept} kept, {', '.join(parts)}: {_listed(report.drops_by_reason)}"
    sentence += f"; mend the source, or raise {' and '.join(too_many)}" if too_many else ""
    return CheckResult(not too_many, sentence, figures | report.drops_by_reason)


def enough_photographs(report: Report, fetched: PhotographsReport | None, config: DataConfig) -> CheckResult:
    """There are enough photographs for the scenes; a shortfall is reported with its cause."""
    kept, limit = report.num_rows, config.checks.max_scenes_per_background
    found = kept + len(report.drops)
    wanted = config.backgrounds.openimages.num_images if fetched else found
    mean = config.scenes.num_scenes / max(1, kept)
    sentence = f"{wanted} photographs wanted, {found} found, {kept} kept for {config.scenes.num_scenes} scenes: "
    sentence += f"{mean:.1f} scenes each, at most {limit:g} by checks.max_scenes_per_background"
    lost = _where_photographs_fell(fetched, wanted) if fetched else {}
    lost |= {f"refused as {reason}": number for reason, number in report.drops_by_reason.items()}
    sentence += f"; lost: {', '.join(f'{number} {cause}' for cause, number in lost.items()) or 'none'}"
    if mean > limit:
        more = "raise backgrounds.openimages.num_images" if fetched else "add photographs"
        sentence += f"; {more}, or loosen the filter that refused most"
    figures = {"wanted": wanted, "found": found, "kept": kept, "scenes_per_photograph": round(mean, 2)}
    return CheckResult(mean <= limit, sentence, figures)


def _where_photographs_fell(fetched: PhotographsReport, wanted: int) -> dict[str, int]:
    """Cause -> number of wanted photographs that did not reach the index."""
    downloads = fetched.downloads
    ranked = sorted(fetched.drops_of_lists.items(), key=lambda item: -item[1])
    filters = ", ".join(f"{reason} {number}" for reason, number in ranked[:3] if number)
    lost = {f"not in the lists after their filters ({filters})": wanted - fetched.num_chosen}
    lost |= {f"not fetched ({reason})": number for reason, number in downloads.drops_by_reason.items()}
    lost["left out by backgrounds.openimages.max_gb"] = downloads.num_left
    return {cause: number for cause, number in lost.items() if number}


def scene_drops(report: Report, checks: ChecksConfig) -> CheckResult:
    """Nearly every planned scene could be made."""
    num, limit = len(report.drops), checks.max_scene_drop_share
    share = num / max(1, num + report.num_items)
    sentence = f"{num} dropped ({share:.1%}, at most {limit:.0%} by checks.max_scene_drop_share)"
    sentence += f": {_listed(report.drops_by_reason)}"
    return CheckResult(share <= limit, sentence, {"share": round(share, 4), **report.drops_by_reason})


def library_size(library: CatalogueReport[Record], checks: ChecksConfig) -> CheckResult:
    """There are enough assets for training."""
    minimum = getattr(checks, f"min_{library.name}")
    num = sum(record.split == "train" for record in library.records)
    sentence = f"{num} {library.name} for training, at least {minimum} wanted"
    mend = f": add sources, or lower checks.min_{library.name} in the profile"
    return CheckResult(num >= minimum, sentence + ("" if num >= minimum else mend), {f"num_{library.name}": num})


def alpha_coverage(library: CatalogueReport[ForegroundRecord], gates: GateConfig) -> CheckResult:
    """Every cutout covers a plausible part of its box."""
    low, high = gates.coverage
    cutouts = library.records
    # The gate judges the visible share, of which soft pixels have less alpha; the means are rounded to four digits.
    bad = [r.id for r in cutouts if not low * (1 - r.soft_share) - 1e-4 <= r.alpha_mean <= high + 1e-4]
    sentence = f"{len(cutouts) - len(bad)} of {len(cutouts)} cutouts cover a share of their box in [{low}, {high}]"
    return CheckResult(not bad, sentence, {"outside": bad[:20]})


def layers_per_scene(rows: Collection[dict[str, Any]]) -> CheckResult:
    """Every scene has one to three layers, and a row for each."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["key"]] = counts.get(row["key"], 0) + 1
    said = {row["key"]: row["num_layers"] for row in rows}
    bad = sorted(key for key, num in said.items() if num != counts[key] or num not in (1, 2, 3))
    return CheckResult(not bad, f"{len(counts) - len(bad)} of {len(counts)} scenes have 1-3 layers", {"bad": bad[:20]})


def mask_overlap(rows: Collection[dict[str, Any]], masks: MasksConfig) -> CheckResult:
    """Every imperfect mask still means its target."""
    bad = [
        f"{row['key']}/{row['layer']}"
        for row in rows
        if not masks.allows(row["mask_error"], row["mask_iou"], row["mask_area_ratio"]) or row["mask_area_px"] < 1
    ]
    lowest = min((row["mask_iou"] for row in rows), default=1.0)
    sentence = f"{len(bad)} of {len(rows)} masks are beyond the limits of [masks]; lowest IoU {lowest:.2f}"
    return CheckResult(not bad, sentence, {"lowest_iou": lowest, "bad": bad[:20]})


def counts_against_manifest(store: Store, report: Report) -> CheckResult:
    """Manifest, tar and index name the same number of scenes."""
    bad = []
    tables = store.read_tables([f"{report.stage}/{shard}.parquet" for shard in report.shards], ["key"])
    for (shard, manifest), table in zip(whole_manifests(store, report), tables, strict=True):
        in_index = set(table["key"].to_pylist())
        if not len(scene_keys(manifest)) == len(in_index) == report.shards[shard].num_items:
            bad.append(shard)
    return CheckResult(not bad, f"{len(report.shards) - len(bad)} of {len(report.shards)} shards agree", {"bad": bad})


def occlusion_recomputed(store: Store, report: Report) -> CheckResult:
    """The recorded occluded fractions follow from the stored alphas (a few scenes of each shard)."""
    num, bad = 0, []
    for _, manifest in whole_manifests(store, report):
        for key in islice(scene_keys(manifest), SCENES_RECOMPUTED):
            parts = SceneParts.decode(key, read_members(store, manifest, key))
            num += 1
            recorded = [layer["occluded_fraction"] for layer in parts.record["layers"]]
            if recorded != [parts.occluded_fraction(i) for i in range(len(parts.layers))]:
                bad.append(key)
    return CheckResult(not bad, f"{num - len(bad)} of {num} scenes recompute", {"bad": bad})


def verified(store: Store, report: Report, engine: Engine) -> CheckResult:
    """Every invariant of every shard holds, down to the last byte."""
    found = verify([store.url(f"{report.stage}/{shard}.tar") for shard in report.shards], engine)
    sentence = f"{found.num_scenes} scenes in {found.num_shards} shards, {len(found.faults)} faults"
    return CheckResult(found.ok, sentence, {"faults": [str(fault) for fault in found.faults[:20]]})


def held_out_apart(store: Store, report: Report) -> CheckResult:
    """No photograph or prompt gives something to both training and held-out scenes."""
    foregrounds, backgrounds = read_catalogue(store, ForegroundRecord)[0], read_catalogue(store, BackgroundRecord)[0]
    records: list[ForegroundRecord | BackgroundRecord] = [*foregrounds, *backgrounds]
    training = {record.origin for record in records if record.split == "train"}
    shown = {asset for manifest in report.shards.values() for asset in manifest.assets}
    unknown = shown - {record.id for record in records}
    origins = {record.origin for record in records if record.id in shown}
    shared = sorted(origins & training)
    sentence = f"{len(origins)} origins in held-out scenes, {len(shared)} of them in training too"
    sentence += f"; {len(unknown)} assets are in no library" if unknown else ""
    return CheckResult(bool(origins) and not shared and not unknown, sentence, {"shared": shared[:20]})


def commercial_use(store: Store, config: DataConfig, recipes: Mapping[str, str]) -> CheckResult:
    """A commercial build's shards hold nothing under a licence that forbids commercial use.

    Args:
        recipes: folder of shards -> fingerprint of the recipe that this profile makes it by; shards of another one
            may hold maps made with other weights, which no licence in a shard shows.
    """
    if not config.licences.commercial:
        return CheckResult(True, "not a commercial build (licences.commercial = false)")
    bad: dict[str, int] = {}
    foreign, num = [], 0
    for folder, recipe in recipes.items():
        for shard, found in read_licences(store, folder):
            num += 1
            if found.recipe != recipe:
                foreign.append(f"{folder}/{shard}")
            for licence, layers in found.layers.items():
                if why_not_commercial(licence):
                    bad[licence] = bad.get(licence, 0) + layers
    reasons = "; ".join(f"{number} layers: {why_not_commercial(name)}" for name, number in sorted(bad.items()))
    sentence = f"{num} shards: {reasons or 'every licence permits it'}"
    sentence += f"; {len(foreign)} shards are of another recipe: remove them" if foreign else ""
    return CheckResult(not bad and not foreign, sentence, {"licences": sorted(bad), "other_recipe": foreign[:20]})


def no_leak(found: LeakReport) -> CheckResult:
    """No evaluation picture is in training, by id, by bytes, or as a near copy, turned or mirrored."""
    leaking = sorted({leak.training for leak in found.leaks})
    lists = ", ".join(f"{name}: {found.by_list[name]} of {num}" for name, num in found.lists.items())
    sentence = f"{len(leaking)} of {found.num_training} training assets are in evaluation too ({lists})"
    if leaking:
        sentence += f"; {LEAKS} names all: make the libraries and the shards again, which leave them out"
    if found.unknown:
        sentence += f"; {len(found.unknown)} assets of the shards are in no library: make the shards again"
    if found.unreadable:
        sentence += f"; {len(found.unreadable)} evaluation pictures cannot be read: mend or remove them"
    figures = {
        "leaking": len(leaking),
        "examples": [str(leak) for leak in found.leaks[:20]],
        "unknown": list(found.unknown[:20]),
        "unreadable": list(found.unreadable[:20]),
    }
    return CheckResult(not (leaking or found.unknown or found.unreadable), sentence, figures)


def held_out_planned(num_scenes: int, config: DataConfig) -> CheckResult:
    """There are nearly as many held-out scenes as the profile asks for."""
    planned = config.held_out.num_scenes
    enough = num_scenes >= planned * (1 - config.checks.max_scene_drop_share)
    return CheckResult(enough, f"{num_scenes} of {planned} planned scenes", {"num": num_scenes})


def scenes_planned(num_scenes: int, config: DataConfig) -> CheckResult:
    """The dataset holds nearly all scenes that the profile asks for."""
    planned = config.scenes.num_scenes
    enough = num_scenes >= planned * (1 - config.checks.max_scene_drop_share)
    return CheckResult(enough, f"{num_scenes} of {planned} planned scenes", {"num": num_scenes})


def even_uses(uses: Mapping[str, "Uses"], checks: ChecksConfig) -> CheckResult:
    """No foreground is shown in too many scenes, nor much more often than the others of its source."""
    fronts = {name: found for name, found in uses.items() if name.startswith("foreground ")}
    most, ratios = max((f.max for f in fronts.values()), default=0), {n: f.max_to_median for n, f in fronts.items()}
    shown = "; ".join(
        f"{name}: {found.never_share:.0%} of {found.num_assets} never, median {found.median:g}, at most {found.max}, "
        f"top tenth {found.top_tenth_share:.0%}"
        for name, found in uses.items()
    )
    ratio = max(ratios.values(), default=0.0)
    sentence = f"scenes that show an asset: {shown}; {checks.max_uses} allowed by checks.max_uses, and "
    sentence += f"{checks.max_uses_to_median:g} times the median by checks.max_uses_to_median (found {ratio:.1f})"
    passed = most <= checks.max_uses and ratio <= checks.max_uses_to_median
    if not passed:
        sentence += "; add cutouts, lower scenes.size.max_use_ratio, or make fewer scenes"
    figures = {"max_uses": {name: found.max for name, found in fronts.items()}, "max_to_median": ratios}
    return CheckResult(passed, sentence, figures)


def whole_manifests(store: Store, report: Report) -> Iterator[tuple[str, Manifest]]:
    """(shard, manifest with its members) of all shards of a run; a report holds no members, to stay small."""
    shards = list(report.shards)
    for shard, manifest in zip(shards, read_manifests(store, report.stage, shards), strict=True):
        if manifest is None:
            raise BadSetup(f"{store.url(f'{report.stage}/{shard}')}.json was removed while it was checked; run again")
        yield shard, manifest


def rows_of(store: Store, report: Report, columns: Sequence[str] | None = None) -> IndexRows:
    """Rows of the indexes of all shards of a run. `columns`: None = all."""
    return IndexRows.read(store, report.shards.values(), columns)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
