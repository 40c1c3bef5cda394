"""One method's answers on disk, written one by one as they come and read one by one.

Of a method's folder: `<case>.background.png` (RGB), `<case>.foreground.png` (RGBA, straight alpha) and, of methods that
say how they are pasted back, `<case>.opacity.png` (gray); `asked/<case>.json`, written after them: hashes of the image,
of the method that answered and of its pictures, or why there is no answer; `about.json`: what decides the method's
answers; and last `list.json`, the list that it answered.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from decoupage.faults import BadSetup
from decoupage.fingerprint import canonical_json
from decoupage.images.codecs import decode_opacity, decode_rgb, decode_rgba, encode_png
from decoupage.images.types import Array
from evaluation.cases import Case
from evaluation.method import BACKGROUND, FOREGROUND, OPACITY, Failure, Layers, MethodRecipe
from pipelines.stages.engine import ThreadEngine
from pipelines.stages.store import Store

ASKED, ABOUT, LIST = "asked", "about.json", "list.json"
AT_ONCE = 8
"""Cases in hand at once where records are in an object store; each holds its pictures."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class MethodRecord:
    """The folder of one method.

    Attributes:
        store: the folder.
        name: of the method, in reports.
        gives: the parts that it promises.
        fingerprint: hash of what decides its answers; "" = the pictures are foreign, and it is unknown.
        maps: which maps it is given; answers to other maps are other answers.
    """

    store: Store
    name: str
    gives: frozenset[str]
    fingerprint: str = ""
    maps: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    # ---- asking

    def is_done(self, case: Case, failures_count: bool = False) -> bool:
        """True when this very method has answered this very image, and its pictures are those that it gave.

        Args:
            failures_count: whether having no answer is an answer.
        """
        found = self._mark(case.name)
        if found is None or any(found.get(key) != value for key, value in self._question(case).items()):
            return False
        if "failure" in found:
            return failures_count
        return all(self._written(case.name, part, found) is not None for part in self._parts(found))

    def put(self, case: Case, answer: Layers | Failure) -> None:
        """Write an answer in place of an older one; the mark comes last."""
        mark = f"{ASKED}/{case.name}.json"
        self.store.remove(mark)
        if isinstance(answer, Failure):
            for part in (*self.gives, OPACITY):
                self.store.remove(_file(case.name, part))
            self.write_json(mark, {**self._question(case), "failure": answer.reason})
            return
        pictures = {}
        promised = {BACKGROUND: answer.background, FOREGROUND: answer.foreground}
        for part, picture in (*((part, promised[part]) for part in sorted(self.gives)), (OPACITY, answer.opacity)):
            if picture is None:
                self.store.remove(_file(case.name, part))
            else:
                data = encode_png(picture)
                self.store.write(_file(case.name, part), data)
                pictures[part] = hashlib.sha256(data).hexdigest()
        self.write_json(mark, {**self._question(case), "pictures": pictures})

    def close(self, listed: Mapping[str, Any]) -> None:
        """Write what the method is, and last which list it has answered. A file that already says so is not changed."""
        for name, content in ((ABOUT, self.about), (LIST, listed)):
            if not self.store.exists(name) or self.store.read(name) != _json(content):
                self.write_json(name, content)

    # ---- reading

    def answers(self, case: Case) -> bool:
        """True when it has pictures, and they are of this very image."""
        found = self._mark(case.name)
        return found is not None and "pictures" in found and found.get("image") == case.sha256

    def answer(self, case: Case) -> Layers | Failure:
        """What the method made of a case.

        Raises:
            BadSetup: it has not answered this very image, or a picture is not the one that was written.
        """
        found = self._mark(case.name)
        if found is None or (found.get("image"), found.get("method")) != (case.sha256, self.fingerprint):
            raise BadSetup(
                f"{self.store.root} holds no answer of {self.name} for {case.name} as it is now; evaluate again"
            )
        if "failure" in found:
            return Failure(str(found["failure"]))
        pictures = {}
        for part in self._parts(found):
            data = self._written(case.name, part, found)
            if data is None:
                path = self.store.url(_file(case.name, part))
                raise BadSetup(f"{path} is not the picture that was recorded; evaluate again to replace it")
            pictures[part] = _decoded(data, part)
        return Layers(*(pictures.get(part) for part in (BACKGROUND, FOREGROUND, OPACITY)))

    def digest(self, failures_count: bool = False) -> str | None:
        """Hash of all answers; None = an answer must be made again, or its picture is not the one that was written.

        Args:
            failures_count: whether having no answer is an answer.
        """

        def whole(name: str) -> tuple[str, dict[str, Any] | None]:
            found = self._mark(name)
            if found is None or ("failure" in found and not failures_count):
                return name, None
            if "pictures" in found and any(self._written(name, part, found) is None for part in self._parts(found)):
                return name, None
            return name, found

        sha = hashlib.sha256(self.fingerprint.encode())
        names = (file.removesuffix(".json") for file in self.store.names(ASKED, ".json"))
        for name, found in each(self.store, whole, names):
            if found is None:
                return None
            sha.update(canonical_json([name, found]))
        return sha.hexdigest()

    def has(self, name: str, part: str) -> bool:
        """True when the method has this part of a case."""
        return part in self.gives and self.store.exists(_file(name, part))

    def png(self, name: str, part: str) -> bytes:
        """A picture's file. Raises FileNotFoundError."""
        return self.store.read(_file(name, part))

    def picture(self, name: str, part: str) -> Array:
        """[H, W, 3] background or [H, W, 4] foreground. Raises FileNotFoundError, BadItem."""
        return _decoded(self.png(name, part), part)

    def failures(self, names: Sequence[str]) -> dict[str, str]:
        """Case -> why there is no answer."""
        marks = ((name, self._mark(name)) for name in names)
        return {name: str(mark["failure"]) for name, mark in marks if mark is not None and "failure" in mark}

    # ---- files

    def write_json(self, path: str, content: Mapping[str, Any]) -> None:
        """Put a file of JSON in place."""
        self.store.write(path, _json(content))

    def _mark(self, name: str) -> dict[str, Any] | None:
        try:
            found = self.store.read_json(f"{ASKED}/{name}.json")
        except (FileNotFoundError, BadSetup):  # Damaged counts as absent: the method is asked again.
            return None
        whole = isinstance(found, dict) and ("failure" in found or isinstance(found.get("pictures"), dict))
        return found if whole else None

    def _parts(self, mark: Mapping[str, Any]) -> list[str]:
        """What an answer has to have: what the method promises, and the opacity if the mark names one."""
        return [*sorted(self.gives), *([OPACITY] if OPACITY in mark["pictures"] else [])]

    def _question(self, case: Case) -> dict[str, str]:
        asked = {"image": case.sha256, "method": self.fingerprint}
        return asked | ({"maps": _maps_sha256(case, self.maps)} if self.maps else {})

    def _written(self, name: str, part: str, mark: Mapping[str, Any]) -> bytes | None:
        """A picture's file, if it is the one that the mark speaks of."""
        try:
            data = self.png(name, part)
        except FileNotFoundError:
            return None
        return data if hashlib.sha256(data).hexdigest() == mark["pictures"].get(part) else None


