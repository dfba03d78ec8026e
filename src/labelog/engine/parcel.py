"""Large commits, made beside the writers and handed over before their turn.

Whoever changes many chunks works them out without the writer's place, at whatever revision is the newest then, and
hands the bytes over in pieces, each in a short turn of its own, as a parcel that nobody sees. In the turn that commits,
only the chunks that others have changed meanwhile are worked out again, and one row shows the parcel.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from labelog.engine.change import Change, Moment, Summary, Work, planned, worked_out
from labelog.engine.store import Store
from labelog.engine.table import Staged, Table
from labelog.errors import LabelogError
from labelog.kernels.spans import Spans
from labelog.storage.commits import Turn
from labelog.storage.parcels import take_back
from labelog.storage.sqlite import CHECKPOINT_AT

log = logging.getLogger("labelog.parcel")

LARGE = 16  # chunks, or as much work, that a commit does in its turn
DENSE = 4096  # spans that are as much work as another chunk
PIECE = 2**19  # bytes that are handed over at a time
TRIES = 24  # times that what others have changed is made again before the turn
ROW = 64  # bytes, about, that it takes to note a label in a chunk


class Large(Exception):
    """There is more to do than a commit may do in its turn."""

    def __init__(self, work: Work) -> None:
        self.work = work


class Made(NamedTuple):
    """A chunk that was worked out at a revision."""

    seen: int
    recipe: object
    summary: Summary


class Parcel:
    """What is made of a commit before its turn. It belongs to one thread.

    Attributes
    ----------
    made : the chunks that are worked out, right as of revision `upto` if others have not changed them since then.
    tries : how often all that was left then has been worked out.
    """

    def __init__(self, store: Store, large: int, piece: int) -> None:
        self.made: dict[int, Made] = {}
        self.upto = -1
        self.tries = 0
        self._store = store
        self._large = large
        self._piece = piece
        self._number: int | None = None
        self._held: dict[int, Change] = {}  # what is not handed over yet
        self._weight = 0  # of that, in bytes
        self._wrong: set[int] = set()  # chunks handed over of which something else has come
        self._staged = Staged()
        self._lock = ExitStack()

    def prepare(self, work: Work) -> None:
        """Work out all chunks that are not, or are not any more, until few are left that others have changed."""
        while True:
            with self._store.journal.reading() as journal, journal.still():
                moment = Moment(self._store, journal, journal.head())
                table = moment.table(work.facts)
                left = self.open(moment, work, table)
                self.upto, self._staged = moment.newest, table.staged
            for chunk in left:
                self._forget(chunk)
            if self.tries == TRIES or (self.made and weight(work, left) <= self._large):
                return
            self.tries += 1
            voxels = len(left) * math.prod(self._store.grid.chunks)
            for chunk, seen, made in self._store.ahead(lambda chunk: self._make(work, chunk), left, voxels):
                self.made[chunk] = Made(seen, work.recipes[chunk], made.summary)
                self._hold(chunk, made)

    def open(self, moment: Moment, work: Work, table: Table) -> list[int]:
        """The chunks that are still to be worked out, as of a moment; ascending."""
        changed = moment.journal.changed_chunks(self.upto, moment.newest) if self.made else {}
        moved, there = self._moved(moment, work, table)
        found = []
        for chunk, recipe in work.recipes.items():
            made = self.made.get(chunk)
            if (made is None or made.recipe != recipe or changed.get(chunk, 0) > made.seen or chunk in there
                    or (moved and isinstance(recipe, Spans) and np.isin(recipe.value, moved).any())):  # fmt: skip
                found.append(chunk)
        return found

    def _moved(self, moment: Moment, work: Work, table: Table) -> tuple[list[int], set[int]]:
        """Labels that may be of another body than when chunks were made, if that matters; the chunks they are in."""
        if not self.made or not work.keeps_fragments(table):
            return [], set()
        moved = moment.journal.rebodied(self.upto, moment.newest)
        if moved or self._staged.moved.members != table.staged.moved.members:
            moved |= {*self._staged.moved.members, *table.staged.moved.members}
        return sorted(moved), {chunk for label in moved for chunk in moment.journal.haunted(label)}

    def _make(self, work: Work, chunk: int) -> tuple[int, int, Change]:
        with self._store.journal.reading() as journal, journal.still():
            moment = Moment(self._store, journal, journal.head())
            bodies = Table(journal, self.upto, self._staged)  # what is staged goes with that revision, and no other
            plan = planned(moment, work, chunk, bodies)
        return chunk, moment.newest, worked_out(self._store, work, plan)

    def _hold(self, chunk: int, made: Change) -> None:
        self._held[chunk] = made._replace(after=None)
        self._weight += len(made.delta) + len(made.extents) + ROW * len(made.entered)
        if self._weight >= self._piece:
            self._hand_over()

    def _forget(self, chunk: int) -> None:
        if self.made.pop(chunk, None) is not None and self._held.pop(chunk, None) is None:
            self._wrong.add(chunk)

    def _hand_over(self) -> None:
        """One piece, in a turn of its own. The log is kept short, and others are let in before the next one."""
        journal = self._store.journal
        if self._number is None:
            self._lock.enter_context(journal.parcelling())
        began = time.monotonic()
        with journal.turn() as turn:
            number = turn.open_parcel() if self._number is None else self._number
            turn.take_back(number, self._wrong)
            add(turn, [(chunk, self.made[chunk].seen + 1, made) for chunk, made in self._held.items()], number)
        self._number, self._weight = number, 0
        self._held.clear()
        self._wrong.clear()
        taken = time.monotonic() - began
        if journal.log_pages >= CHECKPOINT_AT:
            journal.checkpoint()
        time.sleep(taken)

    def deliver(self, turn: Turn, revision: int, chunks: set[int]) -> None:
        """In the turn that commits: show what is right of these chunks, and add what is not handed over yet."""
        wanted = [(chunk, revision, made) for chunk, made in self._held.items() if chunk in chunks]
        add(turn, wanted, 0)
        if self._number is not None:
            turn.take_back(self._number, self._wrong | self.made.keys() - self._held.keys() - chunks)
            turn.publish_parcel(self._number, revision)

    def give_up(self) -> None:
        """Take back what was handed over, unless it was committed. What fails of that `compact` does another time."""
        try:
            if self._number is not None:
                take_back(self._store.journal, self._number)
        except LabelogError as error:
            log.warning("%s: what a commit had handed over is left for compact: %s", self._store.folder, error)

    def close(self) -> None:
        self._lock.close()


def add(turn: Turn, changes: Iterable[tuple[int, int, Change]], parcel: int) -> None:
    """Rows of chunks: of a revision, or of a parcel (unless 0) and the first revision that it can become."""
    changes = list(changes)
    turn.add_deltas([(chunk, revision, made.extents, made.delta) for chunk, revision, made in changes], parcel)
    turn.add_haunts([(label, chunk) for chunk, _, made in changes for label in made.entered], parcel)


def weight(work: Work, chunks: Iterable[int]) -> int:
    """How much work some chunks are, in chunks."""
    return sum(1 + len(work.recipes[chunk]) // DENSE for chunk in chunks)
