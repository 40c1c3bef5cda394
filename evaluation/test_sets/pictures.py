"""A list as files: every image with its hash, and hashes of the pictures that keep them out of training.

Of the second, `pipelines.library.evaluation_lists` says what the format is, and the library reads it.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from decoupage.images.alpha import alpha_box
from decoupage.images.types import Rgb
from evaluation.cases import Case, Entry, list_file
from evaluation.test_sets.spec import TestSet
from pipelines.library.evaluation_lists import HASH_LISTS, hash_list
from pipelines.library.picture_hashes import PictureHashes, hash_cutout, hash_picture
from pipelines.scenes.parts import pixels_sha256
from pipelines.stages.store import Store

LIST = "list.json"


def write_lists(test_set: TestSet, out: Store, root: Store | None) -> dict[str, Any]:
    """Look at every image once; write `list.json`, and into a root what its library and its leak check read.

    Gives the content of `list.json`. Pictures are hashed as they are judged: reduced to 64 px, photographs had at most
    2 bits of 64 other than at their own size.

    Args:
        out: gets `list.json`.
        root: gets `library/evaluation_lists/<name>.json`; None = for our own scenes, whose parts the library knows.

    Raises:
        BadSetup: the test set cannot be read.
    """
    entries: list[Entry] = []
    pictures: dict[str, PictureHashes] = {}
    names: set[str] = set()
    for case in test_set.cases():
        entries.append(Entry(case.name, case.sha256))
        names |= {case.key, case.name}
        if root is not None:
            pictures |= {f"{case.name}/{role}": found for role, found in _hashes(case)}
    listed = list_file(entries, test_set.about)
    if root is not None:
        root.write(f"{HASH_LISTS}/{test_set.name}.json", hash_list(sorted(names), pictures))
    out.write(LIST, (json.dumps(listed, indent=1) + "\n").encode())
    return listed


def _hashes(case: Case) -> Iterator[tuple[str, PictureHashes]]:
    yield "composite", _photograph(case.composite)
    if case.background is not None:
        yield "background", _photograph(case.background)
    if case.foreground is not None and case.foreground[..., 3].any():
        left, top, right, bottom = alpha_box(case.foreground[..., 3])
        tight = np.ascontiguousarray(case.foreground[top:bottom, left:right])
        yield "foreground", hash_cutout(pixels_sha256(tight), tight)


def _photograph(rgb: Rgb) -> PictureHashes:
    return hash_picture(pixels_sha256(rgb), Image.fromarray(rgb))
