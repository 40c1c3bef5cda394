"""Writes down what a method makes of a list, so that it is asked once: dear methods are recorded, then only read.

Beside the pictures (see `recorded.py`) lies `asked/<case>.json`, written after them: the hash of the image and of the
method that answered. What is there and unchanged is not asked again, so a killed recording goes on where it was, and
a changed setting, weight or image is made anew. Failures are asked again each time. `list.json` comes last.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decoupage.faults import BadSetup
from decoupage.fingerprint import fingerprint
from decoupage.images.codecs import encode_png
from evaluation.cases import Case, Entry, list_file, list_sha256
from evaluation.methods.recorded import FAILURES, LIST
from evaluation.methods.spec import BACKGROUND, FOREGROUND, Failure, Layers, Method, answers
from evaluation.run import batches
from evaluation.test_sets.spec import TestSet
from pipelines.stages.progress import Progress
from pipelines.stages.store import Store

ABOUT = "about.json"
_ASKED = "asked"


class DidNotRun(RuntimeError):
    """A method gave nothing at all, or nothing that can be trusted: it has no row in a report, and a reason why."""


class Recording:
    """One method's folder while it is being written.

    Args:
        store: the method's own folder.
        gives: the parts that it promises.
        facts: what decides its answers: settings, hashes of weights.
    """

    def __init__(self, store: Store, name: str, gives: Sequence[str], facts: Mapping[str, Any]) -> None:
        self.store, self.name, self.gives = store, name, tuple(sorted(gives))
        self.facts = dict(facts)
        self.fingerprint = fingerprint({"name": name, "gives": list(self.gives), "facts": self.facts})
        self.failures: dict[str, str] = {}
        self._open = not store.exists(LIST)

    def is_done(self, case: Case) -> bool:
        """True when this method has answered this very image, and its pictures are there."""
        path = f"{_ASKED}/{case.name}.json"
        if not all(self.store.exists(one) for one in (path, *(self._path(case, part) for part in self.gives))):
            return False
        return bool(json.loads(self.store.read(path)) == self._mark(case))

    def open(self) -> None:
        """Begin to change: until `finish` the folder is not finished, and cannot be taken for it."""
        if not self._open:
            self.store.remove(LIST)
            self._open = True

    def put(self, case: Case, answer: Layers | Failure) -> None:
        """Write an answer down, replacing an older one."""
        self.open()
        if isinstance(answer, Failure):
            self.failures[case.name] = answer.reason
            for path in (f"{_ASKED}/{case.name}.json", *(self._path(case, part) for part in self.gives)):
                self.store.remove(path)
            return
        for part, picture in ((BACKGROUND, answer.background), (FOREGROUND, answer.foreground)):
            if part in self.gives and picture is not None:
                self.store.write(self._path(case, part), encode_png(picture))
        self._write_json(f"{_ASKED}/{case.name}.json", self._mark(case))

    def finish(self, entries: Sequence[Entry], about: Mapping[str, Any]) -> "Recorded":
        """Close the folder: what the method is, its failures, and last the list.

        Raises:
            BadSetup: the list is empty.
            DidNotRun: there is no answer to any image.
        """
        if not entries:
            raise BadSetup(f"the list {about.get('test_set')} holds no image; make it first")
        if len(self.failures) == len(entries):
            name, reason = next(iter(self.failures.items()))
            raise DidNotRun(f"{self.name} has no answer to any of the {len(entries)} images; {name}: {reason}")
        listed = list_file(entries, about)
        if self._open or json.loads(self.store.read(LIST)) != listed:
            self.open()
            self._write_json(ABOUT, self._about())
            self._write_json(FAILURES, self.failures)
            self._write_json(LIST, listed)
        return Recorded(self.name, list_sha256(entries), self.fingerprint, len(entries), dict(self.failures))

    def _about(self) -> dict[str, Any]:
        return {"name": self.name, "gives": list(self.gives), "fingerprint": self.fingerprint, "facts": self.facts}

    def _mark(self, case: Case) -> dict[str, str]:
        return {"image": case.sha256, "method": self.fingerprint}

    def _path(self, case: Case, part: str) -> str:
        return f"{case.name}.{part}.png"

    def _write_json(self, path: str, content: Mapping[str, Any]) -> None:
        self.store.write(path, (json.dumps(content, indent=1) + "\n").encode())


@dataclass(frozen=True)
class Recorded:
    """What came of a recording.

    Attributes:
        list_sha256: hash of the list that was answered; fingerprint: of the method.
        num_images: of the list.
        failures: image -> why there is no answer.
    """

    name: str
    list_sha256: str
    fingerprint: str
    num_images: int
    failures: dict[str, str]


def record(test_set: TestSet, recording: Recording, make: Callable[[], Method], batch_size: int = 1) -> Recorded:
    """Ask a method for all that is not there yet.

    Args:
        make: makes the method (loads its weights), and is called only if something is missing.
        batch_size: images that it gets at once.

    Raises:
        BadSetup: the list is empty.
        DidNotRun: there is no answer to any image.
    """
    method: Method | None = None
    entries: list[Entry] = []
    with Progress(recording.name, "images") as progress:
        for batch in batches(progress.counting(test_set.cases()), batch_size):
            entries += [Entry(case.name, case.sha256) for case in batch]
            missing = [case for case in batch if not recording.is_done(case)]
            if not missing:
                continue
            recording.open()
            method = method or make()
            for case, answer in zip(missing, answers(method, missing), strict=True):
                recording.put(case, answer)
    return recording.finish(entries, test_set.about)
