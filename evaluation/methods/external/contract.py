"""The folders that an external command reads and writes (docs/baselines.md describes them for its author).

In: `images/<name>.png` (RGB), `masks/<name>.png` (white = the target), and `list.json` with the hash of the list, of
each image and of both files. Out: `background/<name>.png` (RGB), `foreground/<name>.png` (RGBA, straight alpha), of the
image's size, and a file that says which list they answer: a copy of `list.json`, or `done.json` with its `list_sha256`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import encode_mask, encode_png
from decoupage.images.reading import read_file
from decoupage.text_files import parse_json, printable
from evaluation.cases import Case, Entry, list_file
from evaluation.method import Failure, Layers
from evaluation.records.foreign import read_answer
from evaluation.records.method import LIST
from pipelines.stages.store import Store

IMAGES, MASKS, DONE = "images", "masks", "done.json"
_MAX_LIST_BYTES = 1 << 28


def write_case(store: Store, case: Case) -> dict[str, str]:
    """Write a case's picture and mask; returns its line of `list.json`."""
    image, mask = encode_png(case.composite), encode_mask(case.mask)
    store.write(f"{IMAGES}/{case.name}.png", image)
    store.write(f"{MASKS}/{case.name}.png", mask)
    digests = {"image_sha256": image, "mask_sha256": mask}
    return {"name": case.name, "sha256": case.sha256} | {
        key: hashlib.sha256(data).hexdigest() for key, data in digests.items()
    }


def write_list(store: Store, lines: Sequence[dict[str, str]], about: dict[str, Any]) -> str:
    """Close the input folder with its list; returns the list's hash."""
    listed = list_file([Entry(line["name"], line["sha256"]) for line in lines], about) | {"images": list(lines)}
    store.write(LIST, (json.dumps(listed, indent=1) + "\n").encode())
    return str(listed["list_sha256"])


@dataclass(frozen=True)
class Output:
    """What a command wrote."""

    folder: Path

    def fault(self, sha256: str) -> str:
        """What is wrong with its statement of which list it answers; empty if it is the list with this hash."""
        for name in (DONE, LIST):
            path = self.folder / name
            if not path.is_file() or path.is_symlink():
                continue
            try:
                said = parse_json(read_file(path, _MAX_LIST_BYTES), name)
            except (BadItem, BadSetup, FileNotFoundError) as error:
                return f"{name} cannot be read: {error}"
            if not isinstance(said, dict):
                return f"{name} is not a JSON object"
            echoed = said.get("list_sha256")
            if echoed == sha256:
                return ""
            return f"{name} names another list ({printable(str(echoed)[:12])} instead of {sha256[:12]})"
        return f"it wrote neither {DONE} nor a copy of {LIST}, so it is unknown which list its pictures answer"

    def answer(self, case: Case, gives: Sequence[str]) -> Layers | Failure:
        """Its pictures of a case."""
        for part in gives:
            if (self.folder / part).is_symlink():  # As for its pictures: a link could lead anywhere.
                return Failure(f"{part}/ is a link")
        return read_answer(case, {part: self.folder / part / f"{case.name}.png" for part in gives})
