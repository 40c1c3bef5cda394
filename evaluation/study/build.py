"""Makes a study's folder from a folder of methods' outputs: its plan, and the pictures as raters see them.

Pictures are opaque RGB and all encoded alike, so that only their content distinguishes them. Who rates, and how, is
not known here.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from decoupage.faults import BadItem, BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import encode_png
from decoupage.images.contact_sheet import outlined, over_checkerboard
from decoupage.images.types import Mask, Rgb
from decoupage.randomness import generator
from evaluation.config import Aspect, StudyConfig
from evaluation.outputs import Outputs
from evaluation.study.folder import KEY, KEY_BYTES, PICTURES, PLAN, VOTES, Study, new_key
from evaluation.study.plan import attention_pool, choose_cases, comparisons
from evaluation.study.votes import num_votes
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store


def build_study(outputs: Outputs, config: StudyConfig, folder: Path | str) -> Study:
    """Plan the comparisons and write the pictures that raters see; `study.json` is written last.

    The same outputs and profile give the same folder again, and its votes are kept.

    Raises:
        BadSetup: fewer than two methods give an aspect, a picture is damaged, or the folder holds votes for another
            study.
    """
    check_aspects(outputs.gives, config)
    root = Path(folder)
    cases = choose_cases(outputs.names, config)
    methods = tuple(outputs.gives)
    every = comparisons(config, methods, cases, lambda *asked: _state(outputs, *asked))
    asked = [comparison for comparison in every if comparison.can_be_asked]
    if not asked:
        raise BadSetup(f"{outputs.store.root}: on no image two methods have outputs, so nothing can be compared")
    attention = attention_pool(asked, config)
    missing: dict[str, dict[str, list[str]]] = {
        aspect: {
            method: [case for case in cases if not outputs.has(method, case, aspect)]
            for method in methods
            if aspect in outputs.gives[method]
        }
        for aspect in config.aspects
    }
    scenes = {case: outputs.scenes[case] for case in cases}
    store = Store(str(root))
    key = _key(store)
    study = Study(root, key, "", outputs.list_sha256, config, methods, scenes, tuple(every), tuple(attention), missing)
    study = _with_id(study, outputs)
    _check_votes(root, study)
    store.remove(PLAN)
    _write_pictures(store, study, outputs)
    store.write(PLAN, (json.dumps(study.plan(), indent=1) + "\n").encode())
    return study


def check_aspects(gives: Mapping[str, frozenset[str]], config: StudyConfig) -> None:
    """Raises BadSetup when fewer than two methods give an aspect.

    Args:
        gives: the parts that each method promises, by method.
        config: the study's settings.
    """
    for aspect in config.aspects:
        giving = [method for method, parts in gives.items() if aspect in parts]
        if len(giving) < 2:
            raise BadSetup(
                f"a study of the {aspect} compares at least two methods that give one, got "
                f"{', '.join(giving) or 'none'}; name more with --methods, or take {aspect} out of "
                "evaluation.study.aspects"
            )


def _state(outputs: Outputs, aspect: str, method: str, case: str) -> bool | None:
    return outputs.has(method, case, aspect) if aspect in outputs.gives[method] else None


def _with_id(study: Study, outputs: Outputs) -> Study:
    """The study with its id, a hash of plan and pictures: the same methods may have given other pictures."""
    sha = hashlib.sha256(canonical_json(study.plan()))
    for aspect, case, what in study.picture_names():
        if what in study.methods:
            sha.update(outputs.store.read(f"{what}/{case}.{aspect}.png"))
    fields = {name: getattr(study, name) for name in study.__dataclass_fields__}
    return Study(**fields | {"study_id": sha.hexdigest()[:16]})


def _key(store: Store) -> bytes:
    if store.exists(KEY):
        key = store.read(KEY)
        if len(key) == KEY_BYTES:
            return key
    key = new_key()
    store.write(KEY, key)
    Path(store.url(KEY)).chmod(0o600)
    return key


def _check_votes(root: Path, study: Study) -> None:
    if (root / VOTES).exists() and (number := num_votes(root / VOTES, other_than=study.study_id)):
        raise BadSetup(
            f"{root} holds {number} votes of another study; build this one into another folder with --out, "
            f"or move {VOTES} away"
        )


def _write_pictures(store: Store, study: Study, outputs: Outputs) -> None:
    kept = {f"{picture_id}.png" for picture_id in study.picture_ids}
    for name in store.names(PICTURES):
        if name not in kept:
            store.remove(f"{PICTURES}/{name}")
    names = study.picture_names()
    with Progress("study", "pictures", len(names)) as progress:
        for aspect, case, what in progress.counting(names):
            try:
                data = _picture(outputs, aspect, case, what, study.config.seed)
            except BadItem as fault:
                raise BadSetup(f"{outputs.store.root}: {what} of {case}: {fault}; repair or remove the file") from fault
            except FileNotFoundError as error:
                raise BadSetup(f"{outputs.store.root} lacks a picture of {case}: {error}") from error
            store.write(f"{PICTURES}/{study.picture_id(aspect, case, what)}.png", data)


def _picture(outputs: Outputs, aspect: Aspect, case: str, what: str, seed: int) -> bytes:
    if what == "reference":
        return encoded(reference(*outputs.given(case)))
    if not what.startswith("broken/"):
        return encoded(shown(outputs, what, case, aspect))
    _, method, number = what.split("/")
    return encoded(broken(shown(outputs, method, case, aspect), seed, f"{method}/{case}", int(number)))


# --- pictures as raters see them ----------------------------------------------------------------------------------


REFERENCE_PX = 512
"""Least length of the given picture's longer side."""
TILES = 4
"""Number of tiles along each side of a broken picture."""


