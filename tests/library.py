"""A small library for tests: cutouts of simple shapes and noise photographs, through the real source stages."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decoupage.images.codecs import encode_png
from decoupage.images.types import Rgba
from decoupage.randomness import generator
from pipelines.backgrounds.layouts import LayoutSource, LayoutsStage
from pipelines.backgrounds.stage import BackgroundsStage
from pipelines.config import BackgroundConfig, GateConfig, LibraryConfig, PlacementConfig, ScenesConfig
from pipelines.foregrounds.cutout import make_cutout
from pipelines.library.catalogue import CatalogueReport, build_catalogue, read_backgrounds, read_foregrounds
from pipelines.library.layout import with_layouts
from pipelines.library.records import ForegroundRecord, schema_of
from pipelines.scenes.stage import ScenesStage
from pipelines.stages.engine import SerialEngine
from pipelines.stages.run import Outcome, run_stage
from pipelines.stages.store import Store

CATEGORIES = ("dog", "rabbit", "truck", "mug", "zorgon", "tree", "person", "airplane", "boat", "apple")


class Meadow:
    """A `LayoutSource` that sees the same in every photograph: sky, below it meadow, a table and a pond."""

    recipe = {"source": "meadow"}
    batch_size = 2
    in_process = False
    id2label = {0: "sky", 1: "grass", 2: "table", 3: "water"}

    def inputs(self):
        return {"labels": "v1"}

    def see(self, pictures_HWC):
        labels = np.ones((60, 60), np.uint8)
        labels[:24] = 0
        labels[45:, :18] = 2
        labels[36:, 42:] = 3
        return [(labels, None) for _ in pictures_HWC]


def shape_rgba(seed: int, size_px: int = 160, alpha: int = 255) -> Rgba:
    """A textured ellipse, turned and stretched by the seed, with a soft edge."""
    rng = generator(seed, "shape", size_px)
    y, x = np.mgrid[:size_px, :size_px] / size_px - 0.5
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    inside = np.clip((0.4 - np.hypot(u, v / stretch)) * size_px / 2, 0, 1)
    colour = rng.integers(30, 226, 3) + rng.normal(0, 20, (size_px, size_px, 1)) + 40 * np.sin(20 * u)[..., None]
    return np.dstack([np.clip(colour, 0, 255), inside * alpha]).astype(np.uint8)


@dataclass
class ShapeSource:
    """A foreground source of shapes, named by numbers."""

    kind: str
    numbers: tuple[int, ...]
    schema = schema_of(ForegroundRecord)
    recipe = {"version": 0}
    layout = {"num_shards": 1}

    @property
    def name(self) -> str:
        return f"foregrounds/{self.kind}"

    def shards(self) -> list[str]:
        return ["00000"]

    def items(self, shard: str) -> list[tuple[str, int]]:
        return [(str(number), number) for number in self.numbers]

    def inputs(self, shard: str) -> dict[str, str]:
        return {"numbers": str(self.numbers)}

    def is_current(self, manifest, inputs) -> bool:
        return manifest.inputs == inputs

    def task(self, number: int) -> Outcome:
        seed = number + 1000 * (self.kind == "generated")
        data, record = make_cutout(
            shape_rgba(seed, alpha=120 if number == 3 else 255),
            GateConfig(min_area_px=2000),
            kind=self.kind,
            id=f"{self.kind}-{number}",
            source=self.kind,
            origin=f"{self.kind}-{number}",
            licence="CC0-1.0",
            attribution="tests",
            category=CATEGORIES[number % len(CATEGORIES)],
        )
        return Outcome({record.member: data}, [vars(record)])


def write_photographs(folder: Store, numbers: tuple[int, ...]) -> None:
    """Smooth noise pictures, 300 x 220."""
    for number in numbers:
        coarse = generator(number, "photograph", 0).integers(0, 256, (12, 16, 3), np.uint8)
        folder.write(f"photo{number}.png", encode_png(np.kron(coarse, np.ones((20, 20, 1), np.uint8))))


def write_library(
    root: str,
    real: tuple[int, ...] = tuple(range(8)),
    generated: tuple[int, ...] = tuple(range(6)),
    photographs: tuple[int, ...] = tuple(range(5)),
    layouts: LayoutSource | None = None,
) -> CatalogueReport[ForegroundRecord]:
    """Sources and both catalogues under a root; calling it again with other numbers changes the library.

    Backgrounds have layouts where there is a source of these.
    """
    store, folder = Store(root), Store(f"{root}/photographs")
    engine = SerialEngine()
    run_stage(ShapeSource("real", real), store, engine)
    run_stage(ShapeSource("generated", generated), store, engine)
    folder.remove("")
    write_photographs(folder, photographs)
    backgrounds = BackgroundConfig(folder=folder.root, min_side_px=100)
    index = BackgroundsStage(folder, backgrounds, "tests")
    run_stage(index, store, engine)
    found_behind = read_backgrounds(store, "backgrounds")
    if layouts:
        run_stage(LayoutsStage(store, folder, index, layouts), store, engine)
        found_behind = with_layouts(store, found_behind, index.shards())
    config = LibraryConfig(held_out_share=0.0, duplicate_distance_bits=0)
    build_catalogue(store, found_behind, config)
    found = [record for kind in ("real", "generated") for record in read_foregrounds(store, f"foregrounds/{kind}")]
    return build_catalogue(store, found, config)


def scenes_config(**changes: object) -> ScenesConfig:
    """Small scenes in small shards."""
    return ScenesConfig(**{"num_scenes": 8, "scenes_per_shard": 4, "size_px": 96, "seed": 3} | changes)


def shadowed_scenes(root: Path | str, contact_shadow: bool = True) -> ScenesStage:
    """Twenty supported scenes in one shard, with contact shadows, over a library with layouts."""
    placement = PlacementConfig(kind="supported", free_share=0.2, contact_shadow=contact_shadow)
    config = scenes_config(placement=placement, num_scenes=20, scenes_per_shard=20)
    return ScenesStage(Store(str(root)), Store(f"{root}/photographs"), config)
