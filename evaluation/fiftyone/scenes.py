"""A training scene as a group: composite, clean plate, and each layer over a checkerboard.

It is read from its shard. Which scenes are selected, and how FiftyOne shows them, is not known here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoupage.images.codecs import decode_gray, encode_gray, encode_jpeg
from decoupage.images.contact_sheet import over_checkerboard
from evaluation.fiftyone.group import (
    BACKGROUND,
    COMPOSITE,
    JPEG_QUALITY,
    TRAIN,
    Box,
    Group,
    Picture,
    depth_png,
    small_copy,
    version_of,
    write_once,
)
from pipelines.scenes.parts import SceneParts
from pipelines.scenes.read import Span, spans
from pipelines.stages.manifest import read_manifests
from pipelines.stages.store import Store

_LAYER = (
    *("occluded_fraction", "occlusion_level", "mask_error", "mask_iou", "mask_area_px", "amodal_area_px"),
    *("visible_area_px", "size_class", "scale", "border_contact", "semi_transparent", "completeness"),
)
_SOURCE = ("source", "kind", "licence", "attribution", "category", "prompt")
_MAPS = ("edges", "segmentation", "depth")


@dataclass(frozen=True)
class SceneItem:
    """A wanted scene: its shard, its place in it, and the version of its group."""

    shard: str
    span: Span
    version: str


def scene_items(store: Store, folder: str, shards: Sequence[str]) -> Iterator[SceneItem]:
    """The scenes of finished shards; their versions come from the manifests alone."""
    finished = (manifest for manifest in read_manifests(store, folder, shards) if manifest is not None)
    for manifest in finished:
        for span in spans(manifest):
            yield SceneItem(manifest.shard, span, version_of(member.sha256 for member in span.members))


@dataclass(frozen=True)
class SceneReader:
    """Makes the groups of scenes: writes their pictures once, and collects their fields. It is sent to workers.

    Attributes:
        store: store of the shards.
        media: folder of all groups' files.
        quality: figures of each asset from the library, by id.
    """

    store: Store
    media: Path
    quality: Mapping[str, Mapping[str, Any]]

    def __call__(self, wanted: SceneItem) -> Group:
        """The group of a scene.

        Raises:
            BadItem, BadSetup: a member is damaged.
        """
        key = wanted.span.key
        members = wanted.span.read(self.store)
        parts = SceneParts.decode(key, members)
        shared = {"split": TRAIN, "key": key, "shard": wanted.shard, "difficulty": parts.record["difficulty"]}
        layers = [self._layer(parts, i, shared) for i in range(len(parts.layers))]
        pictures = (*layers, self._background(parts, shared), self._composite(parts, shared, layers))
        group = Group(f"{TRAIN}/{key}", wanted.version, pictures, small_copy(parts.composite))
        write_once(self.media / group.folder, _files(parts, members))
        return group

    def _layer(self, parts: SceneParts, i: int, shared: Mapping[str, Any]) -> Picture:
        entry = parts.record["layers"][i]
        source = entry["foreground"]
        fields = {**shared, "layer": i, "asset": source["id"], "mask_iou": entry["mask_iou"]}
        fields |= {name: entry[name] for name in _LAYER} | {name: source[name] for name in _SOURCE}
        fields |= self.quality.get(source["id"], {})
        masks = {"visible": f"visible{i}.png", "imperfect": f"imperfect{i}.png"}
        return Picture(f"layer{i}", f"layer{i}.jpg", fields, masks)

    def _background(self, parts: SceneParts, shared: Mapping[str, Any]) -> Picture:
        source = parts.record["background"]
        fields = {**shared, "asset": source["id"]} | {name: source[name] for name in _SOURCE[:4] if name in source}
        return Picture(BACKGROUND, "background.jpg", fields | dict(self.quality.get(source["id"], {})))

    def _composite(self, parts: SceneParts, shared: Mapping[str, Any], layers: Sequence[Picture]) -> Picture:
        entries = parts.record["layers"]
        fields = {
            **shared,
            "num_layers": len(entries),
            "size_px": parts.size[0],
            "attempt": parts.record["attempt"],
            "occluded_fraction": max(entry["occluded_fraction"] for entry in entries),
            "mask_iou": min(entry["mask_iou"] for entry in entries),
            "semi_transparent": any(entry["semi_transparent"] for entry in entries),
            "border_contact": any(entry["border_contact"] for entry in entries),
            "assets": [entry["foreground"]["id"] for entry in entries],
            "sources": sorted({entry["foreground"]["source"] for entry in entries}),
            "licences": sorted({named["licence"] for named in _named(parts)}),
        }
        boxes = {"layers": tuple(box_of(parts, i, layers[i].fields) for i in range(len(entries)))}
        masks = {"visible": "visible.png", "imperfect": "imperfect.png", "edges": "edges.png", "regions": "regions.png"}
        return Picture(COMPOSITE, "composite.jpg", fields, masks, {"depth": "depth.png"}, boxes)


def _named(parts: SceneParts) -> list[dict[str, Any]]:
    """The records of a scene's background and foregrounds, each of which has a licence."""
    return [parts.record["background"], *(entry["foreground"] for entry in parts.record["layers"])]


def box_of(parts: SceneParts, i: int, fields: Mapping[str, Any]) -> Box:
    """The box of layer i's whole shape, also where it is hidden, with the layer's fields."""
    height, width = parts.size
    left, top, right, bottom = parts.layers[i].box
    share = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    source = parts.record["layers"][i]["foreground"]
    names = ("layer", "asset", "occluded_fraction", "occlusion_level", "mask_iou", "mask_error", "difficulty")
    attributes = {name: fields[name] for name in names + _SOURCE}
    return Box(source["category"] or "foreground", share, attributes)


def _files(parts: SceneParts, members: Mapping[str, bytes]) -> dict[str, bytes]:
    files = {"composite.jpg": encode_jpeg(parts.composite, JPEG_QUALITY), "background.jpg": members["background.jpg"]}
    visible = [parts.visible_mask(i) for i in range(len(parts.layers))]
    for name, masks in (("visible", visible), ("imperfect", parts.imperfect_masks)):
        labels: NDArray[np.uint8] = np.zeros(parts.size, np.uint8)
        for i, mask in enumerate(masks):  # Where two masks overlap, the upper layer's counts.
            labels[mask] = i + 1
            files[f"{name}{i}.png"] = encode_gray(mask.astype(np.uint8))
        files[f"{name}.png"] = encode_gray(labels)
    for i in range(len(parts.layers)):
        files[f"layer{i}.jpg"] = encode_jpeg(over_checkerboard(parts.foreground(i)), JPEG_QUALITY)
    edges, regions, depth = (decode_gray(members[f"{name}.png"]) for name in _MAPS)
    files["edges.png"] = encode_gray((edges > 127).astype(np.uint8))
    files["regions.png"] = encode_gray(regions.astype(np.uint8))
    files["depth.png"] = depth_png(depth.astype(np.float32) / np.float32(np.iinfo(depth.dtype).max))
    return files
