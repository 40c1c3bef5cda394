"""Answers of raters in SQLite: each is on disk before the page goes on, and a rater can close it and come back.

What an answer means (which method was on which side) is not in here; `ballots` joins it with the plan.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

from decoupage.faults import BadSetup

MAX_RATERS = 10_000
"""Who is beyond that is turned away: the first page would else fill the disk for anybody."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS raters (
    token TEXT PRIMARY KEY, study TEXT NOT NULL, name TEXT NOT NULL, started_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS votes (
    rater TEXT NOT NULL REFERENCES raters(token), question TEXT NOT NULL, choice TEXT NOT NULL, time_s REAL NOT NULL,
    answered_at TEXT NOT NULL, PRIMARY KEY (rater, question)
);
"""


@dataclass(frozen=True)
class Vote:
    """One answer.

    Attributes:
        rater: token.
        question: id, as `Study.questions` gives it.
        choice: `1`, `2`, `3` from left to right, `tie` or `not_sure`.
        time_s: how long the question was on the screen.
    """

    rater: str
    question: str
    choice: str
    time_s: float
    answered_at: str


class Votes:
    """The answers to one study. Safe from several threads and processes: each call has its own connection."""

    def __init__(self, path: Path, study_id: str) -> None:
        self.path, self.study_id = path, study_id
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    def add_rater(self, token: str, name: str) -> None:
        """Enter a rater; nothing happens when they are there.

        Raises:
            BadSetup: there are too many.
        """
        with self._connection() as connection:
            (number,) = connection.execute("SELECT count(*) FROM raters").fetchone()
            if number >= MAX_RATERS:
                raise BadSetup(f"the study has {number} raters, and takes no more")
            entry = (token, self.study_id, name, _now())
            connection.execute("INSERT INTO raters VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", entry)

    def has_rater(self, token: str) -> bool:
        """True when the rater has begun."""
        with self._connection() as connection:
            query = "SELECT 1 FROM raters WHERE token = ? AND study = ?"
            return connection.execute(query, (token, self.study_id)).fetchone() is not None

    def raters(self) -> dict[str, str]:
        """Token -> name, in the order in which they came."""
        with self._connection() as connection:
            query = "SELECT token, name FROM raters WHERE study = ? ORDER BY started_at, token"
            return dict(connection.execute(query, (self.study_id,)).fetchall())

    def add(self, rater: str, question: str, choice: str, time_s: float) -> None:
        """Keep an answer; sent again it changes nothing, and another answer to the same question replaces it.

        Raises:
            sqlite3.IntegrityError: there is no such rater.
        """
        self.add_all([Vote(rater, question, choice, time_s, _now())])

    def add_all(self, votes: Iterable[Vote]) -> None:
        """Keep answers, all or none; otherwise as `add`."""
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

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with _opened(self.path) as connection, connection:
            yield connection


def num_votes(path: Path, other_than: str) -> int:
    """How many votes of other studies a database holds. Raises BadSetup when it is none."""
    Votes(path, other_than)
    with _opened(path) as connection:
        query = "SELECT count(*) FROM votes v JOIN raters r ON r.token = v.rater WHERE r.study <> ?"
        (number,) = connection.execute(query, (other_than,)).fetchone()
        return int(number)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            # FULL: what the page was told is saved is on disk, also when the power fails.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise BadSetup(f"{path}: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
