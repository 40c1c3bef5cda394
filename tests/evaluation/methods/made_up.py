"""A test set of a few made-up cases, and programs that play the external command."""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.cases import Case
from evaluation.config.baselines import ExternalBaseline
from tests.evaluation.scenes import cases


@dataclass
class Listed:
    """Cases in a fixed order, as a test set."""

    given: Sequence[Case] = field(default_factory=lambda: cases(2, size_px=32))
    name: str = "made_up"

    @property
    def about(self) -> dict[str, Any]:
        return {"test_set": self.name}

    def cases(self, names: Collection[str] | None = None) -> Iterator[Case]:
        return (case for case in self.given if names is None or case.name in names)


HEAD = """
import json, os, pathlib, shutil, sys, time
given, made = (pathlib.Path(path) for path in sys.argv[1:3])
names = [image["name"] for image in json.loads((given / "list.json").read_text())["images"]]
with open(pathlib.Path(__file__).with_suffix(".asked"), "a") as log:
    log.write(" ".join(names) + "\\n")
"""
ECHO = "shutil.copy(given / 'list.json', made)\n"
COPY = """
(made / "background").mkdir(exist_ok=True)
for name in names:
    shutil.copy(given / "images" / f"{name}.png", made / "background")
"""


def program(folder: Path, *parts: str, gives: Sequence[str] = ("background",), **more: Any) -> ExternalBaseline:
    """An external baseline whose program is these lines of Python; it notes what it is asked in `theirs.asked`."""
    path = folder / "theirs.py"
    path.write_text(HEAD + "".join(parts))
    command = (sys.executable, str(path), "{input}", "{output}")
    return ExternalBaseline(name="theirs", command=command, gives=tuple(gives), **more)


def asked(folder: Path) -> list[list[str]]:
    """What the program was asked, call by call."""
    path = folder / "theirs.asked"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
