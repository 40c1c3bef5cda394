"""A whole MULAN with photographs, on disk and on a server, for the tests of index, fetching and split."""

from pathlib import Path

from decoupage.images.codecs import encode_jpeg
from pipelines.config.foregrounds import CocoConfig, FetchConfig, LaionConfig, MulanConfig
from pipelines.foregrounds.mulan.source import MulanSource
from pipelines.stages.store import Store
from tests.pipelines.downloads.server import Files
from tests.pipelines.foregrounds.mulan.annotations import make_annotation, make_photograph, pack

COCO_TRAIN, COCO_VAL, COCO_GONE = "000000000009", "000000000139", "000000000404"
LAION = "000000009"


def annotate(folder: Path, *ids: str, below: str = "") -> None:
    """Annotations without photographs, in the true byte format."""
    for number, id in enumerate(ids):
        path = folder / "annotations" / below / f"{id}.p.zl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(make_annotation(number)))


def photograph(folder: Path, subset: str, *ids: str) -> None:
    """Photographs on disk."""
    for id in ids:
        path = folder / "images" / subset / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(make_photograph(1)))


def serve(files: Files, subset: str, *ids: str) -> None:
    """Photographs on the server, a different one for each id."""
    for id in ids:
        files.content[f"{subset}/{id}.jpg"] = encode_jpeg(make_photograph(int(id)))


def make_source(
    folder: Path, url: str = "", laion: LaionConfig | None = None, test_ids: str = "", max_gb: float = 1.0
) -> MulanSource:
    """The MULAN of a folder, with its store beside it; an url fetches COCO's photographs from there."""
    config = MulanConfig(
        annotations=str(folder / "annotations"),
        images=str(folder / "images"),
        coco=CocoConfig(download=True, url=url + "/{subset}/{id}.jpg") if url else CocoConfig(),
        laion=laion or LaionConfig(),
        fetch=FetchConfig(workers=3, max_gb=max_gb, timeout_s=5.0, max_attempts=3),
        test_ids=test_ids,
        num_shards=4,
    )
    return MulanSource(config, Path(config.annotations), Path(config.images), Store(str(folder / "root")))
