"""A foreign set as a list: every image brought to size, masks grown, strata told, maps made, what is unusable counted.

All images go through here, whatever set they are of, so that nothing is done to one method's pictures alone.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.types import Rgb
from decoupage.maps.maker import MapMaker
from evaluation.cases import Case, Entry
from evaluation.strata import clutter_of, occlusion_of, size_of
from evaluation.test_sets.originals import Excluded, Original, Originals
from evaluation.test_sets.sizes import RULE, dilated, resized_original
from pipelines.shards.reader import Maps


@dataclass(frozen=True)
class Listing:
    """What one look at all images found: those that are judged on, and those that cannot be."""

    entries: tuple[Entry, ...]
    excluded: tuple[Excluded, ...]


@dataclass
class ListedSet:
    """See `TestSet`.

    Attributes:
        originals: the images.
        size_px: see `sizes`.
        dilate_px: given masks are grown by so much, at that size.
        max_images: stop after so many usable ones; None = all.
        makers: of maps; None = cases have none.
    """

    originals: Originals
    size_px: int | None = None
    dilate_px: int = 0
    max_images: int | None = None
    makers: Sequence[MapMaker] | None = None
    _listing: Listing | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """See `TestSet`."""
        return self.originals.name

    @property
    def about(self) -> dict[str, Any]:
        """See `TestSet`; `excluded` has every image that cannot be judged on, with its reason."""
        excluded = self.listing.excluded
        return {
            "test_set": self.name,
            "size_px": self.size_px,
            "size_rule": RULE,
            "dilate_px": self.dilate_px,
            **self.originals.about,
            "num_excluded": len(excluded),
            "excluded": [asdict(found) for found in excluded],
        }

    @property
    def listing(self) -> Listing:
        """The list and what is not on it; every image is looked at, unless `cases` has done so already.

        Raises:
            BadSetup: as `cases`.
        """
        if self._listing is None:
            for _ in self._all():
                pass
        assert self._listing is not None, "a full look leaves a listing"
        return self._listing

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        """See `TestSet`.

        Raises:
            BadSetup: the set is not there, or holds no image that can be judged on, or an image that is asked for by
                name cannot be used.
        """
        found = self._all() if names is None else self._named(names)
        return (case if self.makers is None else replace(case, maps=self._maps(case.composite)) for case in found)

    def _all(self) -> Iterator[Case]:
        entries: list[Entry] = []
        excluded: list[Excluded] = []
        for found in map(self._judged, self.originals.read()):
            if isinstance(found, Excluded):
                excluded.append(found)
                continue
            entries.append(Entry(found.name, found.sha256))
            yield found
            if len(entries) == self.max_images:
                break
        if not entries:
            reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(e.reason for e in excluded).most_common())
            example = f"; {excluded[0].name}: {excluded[0].detail}" if excluded else ""
            raise BadSetup(f"none of the {len(excluded)} images of {self.name} can be used ({reasons}){example}")
        self._listing = Listing(tuple(entries), tuple(excluded))

    def _named(self, names: Collection[str]) -> Iterator[Case]:
        for found in map(self._judged, self.originals.read(names)):
            if isinstance(found, Excluded):
                raise BadSetup(f"{self.name}: {found.name} cannot be used ({found.reason}: {found.detail})")
            yield found

    def _judged(self, found: Original | Excluded) -> Case | Excluded:
        """The case, as methods get it, but for its maps."""
        if isinstance(found, Excluded):
            return found
        try:
            original = resized_original(found, self.size_px)
        except BadItem as fault:
            return Excluded(found.name, fault.reason, fault.detail)
        strata = {
            "size": size_of(float(original.visible.mean())),
            "clutter": clutter_of(original.composite),
            "source": original.source,
        }
        if original.occluded_fraction is not None:
            strata = {"occlusion": occlusion_of(original.occluded_fraction)} | strata
        return Case(
            name=original.name,
            key=original.key,
            photograph=original.key,
            origin=original.origin,
            composite=original.composite,
            mask=dilated(original.mask, self.dilate_px),
            visible=original.visible,
            background=original.background,
            foreground=original.foreground,
            maps=None,
            occluded_fraction=original.occluded_fraction,
            strata=strata,
        )

    def _maps(self, composite: Rgb) -> Maps:
        members = {f"{maker.name}.png": maker.pngs([composite])[0] for maker in self.makers or ()}
        return Maps.decode(members, (composite.shape[0], composite.shape[1]))
