"""What a request asks for: its form, checked and put on disk, and the work that a job does with it.

Clients' file names are names of layers, never of files here. What can be said without decoding a picture is said
before the job waits; the rest by the worker, one picture at a time, so that memory does not grow with requests.
"""

import io
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any

from PIL import Image
from starlette.datastructures import FormData, UploadFile

from decoupage.asked_model import AskedModel
from decoupage.faults import BadItem
from decoupage.images.reading import Picture, size_of_file
from decoupage.inputs import read_photograph, told
from decoupage.results import REPORT, check_formats, text_of, write_report, write_whole
from decoupage.selection.objects import Networks, Selected, Wanted, select
from decoupage.selection.said import Box, Point
from decoupage.taking_apart import Settings, num_steps, take_apart
from decoupage.text_files import printable

MAX_OBJECTS, MAX_POINTS, MAX_STEPS, MAX_SEED = 16, 64, 200, 2**64 - 1
MAX_FIELDS, MAX_FIELD_BYTES = 128, 4096
FORMATS = ("psd", "ora")
ARCHIVE = "layers.zip"
FIELDS = (
    "image",
    "mask",
    "box",
    "point",
    "text",
    "refine",
    "prompt",
    "seed",
    "steps",
    "guidance",
    "paste_back",
    "format",
)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class TooLarge(ValueError):
    """A picture has more pixels than the server takes."""


@dataclass(frozen=True)
class Given:
    """A file that came in: where it lies, and what its client calls it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Asked:
    """One request, checked as far as it can be without decoding its pictures."""

    image: Given
    masks: tuple[Given, ...]
    wanted: Wanted
    settings: Settings

    @property
    def num_objects(self) -> int:
        """Number of layers that it asks for."""
        return len(self.wanted.masks) + len(self.wanted.boxes) + len(self.wanted.texts) or 1

    def sentence(self, fault: Exception) -> str:
        """What a fault says, with the client's names of files, and without the dashes of a command line."""
        said = fault.detail if isinstance(fault, BadItem) else str(fault)
        for given in (self.image, *self.masks):
            said = said.replace(str(given.path), printable(given.name))
        return re.sub(r"--(?=[a-z])", "", said)


@dataclass(frozen=True)
class Served:
    """The model that is served, and the networks that find objects.

    Attributes:
        model: as it was asked for; pipe: loaded.
        finds_words: whether a detector was loaded.
    """

    model: AskedModel
    pipe: Any
    networks: Networks
    finds_words: bool = False

    def num_steps(self, asked: Asked) -> int:
        """Calls of the network that a request takes."""
        return num_steps(self.pipe, asked.num_objects, asked.settings)

    def work(self, asked: Asked, out: Path, after_step: Callable[[], None]) -> None:
        """Take a photograph apart: the files of `decompose`, and all of them in `layers.zip`.

        Raises:
            ValueError: a picture, or what is meant in it, cannot be used. BadOutput: as `take_apart`.
        """
        photograph, objects = self._objects(asked)
        height, width = photograph.size
        check_formats((width, height), psd=asked.settings.psd)
        report = take_apart(self.pipe, photograph, objects, None, asked.settings, out, after_step)
        write_report(out, {**report, **self.model.said, "image": text_of(asked.image.name)})
        write_whole(out / ARCHIVE, lambda file: _write_archive(file, out))

    def mask(self, asked: Asked) -> bytes:
        """The mask of one object as PNG, 1 bit. Raises ValueError, as `work`."""
        _, objects = self._objects(asked)
        buffer = io.BytesIO()
        Image.fromarray(objects[0].mask).save(buffer, "PNG")
        return buffer.getvalue()

    def _objects(self, asked: Asked) -> tuple[Picture, list[Selected]]:
        with _SELECTING:
            photograph = read_photograph(asked.image.path)
            found = select(asked.wanted, photograph, self.networks)
        for number, mask in enumerate(asked.masks):
            name = PurePosixPath(mask.name).stem
            found[number] = replace(found[number], name=name, said={"mask": text_of(mask.name)})
        return photograph, found


_SELECTING = Lock()
"""Pictures are decoded, and networks that find objects are asked, one at a time."""


