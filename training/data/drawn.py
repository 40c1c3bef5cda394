"""What the loader's workers made of positions, and the count of what they could not read."""

import logging
from dataclasses import dataclass

from decoupage.faults import BadSetup
from training.data.triplets import TripletBatch, collate

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawn:
    """What a worker made of one position: a sample (a batch of one), and the scenes that it could not read, and why.

    `fault`: why it gave up, where no scene is at fault.
    """

    sample: TripletBatch | None
    unreadable: tuple[tuple[str, str], ...]
    fault: str = ""


@dataclass(frozen=True)
class DrawnBatch:
    """What a worker sends: one batch, because many small tensors travel slowly; None if a sample is missing."""

    batch: TripletBatch | None
    num_drawn: int
    unreadable: tuple[tuple[str, str], ...]
    fault: str = ""


@dataclass(frozen=True)
class Collate:
    """Makes a batch of what was drawn; rank and step (samples of all processes' batches) say where it ends."""

    rank: int
    step: int

    def __call__(self, drawn: list[Drawn]) -> DrawnBatch:
        """Samples side by side, and all that could not be read."""
        unreadable = tuple(fault for one in drawn for fault in one.unreadable)
        samples = [one.sample for one in drawn if one.sample is not None]
        is_whole = len(samples) == len(drawn)
        batch = collate(samples, samples[0].positions[0] - self.rank + self.step) if is_whole else None
        return DrawnBatch(batch, len(drawn), unreadable, next((one.fault for one in drawn if one.fault), ""))


class Unreadable:
    """Counts scenes that cannot be read, each once.

    Args:
        num_scenes: in all.
        world_size: processes that share them; each sees only its own.
        max_share: of the scenes that this process has drawn, or would in an epoch, that may be unreadable.
    """

    def __init__(self, num_scenes: int, world_size: int, max_share: float) -> None:
        self.reasons: dict[str, str] = {}
        self._num_scenes = num_scenes
        self._part = num_scenes / world_size
        self._max_share = max_share
        self._num_drawn = 0

    def note(self, drawn: DrawnBatch) -> TripletBatch:
        """Count the unreadable scenes met while a batch was made; returns the batch.

        Raises:
            BadSetup: more than the set share is unreadable, or the store cannot be reached.
        """
        if drawn.fault:
            raise BadSetup(drawn.fault)
        self._num_drawn += drawn.num_drawn
        for key, reason in drawn.unreadable:
            if key not in self.reasons:
                self.reasons[key] = reason
                _log.warning("scene %s is skipped because it cannot be read: %s", key, reason)
        among = max(self._part, min(self._num_drawn, self._num_scenes))
        if drawn.batch is None or len(self.reasons) > self._max_share * among:
            key, reason = list(self.reasons.items())[-1]
            raise BadSetup(
                f"{len(self.reasons)} of {among:.0f} scenes cannot be read, more than data.max_unreadable_share = "
                f"{self._max_share:g}; the last one is {key}: {reason}"
            )
        return drawn.batch
