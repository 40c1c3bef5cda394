"""Which files of a folder are cutouts, which are the alphas of other files, and what folder names say of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from decoupage.images.reading import SUFFIXES


@dataclass(frozen=True)
class CutoutFile:
    """One cutout of a folder.

    Attributes:
        path: of the picture, in the folder.
        alphas: paths of the files that a rule names for its alpha; empty = the picture has its own. More than one is
            ambiguous.
        category: name of the folder that it lies in, without that of a folder of pictures beside one of alphas.
    """

    path: str
    alphas: tuple[str, ...]
    category: str


def find_cutouts(paths: Iterable[str], rules: Sequence[str]) -> Iterator[CutoutFile]:
    """The cutouts among the files of a folder, in their order.

    A file that a rule names for another picture is the alpha of that picture, and no cutout.

    Args:
        paths: all files, relative to the folder, separated by `/`.
        rules: where the alpha of a picture may be, relative to the picture and without suffix; `{name}` becomes the
            picture's own name without suffix.
    """
    pictures = [path for path in paths if path.lower().endswith(SUFFIXES)]
    by_stem: dict[str, list[str]] = {}
    for path in pictures:
        by_stem.setdefault(_stem(path), []).append(path)
    named = {path: list(_named(path, rules, by_stem)) for path in pictures}
    alphas = {file for found in named.values() for _, file in found}
    for path in pictures:
        if path not in alphas:
            found = named[path]
            in_folders = bool(found) and found[0][0].startswith("../")
            # Two rules may name one file.
            yield CutoutFile(path, tuple(dict.fromkeys(file for _, file in found)), _category(path, in_folders))


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _named(path: str, rules: Sequence[str], by_stem: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """(rule, file) for each file that a rule names for a picture, itself excepted."""
    place = PurePosixPath(path)
    for rule in rules:
        folder, rest = place.parent, rule.replace("{name}", place.stem)
        if rule.startswith("../"):
            if not place.parent.name:
                continue
            folder, rest = place.parent.parent, rest.removeprefix("../")
        for file in by_stem.get(str(folder / rest), ()):
            if file != path:
                yield rule, file


def _category(path: str, in_folders: bool) -> str:
    folders = PurePosixPath(path).parts[:-1]
    if in_folders:
        folders = folders[:-1]
    return folders[-1] if folders else ""
