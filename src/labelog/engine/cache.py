"""Decoded chunks, the least recently used given up first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from labelog.kernels.overlaid import Overlaid
from labelog.kernels.runs import Runs

STATES = 3  # of one chunk: the head's, and those of readers who hold on to an older revision


class ChunkCache:
    """Chunks by number and the revision that last changed them, up to a number of bytes. Thread safe.

    What edits made of one is put together when somebody asks for its runs.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._kept: OrderedDict[tuple[int, int], Runs | Overlaid] = OrderedDict()
        self._states: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def get(self, chunk: int, state: int) -> Runs | None:
        kept = self._get(chunk, state)
        if not isinstance(kept, Overlaid):
            return kept
        runs = kept.runs()
        with self._lock:
            if self._kept.get((chunk, state)) is kept:
                self._kept[chunk, state] = runs
                self.nbytes += runs.nbytes - kept.nbytes
                self._shrink()
        return runs

    def overlaid(self, chunk: int, state: int) -> Overlaid | None:
        """As `get`, without putting it together."""
        kept = self._get(chunk, state)
        return Overlaid(kept) if isinstance(kept, Runs) else kept

    def _get(self, chunk: int, state: int) -> Runs | Overlaid | None:
        with self._lock:
            kept = self._kept.get((chunk, state))
            if kept is not None:
                self._kept.move_to_end((chunk, state))
            return kept

    def nearest(self, chunk: int, state: int) -> tuple[int, Runs] | None:
        """The newest state of a chunk that is not after `state`."""
        with self._lock:
            found = max((s for s in self._states.get(chunk, ()) if s <= state), default=-1)
        runs = self.get(chunk, found)
        return None if runs is None else (found, runs)

    def put(self, chunk: int, state: int, runs: Runs | Overlaid) -> None:
        with self._lock:
            if (chunk, state) in self._kept or runs.nbytes > self.limit:
                return
            states = self._states.setdefault(chunk, [])
            for older in states:  # which are given up before anything that is still the newest
                self._kept.move_to_end((chunk, older), last=older > state)
            if len(states) == STATES:
                self._drop(chunk, min(states))
            self._states.setdefault(chunk, []).append(state)
            self._kept[chunk, state] = runs
            self.nbytes += runs.nbytes
            self._shrink()

    def _shrink(self) -> None:
        while self.nbytes > self.limit:
            self._drop(*next(iter(self._kept)))

    def _drop(self, chunk: int, state: int) -> None:
        self.nbytes -= self._kept.pop((chunk, state)).nbytes
        self._states[chunk].remove(state)
        if not self._states[chunk]:
            del self._states[chunk]
