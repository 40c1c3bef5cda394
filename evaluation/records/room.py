"""The room of a test set, `<root>/records/<test set>/`: what methods were given, and a folder for each method.

`given/<case>.composite.png` and `.mask.png` are what methods got (`given/<case>.json`, written after them, has the
image's hash); `<method>/` is as `method.py` lays it out; `list.json` names the cases with hashes and scenes. Any folder
with this layout can be read; only `list.json`, `given/` and the methods' pictures must be present.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decoupage.faults import BadItem, BadSetup
from decoupage.images.codecs import decode_mask, decode_rgb, encode_mask, encode_png
from decoupage.images.types import Mask, Rgb
from evaluation.cases import Case, Entry, list_file, list_sha256
from evaluation.method import BACKGROUND, FOREGROUND
from evaluation.records.method import ABOUT, LIST, MethodRecord
from pipelines.pairs.reading import names_a_file
from pipelines.stages.store import Store

FOLDER, GIVEN = "records", "given"
"""Of a root, and of a room."""
_METHOD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,199}")


@dataclass(frozen=True)
class Shared:
    """What a case has in common with others: its scene, photograph and origin, as `Case` has them."""

    scene: str
    photograph: str
    origin: str

    @classmethod
    def of(cls, case: Case) -> "Shared":
        """What a case says of itself."""
        return cls(case.key, case.photograph, case.origin)


@dataclass(frozen=True)
class Records:
    """What methods made of a list.

    Attributes:
        store: the room.
        entries: the list.
        shared: case -> what it has in common with others.
        methods: by name, in the requested order.
    """

    store: Store
    entries: tuple[Entry, ...]
    shared: Mapping[str, Shared]
    methods: Mapping[str, MethodRecord]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cases, in the list's order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def scenes(self) -> dict[str, str]:
        """Case -> its scene; cases of one scene share a picture."""
        return {name: shared.scene for name, shared in self.shared.items()}

    @property
    def list_sha256(self) -> str:
        """Of the list."""
        return list_sha256(self.entries)

    def given(self, name: str) -> tuple[Rgb, Mask]:
        """(composite, mask) that the methods got. Raises FileNotFoundError, BadItem."""
        composite = decode_rgb(self.store.read(f"{GIVEN}/{name}.composite.png"))
        mask = decode_mask(self.store.read(f"{GIVEN}/{name}.mask.png"))
        if mask.shape != composite.shape[:2]:
            raise BadItem("shape_mismatch", f"{name}: mask {list(mask.shape)}, composite {list(composite.shape[:2])}")
        return composite, mask


def room_of(root: Store, test_set: str) -> Store:
    """Where the records of a test set are kept."""
    return Store(f"{root.root.rstrip('/')}/{FOLDER}/{test_set}")


def put_given(store: Store, case: Case) -> None:
    """Write down what methods are given of a case, unless it is there."""
    mark = f"{GIVEN}/{case.name}.json"
    pictures = [f"{GIVEN}/{case.name}.{what}.png" for what in ("composite", "mask")]
    content = json.dumps({"image": case.sha256}).encode()
    if all(map(store.exists, (mark, *pictures))) and store.read(mark) == content:
        return
    store.remove(mark)
    for path, data in zip(pictures, (encode_png(case.composite), encode_mask(case.mask)), strict=True):
        store.write(path, data)
    store.write(mark, content)


def put_list(records: Records, about: Mapping[str, Any]) -> None:
    """Write a room's `list.json`, unless it says this already."""
    listed = list_file(records.entries, about)
    listed["images"] = [image | asdict(records.shared[image["name"]]) for image in listed["images"]]
    content = (json.dumps(listed, indent=1) + "\n").encode()
    if not records.store.exists(LIST) or records.store.read(LIST) != content:
        records.store.write(LIST, content)


