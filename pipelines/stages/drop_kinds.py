"""The three kinds of drops of a source, by their reason: what cannot be read, what may not be used, what is not wanted.

The kind follows from the reason alone, so manifests need no column for it. A reason without a kind is refused here,
and tests/pipelines/stages/test_drop_kinds.py finds it in the code before a run does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from pipelines.stages.manifest import Drop

DropKind = Literal["unreadable", "unlicensed", "filtered"]

REASONS: Mapping[DropKind, frozenset[str]] = {
    # The file or its photograph is missing, broken, forbidden, or not what it says it is.
    "unreadable": frozenset(
        {
            *("ambiguous", "bad_alpha", "bad_image", "bad_name", "bad_pickle", "bad_text", "bad_type", "bad_values"),
            *("bad_zlib", "crashed"),
            *("duplicate_id", "forbidden_pickle", "missing_image", "missing_key", "no_alpha", "not_a_file"),
            *("not_finite", "not_zlib", "object_array", "outside", "pixel_type", "shape_mismatch", "too_large"),
            *("too_slow", "trailing_data", "truncated", "unreadable"),
            # Of pairs also: a picture of one role is missing, or the two do not fit one another.
            *("ambiguous", "bad_mask", "empty_mask", "full_mask", "mask_disagrees", "missing_background"),
            *("missing_mask", "missing_visible"),
        }
    ),
    # Its licence is not among those that the profile uses.
    "unlicensed": frozenset({"unlicensed"}),
    # A filter refused a sound picture or cutout.
    "filtered": frozenset(
        {
            *("blurred", "cut_off", "empty_alpha", "haze", "high_coverage", "islands", "leak", "low_coverage"),
            *("takedown", "things", "too_small", "transparent", "unknown_rotation", "unsafe"),
        }
    ),
}


def kind_of(reason: str) -> DropKind:
    """The kind of a source's drop. Raises ValueError for a reason that `REASONS` does not name."""
    for kind, reasons in REASONS.items():
        if reason in reasons:
            return kind
    raise ValueError(f"the drop reason {reason!r} has no kind; add it to REASONS in {__name__}")


def count_kinds(drops: Iterable[Drop]) -> dict[str, int]:
    """Kind -> number of drops, all three kinds in order."""
    counts = Counter(kind_of(drop["reason"]) for drop in drops)
    return {kind: counts[kind] for kind in REASONS}
