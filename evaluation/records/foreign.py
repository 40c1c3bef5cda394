"""A folder of foreign pictures as a method: it is opened with care, and its contents are recorded.

The folder holds `list.json` (the list that the pictures answer: each image's name and hash, as an evaluation writes
it), `<case>.background.png` (RGB) and `<case>.foreground.png` (RGBA, straight alpha). Only names of the list are looked
up; a picture that is absent, not a regular file, too large, animated, damaged or of another size, a foreground without
alpha, and a background with transparent pixels are failures of their case.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.images.reading import MAX_BYTES, open_image, read_picture
from decoupage.images.types import Array
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, Failure, Layers, MethodRecipe
from evaluation.records.method import LIST
from evaluation.records.room import check_names, read_json
from pipelines.stages.store import Store

_BYTES_PER_PIXEL = 16
_HEADER_BYTES = 1 << 16
"""A PNG larger than this cannot be a picture of its case: 16-bit RGBA takes half as much without any compression."""


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
    """Existing pictures, to be judged together with other methods. Changed files are other answers.

    A list may hold more images than are requested; each requested one must be in it, with the same hash.

    Args:
        folder: local.
        gives: `background`, `foreground` or both.

    Raises:
        BadSetup: the folder has no readable `list.json`, or it names what cannot be a file.
    """
    place = Path(folder)
    listed = read_json(Store(str(place)), LIST)
    try:
        hashes = {str(image["name"]): str(image["sha256"]) for image in listed["images"]}
    except (KeyError, TypeError) as error:
        raise BadSetup(f"{place / LIST} is not a list of images with names and hashes") from error
    check_names(list(hashes), "case")
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
        if getattr(open_image(data, case.size), "is_animated", False):
            raise ValueError(f"the {part} is animated: it is unclear which of its pictures is the answer")
        picture = read_picture(data, upright=False, expected=case.size)
    except BadItem as error:
        raise ValueError(f"the {part} cannot be used ({error})") from error
    if part == FOREGROUND:
        if picture.alpha is None:
            raise ValueError(
                f"the {part} has no alpha channel: it must be RGBA, because its alpha says where the object is"
            )
        return picture.rgba
    if not picture.is_opaque:
        raise ValueError(f"the {part} has transparent pixels: it must be opaque RGB")
    return picture.rgb


def _read(part: str, path: Path, max_bytes: int) -> bytes:
    with _opened(part, path, max_bytes) as file:
        return file.read(max_bytes)


@contextmanager
def _opened(part: str, path: Path, max_bytes: int) -> Iterator[BufferedReader]:
    """A regular file of bounded size, looked at after it is opened, so that it cannot be exchanged in between."""
    try:
        # A link could lead anywhere, a pipe would never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ValueError(f"no {part}") from None
    except OSError as error:
        why = "is not a regular file" if error.errno == errno.ELOOP else f"cannot be opened ({error.strerror})"
        raise ValueError(f"the {part} {why}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ValueError(f"the {part} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > max_bytes:
            raise ValueError(f"the {part} is too large for its size ({found.st_size} bytes)")
        yield file


def _sha256(path: Path) -> str:
    try:
        with _opened("file", path, MAX_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except ValueError as error:
        return str(error)
