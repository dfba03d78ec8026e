"""Long work, done beside requests: begun by one, asked about and cancelled by others, in whatever worker."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Literal

import labelog
from labelog.progress import Progress
from labelog_server.board import Board
from labelog_server.problems import Problem, said, status_of, told

log = logging.getLogger("labelog.http")

AT_ONCE = 2  # in each worker
MOST_WAITING = 100
KEPT = 1000
"""Jobs that are over, and still told of."""

PAUSE = 0.1  # seconds between what is told of a job's progress

State = Literal["waiting", "running", "done", "failed", "cancelled"]
UNDER_WAY = "state IN ('waiting', 'running')"
COLUMNS = f"id, volume, do, author, state, done, total, made, result, problem, cancel AND {UNDER_WAY}"
ENDED = {
    "title": "Ended", "status": 500,
    "detail": "the worker that did this ended in the middle; an edit has then happened whole or not at all",
}  # fmt: skip


class Cancelled(Exception):
    """Ends the work of a job."""


@dataclass(frozen=True)
class Job:
    """What is known of some work on a volume.

    Attributes
    ----------
    done, total : steps; 0 in all if nobody knows.
    time : when it was begun, as ISO 8601 has it.
    result : what came of it, in JSON.
    problem : why it failed.
    """

    id: str
    volume: str
    do: str
    author: str
    state: State
    done: int
    total: int
    time: str
    result: Any
    problem: dict[str, Any] | None
    cancelling: bool


class Jobs:
    """All jobs of a server, on the board of its workers, in the order in which they were begun.

    A job is done by the worker that began it. Safe for several threads.
    """

    def __init__(self, board: Board, folders: tuple[str, ...]) -> None:
        self._board, self._folders = board, folders
        self._pool = ThreadPoolExecutor(AT_ONCE, "job")

    def begin(self, volume: str, do: str, author: str, work: Callable[[Progress], Any]) -> Job:
        """Have it done. Raises Problem 503 if too many wait already."""
        number = token_hex(8)
        self._bury()
        with self._board.changing() as db:
            if db.execute("SELECT count(*) FROM jobs WHERE state = 'waiting'").get >= MOST_WAITING:
                raise Problem(503, f"{MOST_WAITING} jobs are waiting already", headers={"Retry-After": "30"})
            db.execute(f"DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs WHERE NOT {UNDER_WAY} "
                       f"ORDER BY rowid DESC LIMIT -1 OFFSET {KEPT - 1})")  # fmt: skip
            db.execute("INSERT INTO jobs (id, worker, volume, do, author, state, done, total, made, cancel) "
                       "VALUES (?, ?, ?, ?, ?, 'waiting', 0, 0, ?, 0)",
                       (number, self._board.worker, volume, do, author, time.time()))  # fmt: skip
        self._pool.submit(_Run(self._board, number, self._folders).run, work)
        return self.find(volume, number)

    def all(self) -> list[Job]:
        self._bury()
        return [_job(row) for row in self._board.rows(f"SELECT {COLUMNS} FROM jobs ORDER BY rowid")]

    def find(self, volume: str, number: str) -> Job:
        """Raises NotFound."""
        self._bury()
        rows = self._board.rows(f"SELECT {COLUMNS} FROM jobs WHERE id = ? AND volume = ?", number, volume)
        if not rows:
            raise labelog.NotFound(f"there is no job {number!r} of {volume}")
        return _job(rows[0])

    def cancel(self, number: str) -> None:
        """Have it end at its next step, whichever worker does it."""
        self._board.rows("UPDATE jobs SET cancel = 1 WHERE id = ?", number)

    def close(self) -> None:
        """Cancel all of this worker, and wait for those that are running to come to where they can stop."""
        self._board.rows("UPDATE jobs SET cancel = 1 WHERE worker = ?", self._board.worker)
        self._pool.shutdown()

    def _bury(self) -> None:
        """Say of jobs whose worker has ended that they have failed."""
        for (worker,) in self._board.rows(f"SELECT DISTINCT worker FROM jobs WHERE {UNDER_WAY}"):
            if self._board.has_ended(worker):
                self._board.rows(f"UPDATE jobs SET state = 'failed', problem = ? WHERE worker = ? AND {UNDER_WAY}",
                                 json.dumps(ENDED), worker)  # fmt: skip


class _Run:
    """One job at work."""

    def __init__(self, board: Board, number: str, folders: tuple[str, ...]) -> None:
        self._board, self._number, self._folders = board, number, folders
        self._steps, self._said = (0, 0), 0.0

    def run(self, work: Callable[[Progress], Any]) -> None:
        try:
            self.progress(0, 0)
            self._set("running")
            self._set("done", result=work(self.progress))
        except Cancelled:
            self._set("cancelled")
        except (labelog.LabelogError, Problem) as error:
            self._set("failed", problem=_why(error, self._folders))
        except Exception as error:
            log.exception("job %s", self._number, exc_info=error)
            self._set("failed", problem={"status": 500, "detail": "an error of the server's own; its log has more"})

    def progress(self, done: int, total: int) -> None:
        """What the work calls now and then. Raises Cancelled."""
        self._steps = done, total
        if time.monotonic() > self._said + PAUSE:
            self._said = time.monotonic()
            self._board.rows("UPDATE jobs SET done = ?, total = ? WHERE id = ?", done, total, self._number)
        if self._board.rows("SELECT 1 FROM jobs WHERE id = ? AND cancel", self._number):
            raise Cancelled

    def _set(self, state: State, result: Any = None, problem: dict[str, Any] | None = None) -> None:
        self._board.rows("UPDATE jobs SET state = ?, done = ?, total = ?, result = ?, problem = ? WHERE id = ?", state,
                         *self._steps, json.dumps(result), json.dumps(problem), self._number)  # fmt: skip


def _job(row: Any) -> Job:
    number, volume, do, author, state, done, total, made, result, problem, cancelling = row
    return Job(number, volume, do, author, state, done, total, datetime.fromtimestamp(made, UTC).isoformat(),
               json.loads(result or "null"), json.loads(problem or "null"), bool(cancelling))  # fmt: skip


def _why(error: labelog.LabelogError | Problem, folders: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(error, Problem):
        return {"status": error.status, "detail": said(error, folders), **error.facts}
    facts = {name: str(fact) if name == "label" else fact for name, fact in told(error).items()}
    return {"title": type(error).__name__, "status": status_of(error), "detail": said(error, folders), **facts}
