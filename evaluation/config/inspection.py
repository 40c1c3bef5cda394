"""The part `evaluation.inspection` of a profile."""

from pydantic import Field

from decoupage.settings import Share
from pipelines.config import Section


class InspectionConfig(Section):
    """The FiftyOne dataset and its App."""

    folder: str = Field("", description="local folder of pictures and database; empty = fiftyone/ in the root")
    address: str = Field("127.0.0.1", min_length=1, description="the App listens here; loopback keeps others out")
    port: int = Field(5151, ge=1024, le=65535, description="of the App")
    batch_scenes: int = Field(64, ge=1, le=10_000, description="scenes that enter the database at once")
    max_scenes: int | None = Field(None, ge=1, description="show only the first of each split; absent = all")
    near_duplicate_distance: Share = Field(
        0.02, description="cosine distance of composites' small copies below which one repeats the other"
    )
