"""The licences and addresses of COCO's photographs, out of the head of COCO's own annotation files.

Each `*_train2017.json` and `*_val2017.json` of annotations_trainval2017.zip holds `licenses` and `images` beside its
annotations. They are read as a stream, one element in memory at a time, and no further than these two lists
(https://cocodataset.org/#format-data).
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from decoupage.faults import BadSetup
from decoupage.text_files import is_printable, printable
from pipelines.foregrounds.mulan.files import COCO_SUBSETS
from pipelines.licences.terms import canonical, find_terms

URL_CHARACTERS = "%/:=&?~#+!$,;@'*"
"""Characters of an address that stay as they are; others are escaped, because addresses go into attributions."""
_LISTS = ("licenses", "images")
_CHUNK_CHARACTERS = 1 << 20
_MAX_ELEMENT_CHARACTERS = 1 << 24
_ID = re.compile(r"(\d{12})\.jpg")
_SPACE = " \t\r\n"


@dataclass(frozen=True)
class CocoPhotograph:
    """One photograph: its licence, by the name of `pipelines/licences/terms.csv`, and its address on Flickr."""

    licence: str
    url: str


def info_files(place: Path) -> list[Path]:
    """The file itself, or of a folder one file for each half of COCO 2017: they all hold the same list of images.

    Raises:
        BadSetup: the file, or a half in the folder, is missing.
    """
    if place.is_file():
        return [place]
    found = [next(iter(sorted(place.glob(f"*_{subset}.json"))), None) for subset in COCO_SUBSETS]
    files = [file for file in found if file is not None]
    if len(files) < len(found):
        lacking = [f"*_{subset}.json" for subset, file in zip(COCO_SUBSETS, found, strict=True) if file is None]
        raise BadSetup(f"mulan.coco.info names {place}, which lacks {' and '.join(lacking)}")
    return files


def read_coco_info(place: Path, wanted: Collection[str]) -> dict[str, CocoPhotograph]:
    """Read the wanted photographs: id of 12 digits -> licence and address; those that COCO lacks are left out.

    Raises:
        BadSetup: a file is missing, is not JSON of COCO's form, or lacks a list.
    """
    found: dict[str, CocoPhotograph] = {}
    for path in info_files(place):
        found |= _read(path, wanted)
    return found


def _read(path: Path, wanted: Collection[str]) -> dict[str, CocoPhotograph]:
    licences: dict[int, str] = {}
    images: dict[str, tuple[int, str]] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for name, element in _elements(file):
                if name == "licenses":
                    licences[element["id"]] = _licence_name(element)
                elif (match := _ID.search(element["file_name"])) and match[1] in wanted:
                    images[match[1]] = (element["license"], quote(element.get("flickr_url", ""), safe=URL_CHARACTERS))
        return {id: CocoPhotograph(licences[number], url) for id, (number, url) in images.items()}
    except OSError as error:
        raise BadSetup(f"mulan.coco.info names {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = printable(repr(error))
        raise BadSetup(f"{path} is not an annotation file of COCO with licenses and images: {found}") from error


def _licence_name(licence: Mapping[str, Any]) -> str:
    """COCO's licences by address are Creative Commons'; the other two are known by name."""
    by_address, by_name = canonical(licence["url"]), canonical(licence["name"])
    name = by_address if find_terms(by_address) else by_name
    if not is_printable(name):
        raise ValueError(f"a licence is called {name!r}")
    return name


def _elements(file: TextIO) -> Iterator[tuple[str, Any]]:
    """(list, element) of the two lists at the top of a JSON object; stops behind the second."""
    window = _Window(file)
    window.take("{")
    missing = set(_LISTS)
    while missing:
        name = window.value()
        window.take(":")
        if window.peek() != "[":
            window.value()
        else:
            for element in window.array():
                if name in _LISTS:
                    yield name, element
            missing.discard(name)
        if missing and window.take(",}") == "}":
            raise ValueError(f"it has no list {' and '.join(sorted(missing))}")


class _Window:
    """A part of a JSON text, read on as its values are taken."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not a space. Raises ValueError at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                raise ValueError("it ends in the middle")

    def take(self, expected: str) -> str:
        """The next character, which must be one of the expected ones."""
        character = self.peek()
        if character not in expected:
            raise ValueError(f"{character!r} where one of {expected!r} was expected")
        self._at += 1
        return character

    def value(self) -> Any:
        """The next value, of bounded length."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the very end of the text read so far may go on.
                if end < len(self._text) or not self._read_on():
                    self._at = end
                    return value
            except json.JSONDecodeError:
                if len(self._text) - self._at > _MAX_ELEMENT_CHARACTERS or not self._read_on():
                    raise

    def array(self) -> Iterator[Any]:
        """The elements of the array that comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def _read_on(self) -> bool:
        more = self._file.read(_CHUNK_CHARACTERS)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
