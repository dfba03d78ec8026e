"""An opened volume's machinery: its chunks at any revision, and the one path by which commits are made.

Reading: which revision last changed the chunk -> the cache -> else the nearest stored state (the base, a chunk kept
in the journal, or zeros) and the deltas between it and the revision wanted.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from labelog.arrays.boxes import ahead, threads_may_begin
from labelog.engine.cache import ChunkCache
from labelog.engine.keeper import Keeper
from labelog.engine.scales import Scales
from labelog.engine.table import Staged, Table
from labelog.engine.views import Known, LabelMap, smallest
from labelog.errors import Corrupt, Invalid
from labelog.geometry import Box, Grid, Triple
from labelog.kernels import codec, spans
from labelog.kernels.overlaid import Overlaid
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta, Spans
from labelog.storage.base import Base, Chunk, unpack
from labelog.storage.commits import Reader
from labelog.storage.disk import refuse_network
from labelog.storage.layout import FOLD_AT
from labelog.storage.meta import Meta
from labelog.storage.sqlite import SqliteJournal

CATCH_UP = 10_000  # revisions by others that are followed one by one; beyond, what is known of chunks is forgotten
MAPS = 16  # views whose label maps are remembered
PARALLEL = 2**22  # voxels from which a read uses several threads
AHEAD = 16  # items of a read, for each thread, that are worked on or wait for who asked
NICE = 10  # of threads that work for large edits: a tenth of a processor where another one wants it

Item = TypeVar("Item")
Result = TypeVar("Result")


class Store:
    """The files of one volume, opened once in this process by one handle."""

    def __init__(self, folder: Path, *, writable: bool, cache_bytes: int, threads: int) -> None:
        self.pid = os.getpid()
        self.folder = folder
        self.options = {"writable": writable, "cache_bytes": cache_bytes, "threads": threads}
        self.meta = Meta.read(folder)
        refuse_network(folder)
        self.grid: Grid = self.meta.grid
        self.base = Base(folder, self.meta)
        self.journal = SqliteJournal(folder, self.meta.key, writable=writable)
        self.cache = ChunkCache(cache_bytes)
        self.keeper = Keeper(self)
        self.changed = threading.Condition()  # notified at each commit of this process
        self._threads = threads
        self.zeros = Runs.full(self.grid.chunks, 0)
        self.scales = Scales(self)
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by their threads' niceness
        self._lock = threading.Lock()
        with self.journal.reading() as journal:
            self.known = journal.head()  # up to here `_last` and `_said` are right
            self._said = journal.last_facts(self.known)  # the revision that last wrote to the label table
        self._last: dict[int, int] = {}  # chunk -> the revision that last changed it, where asked for already
        self._maps: OrderedDict[tuple[str, int, np.dtype[Any]], LabelMap] = OrderedDict()

    @property
    def threads(self) -> int:
        """How many to use."""
        return self._threads if threads_may_begin() else 1

    @property
    def writable(self) -> bool:
        return self.journal.writable

    @property
    def closed(self) -> bool:
        return self.journal.closed

    def reopened(self) -> Store:
        """A store on the same files, for a process that inherited this one by fork."""
        return Store(self.folder, **self.options)  # type: ignore[arg-type]

    def close(self) -> None:
        self.keeper.stop()
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.shutdown()
        self.journal.close()

    # Revisions

    def head(self) -> int:
        """The newest revision, other processes' commits included."""
        return self.advance(self.journal.head())

    def advance(self, head: int) -> int:
        """Learn which chunks changed up to `head`."""
        while head > (known := self.known):
            with self.journal.reading() as journal:
                changed = journal.changed_chunks(known, head) if head - known <= CATCH_UP else None
                said = journal.last_facts(head)
            self._learn(known, head, changed, said)
        return head

    def _learn(self, known: int, head: int, changed: Mapping[int, int] | None, said: int) -> None:
        """What changed between two revisions: chunk -> newest revision, None if that would be too much to follow; and
        the revision that last wrote to the label table."""
        with self._lock:  # never held while the journal is asked: a writer may be waiting for it
            if self.known != known:  # another thread was first
                return
            if changed is None:
                self._last.clear()
            else:
                self._last.update(changed)
            self.scales.learn(changed)
            self._said = said
            self.known = head

    def state(self, chunk: int, revision: int) -> int:
        """The revision that last changed a chunk, as of `revision`; 0 if none has."""
        known = self.known  # before `last`, or a commit between the two would be missed
        last = self._last.get(chunk)
        if last is None:
            with self.journal.reading() as journal:
                last = journal.last_change(chunk, known)
            self.remember(self._last, chunk, last, known)
        if last <= revision <= known:
            return last
        with self.journal.reading() as journal:
            return journal.last_change(chunk, revision)

    def remember(self, states: dict[int, int], chunk: int, state: int, known: int) -> None:
        """Note the state of a chunk as of the revision `known`, unless more is known by now."""
        with self._lock:
            if known == self.known:
                states[chunk] = state

    def said(self, revision: int) -> int:
        """The revision that last wrote to the label table, as of `revision`; -1 if none has."""
        known = self.known  # before `_said`, as in `state`
        said = self._said
        if said <= revision <= known:
            return said
        with self.journal.reading() as journal:
            return journal.last_facts(revision)

    # The label table

    @contextmanager
    def table(self, revision: int, staged: Staged | None = None) -> Iterator[Table]:
        """The label table at a revision, for a few questions."""
        with self.journal.reading() as journal:
            yield Table(journal, revision, staged)

    def label_map(self, name: str, revision: int, dtype: np.dtype[Any] | None) -> LabelMap:
        """The map of a view at a revision; the same for all revisions that have the same label table.

        Its values are of the smallest dtype that holds them all, if None is given.
        """
        if dtype is None:
            with self.table(revision) as table:
                dtype = smallest(name, table)
        said = self.said(revision)
        found = self._maps.get((name, said, dtype))
        if found is None:
            before = self._still_known(name, said, dtype)
            found = LabelMap(name, lambda: self.table(revision), dtype, before)
            with self._lock:
                self._maps[name, said, dtype] = found
                if len(self._maps) > MAPS:
                    self._maps.popitem(last=False)
        return found

    def _still_known(self, name: str, said: int, dtype: np.dtype[Any]) -> Known | None:
        """What the map knows that a view had before, if it is so at this revision too."""
        with self._lock:
            states = [state for known, state, kind in self._maps if (known, kind) == (name, dtype) and state < said]
            if not states:
                return None
            before = self._maps[name, max(states), dtype]
        with self.journal.reading() as journal:
            changed = journal.rebodied(max(states), said)
            placed = set() if name == "instance" else journal.placed(max(states), said)
        return None if placed is None else before.still_known(changed | placed)

    # Chunks

    def runs(self, chunk: int, revision: int) -> Runs:
        """A chunk's labels at a revision."""
        state = self.state(chunk, revision)
        runs = self.cache.get(chunk, state)
        if runs is None:
            runs = self._build(chunk, state)
            self.cache.put(chunk, state, runs)
        return runs

    def overlaid(self, chunk: int, revision: int) -> Overlaid:
        """A chunk's labels at a revision, to be written over."""
        return self.cache.overlaid(chunk, self.state(chunk, revision)) or Overlaid(self.runs(chunk, revision))

    def at_hand(self, chunk: int, revision: int) -> Runs | None:
        """A chunk's labels at a revision, if they are in memory and it need not ask the journal whether they are."""
        known = self.known  # before `_last`, as in `state`
        last = self._last.get(chunk, known + 1)
        return self.cache.get(chunk, last) if last <= revision <= known else None

    def _build(self, chunk: int, state: int) -> Runs:
        near = self.cache.nearest(chunk, state)
        stored = None
        if near is None or state - near[0] > FOLD_AT:
            stored = self.stored(chunk)  # the file first, then the journal, which then knows its revision
        with self.journal.reading() as journal:
            if near is not None and (stored is None or not near[0] < stored.revision <= state):
                return self._forward(journal, chunk, *near, state)
            assert stored is not None
            before = journal.kept(chunk, state, before=True)
            if before and not before[0] <= stored.revision <= state:
                stored = self.kept(chunk, *before)
            if stored.revision <= state:
                return self._forward(journal, chunk, stored.revision, stored.runs, state)
            after = journal.kept(chunk, state, before=False)
            if after and after[0] < stored.revision:
                stored = self.kept(chunk, *after)
            return self._backward(journal, chunk, stored.revision, stored.runs, state)

    def stored(self, chunk: int) -> Chunk:
        """A chunk as the base holds it: zeros at revision 0 if it was never written."""
        stored = self.base.read(chunk)
        with self.journal.reading() as journal:
            if stored is None:
                if journal.manifest(chunk) is None:
                    return Chunk(0, self.zeros, 0)
                stored = self.base.read(chunk)  # it may have been folded for the first time in between
            if stored is None:
                raise self.damaged(chunk, f"{self.base.path(chunk)} is missing")
            if stored.revision > journal.head():
                raise self.damaged(chunk, f"it is of revision {stored.revision}, which the journal does not have")
        return stored

    def damaged(self, chunk: int, what: str) -> Corrupt:
        index = self.grid.index(chunk)
        return Corrupt(f"chunk {index} of {self.folder}: {what}", path=str(self.folder), chunk=index)

    def kept(self, chunk: int, revision: int, data: bytes) -> Chunk:
        index = self.grid.index(chunk)
        place = f"chunk {index} kept at revision {revision} in {self.journal.path}"
        return unpack(data, self.grid.chunks, place, self.meta.key, index)

    def delta(self, chunk: int, revision: int, data: bytes) -> Delta:
        """A delta as stored. Raises Corrupt, naming the chunk and the revision."""
        try:
            return codec.decode_delta(data, self.grid.chunks)
        except Corrupt as error:
            raise self.damaged(chunk, f"its delta at revision {revision} is damaged: {error}") from error

    def written(self, journal: Reader, chunk: int, revision: int) -> Delta:
        """What a commit wrote in a chunk. Raises Corrupt if that is not there."""
        data = journal.delta(chunk, revision)
        if data is None:
            raise self.damaged(chunk, f"its delta at revision {revision} is missing")
        return self.delta(chunk, revision, data)

    def _forward(self, journal: Reader, chunk: int, revision: int, runs: Runs, state: int) -> Runs:
        deltas = journal.deltas(chunk, revision, state) if revision < state else []
        if len(deltas) > FOLD_AT:
            self.keeper.wish(chunk)
        return spans.apply(runs, layered([self.delta(chunk, made, data).new for made, data in deltas]))

    def _backward(self, journal: Reader, chunk: int, revision: int, runs: Runs, state: int) -> Runs:
        deltas = reversed(journal.deltas(chunk, state, revision))
        return spans.apply(runs, layered([self.delta(chunk, made, data).old for made, data in deltas]))

    # Reading

    def read(self, grid: Grid, box: Box, out: NDArray[Any], chunk_runs: Callable[[int], Runs],
             view: LabelMap) -> None:  # fmt: skip
        """Fill `out` (box.shape, the view's dtype) with a view of a box of a scale; `grid` is the scale's, and
        `chunk_runs` gives each chunk's labels."""

        def fill(item: tuple[int, Triple]) -> None:
            chunk, start = item
            runs = chunk_runs(chunk)
            runs.fill(out, start, view.values(runs))

        self.each(fill, grid.starts(box), box.voxels)

    def each(self, function: Callable[[Item], Any], items: Iterable[Item], voxels: int) -> None:
        """Call a function for all items, on several threads if it is about many voxels.

        All are handed out at once, as nothing is kept of them: so one that was begun before `close` is carried out.
        """
        pool = self.pool_for(voxels)
        for _ in map(function, items) if pool is None else pool.map(function, items):
            pass

    def mapped(self, function: Callable[[Item], Result], items: Iterable[Item], voxels: int) -> Iterator[Result]:
        """What a function gives for each item, in order; on several threads if it is about many voxels."""
        return ahead(self.pool_for(voxels), function, items, AHEAD * self.threads)

    def pool_for(self, voxels: int, niceness: int = 0) -> ThreadPoolExecutor | None:
        """Threads for what is about so many voxels; None if it is not worth them."""
        return self._pool(niceness) if self.threads > 1 and voxels >= PARALLEL else None

    def ahead(self, function: Callable[[Item], Result], items: Iterable[Item], voxels: int) -> Iterator[Result]:
        """The same for large edits, fewer items ahead: where threads have a niceness of their own, small edits and
        reads go first."""
        return ahead(self.pool_for(voxels, NICE), function, items, self.threads)

    @property
    def pool(self) -> ThreadPoolExecutor:
        return self._pool(0)

    def _pool(self, niceness: int) -> ThreadPoolExecutor:
        with self._lock:
            if niceness not in self._pools:
                self._pools[niceness] = ThreadPoolExecutor(self.threads, "labelog", stand_back, (niceness,))
            return self._pools[niceness]

    def lookup(self, grid: Grid, points: NDArray[np.int64], chunk_runs: Callable[[int], Runs],
               view: LabelMap) -> NDArray[Any]:  # fmt: skip
        """A view of single voxels of a scale: points (n, 3) of z, y, x within the volume."""
        out = np.empty(len(points), view.dtype)
        for chunk, group, flat in grid.groups(points):
            met, places = np.unique(chunk_runs(chunk).at(flat), return_inverse=True)
            out[group] = view.of(met)[places]
        return out

    # After a commit

    def published(self, start: int, head: int, changed: Mapping[int, int], fresh: Mapping[int, tuple[int, Overlaid]],
                  said: int) -> None:  # fmt: skip
        """The commits from `start` to `head` are durable; `changed` has the chunks that they changed, and when; `fresh`
        what those are since when, where that is known; `said` the last of them that wrote to the label table, -1 if
        none did."""
        self._learn(start, head, changed, max(said, self._said))
        self.advance(head)
        for chunk, (revision, made) in fresh.items():
            self.cache.put(chunk, revision, made)
        self.keeper.count(changed)
        with self.changed:
            self.changed.notify_all()


def stand_back(niceness: int) -> None:
    """Have this thread let others go first. Elsewhere than on Linux a niceness is a whole process's, and stays."""
    if niceness and sys.platform == "linux":
        os.nice(niceness)


def layered(patches: Iterable[Spans]) -> Spans:
    """All of them in one, the later over the earlier."""
    stack: list[Spans] = []  # each more than twice as long as the next, so that many small ones do not cost their
    for patch in patches:  # square, and a long one is not walked through for each of them
        while stack and len(stack[-1]) <= 2 * len(patch):
            patch = spans.overlay(stack.pop(), patch)
        stack.append(patch)
    return reduce(lambda over, under: spans.overlay(under, over), reversed(stack)) if stack else spans.nothing()


def check_fork(store: Store) -> Store:
    """The store, or a new one on the same files if this process inherited it by fork.

    The inherited one is not used: other threads of the parent may have held its locks.
    """
    if store.pid == os.getpid():
        return store
    if store.closed:
        raise Invalid(f"{store.folder} is closed")
    return store.reopened()
