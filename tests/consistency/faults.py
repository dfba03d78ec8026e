"""The server with a fault in it, which the checker has to find: python faults.py FAULT serve FOLDER [--workers 2].

What is broken is broken now and then only, as a real fault would be.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable

from labelog import cli
from labelog.engine import commit
from labelog.engine.cache import ChunkCache
from labelog.engine.change import Moment
from labelog.engine.edit import Edit
from labelog.engine.store import Store
from labelog.errors import Conflict
from labelog.storage.commits import Reader, Turn


class _Lost(Exception):
    pass


def turn() -> None:
    """Nobody waits for the turn: commits of the same moment do not see one another."""
    commit.Batch.chunk = Moment.chunk  # type: ignore[method-assign]


def condition() -> None:
    """A chunk that somebody else has just written is replaced all the same. It takes long enough to meet somebody."""
    Edit.expect = lambda self, box: time.sleep(0.02)  # type: ignore[method-assign,assignment]


def equal() -> None:
    """A chunk's condition is not looked at if somebody else has just written the same; time enough for that."""
    begin, refuse = Edit.__init__, Edit._refuse_unexpected

    def late(self: Edit, *asked) -> None:
        time.sleep(0.02)
        begin(self, *asked)

    def careless(self: Edit, batch: commit.Batch) -> None:
        if self._patches():
            refuse(self, batch)

    Edit.__init__, Edit._refuse_unexpected = late, careless  # type: ignore[method-assign]


def seen() -> None:
    """An edit writes over what its author has not seen."""
    begin = Edit.__init__

    def blind(self: Edit, volume, draft, seen, *asked) -> None:
        begin(self, volume, draft, None if draft.key else seen, *asked)

    Edit.__init__ = blind  # type: ignore[method-assign]


def head() -> None:
    """The newest revision is remembered for a moment."""
    ask, known = Store.head, {}

    def remembered(self: Store) -> int:
        now = time.monotonic()
        if self not in known or now > known[self][0] + 0.01:
            known[self] = now, ask(self)
        return known[self][1]

    Store.head = remembered  # type: ignore[method-assign]


def cache() -> None:
    """Now and then the cache keeps an old state of a chunk as the new one."""
    put, turns = ChunkCache.put, itertools.count()

    def stale(self: ChunkCache, chunk: int, state: int, runs) -> None:
        older = self.nearest(chunk, state)
        put(self, chunk, state, older[1] if older is not None and next(turns) % 20 == 0 else runs)

    ChunkCache.put = stale  # type: ignore[method-assign]


def key() -> None:
    """Now and then it is forgotten that a key was used."""
    add, turns = Turn.set_receipt, itertools.count()

    def forgotten(self: Turn, author, key, receipt) -> None:
        if next(turns) % 3:
            add(self, author, key, receipt)

    Turn.set_receipt = forgotten  # type: ignore[method-assign]


def wary() -> None:
    """Now and then it is said that an edit was refused before, which it was not."""
    once, turns = commit._once, itertools.count(1)

    def refusing(batch, draft, job):
        if draft.key and next(turns) % 50 == 0:
            raise Conflict("this was refused before", key=draft.key)
        return once(batch, draft, job)

    commit._once = refusing


def lost() -> None:
    """Now and then an edit is acknowledged that is not there."""
    attempt, turns = commit._attempt, itertools.count()

    def dropped(ticket, batch) -> None:
        if next(turns) % 50:
            attempt(ticket, batch)
            return
        before = dict(batch.changed), dict(batch.fresh), batch.said
        try:
            with batch.turn.attempt():
                attempt(ticket, batch)
                raise _Lost
        except _Lost:
            batch.changed, batch.fresh, batch.said = before

    commit._attempt = dropped


def deaf() -> None:
    """Now and then a process does not hear that another one changed a chunk."""
    ask, turns = Reader.changed_chunks, itertools.count()

    def partly(self: Reader, after: int, until: int) -> dict[int, int]:
        found = ask(self, after, until)
        return found if next(turns) % 5 else {}

    Reader.changed_chunks = partly  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (turn, condition, equal, seen, head, cache, key, wary, lost, deaf)
}

if __name__ in ("__main__", "__mp_main__"):  # several workers have it too
    FAULTS[sys.argv[1]]()
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[2:]))
