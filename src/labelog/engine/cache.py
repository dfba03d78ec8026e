"""Decoded chunks, the least recently used given up first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from labelog.kernels.runs import Runs

STATES = 3  # of one chunk: the head's, and those of readers who hold on to an older revision


class ChunkCache:
    """Chunks by number and the revision that last changed them, up to a number of bytes. Thread safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._runs: OrderedDict[tuple[int, int], Runs] = OrderedDict()
        self._states: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def get(self, chunk: int, state: int) -> Runs | None:
        with self._lock:
            runs = self._runs.get((chunk, state))
            if runs is not None:
                self._runs.move_to_end((chunk, state))
            return runs

    def nearest(self, chunk: int, state: int) -> tuple[int, Runs] | None:
        """The newest state of a chunk that is not after `state`."""
        with self._lock:
            found = max((s for s in self._states.get(chunk, ()) if s <= state), default=None)
            return None if found is None else (found, self._runs[chunk, found])

    def put(self, chunk: int, state: int, runs: Runs) -> None:
        with self._lock:
            if (chunk, state) in self._runs or runs.nbytes > self.limit:
                return
            states = self._states.setdefault(chunk, [])
            for older in states:  # which are given up before anything that is still the newest
                self._runs.move_to_end((chunk, older), last=older > state)
            if len(states) == STATES:
                self._drop(chunk, min(states))
            self._states.setdefault(chunk, []).append(state)
            self._runs[chunk, state] = runs
            self.nbytes += runs.nbytes
            while self.nbytes > self.limit:
                self._drop(*next(iter(self._runs)))

    def _drop(self, chunk: int, state: int) -> None:
        self.nbytes -= self._runs.pop((chunk, state)).nbytes
        self._states[chunk].remove(state)
        if not self._states[chunk]:
            del self._states[chunk]
