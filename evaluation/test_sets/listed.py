"""A foreign set as a list: masks are grown, strata named, unusable images counted; every image has its own size.

All images go through here, whatever set they are of, so that nothing is done to one method's pictures alone.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from decoupage.faults import BadSetup
from decoupage.images.types import Mask
from evaluation.cases import Case
from evaluation.strata import clutter_of, occlusion_of, size_of
from evaluation.test_sets.originals import Excluded, Originals

MIN_SIDE_PX = 16
"""No base has smaller tokens."""


@dataclass
class ListedSet:
    """See `TestSet`.

    Attributes:
        originals: the images.
        dilate_px: number of pixels by which given masks are grown.
        max_images: stop after this many usable ones; None = all.
    """

    originals: Originals
    dilate_px: int = 0
    max_images: int | None = None
    _excluded: tuple[Excluded, ...] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """See `TestSet`."""
        return self.originals.name

    @property
    def about(self) -> dict[str, Any]:
        """See `TestSet`; `excluded` has every image that cannot be judged on, with its reason."""
        return {
            "test_set": self.name,
            "dilate_px": self.dilate_px,
            **self.originals.about,
            "num_excluded": len(self.excluded),
            "excluded": [asdict(found) for found in self.excluded],
        }

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """The images that cannot be judged on; every image is looked at, unless `cases` has done so already.

        Raises:
            BadSetup: as `cases`.
        """
        if self._excluded is None:
            for _ in self._all():
                pass
        assert self._excluded is not None, "reading all cases sets it"
        return self._excluded

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        """See `TestSet`.

        Raises:
            BadSetup: the set is not there, or holds no image that can be judged on, or an image that is asked for by
                name cannot be used.
        """
        return self._all() if names is None else self._named(names)

    def _all(self) -> Iterator[Case]:
        num_cases = 0
        excluded: list[Excluded] = []
        for found in map(self._judged, self.originals.read()):
            if isinstance(found, Excluded):
                excluded.append(found)
                continue
            num_cases += 1
            yield found
            if num_cases == self.max_images:
                break
        if not num_cases:
            reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(e.reason for e in excluded).most_common())
            example = f"; {excluded[0].name}: {excluded[0].detail}" if excluded else ""
            raise BadSetup(f"none of the {len(excluded)} images of {self.name} can be used ({reasons}){example}")
        self._excluded = tuple(excluded)

    def _named(self, names: Collection[str]) -> Iterator[Case]:
        for found in map(self._judged, self.originals.read(names)):
            if isinstance(found, Excluded):
                raise BadSetup(f"{self.name}: {found.name} cannot be used ({found.reason}: {found.detail})")
            yield found

    def _judged(self, found: Case | Excluded) -> Case | Excluded:
        """The case as methods get it."""
        if isinstance(found, Excluded):
            return found
        height, width = found.size
        if min(height, width) < MIN_SIDE_PX:
            detail = f"{width}x{height} px; a side must have at least {MIN_SIDE_PX}"
            return Excluded(found.name, "too_small", detail)
        strata = {"size": size_of(float(found.visible.mean())), "clutter": clutter_of(found.composite), **found.strata}
        if found.occluded_fraction is not None:
            strata = {"occlusion": occlusion_of(found.occluded_fraction)} | strata
        return replace(found, mask=dilated(found.mask, self.dilate_px), strata=strata)


def dilated(mask: Mask, radius_px: int) -> Mask:
    """A mask grown by a disc."""
    if radius_px == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
