"""Any folder of pictures by role: image, mask, background, and a foreground where there is one."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from decoupage.faults import BadItem
from decoupage.images.types import Gray, Mask
from evaluation.cases import Case
from evaluation.test_sets.originals import Excluded
from pipelines.config.pairs import LayoutConfig
from pipelines.pairs.reading import PairFiles, PairReader, told_name
from pipelines.scenes.parts import VISIBLE_ALPHA


@dataclass(frozen=True)
class FolderPictures:
    """See `Originals`.

    Attributes:
        folder: folder that the layout's patterns are relative to.
        source: the stratum of its images.
    """

    name: str
    folder: Path
    layout: LayoutConfig
    source: str

    @property
    def about(self) -> dict[str, Any]:
        """See `Originals`; of the folder only its name, because paths are private."""
        layout = self.layout.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return {"folder": self.folder.name, "layout": ", ".join(f"{role} {value}" for role, value in layout.items())}

    def read(self, names: Collection[str] | None = None) -> Iterator[Case | Excluded]:
        """See `Originals`; an image whose mask or background is missing is excluded, and so is one without an image.

        Raises:
            BadSetup: there is no such folder, or no picture fits the layout.
        """
        for name in self._files.names:
            if names is None or name in names:
                try:
                    yield self._original(name)
                except BadItem as fault:
                    yield Excluded(told_name(name), fault.reason, fault.detail)

    @cached_property
    def _files(self) -> PairFiles:
        fix = "choose another layout, or describe its layout under evaluation.test_sets.layouts"
        return PairFiles.of(self.folder, self.layout, f"evaluation.test_sets, {self.name}", fix)

    def _original(self, name: str) -> Case:
        pair = PairReader(self.folder, self.layout).read(name, self._files.of_pair(name))
        key = self.layout.scene_of(name)
        return Case(
            name=name,
            key=key,
            photograph=key,
            origin=name,
            composite=pair.image,
            mask=pair.mask,
            visible=pair.visible,
            background=pair.background,
            foreground=pair.foreground,
            maps=None,
            occluded_fraction=None if pair.foreground is None else _occluded(pair.foreground[..., 3], pair.visible),
            strata={"source": self.source},
        )


def _occluded(alpha: Gray, visible: Mask) -> float:
    there = alpha >= VISIBLE_ALPHA
    return round(1.0 - float((there & visible).sum() / there.sum()), 4)
