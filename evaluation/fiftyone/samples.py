"""FiftyOne's samples from groups in plain values, and the fields that a dataset declares for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.fiftyone.group import COMPOSITE, Group, Picture
from evaluation.fiftyone.library import fiftyone

GROUP, COPY, ITEM, VERSION = "group", "small_copy", "item", "version"
_NUMBERS = (
    *("occluded_fraction", "mask_iou", "amodal_area_px", "visible_area_px", "scale"),
    *("alpha_mean", "soft_share", "consistency_error", "sharpness", "uniqueness"),
)
_WHOLE = ("num_layers", "layer", "size_px", "attempt", "mask_area_px", "num_failures")
_WORDS = (
    *(ITEM, VERSION, "split", "key", "shard", "case", "method", "asset", "difficulty", "occlusion_level"),
    *("occlusion", "mask_error", "size_class", "size", "clutter", "completeness", "source", "kind", "licence"),
    *("attribution", "category", "prompt", "near_duplicate_of"),
)
_FLAGS = ("semi_transparent", "border_contact")
_LISTS = ("assets", "sources", "licences", "failed_methods")
_BOX_WORDS = (
    *("asset", "source", "kind", "licence", "attribution", "category", "prompt", "mask_error"),
    *("occlusion_level", "occlusion", "difficulty"),
)
MASKS, HEATMAPS, BOXES = ("visible", "imperfect", "edges", "regions"), ("depth",), "layers"


def declare_fields(dataset: Any) -> None:
    """Declare all fields of a dataset, so that even fields of few samples can be sorted and filtered from the start."""
    fo = fiftyone()
    dataset.add_group_field(GROUP, default=COMPOSITE)
    for names, kind in ((_NUMBERS, fo.FloatField), (_WHOLE, fo.IntField), (_WORDS, fo.StringField)):
        for name in names:
            dataset.add_sample_field(name, kind)
    for name in _FLAGS:
        dataset.add_sample_field(name, fo.BooleanField)
    for name in _LISTS:
        dataset.add_sample_field(name, fo.ListField, subfield=fo.StringField)
    for name in MASKS:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Segmentation)
    for name in HEATMAPS:
        dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Heatmap)
    dataset.add_sample_field(BOXES, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    kinds = [("layer", fo.IntField), ("occluded_fraction", fo.FloatField), ("mask_iou", fo.FloatField)]
    for name, kind in kinds + [(name, fo.StringField) for name in _BOX_WORDS]:
        dataset.add_sample_field(f"{BOXES}.detections.{name}", kind)
    dataset.add_sample_field(COPY, fo.VectorField)
    # Every run looks all groups up by it.
    dataset.create_index(ITEM)


def declare_further(dataset: Any, groups: Sequence[Group]) -> None:
    """Declare slices, and fields that depend on the evaluation: scores of each method, strata."""
    fo = fiftyone()
    for name in dict.fromkeys(picture.slice for group in groups for picture in group.pictures):
        if name not in dataset.group_media_types:
            dataset.add_group_slice(name, "image")
    kinds = {float: fo.FloatField, str: fo.StringField}
    known = set(dataset.get_field_schema())
    values = (entry for group in groups for picture in group.pictures for entry in picture.fields.items())
    for name, value in values:
        if name not in known and type(value) in kinds:
            dataset.add_sample_field(name, kinds[type(value)])
            known.add(name)


def to_samples(group: Group, media: Path) -> list[Any]:
    """The samples of a group, in its order: the composite, which marks a complete group, comes last."""
    import numpy as np

    fo = fiftyone()
    together = fo.Group()
    samples = []
    for picture in group.pictures:
        sample = fo.Sample(str(media / group.folder / picture.file), **_labels(fo, picture, media / group.folder))
        for name, value in picture.fields.items():
            if value is not None:
                sample[name] = value
        sample[GROUP] = together.element(picture.slice)
        sample[ITEM], sample[VERSION] = group.item, group.version
        if picture.slice == COMPOSITE:
            sample[COPY] = np.asarray(group.copy, np.float32)
        samples.append(sample)
    return samples


def _labels(fo: Any, picture: Picture, folder: Path) -> dict[str, Any]:
    labels: dict[str, Any] = {
        name: fo.Segmentation(mask_path=str(folder / file)) for name, file in picture.masks.items()
    }
    for name, file in picture.heatmaps.items():
        labels[name] = fo.Heatmap(map_path=str(folder / file), range=[0, 255])
    for name, boxes in picture.boxes.items():
        found = [
            fo.Detection(
                label=box.label,
                bounding_box=list(box.box),
                **{key: value for key, value in box.attributes.items() if value is not None},
            )
            for box in boxes
        ]
        labels[name] = fo.Detections(detections=found)
    return labels
