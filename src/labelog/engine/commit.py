"""The one path by which anything is committed.

Commits of several threads that wait at the same time share one transaction and one flush to disk (group commit):
whoever gets the turn carries out all that has queued up, each in an attempt of its own, so that one may fail alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from hashlib import blake2b
from typing import Any, NamedTuple

from labelog.engine.change import Moment, Work, all_worked_out
from labelog.engine.parcel import LARGE, PIECE, TRIES, Large, Parcel, add, weight
from labelog.engine.store import Store, layered
from labelog.engine.values import checked_text, is_text
from labelog.errors import Conflict, Exists, Invalid, LabelogError, NotFound, NothingToUndo, Unsupported
from labelog.geometry import Box
from labelog.kernels.overlaid import Overlaid
from labelog.storage.commits import Turn
from labelog.storage.journal import REFUSED, Kind, Receipt, Record

log = logging.getLogger("labelog.commit")

SHARED = 8  # chunks, or as much work, that several threads do in a turn

REFUSALS = Invalid, NotFound, Exists, Conflict, NothingToUndo, Unsupported
"""What says that a commit cannot be, and not that something has failed: under a key it is remembered."""


class Draft(NamedTuple):
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
    checked_author(author)
    checked_text("session", session, empty=False)
    checked_text("key", key, empty=False)
    if not is_text(message):
        raise Invalid(f"message must be a text, not {message!r}")
    told = b"" if key is None else blake2b(repr((session, message, *asked)).encode(), digest_size=16).digest()
    return Draft(author, session, message, key, told)


def checked_author(author: Any, *, below: bool = False) -> str:
    """A name or a path of names, or Invalid; `below`: of those below it too, and then it may end in a slash."""
    name = author.rstrip("/") if below and isinstance(author, str) else author
    if not isinstance(name, str) or not name.isprintable() or not all(name.split("/")):
        raise Invalid(f"author must be a name or a path of names such as 'vendor-b/ana', not {author!r}")
    return str(name)


class Outcome(NamedTuple):
    """What a commit did. `revision` is None if there was nothing to write, `record` if a key told it from before.

    `refused` is why nothing was done, where it is remembered under a key that nothing was.
    """

    revision: int | None
    voxels: int
    written: int
    record: Record | None = None
    refused: LabelogError | None = None


Job = Callable[["Batch"], Outcome]


class Batch(Moment):
    """The turn to write, as commits see it: the volume with what was committed in the same turn before.

    Attributes
    ----------
    large : as much work as a commit may do in the turn.
    parcel : what was made of the commit at hand before.
    """

    parcel: Parcel | None = None

    def __init__(self, store: Store, turn: Turn, large: int) -> None:
        super().__init__(store, turn, turn.newest)
        self.turn = turn
        self.large = large
        self.changed: dict[int, int] = {}  # chunk -> the last commit of this turn that changed it
        self.fresh: dict[int, tuple[int, Overlaid]] = {}  # what it is then, if somebody has worked that out
        self.said = -1  # the last commit of this turn that wrote to the label table

    @property
    def newest(self) -> int:
        return self.turn.newest

    def chunk(self, chunk: int) -> Overlaid:
        """A chunk's labels now."""
        revision = self.changed.get(chunk)
        if revision is None:
            return super().chunk(chunk)
        made = self.fresh.get(chunk)
        if made is None or made[0] != revision:
            deltas = self.turn.deltas(chunk, self.start, revision)
            later = layered([self.store.delta(chunk, number, data).new for number, data in deltas])
            made = self.fresh[chunk] = revision, super().chunk(chunk).under(later)
        return made[1]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of the turn that may fail alone."""
        before = dict(self.changed), dict(self.fresh), self.said
        try:
            with self.turn.attempt():
                yield
        except BaseException:
            self.changed, self.fresh, self.said = before
            raise

    def now(self) -> int:
        return max(time.time_ns() // 1000, self.turn.time_of_newest)

    def write(self, draft: Draft, work: Work) -> Outcome:
        """Commit this as the next revision.

        Raises what `work.refuse` does; Invalid, or Conflict if it is not an edit, if the label table would be
        impossible; Large if there is more to do than fits in a turn.
        """
        revision = self.newest + 1
        table = self.table(work.facts)
        made = self.parcel.made if self.parcel else {}
        left = self.parcel.open(self, work, table) if self.parcel else [*work.recipes]
        heavy = weight(work, left)
        if heavy > self.large and (self.parcel is None or self.parcel.tries < TRIES):
            raise Large(work)
        changes = all_worked_out(self, work, left, table, self.store.threads if heavy >= SHARED else 1)
        found = [changes[chunk].summary if chunk in changes else made[chunk].summary for chunk in work.recipes]
        in_the_way = sum(summary.in_the_way for summary in found)
        boxes = [summary.box for summary in found if summary.box]
        work.refuse(in_the_way, reduce(Box.union, boxes) if boxes else None)
        if table.staged.facts:
            table.verify(table.staged.facts.values(), conflict=work.kind is not Kind.EDIT)
        record = Record(
            revision, work.kind, draft.author, draft.session, self.now(), draft.message,
            sum(summary.changed for summary in found), sum(summary.written for summary in found),
            0 if work.kind is Kind.EDIT else in_the_way, revision if work.lowest is None else work.lowest,
            tuple(work.recipes), work.targets,
        )  # fmt: skip
        said = sorted(table.staged.facts.values())
        self.turn.add(record, [summary.digest for summary in found], said)
        self.turn.add_bodies(revision, *table.bodies.changes())
        add(self.turn, [(chunk, revision, made) for chunk, made in changes.items()], 0)
        if self.parcel:
            self.parcel.deliver(self.turn, revision, work.recipes.keys() - changes.keys())
        self.changed.update(dict.fromkeys(work.recipes, revision))
        self.fresh.update((chunk, (revision, made.after)) for chunk, made in changes.items() if made.after)
        self.said = revision if said else self.said
        return Outcome(revision, record.changed, record.written, record)


class _Ticket:
    def __init__(self, job: Job, parcel: Parcel | None = None) -> None:
        self.job = job
        self.parcel = parcel
        self.done = False
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None


class Committer:
    """Group commit for the threads of one handle.

    Attributes
    ----------
    large : as many chunks, or as much work, as a commit does in its turn; what is larger is made before.
    piece : bytes of such a commit that are handed over at a time.
    timed : called after each commit with the seconds that it waited for its turn, and those that the turn took.
    """

    def __init__(self, store: Store) -> None:
        self.large = LARGE
        self.piece = PIECE
        self.timed: Callable[[float, float], None] | None = None
        self._store = store
        self._turn = threading.Lock()
        self._waiting: deque[_Ticket] = deque()

    def anew(self, store: Store) -> Committer:
        """One that is told the same, for files that a forked process has opened anew."""
        made = Committer(store)
        made.large, made.piece, made.timed = self.large, self.piece, self.timed
        return made

    def commit(self, draft: Draft, job: Job, chunks: Collection[int] = ()) -> Outcome:
        """Carry out a job, durably, or raise what it raised and leave nothing of it.

        The chunks that it is known to change are read before the turn, so that others do not wait for that; not without
        a cache, which would not have them then.
        """
        if self._store.cache.limit and len(chunks) <= self.large:
            known = self._store.known
            for chunk in chunks:
                self._store.overlaid(chunk, known)
        parcel: Parcel | None = None
        try:
            while True:
                try:
                    outcome = self._commit(_Ticket(lambda batch: _once(batch, draft, job), parcel))
                    if outcome.refused is not None:
                        raise outcome.refused
                    return outcome
                except Large as large:
                    work = large.work
                parcel = parcel or Parcel(self._store, self.large, self.piece)
                parcel.prepare(work)
        except BaseException:
            if parcel is not None:
                parcel.give_up()
            raise
        finally:
            if parcel is not None:
                parcel.close()

    def _commit(self, ticket: _Ticket) -> Outcome:
        self._waiting.append(ticket)
        begun = time.perf_counter()
        try:
            with self._turn:
                turn = time.perf_counter()
                if not ticket.done:
                    self._carry_out(ticket)
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        assert ticket.outcome is not None
        if self.timed is not None:
            self.timed(turn - begun, time.perf_counter() - turn)
        return ticket.outcome

    def _carry_out(self, own: _Ticket) -> None:
        """The jobs of all that wait, in one turn. An interrupt of this thread is not the others' affair."""
        tickets: list[_Ticket] = []
        turn: Turn | None = None
        try:
            while self._waiting:
                tickets.append(self._waiting.popleft())
            with self._store.journal.turn() as turn:
                batch = Batch(self._store, turn, self.large)
                if tickets == [own]:
                    _try(own, batch)  # the turn is the attempt
                else:
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
                self._store.published(batch.start, turn.newest, batch.changed, batch.fresh, batch.said)
        except LabelogError as error:
            log.warning("%s: revision %d is committed, but: %s", self._store.folder, turn.newest, error)


