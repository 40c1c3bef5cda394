"""Whether a profile may make a commercial build: everything that it brings in, each with its licence.

What a profile names is judged here, before work starts. What the sources then hold is judged by content: in the
library (`pipelines/library/catalogue.py`) and in the finished shards (`pipelines/checks.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from decoupage.faults import BadSetup
from pipelines.config import DataConfig
from pipelines.licences.terms import UNKNOWN, licence_of, why_not_commercial

MULAN = "mulan-dataset/v1.0"
_BY_HUB_ID = "leave it empty, or name weights by a Hub id that pipelines/licences/ledger.csv knows"


@dataclass(frozen=True)
class Use:
    """One thing that a profile brings in.

    Attributes:
        key: where the profile says so.
        name: what it is; licence: in any spelling.
        fix: what to set instead.
    """

    key: str
    name: str
    licence: str
    fix: str

    @property
    def obstacle(self) -> str:
        """Why a commercial build cannot use it, and what to change; empty when it can."""
        reason = why_not_commercial(self.licence)
        return f"{self.key} brings in {self.name} ({reason}): {self.fix}" if reason else ""


def uses(config: DataConfig) -> list[Use]:
    """What the data sections bring in by name. Packaged sources and folders state their licences per file."""
    return [*_sources(config), *_generator(config), *_maps(config)]


def obstacles(config: DataConfig) -> list[str]:
    """What in the data sections forbids commercial use; also empty when the build is not commercial."""
    found = uses(config) if config.licences.commercial else []
    return [use.obstacle for use in found if use.obstacle]


def require_permitted(config: DataConfig) -> None:
    """Stop here rather than mix what a commercial build may not hold.

    Raises:
        BadSetup: the profile asks for a commercial build and brings in what forbids it; all of it is named.
    """
    refuse(obstacles(config))


def weights_obstacles(licences: Sequence[str], commercial: bool) -> list[str]:
    """What in the licences of trained weights forbids commercial use; also empty when the build is not commercial.

    Args:
        licences: those of their base and of the pictures that they were trained on.
        commercial: `licences.commercial` of the profile.
    """
    reasons = [why_not_commercial(licence) for licence in licences] if commercial else []
    return [f"the weights state a licence that does not permit it: {reason}" for reason in reasons if reason]


def refuse(found: list[str]) -> None:
    """Raises BadSetup when obstacles were found."""
    if found:
        raise BadSetup("licences.commercial = true, but the profile brings in what forbids it: " + "; ".join(found))


def _sources(config: DataConfig) -> Iterator[Use]:
    if config.mulan.source == "folder":
        yield Use("mulan.source", "MULAN", licence_of(MULAN), 'set mulan.source = "none"')
    own = config.cutouts.licence
    if config.cutouts.source != "none" and own != UNKNOWN:
        fix = "name a folder of cutouts that permit it; those that attribution.csv names keep their own licence"
        yield Use("cutouts.licence", "cutouts of no other licence", own, fix)
    stated = config.backgrounds.licence
    if config.backgrounds.source != "packaged" and stated != UNKNOWN:
        fix = "name a folder of photographs that permit it; those that attribution.csv names keep their own licence"
        yield Use("backgrounds.licence", "photographs of no other licence", stated, fix)
    stated = config.pairs.licence
    if config.pairs.source == "folder" and stated != UNKNOWN:
        fix = "name a folder of pairs that permit it; those that attribution.csv names keep their own licence"
        yield Use("pairs.licence", "before/after pairs of no other licence", stated, fix)


def _generator(config: DataConfig) -> Iterator[Use]:
    from pipelines.foregrounds.generated_stage import make_generator

    generator = make_generator(config.generated)
    fix = "choose a generator whose weights permit it"
    yield Use("generated.generator", generator.name, generator.licence, fix)
    if config.generated.generator != "rendered":
        for key in ("base", "weights"):
            if name := getattr(config.generated, key):
                yield Use(f"generated.{key}", name, licence_of(name), _BY_HUB_ID)


def _maps(config: DataConfig) -> Iterator[Use]:
    from decoupage.maps.choose import make_makers

    for maker in make_makers(config.maps):
        section = getattr(config.maps, maker.name)
        model = getattr(section, "model", "canny")
        # A maker without weights is in the ledger by its name.
        licence = licence_of(maker.weights or model)
        fix = f"choose a model for maps.{maker.name} whose weights permit it"
        yield Use(f"maps.{maker.name}.model", model, licence, fix)
        # The name of a folder does not say whose weights it holds.
        if folder := getattr(section, "folder", ""):
            yield Use(f"maps.{maker.name}.folder", folder, UNKNOWN, _BY_HUB_ID)
