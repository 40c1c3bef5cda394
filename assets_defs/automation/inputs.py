"""Inputs that people change from outside: the folders of MULAN, own cutouts and own pairs, prompts, lists of ids.

Each is an asset that is observed, never made: its version is a hash of its content, so Dagster itself sees that the
assets downstream are stale, and the lineage shows what they are made from.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets_defs.asset import in_words
from assets_defs.plan import Plan
from assets_defs.sources.cutouts import FOLDER as CUTOUTS_FOLDER
from assets_defs.sources.foregrounds import GROUP, OWNERS
from assets_defs.sources.pairs import FOLDER as PAIRS_FOLDER
from decoupage.randomness import digest
from pipelines.foregrounds.prompts import read_prompts
from pipelines.foregrounds.prompts.ledger import ledger_path
from pipelines.library import exclusions
from pipelines.library.exclusions import read_exclusions
from pipelines.library.takedowns import read_takedowns, takedowns_path
from pipelines.stages.store import Store

# Plain external assets would do, but Dagster sees a new version of them only when they are materialized.
warnings.filterwarnings("ignore", message="Function `multi_observable_source_asset`", category=dg.BetaWarning)

VERSION_TAG = "dagster/data_version"
BUILT_IN_PROMPTS = Path(__file__).parents[2] / "pipelines" / "foregrounds" / "prompts"
_OWN = (
    "Your own {} in `{}`, with `attribution.csv`. Observed, not made: a file added, removed or changed in size makes "
    "what is built on it stale."
)
MULAN, PROMPTS, TAKEDOWNS, EXCLUSIONS = "mulan_folder", "prompt_list", "takedown_list", "exclusion_list"


@dataclass(frozen=True)
class Object:
    """A file of the root, wherever the root is."""

    store: Store
    path: str

    def version(self) -> str:
        """A text that changes when it is replaced, made or removed."""
        try:
            return self.store.version(self.path)
        except FileNotFoundError:
            return ""


@dataclass(frozen=True)
class Input:
    """A watched input.

    Attributes:
        name: name of its asset.
        description: text for the lineage page.
        version: returns a hash of the content; may take seconds.
        paths: files and folders whose times are compared first.
        objects: files of the root whose versions are compared first. Without either, the version is taken each time.
    """

    name: str
    description: str
    version: Callable[[], str]
    paths: tuple[Path, ...] = ()
    objects: tuple[Object, ...] = ()

    def stamp(self) -> str:
        """Hash of times (in milliseconds), sizes and versions: changes when a file is replaced, added or removed.

        A file overwritten deep in a folder does not change it, but changes the version, which the nightly tick takes.
        """
        if not self.paths and not self.objects:
            return self.version()
        sha = hashlib.sha256("".join(found.version() for found in self.objects).encode())
        for path in self.paths:
            # os.walk asks each entry of a folder only for its kind: forty thousand files take no time.
            for found in sorted(Path(folder) for folder, _, _ in os.walk(path)) or [path]:
                status = found.stat() if found.exists() else None
                sha.update(f"{found} {(status.st_mtime_ns, status.st_size) if status else 'absent'}\n".encode())
        return sha.hexdigest()[:16]


def watched_inputs(plan: Plan) -> list[Input]:
    """The inputs of a profile."""
    profile, factory = plan.profile, plan.factory
    is_built_in = profile.prompts.source == "builtin"
    found = [
        Input(
            PROMPTS,
            "What generated foregrounds show: the built-in prompts or the list that a model wrote. Observed, not made.",
            lambda: _prompts_version(plan),
            (BUILT_IN_PROMPTS,) if is_built_in else (),
            () if is_built_in else (Object(factory.store, ledger_path(profile.prompts)),),
        ),
        Input(
            TAKEDOWNS,
            f"Ids that must not be used any more, in `{profile.library.takedowns}`. Observed, not made: a new line "
            "makes the libraries stale, and after them exactly the shards that drew what it names.",
            lambda: digest(*sorted(read_takedowns(profile.library))).hex()[:16],
            (takedowns_path(profile.library),),
        ),
        Input(
            EXCLUSIONS,
            "Assets that were rejected when inspected (`decoupage inspect --apply`). Observed, not made: a new "
            "line makes the libraries stale, and after them exactly the shards that drew what it names.",
            lambda: digest(*(exclusion.id for exclusion in read_exclusions(factory.store))).hex()[:16],
            objects=(Object(factory.store, exclusions.EXCLUSIONS),),
        ),
    ]
    if profile.mulan.source == "folder":
        source = factory.mulan_source
        info = (Path(source.config.coco.info),) if source.config.coco.info else ()
        found.append(
            Input(
                MULAN,
                f"MULAN's annotation files in `{source.annotations}`, COCO's files on licences and, where nothing "
                "is fetched, photographs. Observed, not made: a file added or removed makes what is built on it stale.",
                source.version,
                (source.annotations, *info, *(() if source.fetches else (source.images,))),
            )
        )
    return [*found, *_own_folders(plan)]


def _own_folders(plan: Plan) -> Iterator[Input]:
    """A user's cutouts and pairs."""
    profile, factory = plan.profile, plan.factory
    if profile.cutouts.source == "folder":
        cutouts = factory.own_cutouts
        paths = (Path(profile.cutouts.folder),) if cutouts.folder.is_local else ()
        yield Input(CUTOUTS_FOLDER, _OWN.format("cutouts", profile.cutouts.folder), cutouts.version, paths)
    if factory.pairs is not None:
        folder = profile.pairs.folder
        yield Input(PAIRS_FOLDER, _OWN.format("before/after pairs", folder), factory.pairs.version, (Path(folder),))


def _prompts_version(plan: Plan) -> str:
    config, store = plan.profile.prompts, plan.factory.store
    if config.source == "builtin":
        return digest(*read_prompts(plan.profile, store)).hex()[:16]
    path = ledger_path(config)
    # A list that is still to be written is not a fault here: its asset writes it.
    return hashlib.sha256(store.read(path)).hexdigest()[:16] if store.exists(path) else "not written yet"


def input_assets(plan: Plan) -> list[dg.AssetsDefinition]:
    """The inputs as observed assets; schedules, the sensor and "Observe" in the UI look at them."""
    return [_observed(watched) for watched in watched_inputs(plan)]


def _observed(watched: Input) -> dg.AssetsDefinition:
    spec = dg.AssetSpec(watched.name, group_name=GROUP, owners=OWNERS, kinds={"file"}, description=watched.description)

    @dg.multi_observable_source_asset(name=f"look_at_{watched.name}", specs=[spec])
    @in_words
    def look() -> dg.ObserveResult:
        return dg.ObserveResult(asset_key=watched.name, data_version=dg.DataVersion(watched.version()))

    return look


def observe(instance: dg.DagsterInstance, inputs: Sequence[Input]) -> list[str]:
    """Report the versions of inputs to Dagster where they are new; returns the names of these.

    Raises:
        BadSetup: an input is missing or cannot be read.
    """
    changed = []
    for watched in inputs:
        version, key = watched.version(), dg.AssetKey(watched.name)
        if version != _last_version(instance, key):
            instance.report_runless_asset_event(dg.AssetObservation(key, tags={VERSION_TAG: version}))
            changed.append(watched.name)
    return changed


def _last_version(instance: dg.DagsterInstance, key: dg.AssetKey) -> str | None:
    records = instance.fetch_observations(key, limit=1).records
    if not records or records[0].asset_observation is None:
        return None
    return records[0].asset_observation.tags.get(VERSION_TAG)