def shown(outputs: Outputs, method: str, case: str, aspect: Aspect) -> Rgb:
    """An output as [H, W, 3], a foreground over a checkerboard. Raises FileNotFoundError, BadItem."""
    picture = outputs.picture(method, case, aspect)
    return over_checkerboard(picture) if aspect == "foreground" else picture


def reference(composite: Rgb, mask: Mask) -> Rgb:
    """The given picture [h, w, 3] with the object outlined; enlarged where the line would hide the object."""
    scale = -(-REFERENCE_PX // max(composite.shape[:2]))
    if scale == 1:
        return outlined(composite, mask)
    large = cv2.resize(composite, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return outlined(np.asarray(large, np.uint8), np.kron(mask, np.ones((scale, scale), bool)))


def broken(rgb: Rgb, seed: int, name: str, number: int) -> Rgb:
    """A destroyed copy [H, W, 3], for attention questions: tiles in disorder, every second one in false colours."""
    height, width = rgb.shape[:2]
    tile_h, tile_w = -(-height // TILES), -(-width // TILES)
    resized = cv2.resize(rgb, (tile_w * TILES, tile_h * TILES), interpolation=cv2.INTER_AREA)
    tiles = resized.reshape(TILES, tile_h, TILES, tile_w, 3).swapaxes(1, 2).reshape(TILES * TILES, tile_h, tile_w, 3)
    mixed = tiles[generator(seed, "study.broken", f"{name}/{number}").permutation(len(tiles))].copy()
    row, column = np.divmod(np.arange(len(tiles)), TILES)
    # Each level moves by half the range; a negative would leave middle grey as it is.
    mixed[(row + column + number) % 2 == 0] ^= 128
    whole = mixed.reshape(TILES, TILES, tile_h, tile_w, 3).swapaxes(1, 2).reshape(resized.shape)
    return np.ascontiguousarray(whole[:height, :width])


def encoded(rgb: Rgb) -> bytes:
    """The picture as a PNG without any metadata."""
    return encode_png(rgb)
