"""Housekeeping in the background: folds chunks with many deltas into the base, keeps chunks of coarser scales in the
pyramid, and the log short.

Folding does its decoding and encoding beside the writers, and takes their place only to rename and record.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from labelog.arrays.boxes import threads_may_begin
from labelog.errors import LabelogError
from labelog.kernels.extents import counted
from labelog.progress import Progress
from labelog.storage.facts import pieces
from labelog.storage.layout import FOLD_AT, KEEP_AT
from labelog.storage.parcels import sweep
from labelog.storage.sqlite import CHECKPOINT_AT

if TYPE_CHECKING:
    from labelog.engine.store import Store

log = logging.getLogger("labelog.keeper")

Item = TypeVar("Item")

BATCH = 16  # chunks folded in one turn
MORE = 4  # extents of all labels may take so many times the bytes of those that deltas brought since the last time


class Keeper:
    """The housekeeper of a store: a thread that is started when there is something to do."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: defaultdict[int, int] = defaultdict(int)  # deltas of a chunk since its last fold, of this process
        self._wishes: dict[int, None] = {}
        self._unkept: dict[tuple[int, int], None] = {}  # chunks of coarser scales, by scale and number
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def unfolded(self) -> int:
        """How many deltas this process has committed of chunks that were not folded since."""
        return sum(list(self._counts.values()))

    def count(self, chunks: Iterable[int]) -> None:
        """A commit has added a delta to each of these chunks."""
        due = []
        for chunk in chunks:
            self._counts[chunk] += 1
            if self._counts[chunk] >= FOLD_AT:
                due.append(chunk)
                del self._counts[chunk]
        if due or self._store.journal.log_pages >= CHECKPOINT_AT:
            self.wish(*due)

    def wish(self, *chunks: int) -> None:
        """These chunks should be folded soon; with or without any, the log is looked after."""
        if not self._store.writable or self._stopped:
            return
        with self._condition:
            self._wishes.update(dict.fromkeys(chunks))
            self._wake()

    def keep(self, scale: int, chunk: int) -> None:
        """A chunk of a coarser scale was made, and should be in the pyramid soon."""
        if not self._store.writable or self._stopped:
            return
        with self._condition:
            self._unkept[scale, chunk] = None
            self._wake()

    def _wake(self) -> None:
        if self._thread is None and threads_may_begin():
            self._thread = threading.Thread(target=self._work, name="labelog-keeper", daemon=True)
            self._thread.start()
        self._condition.notify()

    def stop(self) -> None:
        """End the thread after what it is doing now."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (self._stopped or self._wishes or self._unkept
                           or self._store.journal.log_pages >= CHECKPOINT_AT):  # fmt: skip
                    self._condition.wait()
                if self._stopped:
                    return
                chunks, unkept = list(self._wishes)[:BATCH], list(self._unkept)[:BATCH]
                for chunk in chunks:
                    del self._wishes[chunk]
                for made in unkept:
                    del self._unkept[made]
            self._together(lambda some: fold(self._store, some), chunks)
            self._together(lambda some: self._store.scales.keep(some, self._store.head()), unkept)
            if self._store.journal.log_pages >= CHECKPOINT_AT:
                self._done(self._store.journal.checkpoint)

    def _together(self, work: Callable[[list[Item]], Any], items: list[Item]) -> None:
        """All at once, or one after another if that fails: a damaged chunk does not keep the others from being done."""
        if not self._done(work, items) and len(items) > 1:
            for item in items:
                if not self._stopped:
                    self._done(work, [item])

    def _done(self, work: Callable[..., Any], *what: Any) -> bool:
        """Do some of the work. If that fails, on a full disk say, the deltas stay, and are folded another time."""
        try:
            work(*what)
        except Exception as error:
            log.warning("%s: housekeeping put off: %s", self._store.folder, error,
                        exc_info=not isinstance(error, LabelogError))  # fmt: skip
            return False
        return True


def fold(store: Store, chunks: Iterable[int]) -> int:
    """Bring chunks of the base up to the head; how many of them were behind."""
    ready = []
    head = store.head()
    for chunk in chunks:
        state = store.state(chunk, head)
        if state > store.stored(chunk).revision:
            runs = store.runs(chunk, head)
            ready.append((chunk, state, store.base.pack(chunk, state, runs), pieces(counted(runs))))
    if not ready:
        return 0
    folded = 0
    with store.journal.turn() as turn:
        for chunk, state, data, whole in ready:
            if (turn.manifest(chunk) or (-1, 0))[0] >= state:  # another process was first
                continue
            turn.set_manifest([(chunk, state, store.base.write(chunk, data))])
            kept = turn.kept(chunk, state, before=True)
            if turn.count_deltas(chunk, kept[0] if kept else 0) >= KEEP_AT:
                turn.keep(chunk, state, data)
            if MORE * turn.pending(chunk, state) >= sum(len(part) for _, part in whole):
                turn.add_extents(chunk, state, whole)
            folded += 1
    log.debug("%s: folded %d chunks up to revision %d", store.folder, folded, head)
    return folded


def compact(store: Store, progress: Progress | None = None) -> int:
    """Fold every chunk, and the log into the journal, complete the pyramid, and remove what was left behind; how many
    chunks were behind."""
    with store.journal.reading() as journal:
        chunks = journal.chunks()
    coarse = store.scales.over(chunks)
    folded, total = 0, len(chunks) + len(coarse)
    for first in range(0, len(chunks), BATCH):
        folded += fold(store, chunks[first : first + BATCH])
        if progress:
            progress(min(first + BATCH, len(chunks)), total)
    for first in range(0, len(coarse), BATCH):
        store.scales.keep(coarse[first : first + BATCH], store.head(), store.pool.map if store.threads > 1 else map)
        if progress:
            progress(len(chunks) + min(first + BATCH, len(coarse)), total)
    sweep(store.journal)
    left = store.base.drafts() + store.scales.pyramid.drafts()
    with store.journal.turn():  # nobody folds now; also, there must be a writer, which alone can checkpoint
        for path in left:
            path.unlink(missing_ok=True)
    store.journal.checkpoint()
    return folded
