"""The one path by which anything is committed.

Commits of several threads that wait at the same time share one transaction and one flush to disk (group commit):
whoever gets the turn carries out all that has queued up, each in an attempt of its own, so that one may fail alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from labelog.engine.store import Store
from labelog.engine.table import Staged, Table
from labelog.errors import Conflict, Invalid, LabelogError
from labelog.geometry import Box
from labelog.kernels import codec, extents, spans
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta, Spans
from labelog.storage.journal import Commit, Fact, Kind, Receipt, Record
from labelog.storage.sqlite import Turn

log = logging.getLogger("labelog.commit")

Patches = dict[int, Spans]
"""What is to be written: chunk -> voxels and labels."""


@dataclass(frozen=True)
class Draft:
    """Who commits what, and why.

    Attributes
    ----------
    key : idempotency key: the same author's commits with one key happen once.
    digest : of all that was asked for; the same key with another digest is a Conflict.
    """

    author: str
    session: str | None = None
    message: str = ""
    key: str | None = None
    digest: bytes = b""


def draft(author: str, session: str | None, message: str, key: str | None, *asked: object) -> Draft:
    """A checked draft. Raises Invalid for an author that is no path of names, or texts that are no texts."""
    if not isinstance(author, str) or not author or not all(author.split("/")) or "\0" in author:
        raise Invalid(f"author must be a name or a path of names such as 'vendor-b/ana', not {author!r}")
    for name, text in (("session", session), ("key", key)):
        if text is not None and (not isinstance(text, str) or not text or "\0" in text):
            raise Invalid(f"{name} must be a text or None, not {text!r}")
    if not isinstance(message, str):
        raise Invalid(f"message must be a text, not {message!r}")
    return Draft(author, session, message, key, blake2b(repr(asked).encode(), digest_size=16).digest())


@dataclass(frozen=True)
class Outcome:
    """What a commit did. `revision` is None if there was nothing to write, `commit` if a key told it from before."""

    revision: int | None
    voxels: int
    written: int
    commit: Commit | None = None


Job = Callable[["Batch"], Outcome]


class Batch:
    """The turn to write, as commits see it: the volume with what was committed in the same turn before."""

    def __init__(self, store: Store, turn: Turn) -> None:
        self.store = store
        self.turn = turn
        self.fresh: dict[int, tuple[int, Runs]] = {}
        self.said = -1  # the last commit of this turn that wrote to the label table
        self.start = store.advance(turn.newest)  # the revision from which the turn set out

    def runs(self, chunk: int) -> Runs:
        """A chunk's labels now."""
        made = self.fresh.get(chunk)
        return made[1] if made else self.store.runs(chunk, self.start)

    def now(self) -> int:
        return max(time.time_ns() // 1000, self.turn.time_of_newest)

    def write(self, kind: Kind, draft: Draft, patches: Patches, facts: Iterable[Fact] = (), *,
              written: int | None = None, left_alone: int = 0, lowest: int | None = None,
              targets: tuple[int, ...] = ()) -> Outcome:  # fmt: skip
        """Commit patches and facts as the next revision. An edit's deltas hold all that it wrote, others' what they
        changed. Raises Invalid, or Conflict if it is not an edit, if the label table would be impossible."""
        revision = self.turn.newest + 1
        table = self._table(facts, conflict=kind is not Kind.EDIT)
        keeping = kind is Kind.EDIT and (table.merged or bool(table.staged.bodies))
        deltas, counts, fresh, entered = {}, {}, {}, []
        changed = total = 0
        for chunk in sorted(patches):
            runs = self.runs(chunk)
            delta = spans.diff(runs, patches[chunk])
            if kind is not Kind.EDIT:
                delta = spans.diff(runs, delta.changes())
            elif keeping:
                delta = spans.diff(runs, keeping_fragments(delta, table))
            changed += delta.changed
            total += delta.written
            deltas[chunk] = codec.encode_delta(delta, self.store.grid.chunks[2])
            after = spans.apply(runs, delta.new)
            counts[chunk] = extents.encode(extents.changed(delta, after))
            entered += [(label, chunk) for label in extents.entered(delta, runs)]
            fresh[chunk] = revision, after
        record = Record(
            revision, kind, draft.author, draft.session, self.now(), draft.message, changed,
            total if written is None else written, left_alone, revision if lowest is None else lowest,
            tuple(deltas), targets,
        )  # fmt: skip
        said = sorted(table.staged.facts.values())
        self.turn.add(record, deltas, counts, said)
        self.turn.add_bodies(revision, table.staged.bodies)
        self.turn.add_haunts(entered)
        self.fresh.update(fresh)
        self.said = revision if said else self.said
        return Outcome(revision, changed, record.written, record.commit(live=True))

    def _table(self, facts: Iterable[Fact], *, conflict: bool) -> Table:
        """The label table with these facts over it. Raises Conflict or Invalid if it would be impossible."""
        staged = Staged()
        staged.add(self.turn, self.turn.newest, list(facts))
        table = Table(self.turn, self.turn.newest, staged)
        if staged.facts:
            table.verify(staged.facts.values(), conflict=conflict)
        return table

    def since(self, chunk: int, revision: int) -> Spans:
        """The voxels of a chunk that commits after `revision` gave another label."""
        changed = spans.nothing()
        for made, data in self.turn.deltas(chunk, revision, self.turn.newest):
            changed = spans.overlay(changed, self.store.delta(chunk, made, data).changes())
        return changed


def keeping_fragments(delta: Delta, table: Table) -> Spans:
    """What a delta writes, but that voxels whose body stays the same keep the label that they have."""
    old, new = delta.old, delta.new
    labels, places = np.unique(np.concatenate([old.value, new.value]), return_inverse=True)
    bodies = np.array([table.body(label) for label in labels.tolist()], np.uint64)[places]
    same = bodies[: len(old)] == bodies[len(old) :]
    return Spans(new.start, new.stop, np.where(same, old.value, new.value))


def refuse_unseen(batch: Batch, patches: Patches, seen: int, what: str) -> None:
    """Raise Conflict if any voxel of the patches got another label after revision `seen`."""
    collisions = {chunk: spans.intersect(patch, batch.since(chunk, seen)) for chunk, patch in patches.items()}
    voxels, box = measure(batch.store, collisions)
    if box is not None:
        raise Conflict(
            f"{voxels} of the voxels {what} were changed after revision {seen}, within {box}",
            box=box, voxels=voxels, revision=batch.turn.newest,
        )  # fmt: skip


def measure(store: Store, patches: Patches) -> tuple[int, Box | None]:
    """How many voxels patches hold, and the box that they lie in."""
    voxels = 0
    whole: Box | None = None
    for chunk, patch in patches.items():
        bounds = patch.bounds(store.grid.chunks)
        if bounds is not None:
            z0, z1, y0, y1, x0, x1 = bounds
            box = Box((z0, y0, x0), (z1, y1, x1)).shift(store.grid.origin(chunk))
            whole = box if whole is None else whole.union(box)
            voxels += patch.voxels
    return voxels, whole


class _Ticket:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = False
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None


class Committer:
    """Group commit for the threads of one handle."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._waiting: deque[_Ticket] = deque()

    def commit(self, draft: Draft, job: Job) -> Outcome:
        """Carry out a job, durably, or raise what it raised and leave nothing of it."""
        ticket = _Ticket(lambda batch: _once(batch, draft, job))
        self._waiting.append(ticket)
        try:
            with self._turn:
                if not ticket.done:
                    self._carry_out(ticket)
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        assert ticket.outcome is not None
        return ticket.outcome

    def _carry_out(self, own: _Ticket) -> None:
        """The jobs of all that wait, in one turn. An interrupt of this thread is not the others' affair."""
        tickets: list[_Ticket] = []
        turn: Turn | None = None
        try:
            while self._waiting:
                tickets.append(self._waiting.popleft())
            with self._store.journal.turn() as turn:
                batch = Batch(self._store, turn)
                for ticket in tickets:
                    _attempt(ticket, batch)
        except Exception as error:  # nothing of this turn is there
            for ticket in tickets:
                ticket.error = ticket.error or error
        except BaseException:
            if turn is None or not turn.committed:
                self._waiting.extendleft(
                    ticket for ticket in reversed(tickets) if ticket is not own and not ticket.error
                )
            raise
        else:
            self._publish(turn, batch)
        for ticket in tickets:
            ticket.done = True

    def _publish(self, turn: Turn, batch: Batch) -> None:
        """Tell readers. What is committed stays so, and is found in the journal, if that fails."""
        try:
            if turn.added is not None:
                self._store.published(batch.start, turn.newest, batch.fresh, batch.said)
        except LabelogError as error:
            log.warning("%s: revision %d is committed, but: %s", self._store.folder, turn.newest, error)


def _attempt(ticket: _Ticket, batch: Batch) -> None:
    """One job of several: it may fail alone."""
    before = dict(batch.fresh), batch.said
    try:
        with batch.turn.attempt():
            ticket.outcome = ticket.job(batch)
    except Exception as error:
        if not batch.turn.alive:
            raise
        batch.fresh, batch.said = before
        ticket.error = error


def _once(batch: Batch, draft: Draft, job: Job) -> Outcome:
    """The job, or what it did when the same key was used before."""
    if draft.key is None:
        return job(batch)
    receipt = batch.turn.receipt(draft.author, draft.key)
    if receipt is not None:
        if receipt.digest != draft.digest:
            raise Conflict(f"{draft.author} has used the key {draft.key!r} for another edit", key=draft.key)
        return Outcome(*receipt[1:])
    outcome = job(batch)
    batch.turn.add_receipt(draft.author, draft.key,
                           Receipt(draft.digest, outcome.revision, outcome.voxels, outcome.written))  # fmt: skip
    return outcome
