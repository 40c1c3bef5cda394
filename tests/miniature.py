"""The `paper` profile in miniature: what its sources are in the world, small, on 127.0.0.1 and in a folder.

Photographs, annotations, lists and weights have their published formats and random contents. A run over it keeps every
rule of `configs/paper.toml`: `overrides` changes numbers of things, sizes, addresses and folders alone.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from decoupage.bases import find_base
from decoupage.images.alpha import blend
from decoupage.images.codecs import encode_jpeg
from decoupage.images.types import Array, Rgb, Rgba
from decoupage.randomness import hash64
from decoupage.weights.hub import split_revision
from pipelines.config import DepthConfig, SegmentationConfig
from pipelines.config.foregrounds import SafetyFilterConfig
from pipelines.foregrounds.layerdiffuse import settings as published
from pipelines.library.objects import objects
from tests.decoupage.maps.nets import SIZE_PX, save_depth_anything, save_segformer
from tests.decoupage.tiny import flux_fill
from tests.library import shape_rgba
from tests.pipelines.backgrounds.lists import box, id_of, image, label, lists
from tests.pipelines.downloads import server as file_server
from tests.pipelines.foregrounds import prompts_server
from tests.pipelines.foregrounds.layerdiffuse.tiny_weights import deltas, object_decoder, save_checker, save_sdxl
from tests.pipelines.foregrounds.mulan.annotations import pack
from tests.pipelines.foregrounds.mulan.test_coco_info import write_info
from tests.publishers import repository

TRAIN = tuple(f"{number:012d}" for number in range(11, 17))
VAL = ("000000000139", "000000000285")
GONE = "000000000404"
"""Annotated, and in neither half of COCO."""
LAION = "000000009"
OBJECT_PX = 220
NUM_BACKGROUNDS = 12
KEYS = ("OPENAI_API_KEY", "HF_TOKEN")
NEWEST = "0" * 40
"""Commit of each repository's `main`."""
LOST = id_of(0)
"""Listed, and not in OpenImages' bucket any more."""
TAKEN_DOWN = 2
"""Number of the image whose original its author removed: the bucket's file is used."""


@dataclass(frozen=True)
class World:
    """Where everything is.

    Attributes:
        folder: annotations and weights.
        files: the server of COCO's pictures, OpenImages' lists and its bucket.
        prompts: the server of the language model, whose address is `model_url`.
    """

    folder: Path
    files: file_server.Files
    prompts: prompts_server.PromptsServer
    model_url: str

    @property
    def hub(self) -> Path:
        """The Hub's cache with all weights that the profile names."""
        return self.folder / "hub"

    def overrides(self, images: Path) -> dict[str, str]:
        """What the profile is told of this world; COCO's pictures are fetched into `images`."""
        return {
            "mulan.annotations": str(self.folder / "annotations"),
            "mulan.images": str(images),
            "mulan.coco.info": str(self.folder / "coco"),
            "mulan.coco.download": "true",
            "mulan.coco.url": f"{self.files.url}/coco/{{subset}}/{{id}}.jpg",
            "mulan.fetch.workers": "2",
            "mulan.num_shards": "2",
            "prompts.base_url": self.model_url,
            "generated.prompts_per_category": "1",
            "generated.num_shards": "2",
            "generated.size_px": "192",
            "generated.num_steps": "2",
            "generated.batch_size": "1",
            "generated.device": "cpu",
            "generated.dtype": "float32",
            "backgrounds.openimages.lists": self.files.url,
            "backgrounds.openimages.images": f"{self.files.url}/{{subset}}/{{id}}.jpg",
            "backgrounds.openimages.workers": "2",
            "backgrounds.num_shards": "2",
            "backgrounds.min_side_px": "640",  # The bucket's own files, too, can fill these scenes.
            "library.held_out_share": "0.35",
            "checks.max_drop_share.mulan.unreadable": "0.2",  # One photograph of nine is gone.
            "scenes.num_scenes": "6",
            "scenes.scenes_per_shard": "3",
            "scenes.size_px": "256",
            "held_out.num_scenes": "3",
            "maps.segmentation.size_px": str(SIZE_PX["segformer"]),
            "maps.segmentation.device": "cpu",
            "maps.depth.size_px": str(SIZE_PX["depth_anything"]),
            "maps.depth.device": "cpu",
            "engine.kind": "serial",
        }

    def environment(self, images: Path) -> dict[str, str]:
        """The same as variables, and the Hub's cache, with the Hub out of reach."""
        named = {f"DECOUPAGE__{key.upper().replace('.', '__')}": text for key, text in self.overrides(images).items()}
        return {**without_keys(), **named, "HF_HUB_CACHE": str(self.hub), "HF_HUB_OFFLINE": "1"}


def without_keys() -> dict[str, str]:
    """This process's environment less what would open a door: keys, and variables of another profile."""
    return {k: v for k, v in os.environ.items() if k not in KEYS and not k.startswith("DECOUPAGE_")}


@contextmanager
def small_world(folder: Path) -> Iterator[World]:
    """Everything written and served."""
    content = {f"coco/train2017/{id}.jpg": write_annotated(folder, id) for id in TRAIN}
    content |= {f"coco/val2017/{id}.jpg": write_annotated(folder, id) for id in VAL}
    write_annotated(folder, GONE)
    write_annotated(folder, LAION)
    # As COCO numbers them: 4 is CC BY 2.0, 1 is CC BY-NC-SA 2.0.
    write_info(folder / "coco", {int(id): 4 for id in (*TRAIN, GONE)}, {int(id): 1 for id in VAL})
    write_hub(folder / "hub")
    with file_server.serving(content) as files, prompts_server.serving() as (model, url):
        files.content |= openimages(files.url)
        model.usual = answer
        yield World(folder, files, model, url)


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """Nouns of small things, by the question alone, as of a model that is asked with a seed."""
    wanted = int(re.search(r"Write (\d+) prompts", body["messages"][1]["content"])[1])
    words = sorted(o.noun for o in objects().values() if o.support == "surface" and o.noun.isalpha())
    picks = (hash64("word", body["seed"], number) % len(words) for number in range(wanted))
    return prompts_server.listed(*(words[pick] for pick in picks))


