"""A folder or a list of photographs, taken apart one after another: what is done stays done, what fails is listed.

Each photograph has a folder of its own with the files of `decompose`. Its `layers.json` is written last, and says what
was asked, so that a second run does what is missing or was asked otherwise, and nothing else. What cannot be done is
listed in `failures.jsonl`, written anew by each run, and the others go on.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decoupage.faults import BadItem, BadOutput, BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.images.reading import SUFFIXES, read_file
from decoupage.inputs import read_photograph, told
from decoupage.results import REPORT, check_formats, check_inputs, remove_results, text_of, write_report
from decoupage.selection.objects import Networks, Wanted, select
from decoupage.taking_apart import Settings, ordered, take_apart
from decoupage.text_files import decoded_lines, parse_json, printable

if TYPE_CHECKING:
    from decoupage.pipeline import LayerDecompositionPipeline

FAILURES = "failures.jsonl"
_KINDS = {"mask": "masks", "box": "boxes", "point": "points", "text": "texts"}
"""Key of a line -> field of `Wanted`."""


@dataclass(frozen=True)
class Item:
    """One photograph to be taken apart.

    Attributes:
        name: of its folder.
        image: the file.
        wanted: its objects.
    """

    name: str
    image: Path
    wanted: Wanted


@dataclass(frozen=True)
class Outcome:
    """What became of an item: `made`, `there` (it was done before) or `failed`, with reason and detail."""

    item: Item
    state: str
    reason: str = ""
    detail: str = ""


def is_many(image: Path) -> bool:
    """Whether a command's picture stands for many: a folder, or a list `*.jsonl`."""
    return image.is_dir() or image.suffix == ".jsonl"


def items_of(source: Path, said: Mapping[str, Any], *, refine: bool = False) -> list[Item]:
    """The photographs of a folder (not those in folders of it), by name, or those of a list, in its order.

    A line of a list is `{"image": FILE}` with `mask`, `box`, `point` or `text`, one or a list of them, in place of what
    the command says; files are named from the list's folder.

    Args:
        said: `masks` (of a folder: one folder, with a mask of the same stem for each photograph), `boxes`, `points` and
            `texts`, and `everything`, which go for every photograph that does not say its own.
        refine: draw what is in boxes to its outline.

    Raises:
        BadSetup: there is no photograph, the list cannot be read, or a line of it says too little or too much.
        ValueError: `said` does not go together.
    """
    pairs = list(_of_folder(source, said) if source.is_dir() else _of_list(source, said))
    if not pairs:
        raise BadSetup(f"{printable(str(source))} holds no picture: {', '.join(SUFFIXES)} are read")
    wanted = [(image, Wanted(**fields, refine=refine and bool(fields.get("boxes")))) for image, fields in pairs]
    if refine and not any(each.boxes for _, each in wanted):
        raise ValueError("--refine draws what is in a --box to its outline; no picture has one")
    names = _names([image for image, _ in wanted])
    return [Item(name, image, each) for name, (image, each) in zip(names, wanted, strict=True)]


