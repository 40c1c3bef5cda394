"""The samples of a run of the RGBA VAE: those that are trained on, and those that are kept out to judge it by."""

from collections.abc import Iterator
from dataclasses import replace

from pipelines.stages.store import Store
from training.data import DataLoading, TripletBatch, TripletLoader
from training.rgba_vae.config import RgbaVaeConfig
from training.task import Place


def make_loader(config: RgbaVaeConfig, source: Store | str, place: Place) -> TripletLoader:
    """The loader of training; raises as `TripletLoader`."""
    data = config.data
    loading = DataLoading(
        seed=config.seed,
        batch_size=config.batch.micro_batch,
        num_workers=config.compute.loader_workers,
        flip=data.flip,
        redraw_masks=False,
        maps=(),
        size_px=data.size_px,
        foreground_kinds=data.foreground_kinds,
        validation_share=data.validation_share,
        max_unreadable_share=data.max_unreadable_share,
    )
    return TripletLoader(source, loading, place.rank, place.num_ranks, place.device.type == "cuda")


def validation_batches(
    config: RgbaVaeConfig, source: Store | str, rank: int = 0, num_ranks: int = 1
) -> Iterator[TripletBatch]:
    """The samples to judge by, one in a batch, the same ones each time whatever the run's seed; each rank has its own.

    There are `data.num_validation` in all, or as many as there are scenes kept out.

    Raises:
        BadSetup: no scene is kept out, or as `TripletLoader`.
    """
    loading = replace(
        make_loader(config, source, Place()).loading,
        seed=0,
        batch_size=1,
        num_workers=0,
        flip=False,
        part="validation",
    )
    loader = TripletLoader(source, loading, rank, num_ranks)
    number = min(config.data.num_validation, loader.num_scenes) // num_ranks
    batches = loader.batches()
    for _ in range(max(1, number)):
        yield next(batches)
