"""Photographs to put objects in front of."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section, Share

Subset = Literal["train", "validation", "test"]


class OpenImagesConfig(Section):
    """Which images of OpenImages are taken, and how they are fetched."""

    lists: str = Field(
        "https://storage.googleapis.com/openimages",
        min_length=1,
        description="address or folder under which the lists lie as they are published; in a folder also side by side",
    )
    paths: dict[str, str] = Field(
        {}, description="lists that lie elsewhere: `classes`, `train.images`, `train.labels`, `train.boxes`, ..."
    )
    images: str = Field(
        "https://open-images-dataset.s3.amazonaws.com/{subset}/{id}.jpg",
        description="{subset} becomes train, validation or test, {id} the 16 digits",
    )
    subsets: tuple[Subset, ...] = Field(("train",), min_length=1)
    num_images: int = Field(20_000, ge=1, le=10_000_000, description="at most; raising it appends")
    seed: int = Field(0, ge=0, description="of the order in which images are taken")
    min_original_kb: float = Field(0.0, ge=0.0, le=100_000.0, description="of the file that the author gave")
    max_box_share: Share = Field(0.1, description="of the picture, for all boxes together")
    max_gb: float = Field(10.0, gt=0.0, le=100_000.0, description="of all pictures together; then fetching stops")
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
    """Photographs to put objects in front of."""

    source: Literal["packaged", "folder", "openimages"] = "folder"
    folder: str = Field("", description="folder of pictures, searched recursively; attribution.csv is read if there")
    openimages: OpenImagesConfig = OpenImagesConfig()
    min_side_px: int = Field(256, ge=16, le=8192)
    min_sharpness: float = Field(0.0, ge=0.0, description="variance of the Laplacian of the gray picture at 512 px")
    max_thing_share: Share = Field(1.0, description="of the picture that SegFormer takes for things; 1 = not asked")
    licence: str = Field("unknown", description="licence of pictures for which attribution.csv says none")
    num_shards: int = Field(1, ge=1, le=2000, description="of the index")

    @model_validator(mode="after")
    def _folder_named(self) -> "BackgroundConfig":
        if self.source == "folder" and not self.folder:
            raise ValueError("folder must name a folder when source = 'folder'")
        return self
