"""Verifies folders of shards, shard by shard on an engine, and what the shards of a folder have in common.

Works on damaged folders too: what is left is looked at, and each fault names the member it is in. One shard is
checked in `shard_check.py`.
"""

from collections.abc import Iterator, Sequence

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from pipelines.shards.faults import Fault, Finding, VerifyReport
from pipelines.shards.folder import OnlyBeyond, ShardFolder, find_all
from pipelines.shards.shard_check import check_shard
from pipelines.stages.engine import Engine, SerialEngine
from pipelines.stages.plan import PLANS

_BEYOND = (
    "is beyond the folder's plan and not counted; training and the data card leave it out, `decoupage prune` removes it"
)


def verify(paths: Sequence[str], engine: Engine | None = None) -> VerifyReport:
    """Check shards; memory does not grow with their number or size, but for their keys.

    Args:
        paths: each a `.tar`, a folder of shards, or a dataset's root with `shards/` in it; local or fsspec URLs.
        engine: maps the work over shards; None = this process.

    Raises:
        BadSetup: a path holds no shards.
    """
    report = VerifyReport()
    folders = [find_all(path) for path in paths]
    for folder in folders:
        _verify_folder(folder, engine or SerialEngine(), report)
    return report


def _verify_folder(folder: ShardFolder, engine: Engine, report: VerifyReport) -> None:
    place = folder.store.root
    report.notes += [f"{place}: {name} is unfinished; the next run removes it" for name in folder.temp_names()]
    report.notes += [f"{place}: there is no shard {shard}" for shard in _gaps(folder.shards)]
    beyond = _beyond(folder, report)
    shard_of: dict[str, str] = {}
    recipes: dict[str, str] = {}
    for result in engine.map(check_shard, [(folder, shard) for shard in folder.shards]):
        if result.shard in beyond:
            report.faults.append(Fault(place, result.shard, f"{result.shard}.tar", "beyond_the_plan", _BEYOND))
        else:
            report.num_shards += 1
            report.num_scenes += result.num_scenes
            report.num_layers += result.num_layers
            report.num_bytes += result.num_bytes
        findings = list(result.findings)
        for key in result.keys:
            first = shard_of.setdefault(key, result.shard)
            if first != result.shard:
                findings.append(Finding(key, "repeated_key", f"is in shard {first} too"))
        if result.fingerprint:
            recipes[result.shard] = result.fingerprint
        report.faults += [Fault(place, result.shard, *finding) for finding in findings]
    report.faults += [Fault(place, shard, *finding) for shard, finding in _check_recipes(folder, recipes)]


def _beyond(folder: ShardFolder, report: VerifyReport) -> frozenset[str]:
    """The shards beyond the folder's plan; a damaged plan is a fault, and then there are none."""
    try:
        kept = folder.planned().shards
    except OnlyBeyond:
        kept = ()
    except BadSetup as error:
        report.faults.append(Fault(folder.store.root, "", PLANS, "bad_json", str(error)))
        kept = folder.shards
    beyond = [shard for shard in folder.shards if shard not in kept]
    report.beyond += [f"{folder.store.root}/{shard}" for shard in beyond]
    return frozenset(beyond)


def _gaps(shards: Sequence[str]) -> list[str]:
    """Numbers that are missing between the first and the last shard."""
    if len(shards) < 2:
        return []
    width, there = len(shards[0]), {int(shard) for shard in shards}
    return [f"{i:0{width}d}" for i in range(min(there), max(there)) if i not in there]


def _check_recipes(folder: ShardFolder, recipes: dict[str, str]) -> Iterator[tuple[str, Finding]]:
    """All shards of a folder come from one recipe, the one that `recipe.json` names."""
    expected, whose = next(iter(recipes.values()), ""), next(iter(recipes), "")
    if folder.store.exists("recipe.json"):
        try:
            told = folder.store.read_json("recipe.json")
            recipe = fingerprint(told["recipe"])
            expected, whose = str(told["fingerprint"]), "recipe.json"
            if recipe != expected:
                yield "", Finding("recipe.json", "fingerprint", f"its recipe does not hash to {expected}")
        except (BadSetup, ValueError, KeyError, TypeError, RecursionError) as error:
            yield "", Finding("recipe.json", "bad_json", str(error) if isinstance(error, BadSetup) else repr(error))
    for shard, found in recipes.items():
        if found != expected:
            yield shard, Finding(f"{shard}.json", "fingerprint", f"is {found}, that of {whose} is {expected}")
