"""A progress bar for what takes over a second: on stderr, if that is a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AFTER = 1.0  # seconds of quiet


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Gives what is to be called with how many are done, and of how many (0 if that is not known)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    bar = _Bar(what, unit)
    try:
        yield bar.update
    finally:
        bar.stop()


class _Bar:
    def __init__(self, what: str, unit: str) -> None:
        self._texts = what, unit
        self._state: tuple[int, int | None] = 0, None
        self._lock = threading.Lock()
        self._shown: Any = None
        self._timer = threading.Timer(AFTER, self._show)
        self._timer.daemon = True
        self._timer.start()

    def update(self, done: int, total: int) -> None:
        with self._lock:
            self._state = done, total or None
            if self._shown:
                self._shown.update(self._shown.task_ids[0], completed=done, total=total or None)

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        what, unit = self._texts
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()
        with self._lock:
            if self._timer is not None:
                self._shown = Progress(*columns, console=Console(stderr=True), transient=True)
                self._shown.add_task(what, completed=self._state[0], total=self._state[1])
                self._shown.start()

    def stop(self) -> None:
        with self._lock:
            self._timer.cancel()
            self._timer = None  # type: ignore[assignment]
            if self._shown:
                self._shown.stop()
