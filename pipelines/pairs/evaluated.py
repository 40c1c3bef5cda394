"""The pictures that evaluation shows, as a stage of pairs compares its own with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from decoupage.fingerprint import canonical_json
from decoupage.images.alpha import alpha_box
from decoupage.images.types import Rgb, Rgba
from decoupage.randomness import digest
from pipelines.config import LibraryConfig
from pipelines.library.catalogue import read_catalogue
from pipelines.library.comparison import Compared, Leak, compare_pictures, read_lists
from pipelines.library.evaluation_lists import EvaluationList
from pipelines.library.picture_hashes import perceptual_hash, photograph_hash
from pipelines.library.records import AnyRecord, BackgroundRecord, ForegroundRecord
from pipelines.scenes.parts import pixels_sha256
from pipelines.stages.store import Store


@dataclass(frozen=True)
class Evaluated:
    """Held-out assets of the library, the profile's lists and those of the root. Each process reads them once.

    Attributes:
        store: the root; photographs: the folder of background photographs.
        config: names the profile's lists, and says how near is the same.
    """

    store: Store
    photographs: Store
    config: LibraryConfig

    def __getstate__(self) -> dict[str, Any]:
        # What was read is not sent to other processes.
        return {"store": self.store, "photographs": self.photographs, "config": self.config}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def _lists(self) -> list[EvaluationList]:
        records: list[AnyRecord] = [
            *read_catalogue(self.store, ForegroundRecord)[0],
            *read_catalogue(self.store, BackgroundRecord)[0],
        ]
        held_out = [record for record in records if record.split == "test"]
        return read_lists(self.store, self.photographs, self.config, held_out)

    @cached_property
    def sha256(self) -> str:
        """Hash of what pictures are compared with.

        Raises:
            BadSetup: the library is not made, or a list is missing or damaged.
        """
        told = [
            [sorted(found.names), sorted([name, one.sha256, *one.hashes] for name, one in found.pictures.items())]
            for found in self._lists
        ]
        return digest(canonical_json(told).decode()).hex()

    def leaks(self, pictures: Sequence[Compared]) -> dict[str, Leak]:
        """Those of some pictures that evaluation shows: id -> the first leak. Raises BadSetup as `sha256`."""
        found: dict[str, Leak] = {}
        for leak in compare_pictures(pictures, self._lists, self.config.duplicate_distance_bits):
            found.setdefault(leak.training, leak)
        return found


def photograph(id_: str, names: frozenset[str], rgb: Rgb) -> Compared:
    """A whole photograph [H, W, 3] of a pair."""
    return Compared(id_, names, pixels_sha256(rgb), photograph_hash(rgb), BackgroundRecord)


def cutout(id_: str, names: frozenset[str], rgba: Rgba) -> Compared:
    """A pair's foreground [H, W, 4], cropped to its alpha, as cutouts are hashed."""
    left, top, right, bottom = alpha_box(rgba[..., 3])
    tight = np.ascontiguousarray(rgba[top:bottom, left:right])
    return Compared(id_, names, pixels_sha256(tight), perceptual_hash(tight), ForegroundRecord)
