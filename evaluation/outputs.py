"""A folder of what methods made of a list: the hand-over to what looks at pictures instead of scores.

`given/<case>.composite.png` and `.mask.png` (what methods got), `<method>/<case>.background.png` (RGB) and
`.foreground.png` (RGBA), `methods.json` (what each method promises), `failures.json` (why a picture is not there),
`scenes.json` (cases of one scene share a picture), and last `list.json` (names, hashes), so a folder without it is not
finished. Which methods, and what becomes of the pictures, is not known here.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_mask, decode_rgb, decode_rgba, encode_mask, encode_png
from decoupage.images.types import Array, Mask, Rgb
from evaluation.cases import Entry, list_file
from evaluation.methods.spec import BACKGROUND, FOREGROUND, Failure, Method, answers
from evaluation.run import batches
from evaluation.test_sets.spec import TestSet
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

GIVEN = "given"
LIST, METHODS, FAILURES, SCENES = "list.json", "methods.json", "failures.json", "scenes.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")
"""Of a method or a case: it becomes part of a path."""


def write_outputs(
    test_set: TestSet,
    methods: Sequence[Method],
    out: Store | str,
    names: Collection[str] | None = None,
    batch_size: int = 8,
) -> "Outputs":
    """Ask every method for its layers of a list and write them as pictures, batch by batch.

    Args:
        methods: with different names, none of them `given`.
        names: of the cases to take; None = all.
        batch_size: images that a method gets at once.

    Raises:
        BadSetup: no methods or no cases, or names that cannot be used in paths.
    """
    _check_names([method.name for method in methods], "method")
    store = out if isinstance(out, Store) else Store(out)
    store.remove(LIST)
    entries: list[Entry] = []
    scenes: dict[str, str] = {}
    failures: dict[str, dict[str, str]] = {method.name: {} for method in methods}
    with Progress("outputs", "images") as progress:
        for batch in batches(progress.counting(test_set.cases(names)), batch_size):
            _check_names([case.name for case in batch], "case")
            for case in batch:
                entries.append(Entry(case.name, case.sha256))
                scenes[case.name] = case.key
                store.write(f"{GIVEN}/{case.name}.composite.png", encode_png(case.composite))
                store.write(f"{GIVEN}/{case.name}.mask.png", encode_mask(case.mask))
            for method in methods:
                for case, answer in zip(batch, answers(method, batch), strict=True):
                    if isinstance(answer, Failure):
                        failures[method.name][case.name] = answer.reason
                        continue
                    for part, picture in ((BACKGROUND, answer.background), (FOREGROUND, answer.foreground)):
                        if part in method.gives and picture is not None:
                            store.write(f"{method.name}/{case.name}.{part}.png", encode_png(picture))
    if not entries:
        raise BadSetup(f"the list {test_set.name} holds no image")
    _write_json(store, METHODS, {method.name: sorted(method.gives) for method in methods})
    _write_json(store, FAILURES, failures)
    _write_json(store, SCENES, scenes)
    _write_json(store, LIST, list_file(entries, test_set.about))
    return read_outputs(store)


@dataclass(frozen=True)
class Outputs:
    """A finished folder, read lazily.

    Attributes:
        names: of the cases, in the list's order.
        gives: method -> the parts that it promises.
        failures: method -> case -> why there is no output.
        scenes: case -> its scene.
    """

    store: Store
    list_sha256: str
    names: tuple[str, ...]
    gives: dict[str, frozenset[str]]
    failures: dict[str, dict[str, str]]
    scenes: dict[str, str]

    def has(self, method: str, name: str, part: str) -> bool:
        """True when the method has this part of a case."""
        return name not in self.failures.get(method, {}) and self.store.exists(f"{method}/{name}.{part}.png")

    def picture(self, method: str, name: str, part: str) -> Array:
        """[H, W, 3] background or [H, W, 4] foreground. Raises FileNotFoundError, BadItem."""
        data = self.store.read(f"{method}/{name}.{part}.png")
        return decode_rgba(data) if part == FOREGROUND else decode_rgb(data)

    def given(self, name: str) -> tuple[Rgb, Mask]:
        """(composite, mask) that the methods got. Raises FileNotFoundError, BadItem."""
        composite = decode_rgb(self.store.read(f"{GIVEN}/{name}.composite.png"))
        mask = decode_mask(self.store.read(f"{GIVEN}/{name}.mask.png"))
        if mask.shape != composite.shape[:2]:
            raise BadItem("shape_mismatch", f"{name}: mask {list(mask.shape)}, composite {list(composite.shape[:2])}")
        return composite, mask


def read_outputs(source: Store | str, methods: Sequence[str] | None = None) -> Outputs:
    """A folder as `write_outputs` makes it, or as somebody else laid it out.

    Only `list.json`, `given/` and the methods' folders must be there: without `methods.json` a method promises the
    parts of which it has at least one picture, and without `scenes.json` each case is a scene of its own.

    Args:
        methods: which ones, in this order; None = all.

    Raises:
        BadSetup: the folder is not finished, a file in it is damaged, or a method is not there.
    """
    store = source if isinstance(source, Store) else Store(source)
    if not store.exists(LIST):
        raise BadSetup(f"{store.root} has no {LIST}: not a folder of outputs, or not finished; write it again")
    listed = _read_json(store, LIST)
    try:
        names, sha256 = [image["name"] for image in listed["images"]], listed["list_sha256"]
    except (KeyError, TypeError) as error:
        raise BadSetup(f"{store.url(LIST)} is no list of images with names and hashes") from error
    _check_names(names, "case")
    promised = _read_json(store, METHODS) if store.exists(METHODS) else _found(store)
    chosen = list(promised) if methods is None else list(methods)
    _check_names(chosen, "method")
    absent = [name for name in chosen if name not in promised]
    if absent:
        raise BadSetup(f"{store.root} has no outputs of {', '.join(absent)}; it has {', '.join(promised)}")
    failures = _read_json(store, FAILURES) if store.exists(FAILURES) else {}
    scenes = _read_json(store, SCENES) if store.exists(SCENES) else {}
    return Outputs(
        store,
        str(sha256),
        tuple(names),
        {name: frozenset(promised[name]) for name in chosen},
        {name: dict(failures.get(name, {})) for name in chosen},
        {name: str(scenes.get(name, name)) for name in names},
    )


def _found(store: Store) -> dict[str, list[str]]:
    """Methods of a folder and the parts that they have pictures of."""
    gives: dict[str, set[str]] = {}
    for path in store.tree():
        folder, _, name = path.rpartition("/")
        for part in (BACKGROUND, FOREGROUND):
            if folder and "/" not in folder and folder != GIVEN and name.endswith(f".{part}.png"):
                gives.setdefault(folder, set()).add(part)
    return {name: sorted(parts) for name, parts in sorted(gives.items())}


def _check_names(names: Sequence[str], kind: str) -> None:
    if kind == "method" and (not names or len(set(names)) != len(names) or GIVEN in names):
        raise BadSetup(
            f"outputs take methods with different names, none of them {GIVEN}; got {', '.join(names) or 'none'}"
        )
    bad = [name for name in names if not isinstance(name, str) or not _NAME.fullmatch(name)]
    if bad:
        raise BadSetup(f"the {kind} {bad[0]!r} cannot name a file; use letters, digits, _ - + . and spaces")


def _write_json(store: Store, path: str, content: Mapping[str, Any]) -> None:
    store.write(path, (json.dumps(content, indent=1) + "\n").encode())


def _read_json(store: Store, path: str) -> dict[str, Any]:
    try:
        content = json.loads(store.read(path))
    except ValueError as error:
        raise BadSetup(f"{store.url(path)} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadSetup(f"{store.url(path)} is no JSON object")
    return content
