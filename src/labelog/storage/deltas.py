"""Deltas in SQLite: what each commit wrote in each chunk."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import google_crc32c

from labelog.errors import Corrupt
from labelog.storage.facts import Facts
from labelog.storage.journal import KINDS, Kind
from labelog.storage.parcels import BETWEEN, REVISION, last

SCHEMA = """
CREATE TABLE deltas (chunk INTEGER, revision INTEGER, parcel INTEGER, crc INTEGER NOT NULL,
    extents BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (chunk, revision, parcel)) STRICT, WITHOUT ROWID;
CREATE INDEX deltas_parcel ON deltas (parcel) WHERE parcel > 0;
"""

NEWEST = 2**62  # no revision is as high

PLACE = struct.Struct("<QQ")  # chunk and revision, before a delta's bytes for its CRC


EDIT = KINDS.index(Kind.EDIT)


class Written(NamedTuple):
    """What a commit wrote in a chunk.

    Attributes
    ----------
    live : whether it counts today.
    lowest : of an undo, redo or revert: the lowest edit that it put back or took out.
    edit : of an edit: the bytes of its delta.
    """

    revision: int
    live: bool
    lowest: int | None
    edit: bytes | None


class Deltas(Facts):
    """What can be asked of deltas, on one connection."""

    def deltas(self, chunk: int, after: int, upto: int) -> list[tuple[int, bytes]]:
        """Revision and bytes of a chunk's deltas with after < revision <= upto, ascending."""
        rows = self._db.execute(
            f"SELECT {REVISION}, t.revision, crc, data FROM deltas t WHERE {BETWEEN} ORDER BY t.revision",
            (chunk, after, upto),
        )
        return [(revision, _verified(chunk, revision, *row)) for revision, *row in rows]

    def delta(self, chunk: int, revision: int) -> bytes | None:
        """The bytes of the delta that one commit made in a chunk; None if it made none."""
        columns = "SELECT t.revision, crc, data FROM"
        row = self._get(f"{columns} deltas t WHERE chunk = ? AND revision = ? AND parcel = 0", chunk, revision)
        row = row or self._get(f"{columns} parcels p JOIN deltas t ON parcel = p.id AND parcel > 0 "
                               "WHERE chunk = ? AND p.revision = ?", chunk, revision)  # fmt: skip
        return None if row is None else _verified(chunk, revision, *row)

    def written(self, chunk: int) -> Iterator[Written]:
        """What commits wrote in a chunk, newest first."""
        rows = self._db.execute(
            f"SELECT e.revision, e.live, iif(e.kind = {EDIT}, NULL, e.lowest), t.revision, crc, "
            f"iif(e.kind = {EDIT}, data, NULL) FROM deltas t JOIN edits e ON e.revision = {REVISION} "
            f"WHERE chunk = ? ORDER BY t.revision DESC", (chunk,),
        )  # fmt: skip
        for revision, live, lowest, stored, crc, data in rows:
            edit = None if data is None else _verified(chunk, revision, stored, crc, data)
            yield Written(revision, bool(live), lowest, edit)

    def live_edits(self, chunk: int) -> Iterator[tuple[int, bytes]]:
        """Revision and bytes of the deltas that live edits made in a chunk, newest first."""
        for revision, live, _, edit in self.written(chunk):
            if live and edit is not None:
                yield revision, edit

    def last_change(self, chunk: int, upto: int) -> int:
        """The newest revision up to `upto` with a delta in this chunk; 0 if there is none."""
        return self._get(last(REVISION, "?1", "?2"), chunk, upto) or 0

    def count_deltas(self, chunk: int, after: int) -> int:
        """How many deltas of a chunk are newer than `after`."""
        return int(self._get(f"SELECT count(*) FROM deltas t WHERE {BETWEEN}", chunk, after, NEWEST))

    def chunks(self) -> list[int]:
        """All chunks that were ever loaded or written, ascending."""
        query = f"SELECT chunk FROM base UNION SELECT chunk FROM deltas t WHERE {REVISION} >= 0 ORDER BY 1"
        return [chunk for (chunk,) in self.rows(query)]

    def unpublished(self) -> list[int]:
        """The parcels that are of no revision."""
        return [parcel for (parcel,) in self.rows("SELECT id FROM parcels WHERE revision IS NULL")]

    # Writing (by whose turn it is)

    def add_deltas(self, deltas: Iterable[tuple[int, int, bytes, bytes]], parcel: int = 0) -> None:
        """Chunk, revision, bytes of the extents that a delta changed, and of the delta; if they are of a parcel, the
        revision is the first possible."""
        rows = [(chunk, revision, parcel, _crc(chunk, revision, data), extents, data)
                for chunk, revision, extents, data in deltas]  # fmt: skip
        self._insert("INTO deltas", rows)


def _crc(chunk: int, revision: int, data: bytes) -> int:
    return int(google_crc32c.value(PLACE.pack(chunk, revision) + data))


def _verified(chunk: int, revision: int, stored: int, crc: int, data: bytes) -> bytes:
    if _crc(chunk, stored, data) != crc:
        raise Corrupt(f"the delta of chunk {chunk} at revision {revision} is damaged", chunk=chunk, revision=revision)
    return data
