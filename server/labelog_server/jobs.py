"""Long work, done beside requests: begun by one, asked about and cancelled by others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Literal

import labelog
from labelog.arrays.walk import Progress
from labelog_server.problems import Problem, status_of, told

log = logging.getLogger("labelog.http")

AT_ONCE = 2
MOST_WAITING = 100
KEPT = 1000
"""Jobs that are over, and still told of."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Cancelled(Exception):
    """Ends the work of a job."""


@dataclass
class Job:
    """Some work on a volume.

    Attributes
    ----------
    done, total : steps; 0 in all if nobody knows.
    result : what came of it, in JSON.
    problem : why it failed.
    """

    volume: str
    do: str
    author: str | None
    id: str = field(default_factory=lambda: token_hex(8))
    state: State = "waiting"
    done: int = 0
    total: int = 0
    made: float = field(default_factory=time.time)
    result: Any = None
    problem: dict[str, Any] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    def progress(self, done: int, total: int) -> None:
        """What the work calls now and then. Raises Cancelled."""
        self.done, self.total = done, total
        if self.cancel.is_set():
            raise Cancelled

    def run(self, work: Callable[[Progress], Any]) -> None:
        if self.cancel.is_set():
            self.state = "cancelled"
            return
        self.state = "running"
        try:
            self.result = work(self.progress)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except (labelog.LabelogError, Problem) as error:
            self._fail(error)
        except Exception as error:
            log.exception("job %s of %s", self.do, self.volume, exc_info=error)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, labelog.LabelogError):
            self.problem = {"title": type(error).__name__, "status": status_of(error), "detail": str(error)}
            self.problem |= {name: str(fact) if name == "label" else fact for name, fact in told(error).items()}
        elif isinstance(error, Problem):
            self.problem = {"status": error.status, "detail": error.detail, **error.facts}
        else:
            self.problem = {"status": 500, "detail": "an error of the server's own; its log has more"}
        self.state = "failed"


class Jobs:
    """All jobs of a server, in the order in which they were begun. Safe for several threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, "job")
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def begin(self, job: Job, work: Callable[[Progress], Any]) -> Job:
        """Have it done. Raises Problem 503 if too many wait already."""
        with self._lock:
            if sum(other.state == "waiting" for other in self._jobs.values()) >= MOST_WAITING:
                raise Problem(503, f"{MOST_WAITING} jobs are waiting already", headers={"Retry-After": "30"})
            over = [other for other in self._jobs.values() if other.state not in ("waiting", "running")]
            for other in over[: max(0, len(over) - KEPT + 1)]:
                del self._jobs[other.id]
            self._jobs[job.id] = job
            self._pool.submit(job.run, work)
        return job

    def all(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def find(self, volume: str, number: str) -> Job:
        """Raises NotFound."""
        with self._lock:
            job = self._jobs.get(number)
        if job is None or job.volume != volume:
            raise labelog.NotFound(f"there is no job {number!r} of {volume}")
        return job

    def close(self) -> None:
        """Cancel all, and wait for those that are running to come to where they can stop."""
        for job in self.all():
            job.cancel.set()
        self._pool.shutdown(cancel_futures=True)
