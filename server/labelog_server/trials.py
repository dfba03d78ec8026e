"""Edits that are tried step by step: kept between requests, so that each operation is staged once, and not again for
each that follows it.

Nothing depends on them. Who goes on with one that is not here any more, or that another worker has, is told so, and
sends all operations again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

import labelog
from labelog_server.problems import Problem

MOST = 64  # at a time
MOST_SPANS = 2**22  # staged in all of them; 16 bytes each
SECONDS = 120.0  # until one is forgotten that nobody goes on with


@dataclass(frozen=True)
class Trial:
    """An edit with what is staged so far.

    Attributes
    ----------
    made : the labels that its operations gave names to.
    of : the volume, who tries it, and under which key.
    until : when it is forgotten.
    """

    edit: labelog.Edit
    made: dict[str, int]
    of: tuple[Any, ...]
    until: float


class Trials:
    """Trials by name. Each goes to one request at a time. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, Trial] = {}  # the oldest first

    def keep(self, edit: labelog.Edit, made: dict[str, int], of: tuple[Any, ...]) -> str | None:
        """Keep a trial, and forget others for it if need be; its name, which is good once. None if it is too large."""
        if edit.spans > MOST_SPANS // 2:
            return None
        name = token_urlsafe(16)
        with self._lock:
            self._kept[name] = Trial(edit, made, of, self._clock() + SECONDS)
            self._forget()
        return name

    def _forget(self) -> None:
        now, kept = self._clock(), self._kept
        while kept:
            oldest = next(iter(kept))
            spans = sum(trial.edit.spans for trial in kept.values())
            if len(kept) <= MOST and spans <= MOST_SPANS and kept[oldest].until > now:
                return
            del kept[oldest]

    def take(self, name: str, of: tuple[Any, ...]) -> Trial:
        """The trial of that name, for this thread. Raises Problem 410."""
        with self._lock:
            self._forget()
            found = self._kept.pop(name, None)
        if found is None or found.of != of:
            raise Problem(410, "this trial is not, or no longer, here; send all operations")
        found.edit.take_over()
        return found
