"""What a recipe says of data loading; numbers and ranges only."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from decoupage.maps.table import MAPS
from pipelines.config import MasksConfig
from training.config import TrainingConfig

Part = Literal["train", "validation"]


@dataclass(frozen=True)
class DataLoading:
    """How samples are drawn and made.

    Attributes:
        seed: of the order and the augmentations.
        batch_size: samples in a batch of one process.
        num_workers: processes that decode for one training process; 0 = in the training process itself.
        prefetch_batches: batches that each worker keeps ready.
        recolour_share: share of samples in other colours (`recolour.py`).
        flip: mirror about every second sample left to right.
        redraw_masks: draw a new imperfect mask from the visible mask; False = the stored one, always the same.
        refine_masks: draw masks to outlines in the picture, as the adapter's pipeline will.
        masks: the errors to draw from; the profile's, because their reach is in pixels of the scene's size.
        maps: which maps to load; () = none, and then the shards need none.
        size_px: side of the samples; larger scenes are brought down to it, None = whatever side they have.
        pairs_share: share of samples drawn from the before/after pairs beside the scenes.
        validation_share: share of the scenes, by hash of their keys, that is kept out of training: the same ones for
            every seed.
        part: which scenes to draw from: those of training, or those kept out of it.
        max_unreadable_share: share of scenes that may turn out unreadable before the run stops.
        cache_gb: disk space for scenes of an object store (`cache.py`), in gigabytes; 0 = none.

    Raises:
        ValueError: a field is out of its range.
    """

    seed: int = 0
    batch_size: int = 8
    num_workers: int = 0
    prefetch_batches: int = 2
    flip: bool = True
    recolour_share: float = 0.0
    redraw_masks: bool = True
    refine_masks: bool = False
    masks: MasksConfig = field(default_factory=MasksConfig)
    maps: tuple[str, ...] = tuple(MAPS)
    size_px: int | None = None
    pairs_share: float = 0.0
    validation_share: float = 0.0
    part: Part = "train"
    max_unreadable_share: float = 0.01
    cache_gb: float = 0.0

    @classmethod
    def of(cls, recipe: Any, masks: MasksConfig | None = None, part: Part = "train") -> "DataLoading":
        """What a recipe asks for, on one process; the RGBA VAE's asks for no maps and no new masks.

        Validation takes scenes alone, whose foregrounds are known, as they are stored and in one order, whatever the
        recipe's seed and augmentations: so figures of different runs compare.

        Args:
            recipe: a `TrainingConfig`, or the `RgbaVaeConfig` of the RGBA VAE, whose room stands on this one.
            masks: the profile's; None where none are drawn.
        """
        data, training = recipe.data, part == "train"
        return cls(
            seed=recipe.seed if training else 0,
            batch_size=recipe.batch.micro_batch,
            num_workers=recipe.compute.loader_workers,
            flip=data.flip and training,
            recolour_share=data.recolour_share if training else 0.0,
            redraw_masks=data.redraw_masks and training and masks is not None,
            refine_masks=isinstance(recipe, TrainingConfig) and recipe.adapter.refine_masks,
            masks=masks or MasksConfig(),
            maps=recipe.adapter.maps if isinstance(recipe, TrainingConfig) else (),
            size_px=data.size_px,
            pairs_share=data.pairs_share if training and isinstance(recipe, TrainingConfig) else 0.0,
            validation_share=data.validation_share,
            part=part,
            max_unreadable_share=data.max_unreadable_share,
            cache_gb=recipe.compute.loader_cache_gb,
        )

    def __post_init__(self) -> None:
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("batch_size", self.batch_size, 1, 65536)
        _check("num_workers", self.num_workers, 0, 1024)
        _check("prefetch_batches", self.prefetch_batches, 1, 64)
        _check("recolour_share", self.recolour_share, 0, 1)
        _check("pairs_share", self.pairs_share, 0, 1)
        _check("validation_share", self.validation_share, 0, 1)
        _check("max_unreadable_share", self.max_unreadable_share, 0, 1)
        _check("cache_gb", self.cache_gb, 0, 1e6)
        if self.size_px is not None:
            _check("size_px", self.size_px, 1, 65536)
        _check_choice("maps", self.maps, tuple(MAPS))
        _check_choice("part", (self.part,), get_args(Part))


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"data.{name} must be in [{low}, {high}], got {value}")


def _check_choice(name: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    if set(given) - set(known) or len(set(given)) != len(given):
        raise ValueError(f"data.{name} must be different ones of {', '.join(known)}, got {list(given)}")