def _try(ticket: _Ticket, batch: Batch) -> None:
    batch.parcel = ticket.parcel
    ticket.outcome = ticket.job(batch)


def _attempt(ticket: _Ticket, batch: Batch) -> None:
    """One job of several: it may fail alone."""
    try:
        with batch.attempt():
            _try(ticket, batch)
    except Exception as error:
        if not batch.turn.alive:
            raise
        ticket.error = error


def _once(batch: Batch, draft: Draft, job: Job) -> Outcome:
    """The job, or what it did when the same key was used before.

    A refusal is remembered too. Else an attempt that comes late, after its client was told that another one of the same
    key was refused, could do what nobody expects any more.
    """
    if draft.key is None:
        return job(batch)
    receipt = batch.turn.receipt(draft.author, draft.key)
    if receipt is not None and not receipt.refused:
        if receipt.digest != draft.digest:
            raise Conflict(f"{draft.author} has used the key {draft.key!r} for another edit", key=draft.key)
        return Outcome(receipt.revision, receipt.voxels, receipt.written)
    try:
        with batch.attempt():
            outcome = job(batch)
            if receipt is not None and receipt.digest == draft.digest:
                raise Conflict(f"this was refused before, under the key {draft.key!r}; ask under another key",
                               key=draft.key)  # fmt: skip
    except REFUSALS as error:
        outcome = Outcome(None, 0, REFUSED, refused=error)
    batch.turn.set_receipt(draft.author, draft.key,
                           Receipt(draft.digest, outcome.revision, outcome.voxels, outcome.written))  # fmt: skip
    return outcome
