"""The library and the build: which assets may enter, commercial use, the engine, and the limits of the checks."""

from typing import Literal, Self

from pydantic import Field, model_validator

from decoupage.settings import Section, Share


class LibraryConfig(Section):
    """The catalogue over all sources: duplicates, held-out assets, takedowns, lists of evaluation."""

    duplicate_distance_bits: int = Field(
        4, ge=0, le=32, description="pictures whose 64-bit hashes differ in at most this many bits are duplicates"
    )
    held_out_share: Share = Field(0.05, description="share of photographs kept for testing, by hash of their origin")
    held_out: tuple[str, ...] = Field((), description="origins always kept for testing")
    takedowns: str = Field("configs/takedowns.txt", description="file of ids that must not be used")
    evaluation_lists: tuple[str, ...] = Field(
        (), description="pictures excluded from training: files of ids (text, CSV, parquet) or folders of pictures"
    )


class LicencesConfig(Section):
    """Whether the build is for commercial use."""

    commercial: bool = Field(False, description="admit only assets whose licence permits commercial use")


class EngineConfig(Section):
    """What the work of a stage is spread over: this process, processes of this machine, or a Ray cluster."""

    kind: Literal["serial", "process", "ray"] = "process"
    workers: int = Field(
        0, ge=0, le=100_000, description="processes, or shards at once on Ray; 0 = one for each core there is"
    )
    address: str = Field(
        "", description="of a Ray cluster, as host:port; empty = RAY_ADDRESS, else a Ray of this machine's own"
    )
    gpus_per_actor: float = Field(
        0.0, ge=0.0, le=64.0, description="GPUs of a Ray actor that keeps a network's weights, e.g. 0.5; 0 = none"
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.gpus_per_actor > 1 and self.gpus_per_actor % 1:
            raise ValueError(
                f"gpus_per_actor must be a share of one GPU or a whole number of them, got {self.gpus_per_actor}"
            )
        return self


class DropLimits(Section):
    """The largest shares of one source that may be dropped, by kind (`pipelines.stages.drop_kinds`)."""

    unreadable: Share = Field(0.05, description="of its files: missing, broken or forbidden")
    unlicensed: Share = Field(0.0, description="of its files: under a licence that the profile does not use")
    filtered: Share = Field(0.5, description="of its sound cutouts or photographs: refused by a filter")


class MulanDropLimits(DropLimits):
    """MULAN's limits: most objects of a COCO photograph are small, and a third of its photographs no-derivatives."""

    unlicensed: Share = Field(0.6, description="of its files: photographs that mulan.licences does not name")
    filtered: Share = Field(0.85, description="of its instances: refused by [gates]")


class BackgroundDropLimits(DropLimits):
    """The limits of the background index."""

    filtered: Share = Field(0.6, description="of its sound photographs: refused by the filters of [backgrounds]")


class SourceDropLimits(Section):
    """The limits of each source."""

    mulan: MulanDropLimits = MulanDropLimits()
    cutouts: DropLimits = DropLimits()
    generated: DropLimits = DropLimits()
    backgrounds: BackgroundDropLimits = BackgroundDropLimits()
    layouts: DropLimits = DropLimits()
    pairs: DropLimits = DropLimits()


class ChecksConfig(Section):
    """The limits beyond which a check of the data fails."""

    max_drop_share: SourceDropLimits = SourceDropLimits()
    max_scenes_per_background: float = Field(
        200.0, gt=0.0, description="mean number of scenes that a photograph serves; more is a warning"
    )
    max_scene_drop_share: Share = Field(0.05, description="of the planned scenes that may be dropped")
    max_plan_difference: Share = Field(0.02, description="between a property's share as made and as planned")
    max_sharpness_log2_ratio: float = Field(
        2.0, ge=0.0, le=16.0, description="of sharpness inside and around a layer, median; 1 = twice as sharp or half"
    )
    max_uses: int = Field(200, ge=1, description="scenes that may show one foreground")
    max_uses_to_median: float = Field(
        10.0, ge=1.0, description="scenes that show the most shown foreground of a source / the median of its source"
    )
    min_foregrounds: int = Field(4, ge=1, description="in the library, for training")
    min_backgrounds: int = Field(2, ge=1, description="in the library, for training")
