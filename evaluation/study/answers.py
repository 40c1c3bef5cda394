"""What raters send, made sure of: nothing that is not an answer to one of their questions comes further than here."""

from collections.abc import Mapping

from evaluation.study.folder import Screen

TIE, NOT_SURE = "tie", "not_sure"
MAX_TIME_S = 86_400.0
MAX_NAME_CHARACTERS = 80


def checked_answer(answer: object, screens: Mapping[str, Screen]) -> tuple[str, str, float]:
    """(question, choice, time_s) of an answer that somebody sent.

    Raises:
        ValueError: it is no answer to a question of this rater.
    """
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object with question, choice and time_s")
    question, choice, time_s = (answer.get(name) for name in ("question", "choice", "time_s"))
    screen = screens.get(question) if isinstance(question, str) else None
    if screen is None:
        raise ValueError("there is no such question for this rater")
    choices = [*(str(i + 1) for i in range(len(screen.panes))), TIE, NOT_SURE]
    if choice not in choices:
        raise ValueError(f"choice must be one of {', '.join(choices)}, got {choice!r}")
    if not isinstance(time_s, int | float) or isinstance(time_s, bool) or not 0 <= time_s <= MAX_TIME_S:
        raise ValueError(f"time_s must be in [0, {MAX_TIME_S:g}], got {time_s!r}")
    return screen.id, str(choice), float(time_s)


def clean_name(name: str) -> str:
    """One line, not too long, without control characters."""
    return " ".join("".join(c for c in name if c.isprintable()).split())[:MAX_NAME_CHARACTERS]
