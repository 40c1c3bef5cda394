"""`dataset/croissant.json`: the dataset in the Croissant format, so that catalogues and loaders can read it.

Paths are those of the published layout: the contents of `dataset/` at the top, and the folder `shards/` beside them.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html (version 1.0).
"""

import json
from collections.abc import Sequence

import pyarrow as pa

from pipelines.dataset.index import INDEX, FileFacts
from pipelines.dataset.statistics import Statistics
from pipelines.licences.terms import licence_url
from pipelines.scenes.record import SCHEMA

_COLUMNS = {
    "shard": "number of the shard whose tar holds the scene",
    "key": "number of the scene; its members are named <key>.<suffix>",
    "layer": "number of the layer, 0 = lowest",
    "box": "left, top, right, bottom on the canvas, pixels",
    "scale": "placed size / library size",
    "rotation_deg": "counter-clockwise",
    "size_class": "small, medium or large, as drawn",
    "amodal_area_px": "whole alpha of the layer, also where hidden: sum of alpha / 255",
    "visible_area_px": "the part of it that the layers above let through",
    "occluded_fraction": "1 - visible / amodal area",
    "occlusion_level": "none, light, medium or heavy, as drawn",
    "border_contact": "the layer reaches the border of the picture",
    "mask_error": "kind of error of the given mask",
    "mask_iou": "given mask against the true visible mask",
    "mask_area_ratio": "area of the given mask / area of the true visible mask",
    "background_crop": "left, top, side of the square cut from the upright photograph, pixels",
    "attempt": "which draw was kept, 0 = the first",
    "draws": "plan@hash, then id@hash of every asset drawn, refused draws too",
}
_LENGTHS = {"box": 4, "background_crop": 3}


def croissant_json(name: str, description: str, version: str, statistics: Statistics, index: FileFacts) -> bytes:
    """The bytes of the Croissant file, without address and day of publication: equal data give equal bytes.

    Args:
        name: name of the dataset.
        description: its description, in one or two sentences.
        version: the data version (16 hex digits).
        statistics: the dataset's statistics, for its licences.
        index: size and hash of `index.parquet`, or of `shards.parquet` where the shards' own files are the index.
    """
    import mlcroissant as mlc

    is_whole = index.path == INDEX
    name_of_index = index.path.rpartition("/")[2]
    metadata = mlc.Metadata(
        name=name,
        description=description,
        version=f"1.0.0+{version}",  # Croissant asks for a semantic version; the hash is its build part.
        cite_as=f"decoupage data set {name}, version {version}",
        license=[licence_url(licence) for licence in statistics.licences],
        keywords=["layer decomposition", "RGBA", "amodal completion", "inpainting", "webdataset"],
        distribution=[
            mlc.FileObject(
                id="index" if is_whole else "shard-list",
                name=name_of_index,
                description="One row a layer over all shards." if is_whole else "One row a shard.",
                content_url=name_of_index,
                content_size=f"{index.num_bytes} B",
                encoding_formats=["application/x-parquet"],
                sha256=index.sha256,
            ),
            mlc.FileSet(
                id="shards",
                name="shards",
                description="WebDataset tars: scenes as their parts, with maps.",
                encoding_formats=["application/x-tar"],
                includes=["shards/*.tar"],
            ),
            *([] if is_whole else [_parts()]),
        ],
        record_sets=[
            mlc.RecordSet(
                id="layers", name="layers", description="One record a layer of a scene.", fields=_fields(is_whole)
            )
        ],
    )
    return (json.dumps(metadata.to_json(), indent=2, ensure_ascii=False) + "\n").encode()


def _parts() -> object:
    import mlcroissant as mlc

    return mlc.FileSet(
        id="index",
        name="index",
        description="One row a layer, a file for each shard.",
        encoding_formats=["application/x-parquet"],
        includes=["shards/*.parquet"],
    )


def _fields(is_whole: bool) -> "Sequence[object]":
    import mlcroissant as mlc

    types = {pa.string(): mlc.DataType.TEXT, pa.bool_(): mlc.DataType.BOOL, pa.float64(): mlc.DataType.FLOAT}
    fields = []
    # Only the index over all shards says which shard a row is of.
    for column in [*([pa.field("shard", pa.string())] if is_whole else []), *SCHEMA]:
        is_list = pa.types.is_list(column.type)
        type_ = column.type.value_type if is_list else column.type
        shape = {"is_array": True, "array_shape": str(_LENGTHS.get(column.name, -1))} if is_list else {}
        fields.append(
            mlc.Field(
                id=f"layers/{column.name}",
                name=column.name,
                description=_COLUMNS.get(column.name, column.name.replace("_", " ")),
                data_types=[types.get(type_, mlc.DataType.INTEGER)],
                source=mlc.Source(
                    **{"file_object" if is_whole else "file_set": "index"}, extract=mlc.Extract(column=column.name)
                ),
                **shape,
            )
        )
    return fields
