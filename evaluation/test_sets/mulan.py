"""MULAN's test pictures: one image for each instance that shows, from the annotations and the photographs.

The composite is the photograph; the scene without an instance is the rebuilt background with all other layers over
it; the mask is where the instance shows. Both truths were inpainted by MULAN's authors where nothing was seen.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.images.alpha import alpha_box
from decoupage.images.codecs import decode_rgb
from decoupage.images.reading import read_file
from decoupage.images.types import Gray, Mask, Rgba
from evaluation.cases import Case
from evaluation.test_sets.originals import Excluded
from evaluation.test_sets.shards import covered
from pipelines.foregrounds.mulan.files import AnnotationFile, check_images, find_annotations
from pipelines.foregrounds.mulan.reader import LICENCE, read_decomposition
from pipelines.foregrounds.mulan.split import Split, hash_of, read_list
from pipelines.scenes.parts import VISIBLE_ALPHA, Layer, SceneParts


@dataclass(frozen=True)
class MulanPictures:
    """See `Originals`.

    Attributes:
        annotations: folder with `*.p.zl`, searched recursively.
        images: folder with train2017/ and val2017/, and laion/ where that part is used.
        keys: of the pictures on the list.
    """

    annotations: Path
    images: Path
    keys: frozenset[str]
    name: str = "mulan"

    @property
    def about(self) -> dict[str, Any]:
        """See `Originals`."""
        return {"num_pictures": len(self.keys), "ids_sha256": hash_of(self.keys), "licence": LICENCE}

    def read(self, names: Collection[str] | None = None) -> Iterator[Case | Excluded]:
        """See `Originals`; by picture, and within it from the bottom. A picture that cannot be read is one exclusion.

        Raises:
            BadSetup: a folder is not there.
        """
        wanted = None if names is None else {name.rpartition("-")[0] for name in names}
        for key in sorted(self.keys if wanted is None else self.keys & wanted):
            for found in self._instances(key):
                if names is None or found.name in names:
                    yield found

    @cached_property
    def _files(self) -> dict[str, AnnotationFile]:
        check_images(self.images)
        files: dict[str, AnnotationFile] = {}
        for file in find_annotations(self.annotations):
            if file.key in self.keys:
                files.setdefault(file.key, file)
        return files

    def _instances(self, key: str) -> Iterator[Case | Excluded]:
        file = self._files.get(key)
        if file is None:
            yield Excluded(key, "missing_annotation", f"{self.annotations.name} holds no annotation of {key}")
            return
        try:
            found = read_decomposition(file, self.images)
            composite = decode_rgb(read_file(found.photograph.path))
        except BadItem as fault:
            yield Excluded(key, fault.reason, fault.detail)
            return
        instances = dict(enumerate(found.layers.instances, start=1))
        shown = [k for k, rgba in instances.items() if rgba[..., 3].any()]
        parts = SceneParts(key, found.layers.background, tuple(_layer(instances[k]) for k in shown), {})
        for k, rgba in instances.items():
            visible = parts.visible_mask(shown.index(k)) if k in shown else np.zeros(parts.size, bool)
            if reason := _reason_against(rgba[..., 3], visible):
                yield Excluded(f"{key}-{k}", reason, f"instance {k} is visible in {int(visible.sum())} pixels")
                continue
            layer = shown.index(k)
            yield Case(
                name=f"{key}-{k}",
                key=key,
                photograph=key,
                origin=key,
                composite=composite,
                mask=visible,
                visible=visible,
                background=parts.flatten(without=layer),
                foreground=rgba,
                maps=None,
                occluded_fraction=parts.occluded_fraction(layer),
                strata={"source": file.part},
                covered=covered(parts, layer),
            )


def _layer(rgba: Rgba) -> Layer:
    left, top, right, bottom = box = alpha_box(rgba[..., 3])
    return Layer(rgba[top:bottom, left:right], box)


def _reason_against(alpha: Gray, visible: Mask) -> str:
    """Why an instance cannot be used; empty if it can."""
    if not (alpha >= VISIBLE_ALPHA).any():
        return "empty_alpha"
    if not visible.any():
        return "hidden"
    return "full_mask" if visible.all() else ""


def listed_keys(split: Split, ids: str) -> frozenset[str]:
    """Keys of the pictures to be judged on.

    Args:
        split: which pictures are for testing.
        ids: path of a list of them; empty = all.

    Raises:
        BadSetup: nothing is settled yet, a list is damaged, or it names a picture that training may see.
    """
    keys = split.keys()
    if not keys:
        raise BadSetup(
            "MULAN's list of test pictures is not settled yet; make the library once (`decoupage scenes make`), "
            "or name your own list in mulan.test_ids"
        )
    if not ids:
        return keys
    chosen = read_list(Path(ids))
    if seen := sorted(chosen - keys):
        raise BadSetup(
            f"evaluation.test_sets.mulan_ids: training may see {len(seen)} pictures of {ids}, such as {seen[0]}; "
            "name the same file in mulan.test_ids, and make the library and the scenes again"
        )
    return chosen
