"""What a commit does to the chunks: what it asks for, at which moment that is worked out, what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from labelog.arrays.boxes import team
from labelog.engine.store import Store
from labelog.engine.table import Staged, Table
from labelog.geometry import Box
from labelog.kernels import codec, extents, spans
from labelog.kernels.overlaid import Overlaid
from labelog.kernels.recount import recounted
from labelog.kernels.spans import Delta, Spans
from labelog.storage.commits import Reader
from labelog.storage.journal import Fact, Kind, digest

Patches = dict[int, Spans]
"""What is to be written: chunk -> voxels and labels."""

TOGETHER = 16  # chunks that several threads work out: as many are in memory


class Settled(NamedTuple):
    """What a commit asks for in a chunk."""

    labels: Spans  # of the voxels that are to be written
    in_the_way: Spans  # those that later edits wrote
    written: int  # by the edits that are taken out or put back, if it does that


class Moment:
    """The volume at a revision, as commits see it.

    Attributes
    ----------
    newest : the revision.
    start : as far as that the store may be asked; what is newer is not committed yet.
    """

    def __init__(self, store: Store, journal: Reader, start: int) -> None:
        self.store = store
        self.journal = journal
        self.start = store.advance(start)

    @property
    def newest(self) -> int:
        return self.start

    def chunk(self, chunk: int) -> Overlaid:
        """A chunk's labels."""
        return self.store.overlaid(chunk, self.start)

    def table(self, facts: Iterable[Fact]) -> Table:
        """The label table with these facts over it."""
        staged = Staged()
        staged.add(self.journal, self.newest, list(facts))
        return Table(self.journal, self.newest, staged)

    def since(self, chunk: int, revision: int) -> Spans:
        """The voxels of a chunk that commits after `revision` gave another label."""
        changed = spans.nothing()
        for made, data in self.journal.deltas(chunk, revision, self.newest):
            changed = spans.overlay(changed, self.store.delta(chunk, made, data).changes())
        return changed


@dataclass(frozen=True)
class Work:
    """What a commit asks for.

    Attributes
    ----------
    recipes : chunk -> what is to be done with it; ascending. As long as that is the same, and nobody else has changed
        the chunk, the same comes of it.
    settle : a chunk at a moment -> what that asks for there.
    refuse : called with the voxels that are in the way, and the box that they lie in; raises Conflict if they must not
        be.
    facts : what it says to the label table.
    lowest : the lowest edit that it takes out or puts back; None if it does neither.
    targets : the commits that it takes out.
    """

    kind: Kind
    recipes: Mapping[int, Spans | dict[int, bool]]
    settle: Callable[[Moment, int], Settled]
    refuse: Callable[[int, Box | None], None]
    facts: Sequence[Fact] = ()
    lowest: int | None = None
    targets: tuple[int, ...] = ()

    def keeps_fragments(self, table: Table) -> bool:
        """Whether what is written depends on which labels are of one body."""
        return self.kind is Kind.EDIT and (table.merged or bool(table.staged.moved))


class Summary(NamedTuple):
    """What came of it in a chunk, in a few numbers."""

    changed: int  # voxels that got another label
    written: int
    in_the_way: int
    box: Box | None  # that those lie in
    digest: bytes  # of the delta


class Change(NamedTuple):
    """What came of it in a chunk: a delta, whose bytes these are, and the rows that follow from it."""

    delta: bytes
    extents: bytes  # of the labels that it changed
    entered: list[int]  # labels that were not in the chunk
    after: Overlaid | None  # the chunk then, unless it takes memory for nothing
    summary: Summary


class Plan(NamedTuple):
    """What there is to work out of a chunk, and all that has to be read for it."""

    chunk: int
    before: Overlaid
    settled: Settled
    delta: Delta


def planned(moment: Moment, work: Work, chunk: int, table: Table) -> Plan:
    """What a chunk is, and what is to change. An edit's delta holds all that it writes, others' what they change."""
    before, settled = moment.chunk(chunk), work.settle(moment, chunk)
    delta = before.diff(settled.labels)
    if work.kind is not Kind.EDIT:
        delta = before.diff(delta.changes())
    elif work.keeps_fragments(table):
        delta = before.diff(keeping_fragments(delta, table))
    return Plan(chunk, before, settled, delta)


def worked_out(store: Store, work: Work, plan: Plan) -> Change:
    """A chunk as the next revision. Reads nothing, so any thread may do it."""
    chunk, before, settled, delta = plan
    data = codec.encode_delta(delta, store.grid.chunks[2])
    after = before.under(delta.new)
    written = delta.written if work.kind is Kind.EDIT else settled.written
    summary = Summary(delta.changed, written, settled.in_the_way.voxels,
                      bounds(store, chunk, settled.in_the_way), digest(data))  # fmt: skip
    found, entered = recounted(delta, before, after)
    return Change(data, extents.encode(found), entered, after, summary)


def all_worked_out(moment: Moment, work: Work, chunks: Sequence[int], table: Table, threads: int) -> dict[int, Change]:
    """Chunks as the next revision, by several threads. Only the caller's reads: a moment is for one thread."""
    made: dict[int, Change] = {}
    with team(threads) as every:
        for first in range(0, len(chunks), TOGETHER):
            plans = [planned(moment, work, chunk, table) for chunk in chunks[first : first + TOGETHER]]
            found = every(lambda plan: worked_out(moment.store, work, plan), plans)
            made.update((plan.chunk, change) for plan, change in zip(plans, found, strict=True))
    return made


def keeping_fragments(delta: Delta, table: Table) -> Spans:
    """What a delta writes, but that voxels whose body stays the same keep the label that they have."""
    old, new = delta.old, delta.new
    labels, places = np.unique(np.concatenate([old.value, new.value]), return_inverse=True)
    bodies = np.array([table.body(label) for label in labels.tolist()], np.uint64)[places]
    same = bodies[: len(old)] == bodies[len(old) :]
    return Spans(new.start, new.stop, np.where(same, old.value, new.value))


def bounds(store: Store, chunk: int, voxels: Spans) -> Box | None:
    """The box that voxels of a chunk lie in; None if there are none."""
    found = voxels.bounds(store.grid.chunks)
    if found is None:
        return None
    z0, z1, y0, y1, x0, x1 = found
    return Box((z0, y0, x0), (z1, y1, x1)).shift(store.grid.origin(chunk))


def measure(store: Store, patches: Patches) -> tuple[int, Box | None]:
    """How many voxels patches hold, and the box that they lie in."""
    boxes = [box for chunk, patch in patches.items() if (box := bounds(store, chunk, patch))]
    return sum(patch.voxels for patch in patches.values()), reduce(Box.union, boxes) if boxes else None