def read_records(source: Store | str, methods: Sequence[str] | None = None) -> Records:
    """A room, or any folder laid out as one.

    Where a method has no `about.json`, it promises the parts of which it has at least one picture; where an image of
    the list names no scene, it is its own scene; where it names no photograph, it has its scene's, and where no origin,
    its own.

    Args:
        methods: names of their folders, in this order; None = all.

    Raises:
        BadSetup: the folder has no readable `list.json`, or a method is not there.
    """
    store = source if isinstance(source, Store) else Store(source)
    listed = read_json(store, LIST)
    try:
        entries = tuple(Entry(image["name"], str(image["sha256"])) for image in listed["images"])
        shared = {image["name"]: _shared(image) for image in listed["images"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadSetup(f"{store.url(LIST)} is not a list of images with names and hashes") from error
    check_names([entry.name for entry in entries], "case")
    pictured = _pictured(store)
    chosen = list(pictured) if methods is None else list(methods)
    check_names(chosen, "method")
    absent = [name for name in chosen if name not in pictured]
    if absent:
        raise BadSetup(f"{store.root} has no answers of {', '.join(absent)}; it has {', '.join(pictured) or 'none'}")
    return Records(store, entries, shared, {name: read_method(store, name, pictured[name]) for name in chosen})


def read_method(room: Store, folder: str, pictured: Collection[str] = ()) -> MethodRecord:
    """The record in a method's folder, whatever made it.

    Args:
        pictured: the parts that it promises where it does not say so.

    Raises:
        BadSetup: its `about.json` is damaged.
    """
    store = Store(f"{room.root}/{folder}")
    about = read_json(store, ABOUT) if store.exists(ABOUT) else {}
    try:
        gives, maps = frozenset(map(str, about.get("gives", pictured))), tuple(map(str, about.get("maps", ())))
    except TypeError as error:
        raise BadSetup(f"{store.url(ABOUT)} does not say what the method gives") from error
    name, digest = str(about.get("name", folder)), str(about.get("fingerprint", ""))
    return MethodRecord(store, name, gives, digest, maps, about)


def check_names(names: Sequence[str], kind: str) -> None:
    """Raises BadSetup if a method or case has a name that cannot name a file, or methods are absent or share a name."""
    if kind == "method" and (not names or len(set(names)) != len(names) or GIVEN in names):
        raise BadSetup(f"methods must have different names, none of them {GIVEN}; got {', '.join(names) or 'none'}")
    usable = _METHOD.fullmatch if kind == "method" else names_a_file
    bad = [name for name in names if not isinstance(name, str) or not usable(name)]
    if bad:
        raise BadSetup(f"the {kind} {bad[0]!r} cannot name a file; use letters, digits, _ - + . and spaces")


def read_json(store: Store, path: str) -> dict[str, Any]:
    """A file that holds one JSON object. Raises BadSetup: it is absent or holds something else."""
    try:
        content = store.read_json(path)
    except FileNotFoundError as error:
        raise BadSetup(f"{store.root} has no {path}: not a folder of records, or not finished") from error
    except OSError as error:
        raise BadSetup(f"{store.url(path)} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BadSetup(f"{store.url(path)} is not a JSON object")
    return content


def _shared(image: Mapping[str, Any]) -> Shared:
    scene = str(image.get("scene", image["name"]))
    return Shared(scene, str(image.get("photograph", scene)), str(image.get("origin", image["name"])))


def _pictured(store: Store) -> dict[str, list[str]]:
    """Folders of methods, and the parts that they have pictures of."""
    found: dict[str, set[str]] = {}
    for path in store.tree():
        folder, _, name = path.rpartition("/")
        if not folder or "/" in folder or folder == GIVEN:
            continue
        if name == ABOUT:
            found.setdefault(folder, set())
        for part in (BACKGROUND, FOREGROUND):
            if name.endswith(f".{part}.png"):
                found.setdefault(folder, set()).add(part)
    return {name: sorted(parts) for name, parts in sorted(found.items())}
