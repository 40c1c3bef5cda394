"""MULAN annotations and the pictures they belong to."""

from typing import Literal

from pydantic import Field, model_validator

from decoupage.settings import Section


class CocoConfig(Section):
    """COCO 2017's photographs, fetched one by one where they are not there."""

    download: bool = False
    """True fetches into `mulan.images` what is missing there."""
    url: str = Field(
        "http://images.cocodataset.org/{subset}/{id}.jpg",
        description="{subset} becomes train2017 or val2017, {id} the 12 digits",
    )

    @model_validator(mode="after")
    def _whole_template(self) -> "CocoConfig":
        # Without the subset nobody would know which half a picture is in, and that decides the split.
        if not self.url.startswith(("http://", "https://")) or any(
            self.url.count(part) != 1 for part in ("{subset}", "{id}")
        ):
            raise ValueError(f"url must start with http:// or https:// and hold {{subset}} and {{id}}, got {self.url}")
        return self


class LaionConfig(Section):
    """MULAN's other part, on LAION-Aesthetics pictures; they lie in `laion/` of `mulan.images`."""

    use: bool = False
    """False counts its annotations and leaves them out."""
    links: str = Field("", description="CSV of pictures' addresses; what is missing is fetched when it is named")
    id_column: str = Field("file_id", min_length=1, description="column of the 9-digit key")
    url_column: str = Field("url", min_length=1, description="column of the address")


class FetchConfig(Section):
    """How pictures are fetched."""

    workers: int = Field(8, ge=1, le=64, description="connections at a time")
    max_gb: float = Field(10.0, gt=0.0, le=10_000.0, description="of one run; then it stops and says so")
    max_file_mb: float = Field(30.0, gt=0.0, le=1000.0)
    timeout_s: float = Field(30.0, gt=0.0, le=3600.0)
    max_attempts: int = Field(5, ge=1, le=100)


class MulanConfig(Section):
    """MULAN annotations and the pictures they belong to."""

    source: Literal["packaged", "folder", "none"] = "folder"
    """`packaged`: a small tree in the same byte format, made from packaged photographs (the demo); `none`: no MULAN."""
    annotations: str = Field("", description="folder with *.p.zl files, searched recursively")
    images: str = Field("", description="folder with train2017/ and val2017/, and laion/ where that part is used")
    coco: CocoConfig = CocoConfig()
    laion: LaionConfig = LaionConfig()
    fetch: FetchConfig = FetchConfig()
    test_ids: str = Field("", description="file of picture ids for testing, one a line; empty = those of val2017")
    num_shards: int = Field(64, ge=1, le=2000)
    max_inflated_mb: int = Field(256, ge=1, le=1024, description="bound of one annotation after decompression")

    @model_validator(mode="after")
    def _folders_named(self) -> "MulanConfig":
        if self.source == "folder" and not (self.annotations and self.images):
            raise ValueError("annotations and images must name folders when source = 'folder'")
        return self
