"""The source of backgrounds and the filters on them."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section, Share

Subset = Literal["train", "validation", "test"]


class OpenImagesConfig(Section):
    """Which images of OpenImages are chosen, and how they are fetched."""

    lists: str = Field(
        "https://storage.googleapis.com/openimages",
        min_length=1,
        description="address or folder with the lists in their published layout, or all in one folder",
    )
    paths: dict[str, str] = Field(
        {}, description="lists at other places: `classes`, `train.images`, `train.labels`, `train.boxes`, ..."
    )
    images: str = Field(
        "https://open-images-dataset.s3.amazonaws.com/{subset}/{id}.jpg",
        description="{subset} becomes train, validation or test, {id} the 16 digits",
    )
    subsets: tuple[Subset, ...] = Field(("train",), min_length=1)
    num_images: int = Field(20_000, ge=1, le=10_000_000, description="largest number of images; raising it appends")
    seed: int = Field(0, ge=0, description="seed of the random order of the images")
    min_original_kb: float = Field(0.0, ge=0.0, le=100_000.0, description="smallest size of the author's original file")
    max_box_share: Share = Field(0.1, description="largest share of the picture that all boxes together may cover")
    max_gb: float = Field(10.0, gt=0.0, le=100_000.0, description="budget for all pictures of the mirror together")
    originals: bool = Field(
        False, description="fetch the authors' own files of the chosen images too: the mirror's have 1024 px at most"
    )
    originals_mp: int = Field(3, ge=1, le=25, description="megapixels that an original is reduced to and stored with")
    originals_max_gb: float = Field(
        100.0, gt=0.0, le=100_000.0, description="budget of one run for originals, as they are fetched"
    )
    workers: int = Field(16, ge=1, le=64, description="connections at a time")
    timeout_s: float = Field(30.0, gt=0.0, le=3600.0)
    max_attempts: int = Field(6, ge=1, le=100)

    @model_validator(mode="after")
    def _complete(self) -> "OpenImagesConfig":
        if not self.images.startswith(("http://", "https://")) or any(
            self.images.count(part) != 1 for part in ("{subset}", "{id}")
        ):
            raise ValueError(
                f"images must start with http:// or https:// and hold {{subset}} and {{id}}, got {self.images}"
            )
        if len(set(self.subsets)) < len(self.subsets):
            raise ValueError(f"subsets must differ, got {list(self.subsets)}")
        names = {"classes"} | {f"{subset}.{kind}" for subset in self.subsets for kind in ("images", "labels", "boxes")}
        if unknown := sorted(set(self.paths) - names):
            raise ValueError(f"paths must be among {', '.join(sorted(names))}, got {', '.join(unknown)}")
        return self


class BackgroundConfig(Section):
    """The source of backgrounds and the filters on them."""

    source: Literal["packaged", "folder", "openimages"] = "folder"
    folder: str = Field("", description="folder of pictures, searched recursively; attribution.csv is read if present")
    openimages: OpenImagesConfig = OpenImagesConfig()
    min_side_px: int = Field(256, ge=16, le=8192)
    min_sharpness: float = Field(0.0, ge=0.0, description="variance of the Laplacian of the gray picture at 512 px")
    max_thing_share: Share = Field(
        1.0, description="largest share that SegFormer labels as salient objects; 1 = no filter"
    )
    licence: str = Field("unknown", description="licence of pictures for which attribution.csv names none")
    num_shards: int = Field(1, ge=1, le=2000, description="number of shards of the index")

    @model_validator(mode="after")
    def _folder_named(self) -> "BackgroundConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        return self
