"""How far raters agree: Krippendorff's alpha for answers that are names, not numbers."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """1 = all agree, 0 = as much as by chance (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, C).

    Args:
        units: for each thing rated the answers that it got, missing ones left out.

    Returns:
        None where no unit has two answers, or all answers are the same, so that chance would agree as well.
    """
    rated = [list(answers) for answers in units if len(answers) > 1]
    totals = Counter(chain.from_iterable(rated))
    number = sum(totals.values())
    if len(totals) < 2:
        return None
    # Pairs of different answers within units, each unit with the weight of its answers.
    observed = sum(_different(Counter(answers)) / (len(answers) - 1) for answers in rated)
    return 1 - (number - 1) * observed / _different(totals)


def same_share(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Share of pairs of raters who gave the same answer to the same unit; None where no unit has two answers."""
    same = pairs = 0
    for answers in units:
        pairs += len(answers) * (len(answers) - 1)
        same += sum(number * (number - 1) for number in Counter(answers).values())
    return same / pairs if pairs else None


def _different(counts: Counter[Hashable]) -> int:
    """Ordered pairs of different answers."""
    number = sum(counts.values())
    return number**2 - sum(count**2 for count in counts.values())