def write_annotated(folder: Path, id: str) -> bytes:
    """A photograph of two objects, as JPEG; its annotation is written in MuLAn's format."""
    objects = [_placed(shape_rgba(int(id) * 10 + k, OBJECT_PX), 10 + 240 * k) for k in range(2)]
    photograph = photograph_of(int(id), 240, 480)
    for rgba in objects:
        photograph = blend(photograph, rgba)
    path = folder / "annotations" / f"{id}.p.zl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(_annotation(objects)))
    return encode_jpeg(photograph, 95)


def _placed(rgba: Rgba, left: int) -> Rgba:
    canvas = np.zeros((240, 480, 4), np.uint8)
    canvas[10 : 10 + OBJECT_PX, left : left + OBJECT_PX] = rgba
    return canvas


def _annotation(objects: list[Rgba]) -> dict[str, Any]:
    """Objects whose lowest quarter something hid: there the annotation has the colours, elsewhere the photograph."""
    seen = np.ones((240, 480, 1), bool)
    seen[180:] = False
    instances = {
        k: {
            "blip2": ("a hedgehog", "a rabbit")[k - 1],
            "original_image_mask": seen,
            "instance_mask": rgba[..., 3:] > 0,
            "inpainted_delta": np.where(seen | (rgba[..., 3:] == 0), 0, rgba[..., :3]).astype(np.int16),
            "instance_alpha": Image.fromarray(rgba[..., 3]),
        }
        for k, rgba in enumerate(objects, 1)
    }
    free = np.logical_and.reduce([rgba[..., 3:] == 0 for rgba in objects])
    background: Array = np.where(free, 0, 120).repeat(3, axis=2).astype(np.int16)
    return {
        "captioning": {"llava": "v1", "blip2": "v2", "clip": "v3"},
        "background": {"llava": "a wall", "blip2": "wall", "original_image_mask": free, "inpainted_delta": background},
        "image": {"llava": "things on a wall", "blip2": "things"},
        "instances": instances,
    }


def photograph_of(seed: int, height: int, width: int) -> Rgb:
    """[H, W, 3] squares of 20 px in random colours."""
    squares = np.random.default_rng(seed).integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    return np.kron(squares, np.ones((20, 20, 1), np.uint8))


def openimages(url: str) -> dict[str, bytes]:
    """Published lists, of which each filter takes one image, the bucket, and the authors' larger files on `url`."""
    ids = [id_of(number) for number in range(NUM_BACKGROUNDS + 4)]
    unturned, peopled, tiny, full = ids[-4:]
    listed = [image(id, Rotation="90.0" if number == 1 else "0.0") for number, id in enumerate(ids)]
    by_id = {row["ImageID"]: row for row in listed}
    by_id[unturned]["Rotation"] = ""
    by_id[tiny]["OriginalSize"] = "200000"
    labels = [label(id, "Beach") for id in ids] + [label(peopled, "Person")]
    boxes = [box(id, 0, 0.9 if id == full else 0.2, 0.1, 0.4) for id in ids]
    bucket = {f"train/{id}.jpg": encode_jpeg(photograph_of(number, 660, 760), 90) for number, id in enumerate(ids)}
    del bucket[f"train/{LOST}.jpg"]
    flickr = {}
    for number, id in enumerate(ids):
        larger = np.kron(photograph_of(number, 660, 760), np.ones((2, 2, 1), np.uint8))
        flickr[f"flickr/{number}_o.jpg"] = data = encode_jpeg(larger, 90)
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        by_id[id] |= {"OriginalURL": f"{url}/flickr/{number}_o.jpg", "OriginalMD5": md5}
    del flickr[f"flickr/{TAKEN_DOWN}_o.jpg"]
    return lists(listed, labels, boxes) | bucket | flickr


def write_hub(hub: Path) -> None:
    """Every net of the profile with random weights, as the Hub's cache holds the published one."""
    save_sdxl(snapshot(hub, published.SDXL_BASE), half=True)
    repository, adapter = published.SDXL_DELTAS
    layerdiffuse = snapshot(hub, repository)
    save_file(deltas(), layerdiffuse / adapter)
    save_file(object_decoder().state_dict(), layerdiffuse / published.SDXL_DECODER[1])
    save_checker(snapshot(hub, SafetyFilterConfig().weights), 1.0)
    save_segformer(snapshot(hub, SegmentationConfig().weights), id2label={0: "floor", 1: "earth", 2: "grass"})
    (snapshot(hub, split_revision(SegmentationConfig().weights)[0]) / "pytorch_model.bin").write_bytes(b"a pickle")
    save_depth_anything(snapshot(hub, DepthConfig().weights))
    flux_fill().save_pretrained(snapshot(hub, find_base("flux-fill").repo_id))


def snapshot(hub: Path, place: str) -> Path:
    """The folder of a repository's newest commit in a Hub's cache, or of the branch or commit that is named."""
    repo_id, revision = split_revision(place)
    held = repository(hub, repo_id)
    if len(revision) == len(NEWEST):
        commit = revision
    else:
        commit, reference = NEWEST, held / "refs" / revision
        reference.parent.mkdir(parents=True)
        reference.write_text(commit)
    folder = held / "snapshots" / commit
    folder.mkdir(parents=True)
    return folder