def take_apart_many(
    pipe: "LayerDecompositionPipeline",
    items: Sequence[Item],
    settings: Settings,
    out: Path,
    networks: Networks | None = None,
    common: Mapping[str, Any] | None = None,
    after_each: Callable[[Outcome], object] = lambda outcome: None,
) -> Counter[str]:
    """Take many photographs apart; returns how many were `made`, were `there` already, and `failed`.

    Args:
        out: holds a folder for each item.
        networks: that point out objects; None = none, and colours decide.
        common: what every `layers.json` says besides, above all which model it was; an item is done when it was made
            with the same.
        after_each: called with what became of each item, as soon as it did.

    Raises:
        BadSetup, ValueError: weights of the networks are not here. OSError: the disk is full, or `out` cannot be used.
    """
    networks, common = networks or Networks(), dict(common or {})
    networks.load(texts=any(item.wanted.texts for item in items))
    counts: Counter[str] = Counter()
    out.mkdir(parents=True, exist_ok=True)
    (out / FAILURES).unlink(missing_ok=True)
    for item in items:
        outcome = _one(pipe, item, settings, out / item.name, networks, common)
        counts[outcome.state] += 1
        if outcome.state == "failed":
            found = {"image": text_of(item.image), "reason": outcome.reason, "detail": outcome.detail}
            with (out / FAILURES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")
        after_each(outcome)
    return counts


def _one(
    pipe: "LayerDecompositionPipeline",
    item: Item,
    settings: Settings,
    out: Path,
    networks: Networks,
    common: dict[str, Any],
) -> Outcome:
    try:
        request = _request(item, settings, networks, common)
        if _made_for(out / REPORT) == request:
            return Outcome(item, "there")
        photograph = read_photograph(item.image)
        objects = select(item.wanted, photograph, networks)
        if item.wanted.everything:
            objects = ordered(pipe, photograph, objects, None)
        check_formats(photograph.size[::-1], psd=settings.psd)
        check_inputs(out, [item.image, *item.wanted.masks])
        out.mkdir(parents=True, exist_ok=True)
        remove_results(out)
        found = take_apart(pipe, photograph, objects, None, settings, out)
        write_report(out, {**found, **common, "image": text_of(item.image), "request": request})
    except BadOutput as error:
        return Outcome(item, "failed", "bad_output", printable(str(error)))
    except ValueError as error:
        return Outcome(item, "failed", "bad_input", printable(str(error), 1000))
    except RuntimeError as error:  # Memory, above all: other pictures may be smaller.
        return Outcome(item, "failed", "out_of_memory" if "memory" in str(error) else "failed", printable(str(error)))
    return Outcome(item, "made")


def _request(item: Item, settings: Settings, networks: Networks, common: dict[str, Any]) -> str:
    """Fingerprint of all that decides an item's files. Raises ValueError: a file cannot be read."""
    files = [item.image, *item.wanted.masks]
    said = {**asdict(item.wanted), "masks": [path.stem for path in item.wanted.masks]}
    asked = {"segmenter": networks.segmenter, "detector": networks.detector if item.wanted.texts else None}
    digests = [hashlib.sha256(_bytes(path)).hexdigest() for path in files]
    return fingerprint({"files": digests, "said": said, "settings": asdict(settings), "by": asked, "with": common})


def _bytes(path: Path) -> bytes:
    try:
        return read_file(path)
    except (BadItem, FileNotFoundError) as fault:
        raise ValueError(told(path, fault)) from fault
    except OSError as error:
        raise ValueError(f"{printable(str(path))} cannot be read: {error.strerror}") from error


def _made_for(report: Path) -> str | None:
    """The request that a finished folder answers; None = it is not finished, or says nothing that can be read."""
    try:
        found = parse_json(report.read_bytes(), str(report))
    except (FileNotFoundError, NotADirectoryError, BadSetup):
        return None
    return str(found.get("request")) if isinstance(found, dict) else None


def _of_folder(folder: Path, said: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    masks = list(said.get("masks", ()))
    others = {key: values for key, values in said.items() if key != "masks" and values}
    if masks and not (len(masks) == 1 and masks[0].is_dir()):
        raise ValueError("--mask of a folder of pictures is a folder, with a mask of the same stem for each picture")
    by_stem = {path.stem: path for path in sorted(_pictures(masks[0]), reverse=True)} if masks else {}
    for image in sorted(_pictures(folder)):
        # A mask that is not there is a fault of its picture: its name is what is looked for.
        own = {"masks": [by_stem.get(image.stem, masks[0] / f"{image.stem}.png")]} if masks else {}
        yield image, {**others, **own}


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def _of_list(path: Path, said: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    where = printable(str(path))
    with path.open("rb") as file:
        for number, line in decoded_lines(file, where):
            if line.strip():
                yield _of_line(
                    parse_json(line, f"{where}, line {number}"), path.parent, said, f"{where}, line {number}"
                )


def _of_line(value: Any, folder: Path, said: Mapping[str, Any], where: str) -> tuple[Path, dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("image"), str) or not value["image"]:
        raise BadSetup(f'{where}: a line is an object with "image", the name of a file')
    if unknown := sorted(value.keys() - {"image", *_KINDS}):
        raise BadSetup(f"{where}: it takes image and {', '.join(_KINDS)}, not {printable(', '.join(unknown))}")
    own: dict[str, Any] = {}
    for key, field in _KINDS.items():
        given = value.get(key, [])
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            raise BadSetup(f"{where}: {key} is a text or a list of texts")
        if texts:
            own[field] = [folder / text for text in texts] if key == "mask" else texts
    fields = own or {key: values for key, values in said.items() if values}
    try:
        Wanted(**fields)
    except ValueError as error:
        raise BadSetup(f"{where}: {error}") from None
    return folder / value["image"], fields


def _names(images: Sequence[Path]) -> list[str]:
    """A folder's name for each picture: its stem; where several share one, its file name; else with a number."""
    stems = Counter(path.stem.casefold() for path in images)
    names: list[str] = []
    taken: set[str] = set()
    for path in images:
        name = path.stem if stems[path.stem.casefold()] == 1 else path.name
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
