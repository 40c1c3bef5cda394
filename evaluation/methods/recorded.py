"""A folder of finished pictures as a method: what baselines are recorded in, and how anybody's outputs come in.

The folder holds `list.json` (the list that the pictures answer: each image's name and hash, as
`evaluation.cases.list_file` writes it), `<case>.background.png` (RGB) and `<case>.foreground.png` (RGBA, straight
alpha). `failures.json` (case -> why there is no picture) may be there. The pictures may come from anywhere: they are
opened like all foreign pictures, and only names of the list are looked up.
"""

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_rgb, decode_rgba
from decoupage.images.types import Array
from evaluation.cases import Case
from evaluation.methods.spec import BACKGROUND, FOREGROUND, Failure, Layers

LIST, FAILURES = "list.json", "failures.json"
_BYTES_PER_PIXEL = 16
_HEADER_BYTES = 1 << 16
"""A PNG larger than this is no picture of its case: 16-bit RGBA takes half as much without any compression."""


class RecordedOutputs:
    """Pictures that are there already, as a method.

    A list may hold more images than are asked for; each that is asked for must be in it, with the same hash.

    Args:
        folder: local, finished (with `list.json`).
        gives: `background`, `foreground` or both.

    Raises:
        BadSetup: the folder has no readable `list.json`.
    """

    def __init__(self, name: str, folder: str | Path, gives: Sequence[str]) -> None:
        self.name, self.gives = name, frozenset(gives)
        self.folder = Path(folder)
        listed = read_json(self.folder / LIST)
        try:
            self._hashes = {str(image["name"]): str(image["sha256"]) for image in listed["images"]}
            self.list_sha256 = str(listed["list_sha256"])
        except (KeyError, TypeError) as error:
            raise BadSetup(f"{self.folder / LIST} is no list of images with names and hashes") from error
        failures = self.folder / FAILURES
        self._failures = read_json(failures) if failures.is_file() else {}

    def __call__(self, cases: Sequence[Case]) -> Sequence[Layers | Failure]:
        """See `Method`. A picture that is absent or cannot be read is a failure.

        Raises:
            BadSetup: an image is not the one that was recorded; scores of two lists must not be put side by side.
        """
        for case in cases:
            self._check(case)
        return [self._answer(case) for case in cases]

    def _check(self, case: Case) -> None:
        if case.name not in self._hashes:
            raise BadSetup(f"{self.folder} holds outputs for another list: {case.name} is not in it; record it anew")
        if self._hashes[case.name] != case.sha256:
            raise BadSetup(
                f"{self.folder} holds outputs for another list: {case.name} had other pixels then "
                f"({self._hashes[case.name][:12]}, now {case.sha256[:12]}); record it anew"
            )

    def _answer(self, case: Case) -> Layers | Failure:
        if case.name in self._failures:
            return Failure(str(self._failures[case.name]))
        return read_answer(case, {part: self.folder / f"{case.name}.{part}.png" for part in self.gives})


def read_answer(case: Case, paths: dict[str, Path]) -> Layers | Failure:
    """A case's layers from foreign picture files, by part.

    A failure where one is absent, no regular file, too large, damaged, or of another size than the case.
    """
    try:
        pictures = {part: _read_picture(case, part, path) for part, path in sorted(paths.items())}
    except ValueError as error:
        return Failure(str(error))
    return Layers(pictures.get(BACKGROUND), pictures.get(FOREGROUND))


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object.

    Raises:
        BadSetup: it is absent or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BadSetup(f"{path} is not there: not a folder of outputs, or not finished") from error
    except (OSError, ValueError) as error:
        raise BadSetup(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BadSetup(f"{path} holds no JSON object")
    return content


def _read_picture(case: Case, part: str, path: Path) -> Array:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise ValueError(f"no {part}") from None
    # A link could lead anywhere, a pipe would never end.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"the {part} is no regular file")
    if found.st_size > _BYTES_PER_PIXEL * case.size[0] * case.size[1] + _HEADER_BYTES:
        raise ValueError(f"the {part} is too large for its size ({found.st_size} bytes)")
    data = path.read_bytes()
    try:
        picture = decode_rgba(data) if part == FOREGROUND else decode_rgb(data)
    except BadItem as error:
        raise ValueError(f"the {part} cannot be read ({error})") from error
    if picture.shape[:2] != case.size:
        raise ValueError(f"the {part} is {list(picture.shape[:2])}, not {list(case.size)}")
    return picture
