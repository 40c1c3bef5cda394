"""What a recipe says of data loading; numbers and ranges only."""

from dataclasses import dataclass, field

from pipelines.config import MasksConfig

MAP_NAMES = ("edges", "segmentation", "depth")
"""Maps in the order in which they are fused; the same as `decoupage.maps.MAPS`."""


@dataclass(frozen=True)
class DataLoading:
    """How samples are drawn and made.

    Attributes:
        seed: of the order, the targets and the augmentations.
        batch_size: samples in a batch of one process.
        num_workers: processes that decode for one training process; 0 = in the training process itself.
        prefetch_batches: batches that each worker keeps ready.
        flip: mirror left and right every second sample or so.
        redraw_masks: draw an imperfect mask anew from the visible mask; False = the stored one, always the same.
        masks: the errors to draw from; the profile's, for their reach is in pixels of the scene's size.
        maps: which maps to load; () = none, and then the shards need none.
        size_px: side that the scenes must have; None = whatever side they have.
        max_unreadable_share: share of scenes that may turn out unreadable before the run stops.

    Raises:
        ValueError: a field is out of its range.
    """

    seed: int = 0
    batch_size: int = 8
    num_workers: int = 0
    prefetch_batches: int = 2
    flip: bool = True
    redraw_masks: bool = True
    masks: MasksConfig = field(default_factory=MasksConfig)
    maps: tuple[str, ...] = MAP_NAMES
    size_px: int | None = None
    max_unreadable_share: float = 0.01

    def __post_init__(self) -> None:
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("batch_size", self.batch_size, 1, 65536)
        _check("num_workers", self.num_workers, 0, 1024)
        _check("prefetch_batches", self.prefetch_batches, 1, 64)
        _check("max_unreadable_share", self.max_unreadable_share, 0, 1)
        if self.size_px is not None:
            _check("size_px", self.size_px, 1, 65536)
        unknown = sorted(set(self.maps) - set(MAP_NAMES))
        if unknown or len(set(self.maps)) != len(self.maps):
            raise ValueError(f"data.maps must be different ones of {', '.join(MAP_NAMES)}, got {list(self.maps)}")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"data.{name} must be in [{low}, {high}], got {value}")
