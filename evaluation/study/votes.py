"""Raters' answers: checked when they arrive, and kept in SQLite.

Each answer is on disk before the page goes on, and a rater can close the page and come back. What an answer means
(which method was on which side) is not known here; `ballots` joins it with the plan.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from decoupage.faults import BadSetup
from evaluation.study.folder import Screen

MAX_RATERS = 2_000
"""Largest number of raters; without a limit anyone could fill the disk through the first page."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS raters (
    token TEXT PRIMARY KEY, study TEXT NOT NULL, name TEXT NOT NULL, started_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS votes (
    rater TEXT NOT NULL REFERENCES raters(token), question TEXT NOT NULL, choice TEXT NOT NULL, time_s REAL NOT NULL,
    answered_at TEXT NOT NULL, PRIMARY KEY (rater, question)
);
"""


class TooManyRaters(BadSetup):
    """The study takes no more raters."""


@dataclass(frozen=True)
class Vote:
    """One answer.

    Attributes:
        rater: token of the rater.
        question: id of the question, as `Study.questions` gives it.
        choice: `1`, `2`, `3` from left to right, `tie` or `not_sure`.
        time_s: how long the question was on the screen.
        answered_at: date and time in UTC, ISO 8601 with milliseconds.
    """

    rater: str
    question: str
    choice: str
    time_s: float
    answered_at: str


class Votes:
    """The answers to one study. Safe for several threads and processes: each call has its own connection."""

    def __init__(self, path: Path, study_id: str) -> None:
        self.path, self.study_id = path, study_id
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    def add_rater(self, token: str, name: str) -> None:
        """Add a rater, unless they are there already.

        Raises:
            TooManyRaters: there are `MAX_RATERS` already.
        """
        with self._connection() as connection:
            (number,) = connection.execute("SELECT count(*) FROM raters").fetchone()
            if number >= MAX_RATERS:
                raise TooManyRaters(f"the study has {number} raters and accepts no more")
            entry = (token, self.study_id, name, _now())
            connection.execute("INSERT INTO raters VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", entry)

    def has_rater(self, token: str) -> bool:
        """Whether the rater has begun."""
        with self._connection() as connection:
            query = "SELECT 1 FROM raters WHERE token = ? AND study = ?"
            return connection.execute(query, (token, self.study_id)).fetchone() is not None

    def raters(self) -> dict[str, str]:
        """Raters' names by token, in the order in which they began."""
        with self._connection() as connection:
            query = "SELECT token, name FROM raters WHERE study = ? ORDER BY started_at, token"
            return dict(connection.execute(query, (self.study_id,)).fetchall())

    def add(self, rater: str, question: str, choice: str, time_s: float) -> None:
        """Keep an answer; the same one again changes nothing, another one to the same question replaces it.

        Raises:
            sqlite3.IntegrityError: there is no such rater.
        """
        self.add_all([Vote(rater, question, choice, time_s, _now())])

    def add_all(self, votes: Iterable[Vote]) -> None:
        """Keep several answers, all or none; otherwise as `add`."""
        with self._connection() as connection:
            connection.executemany(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?) ON CONFLICT (rater, question) DO UPDATE SET "
                "choice = excluded.choice, time_s = excluded.time_s, answered_at = excluded.answered_at "
                "WHERE choice <> excluded.choice",
                [astuple(vote) for vote in votes],
            )

    def all(self, rater: str | None = None) -> list[Vote]:
        """The answers of one rater or of all, by rater and question."""
        query = "SELECT v.* FROM votes v JOIN raters r ON r.token = v.rater WHERE r.study = ?"
        values: list[str] = [self.study_id]
        if rater is not None:
            query, values = query + " AND v.rater = ?", [*values, rater]
        with self._connection() as connection:
            rows = connection.execute(query + " ORDER BY v.rater, v.question", values).fetchall()
        return [Vote(*row) for row in rows]

    def num_of_others(self) -> int:
        """Number of votes for other studies in the same database."""
        with self._connection() as connection:
            query = "SELECT count(*) FROM votes v JOIN raters r ON r.token = v.rater WHERE r.study <> ?"
            return int(connection.execute(query, (self.study_id,)).fetchone()[0])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
                # FULL: an answer that was confirmed to the page is on disk, also when the power fails.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                yield connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise BadSetup(f"{self.path}: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# --- what raters send ---------------------------------------------------------------------------------------------


TIE, NOT_SURE = "tie", "not_sure"
MAX_TIME_S = 86_400.0
MAX_NAME_CHARACTERS = 80


def choices_of(num_panes: int) -> tuple[str, ...]:
    """The possible answers to a question with this number of pictures side by side."""
    return (*(str(i + 1) for i in range(num_panes)), TIE, NOT_SURE)


def checked_answer(answer: object, screens: Mapping[str, Screen]) -> tuple[str, str, float]:
    """The (question, choice, time_s) of an answer that a page sent, checked.

    Raises:
        ValueError: it is not an answer to a question of this rater.
    """
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object with question, choice and time_s")
    question, choice, time_s = (answer.get(name) for name in ("question", "choice", "time_s"))
    screen = screens.get(question) if isinstance(question, str) else None
    if screen is None:
        raise ValueError("there is no such question for this rater")
    choices = choices_of(len(screen.panes))
    if choice not in choices:
        raise ValueError(f"choice must be one of {', '.join(choices)}, got {choice!r}")
    if not isinstance(time_s, int | float) or isinstance(time_s, bool) or not 0 <= time_s <= MAX_TIME_S:
        raise ValueError(f"time_s must be in [0, {MAX_TIME_S:g}], got {time_s!r}")
    return screen.id, str(choice), float(time_s)


def clean_name(name: str) -> str:
    """A rater's name as one line without control characters, at most `MAX_NAME_CHARACTERS` long."""
    return " ".join("".join(c for c in name if c.isprintable()).split())[:MAX_NAME_CHARACTERS]
