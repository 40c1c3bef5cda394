"""From the lists to the images to fetch, in a stable random order, with their attributions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from decoupage.faults import BadSetup
from decoupage.randomness import hash64
from pipelines.backgrounds.attribution import Attribution
from pipelines.backgrounds.openimages.boxes import with_boxes
from pipelines.backgrounds.openimages.candidates import Candidates, read_candidates
from pipelines.backgrounds.openimages.filters import OF_BOXES, OF_LABELS, OF_LIST, apply
from pipelines.backgrounds.openimages.labels import read_classes, scene_names, with_labels
from pipelines.backgrounds.openimages.originals import Original, md5_hex
from pipelines.backgrounds.openimages.table import format_id, parse_ids, places_of, stream
from pipelines.config.backgrounds import OpenImagesConfig
from pipelines.stages.progress import Progress

_DETAILS = ("Author", "AuthorProfileURL", "Title", "OriginalLandingURL")


@dataclass(frozen=True)
class Choice:
    """The images to fetch.

    Attributes:
        images: path in the folder (`<subset>/<id>.jpg`) -> attribution, in the order of the choice.
        num_listed: number of images in the lists.
        drops: reason of a filter -> number of images that it removed, without those beyond the wanted number.
        originals: path in the folder -> the author's own file, where the configuration wants it and the list gives
            address and MD5.
    """

    images: dict[str, Attribution]
    num_listed: int
    drops: dict[str, int]
    originals: dict[str, Original]


def choose(config: OpenImagesConfig, lists: dict[str, Path]) -> Choice:
    """Choose up to `num_images` images that pass every filter, by the hash of their ids: a larger number appends.

    Raises:
        BadSetup: a list cannot be read, or no image is left.
    """
    drops: dict[str, int] = {}
    num_listed = 0
    left: dict[str, Candidates] = {}
    classes = read_classes(lists["classes"])
    with Progress("lists of OpenImages", "subsets", len(config.subsets)) as progress:
        for subset in progress.counting(config.subsets):
            found, num_bad = read_candidates(lists[f"{subset}.images"])
            num_listed += len(found) + num_bad
            drops["bad_id"] = drops.get("bad_id", 0) + num_bad
            left[subset] = _filtered(found, subset, config, lists, classes, drops)
    chosen = _first(left, config)
    if not any(len(candidates) for candidates in chosen.values()):
        reasons = ", ".join(f"{reason} {number}" for reason, number in drops.items() if number)
        raise BadSetup(f"none of {num_listed} images of OpenImages is left: {reasons}; loosen backgrounds.openimages")
    images: dict[str, Attribution] = {}
    originals: dict[str, Original] = {}
    for name, candidates in chosen.items():
        images |= _described(candidates, name, lists)
        originals |= _originals(candidates, name, lists) if config.originals else {}
    order = sorted(images, key=lambda path: _rank(config.seed, path[-20:-4]))
    own = {path: originals[path] for path in order if path in originals}
    return Choice({path: images[path] for path in order}, num_listed, drops, own)


def _filtered(
    found: Candidates,
    subset: str,
    config: OpenImagesConfig,
    lists: dict[str, Path],
    classes: dict[str, list[str]],
    drops: dict[str, int],
) -> Candidates:
    """Apply the filters, those of the short lists first: boxes are the longest list, so few images should be left."""
    found = apply(found, OF_LIST, config, drops)
    found = apply(with_labels(found, lists[f"{subset}.labels"], classes), OF_LABELS, config, drops)
    return apply(with_boxes(found, lists[f"{subset}.boxes"], config.max_box_share), OF_BOXES, config, drops)


def _rank(seed: int, id: str) -> tuple[int, str]:
    return hash64("openimages", seed, id), id


def _first(left: dict[str, Candidates], config: OpenImagesConfig) -> dict[str, Candidates]:
    """The first `num_images` of all subsets together, in the order of the hash."""
    ranks = {
        subset: np.fromiter((_rank(config.seed, format_id(id))[0] for id in found.ids), np.uint64, len(found))
        for subset, found in left.items()
    }
    together = np.sort(np.concatenate(list(ranks.values())))
    if len(together) <= config.num_images:
        return left
    # Equal 64-bit hashes would admit one image more, and do no other harm.
    last = together[config.num_images - 1]
    return {subset: found.take(ranks[subset] <= last) for subset, found in left.items()}


def _described(chosen: Candidates, subset: str, lists: dict[str, Path]) -> dict[str, Attribution]:
    """The attributions of the chosen images, from a second pass over the list of images."""
    described: dict[str, Attribution] = {}
    for place, (author, profile, title, landing) in _rows(chosen, lists[f"{subset}.images"], _DETAILS):
        id = format_id(chosen.ids[place])
        attribution = Attribution(
            origin=id,
            licence=chosen.licences[chosen.licence[place]],
            attribution=_attribution(title, author, profile, landing),
            caption=", ".join(scene_names(chosen.scenes[place])),
            rotation_deg_ccw=int(chosen.rotation_deg_ccw[place]),
        )
        described.setdefault(f"{subset}/{id}.jpg", attribution)
    return described


def _originals(chosen: Candidates, subset: str, lists: dict[str, Path]) -> dict[str, Original]:
    """The authors' own files of the chosen images, where the list gives address and MD5."""
    found: dict[str, Original] = {}
    for place, (url, md5) in _rows(chosen, lists[f"{subset}.images"], ("OriginalURL", "OriginalMD5")):
        original = Original((url or "").strip(), md5_hex((md5 or "").strip()))
        if original.url and original.md5:
            found.setdefault(f"{subset}/{format_id(chosen.ids[place])}.jpg", original)
    return found


def _rows(chosen: Candidates, path: Path, names: Sequence[str]) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    """(position among the chosen, texts of the named columns) of each line of a list of images that is chosen."""
    columns = {"ImageID": pa.string(), **dict.fromkeys(names, pa.string())}
    for block in stream(path, columns, has_newlines=True):
        ids, good = parse_ids(block["ImageID"])
        places = np.where(good, places_of(ids, chosen.ids), -1)
        rows = np.flatnonzero(places >= 0)
        texts = zip(*(block[name].take(pa.array(rows)).to_pylist() for name in names), strict=True)
        yield from zip(places[rows].tolist(), texts, strict=True)


def _attribution(title: str | None, author: str | None, profile: str | None, landing: str | None) -> str:
    """The text `"Title" by Author (profile), address of the photograph`, as far as these are known."""
    title, author, profile, landing = (" ".join((text or "").split()) for text in (title, author, profile, landing))
    named = f'"{title or "untitled"}" by {author or "an unnamed author"}'
    return named + (f" ({profile})" if profile else "") + (f", {landing}" if landing else "")
