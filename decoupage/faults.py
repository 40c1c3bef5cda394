"""The kinds of fault: a bad item (quarantined, the run goes on), a bad set-up (the run does not start), a bad output.

Only the exception types live here. Plain wrong values are `ValueError`, raised where they are seen.
"""


class BadItem(Exception):
    """One item cannot be used. It is written to quarantine and counted; the other items go on.

    Args:
        reason: one word in snake_case, stable, counted in reports (`truncated`, `missing_image`, ...).
        detail: a sentence for a person: what was found, and where.
    """

    def __init__(self, reason: str, detail: str) -> None:
        # All arguments go to Exception so that the fault survives pickling between processes.
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class BadSetup(Exception):
    """The run cannot start: the message says what is wrong, where, and how to mend it."""


class BadOutput(Exception):
    """A network gave an unusable output, above all values that are not finite; no picture is made of it.

    The message says which output of which part, how much of it, and what to try.
    """
