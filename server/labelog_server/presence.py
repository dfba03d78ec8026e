"""Who is looking at which volume, and where: told by their programs again and again, and forgotten when they cease."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from labelog.errors import Invalid

MOST = 1000
"""Sessions in one volume."""


class Here(NamedTuple):
    """What one session said last, and until when that holds, by the clock of `time.monotonic`."""

    facts: dict[str, Any]
    until: float


class Presence:
    """Sessions by volume. Safe for several threads.

    Attributes
    ----------
    changes : volume -> how often who is there has changed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._here: dict[str, dict[tuple[str | None, str], Here]] = {}
        self.changes: dict[str, int] = {}

    def put(self, volume: str, author: str | None, session: str, facts: dict[str, Any], seconds: float) -> None:
        """Say where an author's session is, for so many seconds; 0 says that it has left. Raises Invalid."""
        with self._lock:
            here = self._here.setdefault(volume, {})
            who = author, session
            if seconds <= 0:
                before = here.pop(who, None)
                self._changed(volume, before is not None)
                return
            if who not in here and len(here) >= MOST:
                raise Invalid(f"{MOST} sessions are in {volume} already")
            told = {"author": author, "session": session} | facts
            before = here.get(who)
            here[who] = Here(told, self._clock() + seconds)
            self._changed(volume, before is None or before.facts != told)

    def of(self, volume: str) -> list[dict[str, Any]]:
        """Who is there now, in the order in which they came."""
        with self._lock:
            return [here.facts for here in self._here.get(volume, {}).values() if here.until > self._clock()]

    def expire(self) -> bool:
        """Forget those who have not said anything for too long. Whether there were any."""
        with self._lock:
            now, found = self._clock(), False
            for volume, here in self._here.items():
                gone = [who for who, what in here.items() if what.until <= now]
                for who in gone:
                    del here[who]
                self._changed(volume, bool(gone))
                found |= bool(gone)
            return found

    def _changed(self, volume: str, really: bool) -> None:
        if really:
            self.changes[volume] = self.changes.get(volume, 0) + 1