def read_form(form: FormData, folder: Path, max_pixels: int) -> Asked:
    """Check a form and put its files into a folder.

    Raises:
        ValueError: a field is unknown, lacking, given too often or impossible; a file is no picture.
        TooLarge: a picture has too many pixels.
    """
    unknown = sorted(set(form) - set(FIELDS))
    if unknown:
        raise ValueError(f"there is no field {printable(unknown[0])}; fields are {', '.join(FIELDS)}")
    images = _files(form, "image", 1)
    if not images:
        raise ValueError("image is missing: the photograph, as a file")
    (image,) = _kept(images, folder, "image", max_pixels)
    masks = _kept(_files(form, "mask", MAX_OBJECTS), folder, "mask", max_pixels)
    boxes, points = _texts(form, "box", MAX_OBJECTS), _texts(form, "point", MAX_POINTS)
    paths = [mask.path for mask in masks]
    refine = _truth(form, "refine", False)
    wanted = Wanted(paths, boxes, points, _texts(form, "text", MAX_OBJECTS), refine=refine)
    for box in boxes:
        Box.parse(box)
    for point in points:
        Point.parse(point)
    return Asked(image, masks, wanted, _settings(form))


def _settings(form: FormData) -> Settings:
    formats = _texts(form, "format", len(FORMATS))
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    guidance = _one(form, "guidance") or "1"
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", guidance, re.ASCII):
        raise ValueError(f"guidance must be a number in [0, 1000), got {guidance!r}")
    return Settings(
        prompt=_one(form, "prompt") or "",
        steps=_number(form, "steps", 1, MAX_STEPS),
        guidance=float(guidance),
        seed=_number(form, "seed", 0, MAX_SEED) or 0,
        paste_back=_truth(form, "paste_back", True),
        psd="psd" in formats,
        ora="ora" in formats,
    )


def _files(form: FormData, name: str, at_most: int) -> list[UploadFile]:
    found = form.getlist(name)
    if not all(isinstance(each, UploadFile) for each in found):
        raise ValueError(f"{name} must be a file, with a filename, got text")
    if len(found) > at_most:
        raise ValueError(f"{name} may be given {at_most} times, got {len(found)}")
    return [each for each in found if isinstance(each, UploadFile)]


def _kept(files: list[UploadFile], folder: Path, name: str, max_pixels: int) -> tuple[Given, ...]:
    kept = []
    for number, upload in enumerate(files, 1):
        given = Given(folder / f"{name}-{number}", _plain_name(upload.filename, name))
        with given.path.open("xb") as file:
            shutil.copyfileobj(upload.file, file)
        try:
            height, width = size_of_file(given.path)
        except BadItem as fault:
            said = told(Path(given.name), fault)
            raise (TooLarge if fault.reason == "too_large" else ValueError)(said) from fault
        if height * width > max_pixels:
            raise TooLarge(
                f"{printable(given.name)}: {width}x{height} px is above the {max_pixels} pixels that are taken"
            )
        kept.append(given)
    return tuple(kept)


def _plain_name(name: str | None, instead: str) -> str:
    """The last part of a file's name, by the rules of any system."""
    last = re.split(r"[/\\]", name or "")[-1]
    shown = "".join(letter if letter.isprintable() else "_" for letter in last)[:255]
    return shown if shown.strip(". ") else instead


def _texts(form: FormData, name: str, at_most: int) -> tuple[str, ...]:
    found = form.getlist(name)
    if len(found) > at_most:
        raise ValueError(f"{name} may be given {at_most} times, got {len(found)}")
    texts = [each for each in found if isinstance(each, str)]
    if len(texts) != len(found):
        raise ValueError(f"{name} must be text, got a file")
    if any(re.search("[\ud800-\udfff\x00]", text) for text in texts):
        raise ValueError(f"{name} must be UTF-8 text")
    return tuple(texts)


def _one(form: FormData, name: str) -> str | None:
    found = _texts(form, name, 1)
    return found[0] if found else None


def _number(form: FormData, name: str, low: int, high: int) -> int | None:
    text = _one(form, name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,20}", text, re.ASCII) or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number in [{low}, {high}], got {text!r}")
    return int(text)


def _truth(form: FormData, name: str, default: bool) -> bool:
    words: Mapping[str | None, bool] = {None: default, "true": True, "false": False}
    text = _one(form, name)
    if text not in words:
        raise ValueError(f"{name} must be true or false, got {text!r}")
    return words[text]


def _write_archive(file: Any, out: Path) -> None:
    """All files of a result, stored (PNGs do not get smaller), `layers.json` last; same files, same bytes."""
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(names, key=lambda name: name == REPORT):
            with (out / name).open("rb") as source, archive.open(zipfile.ZipInfo(name, _ZIP_TIME), "w") as member:
                shutil.copyfileobj(source, member)
