"""What the workers of a server know together, and forget when it ends: a small database in a folder of its own."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import apsw

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, worker TEXT, volume TEXT, do TEXT, author TEXT, state TEXT, done INTEGER, total INTEGER,
    made REAL, result TEXT, problem TEXT, cancel INTEGER);
CREATE TABLE IF NOT EXISTS present (
    volume TEXT, author TEXT, session TEXT, facts TEXT, until REAL, UNIQUE (volume, author, session));
CREATE TABLE IF NOT EXISTS changes (volume TEXT PRIMARY KEY, count INTEGER);
"""


class Board:
    """Rows that every worker reads and writes. Nothing of it has to survive the server, so nothing is flushed.

    A worker holds a lock on a file for as long as it lives, so that the others can tell whose work has ended with it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """The board of a folder that others have too, or one of its own."""
        self.worker = token_hex(8)
        self._own = None if folder else TemporaryDirectory(prefix="labelog-")
        self._folder = folder = folder or Path(self._own.name)  # type: ignore[union-attr]
        self._lock = threading.Lock()
        self._alive = os.open(self._mark(self.worker), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        with (folder / "turn").open("w") as turn:  # of two that go over to a log at once SQLite refuses one
            fcntl.flock(turn, fcntl.LOCK_EX)
            self._db = apsw.Connection(str(folder / "board.sqlite"))
            self._db.set_busy_timeout(30_000)
            self._db.pragma("journal_mode", "wal")
            self._db.pragma("synchronous", "off")
            with self.changing():
                self._db.execute(SCHEMA)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a statement gives; one that changes is a transaction of its own."""
        with self._lock:
            return list(self._db.execute(query, values))

    @contextmanager
    def changing(self) -> Iterator[apsw.Connection]:
        """The database, for several statements that are one change."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def has_ended(self, worker: str) -> bool:
        """Whether a worker lives no more."""
        try:
            mark = os.open(self._mark(worker), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(mark)

    def close(self) -> None:
        with self._lock:
            self._db.close()
            os.close(self._alive)
            if self._own is not None:
                self._own.cleanup()

    def _mark(self, worker: str) -> Path:
        return self._folder / f"worker-{worker}"
