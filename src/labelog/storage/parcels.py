"""Parcels in SQLite: the rows of a large commit, written in several transactions before it.

Nobody sees a parcel's rows until one row of `parcels` says which revision they became. Until then it is not known; in
its place a row has the first that it could have become, one more than the head that it was made against. It counts only
if nobody has changed the chunk in between. So the rows of a chunk, those of no revision aside, lie in the order of
revisions all the same, and queries go along it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from labelog.storage.sqlite import SqliteJournal

TAKEN_BACK = 32  # chunks that are taken back in one turn

SCHEMA = """
CREATE TABLE parcels (id INTEGER PRIMARY KEY, revision INTEGER) STRICT;
"""

REVISION = "iif(t.parcel, (SELECT p.revision FROM parcels p WHERE p.id = t.parcel), t.revision)"
"""The revision that a row of a table `t` is of: NULL, which is neither before nor after any, if of none yet."""

SEEN = "(parcel = 0 OR EXISTS (SELECT 1 FROM parcels p WHERE p.id = parcel AND p.revision NOT NULL))"
"""Whether a row of a table is of any revision."""


def last(what: str, chunk: str, upto: str) -> str:
    """A query for something of the newest delta `t` of a chunk up to a revision; these are SQL, as `between`'s are."""
    return (f"SELECT {what} FROM deltas t WHERE t.chunk = {chunk} AND t.revision <= {upto} AND {REVISION} <= {upto} "
            "ORDER BY t.revision DESC LIMIT 1")  # fmt: skip


def between(chunk: str, after: str, upto: str) -> str:
    """What is true of those deltas `t` of a chunk with after < revision <= upto."""
    return (f"t.chunk = {chunk} AND t.revision > coalesce(({last('t.revision', chunk, after)}), -1) "
            f"AND t.revision <= {upto} AND {REVISION} > {after} AND {REVISION} <= {upto}")  # fmt: skip


BETWEEN = between("?1", "?2", "?3")


class Parcels:
    """What is done with parcels, by whose turn it is to write."""

    _db: apsw.Connection

    def open_parcel(self) -> int:
        """The number of a new parcel, which is of no revision."""
        self._db.execute("INSERT INTO parcels (revision) VALUES (NULL)")
        return self._db.last_insert_rowid()

    def publish_parcel(self, parcel: int, revision: int) -> None:
        """Show all that is in a parcel, as what this revision did."""
        self._db.execute("UPDATE parcels SET revision = ? WHERE id = ?", (revision, parcel))

    def parcelled(self, parcel: int, limit: int) -> list[int]:
        """So many of the chunks that a parcel has a delta of."""
        rows = self._db.execute("SELECT chunk FROM deltas WHERE parcel = ? AND parcel > 0 LIMIT ?", (parcel, limit))
        return [chunk for (chunk,) in rows]

    def take_back(self, parcel: int, chunks: Iterable[int]) -> None:
        """Remove what a parcel that is of no revision has of some chunks."""
        for chunk in chunks:
            self._db.execute("DELETE FROM haunts WHERE parcel = ? AND chunk = ? AND parcel > 0", (parcel, chunk))
            self._db.execute("DELETE FROM deltas WHERE chunk = ? AND parcel = ?", (chunk, parcel))

    def close_parcel(self, parcel: int) -> None:
        """Forget a parcel that has nothing any more."""
        self._db.execute("DELETE FROM parcels WHERE id = ? AND revision IS NULL", (parcel,))


def take_back(journal: SqliteJournal, parcel: int) -> None:
    """Remove a parcel, unless it is of a revision, in short turns."""
    more = True
    while more:
        with journal.turn() as turn:
            if parcel not in turn.unpublished():
                return
            chunks = turn.parcelled(parcel, TAKEN_BACK)
            turn.take_back(parcel, chunks)
            more = bool(chunks)
            if not more:
                turn.close_parcel(parcel)


def sweep(journal: SqliteJournal) -> None:
    """Remove the parcels of processes that died, unless somebody is at work with one."""
    with journal.reading() as reader:
        if not reader.unpublished():
            return
    with journal.not_parcelling() as alone:
        if alone:
            with journal.reading() as reader:
                left = reader.unpublished()
            for parcel in left:
                take_back(journal, parcel)