def each(store: Store, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in the order of the items; several at once where each look into the store is a request."""
    return map(task, items) if store.is_local else ThreadEngine(AT_ONCE).map(task, items)


def record_of(room: Store, recipe: MethodRecipe) -> MethodRecord:
    """Where a method's answers are kept in a room."""
    about = {
        "name": recipe.name,
        "gives": sorted(recipe.gives),
        "maps": list(recipe.maps),
        "fingerprint": recipe.fingerprint,
        "facts": dict(recipe.facts),
        "settings": dict(recipe.settings),
    }
    store = Store(f"{room.root}/{recipe.folder or recipe.name}")
    return MethodRecord(store, recipe.name, recipe.gives, recipe.fingerprint, recipe.maps, about)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _decoded(png: bytes, part: str) -> Array:
    return {FOREGROUND: decode_rgba, BACKGROUND: decode_rgb, OPACITY: decode_opacity}[part](png)


def _file(name: str, part: str) -> str:
    return f"{name}.{part}.png"


def _maps_sha256(case: Case, names: Sequence[str]) -> str:
    """Hash of the maps that a case brings; those that it does not bring the method makes."""
    given = case.maps or {}
    digests = {name: hashlib.sha256(given[name].tobytes()).hexdigest() for name in names if name in given}
    return hashlib.sha256(canonical_json(digests)).hexdigest()
