"""A folder of pictures that somebody else made, as a method: it is opened with care, and what it holds is recorded.

The folder holds `list.json` (the list that the pictures answer: each image's name and hash, as an evaluation writes
it), `<case>.background.png` (RGB) and `<case>.foreground.png` (RGBA, straight alpha). Only names of the list are looked
up; a picture that is absent, no regular file, too large, damaged or of another size is a failure of its case.
"""

import hashlib
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.images.codecs import decode_rgb, decode_rgba
from decoupage.images.types import Array
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Failure, Layers, MethodRecipe
from evaluation.records.method import LIST
from evaluation.records.room import read_json
from pipelines.stages.store import Store

_BYTES_PER_PIXEL = 16
_HEADER_BYTES = 1 << 16
"""A PNG larger than this is no picture of its case: 16-bit RGBA takes half as much without any compression."""
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class ForeignPictures:
    """See `Method`.

    Attributes:
        hashes: case -> hash of the image that the pictures answer.
    """

    name: str
    folder: Path
    gives: frozenset[str]
    hashes: Mapping[str, str]

    def __call__(self, case: Case) -> Layers | Failure:
        """Its pictures of a case.

        Raises:
            BadSetup: an image is not the one that was answered; scores of two lists must not be put side by side.
        """
        if case.name not in self.hashes:
            raise BadSetup(f"{self.folder} holds answers to another list: {case.name} is not in it")
        if self.hashes[case.name] != case.sha256:
            raise BadSetup(
                f"{self.folder} holds answers to another list: {case.name} had other pixels then "
                f"({self.hashes[case.name][:12]}, now {case.sha256[:12]})"
            )
        return read_answer(case, {part: self.folder / f"{case.name}.{part}.png" for part in self.gives})


def foreign_recipe(name: str, folder: str | Path, gives: Sequence[str]) -> MethodRecipe:
    """Pictures that are there already, to be judged beside other methods. Changed files are other answers.

    A list may hold more images than are asked for; each that is asked for must be in it, with the same hash.

    Args:
        folder: local.
        gives: `background`, `foreground` or both.

    Raises:
        BadSetup: the folder has no readable `list.json`.
    """
    place = Path(folder)
    listed = read_json(Store(str(place)), LIST)
    try:
        hashes = {str(image["name"]): str(image["sha256"]) for image in listed["images"]}
    except (KeyError, TypeError) as error:
        raise BadSetup(f"{place / LIST} is no list of images with names and hashes") from error
    method = ForeignPictures(name, place, frozenset(gives), hashes)
    pictures = (f"{case}.{part}.png" for case in hashes for part in sorted(gives))
    facts = {"pictures": fingerprint({picture: _sha256(place / picture) for picture in pictures})}
    return MethodRecipe(name, method.gives, lambda: method, facts)


def read_answer(case: Case, paths: Mapping[str, Path]) -> Layers | Failure:
    """A case's layers from foreign picture files, by part; a failure where one cannot be used."""
    try:
        pictures = {part: _read_picture(case, part, path) for part, path in sorted(paths.items())}
    except ValueError as error:
        return Failure(str(error))
    return Layers(pictures.get(BACKGROUND), pictures.get(FOREGROUND))


def _read_picture(case: Case, part: str, path: Path) -> Array:
    data = _read(part, path, _BYTES_PER_PIXEL * case.size[0] * case.size[1] + _HEADER_BYTES)
    try:
        picture = decode_rgba(data) if part == FOREGROUND else decode_rgb(data)
    except BadItem as error:
        raise ValueError(f"the {part} cannot be read ({error})") from error
    if picture.shape[:2] != case.size:
        raise ValueError(f"the {part} is {list(picture.shape[:2])}, not {list(case.size)}")
    return picture


def _read(part: str, path: Path, max_bytes: int) -> bytes:
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise ValueError(f"no {part}") from None
    # A link could lead anywhere, a pipe would never end.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"the {part} is no regular file")
    if found.st_size > max_bytes:
        raise ValueError(f"the {part} is too large for its size ({found.st_size} bytes)")
    return path.read_bytes()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(_read("file", path, _MAX_BYTES)).hexdigest()
    except ValueError as error:
        return str(error)
