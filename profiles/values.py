"""A profile's values before they are checked: those of its file, and those given elsewhere, each with its origin."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decoupage.faults import BadSetup
from decoupage.text_files import printable, text_lines

PREFIX = "DECOUPAGE__"
_BOOLEANS = {"true": True, "false": False}


@dataclass
class Values:
    """Values as tables in tables, and where those come from that are not the file's.

    Attributes:
        tables: of the file, with what was given elsewhere.
        file: name of the file, for messages.
        given: variable of the environment by dotted key; empty for a key that was given in another way.
    """

    tables: dict[str, Any]
    file: str
    given: dict[str, str] = field(default_factory=dict)
    _in_file: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._in_file = frozenset(_keys(self.tables))

    def in_file(self, key: str) -> bool:
        """Whether the file has this value or table."""
        return key in self._in_file

    def put(self, key: str, text: str, variable: str = "") -> None:
        """Set a value by its dotted key, as TOML text or as a bare word.

        Raises:
            ValueError: the key leads through a value, or the text cannot be read.
        """
        named = f"{variable}: " if variable else ""
        *sections, last = key.split(".")
        table = self.tables
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ValueError(f"{named}{key}: {section} is a value, not a section")
        table[last] = _value(text, named or f"{key}: ")
        self.given[key] = variable


def read_values(path: Path) -> Values:
    """The values of a TOML file.

    Raises:
        ValueError: it is not TOML in UTF-8; the message names the file.
    """
    try:
        text = "\n".join(line for _, line in text_lines(path.read_bytes(), str(path)))
        return Values(_parsed(text), path.name)
    except BadSetup as fault:  # It names the file.
        raise ValueError(str(fault)) from None
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None


def environment() -> dict[str, tuple[str, str]]:
    """What the environment sets: dotted key -> (variable, text). `DECOUPAGE__SCENES__SEED=5` sets `scenes.seed` to 5.

    Raises:
        ValueError: a variable looks like one of these but is not, or two set the same key.
    """
    found: dict[str, tuple[str, str]] = {}
    for variable, text in sorted(os.environ.items()):
        upper = variable.upper()
        if upper.startswith(PREFIX):
            key = upper.removeprefix(PREFIX).lower().replace("__", ".")
            if key in found:
                raise ValueError(f"{found[key][0]} and {variable} set the same value: remove one of them")
            found[key] = variable, text
        elif upper.startswith("DECOUPAGE_") and "__" in upper:
            meant = PREFIX + upper.removeprefix("DECOUPAGE_")
            raise ValueError(f"{printable(variable)} sets nothing; did you mean {printable(meant)}?")
    return found


def _value(text: str, named: str) -> Any:
    try:
        text.encode()
        return _parsed(f"value = {text}")["value"]
    except UnicodeEncodeError:
        raise ValueError(f"{named}its value is not UTF-8: {printable(text)}") from None
    except tomllib.TOMLDecodeError:
        return _BOOLEANS.get(text.lower(), text)  # A bare word, as people write strings in the environment.
    except ValueError as error:
        raise ValueError(f"{named}{error}") from None


def _keys(tables: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tables.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")


def _parsed(text: str) -> dict[str, Any]:
    """TOML as tables. Raises ValueError: it is not TOML, or holds what cannot be used."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except ValueError:
        raise ValueError("it holds a number of thousands of digits, or a date that does not exist") from None
