"""Whether a list is the one that was meant: the same images, pixel for pixel, in the same order."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from decoupage.faults import BadItem, BadSetup
from decoupage.images.reading import read_file
from decoupage.text_files import parse_json
from evaluation.cases import Entry, list_sha256
from evaluation.test_sets.spec import TestSet

_SHOWN = 3
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_hash(expected: str) -> bool:
    """Whether it is a list's hash rather than the path of one."""
    return _SHA256.fullmatch(expected) is not None


def require_list(test_set: TestSet, expected: str) -> None:
    """Look at every image, and compare the list with an earlier one.

    Args:
        expected: path of a `list.json`, or the hash of a list.

    Raises:
        BadSetup: they differ; where a file was given, the message names the first images that do. Or the file is
            damaged, or the test set cannot be read.
    """
    if is_hash(expected):
        found = _entries(test_set)
        if list_sha256(found) != expected:
            raise BadSetup(
                f"{test_set.name} hashes to {list_sha256(found)}, not to {expected}, over {len(found)} images; "
                "give an earlier list.json instead of its hash to see which ones differ"
            )
        return
    wanted = read_entries(expected)
    found = _entries(test_set)
    if list_sha256(found) == list_sha256(wanted):
        return
    told = [_difference(number, a, b) for number, (a, b) in enumerate(zip_longest(wanted, found), start=1) if a != b]
    raise BadSetup(
        f"{test_set.name} is not the list of {expected}: {len(told)} of {max(len(wanted), len(found))} lines differ. "
        + "; ".join(told[:_SHOWN])
    )


def read_entries(path: str) -> list[Entry]:
    """The images of a `list.json`.

    Raises:
        BadSetup: it cannot be read, is not a list, or does not match its own hash.
    """
    try:
        values = parse_json(read_file(Path(path)), path)
        entries = [Entry(str(image["name"]), str(image["sha256"])) for image in values["images"]]
        says = values["list_sha256"]
    except (FileNotFoundError, BadItem, BadSetup) as error:
        raise BadSetup(f"{path} of evaluation.test_sets.expected_lists cannot be read: {error}") from error
    except (KeyError, TypeError) as error:
        raise BadSetup(f"{path} of evaluation.test_sets.expected_lists is not a list.json: {error!r}") from error
    if list_sha256(entries) != says:
        raise BadSetup(f"{path} does not hash to the list_sha256 that it holds: it was damaged or changed by hand")
    return entries


def _entries(test_set: TestSet) -> Sequence[Entry]:
    return [Entry(case.name, case.sha256) for case in test_set.cases()]


def _difference(number: int, wanted: Entry | None, found: Entry | None) -> str:
    if wanted is None or found is None:
        entry = wanted or found
        assert entry is not None, "one of them is longer"
        return f"line {number}: {entry.name} is {'missing' if found is None else 'new'}"
    if wanted.name != found.name:
        return f"line {number}: {wanted.name} expected, {found.name} found"
    return f"line {number}: {found.name} has other pixels"
