"""Commits in SQLite: what can be asked of the journal, and what whoever has the turn to write adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from labelog.storage.connections import explained
from labelog.storage.deltas import Deltas
from labelog.storage.facts import Facts
from labelog.storage.journal import KINDS, Fact, Kind, Receipt, Record, link, pack_numbers, unpack_numbers
from labelog.storage.parcels import Parcels

SCHEMA = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE edits (
    revision INTEGER PRIMARY KEY, kind INTEGER NOT NULL, author INTEGER NOT NULL, session TEXT, time INTEGER NOT NULL,
    message TEXT NOT NULL, changed INTEGER NOT NULL, written INTEGER NOT NULL, left_alone INTEGER NOT NULL,
    lowest INTEGER NOT NULL, chunks BLOB NOT NULL, hash BLOB NOT NULL, live INTEGER NOT NULL) STRICT;
CREATE INDEX edits_author ON edits (author, kind, live);
CREATE TABLE takes_out (revision INTEGER, target INTEGER, PRIMARY KEY (revision, target)) STRICT, WITHOUT ROWID;
CREATE INDEX takes_out_target ON takes_out (target);
CREATE TABLE keys (author INTEGER, key TEXT, digest BLOB NOT NULL, revision INTEGER, changed INTEGER NOT NULL,
    written INTEGER NOT NULL, PRIMARY KEY (author, key)) STRICT, WITHOUT ROWID;
CREATE TABLE base (chunk INTEGER PRIMARY KEY, revision INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE kept (chunk INTEGER, revision INTEGER, data BLOB NOT NULL,
    PRIMARY KEY (chunk, revision)) STRICT, WITHOUT ROWID;
"""

HEAD_QUERY = "SELECT max(revision) FROM edits"

EDIT_COLUMNS = (
    "revision, kind, (SELECT name FROM authors WHERE id = author), session, time, message, "
    "changed, written, left_alone, lowest, chunks"
)


class Reader(Deltas):
    """What can be asked of the journal, on one connection."""

    @contextmanager
    def still(self) -> Iterator[None]:
        """All queries within see the journal as it is at one moment."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    # Commits

    def head(self) -> int:
        """The newest revision."""
        return int(self._get(HEAD_QUERY))

    def chain(self, revision: int) -> bytes | None:
        """The chain hash of a revision."""
        chain: bytes | None = self._get("SELECT hash FROM edits WHERE revision = ?", revision)
        return chain

    def time(self, revision: int) -> int:
        """When a revision was made, microseconds since 1970."""
        return int(self._get("SELECT time FROM edits WHERE revision = ?", revision))

    def record(self, revision: int) -> Record | None:
        row = self._get(f"SELECT {EDIT_COLUMNS} FROM edits WHERE revision = ?", revision)
        return _record(self._db, row) if row else None

    def records(self, where: str, *values: Any, newest_first: bool, limit: int) -> list[tuple[Record, bool]]:
        """Commits as stored, each with whether it is live; `where` speaks of the table edits."""
        order = "DESC" if newest_first else "ASC"
        rows = self.rows(
            f"SELECT {EDIT_COLUMNS}, live FROM edits WHERE {where} ORDER BY revision {order} LIMIT {limit}",
            *values,
        )
        return [(_record(self._db, row[:-1]), bool(row[-1])) for row in rows]

    def authors(self, path: str) -> list[int]:
        """The numbers of an author and of all below: `vendor-b` finds `vendor-b/ana`."""
        query = "SELECT id FROM authors WHERE name = ? OR substr(name, 1, ?) = ?"
        return [number for (number,) in self.rows(query, path, len(path) + 1, path + "/")]

    def changed_chunks(self, after: int, upto: int) -> dict[int, int]:
        """Chunk -> newest revision with a delta in it, after < revision <= upto."""
        found: dict[int, int] = {}
        query = "SELECT revision, chunks FROM edits WHERE revision > ? AND revision <= ? ORDER BY revision"
        for revision, chunks in self._db.execute(query, (after, upto)):
            found.update(dict.fromkeys(unpack_numbers(chunks), revision))
        return found

    # The live set

    def takers(self, target: int) -> list[int]:
        """The commits that take this one out, were they live."""
        return [revision for (revision,) in self.rows("SELECT revision FROM takes_out WHERE target = ?", target)]

    def is_live(self, revision: int) -> bool:
        return bool(self._get("SELECT live FROM edits WHERE revision = ?", revision))

    def latest(self, author: str, session: str | None, kinds: Iterable[Kind], *, live: bool) -> int | None:
        """The author's newest commit of these kinds (in this session, if one is given)."""
        states = [(KINDS.index(kind), state) for kind in kinds for state in ((1,) if live else (0, 1))]
        # one step back along the index for each, or as many as there are other sessions' commits on the way
        each = " UNION ALL ".join(
            "SELECT * FROM (SELECT revision FROM edits WHERE author = (SELECT id FROM authors WHERE name = ?1) "
            f"AND kind = {kind} AND live = {state} AND (?2 IS NULL OR session = ?2) ORDER BY revision DESC LIMIT 1)"
            for kind, state in states
        )  # fmt: skip
        newest: int | None = self._get(f"SELECT max(revision) FROM ({each})", author, session)
        return newest

    def of_author(self, path: str, kinds: Iterable[Kind]) -> list[int]:
        """All commits of these kinds by an author, or by any below that path; ascending."""
        rows = self.rows(
            f"SELECT revision FROM edits WHERE author IN ({_numbers(self.authors(path))}) "
            f"AND kind IN ({_numbers(kinds)}) ORDER BY revision"
        )
        return [revision for (revision,) in rows]

    # The base and its keepsakes

    def manifest(self, chunk: int) -> tuple[int, int] | None:
        """Revision and CRC of a chunk in the base; None if it is not there."""
        row: tuple[int, int] | None = self._get("SELECT revision, crc FROM base WHERE chunk = ?", chunk)
        return row

    def kept(self, chunk: int, revision: int, *, before: bool) -> tuple[int, bytes] | None:
        """The whole chunk kept nearest to a revision: the last up to it, or the first after it."""
        side = "<= ? ORDER BY revision DESC" if before else "> ? ORDER BY revision ASC"
        query = f"SELECT revision, data FROM kept WHERE chunk = ? AND revision {side} LIMIT 1"
        row: tuple[int, bytes] | None = self._get(query, chunk, revision)
        return row

    # Idempotency keys

    def receipt(self, author: str, key: str) -> Receipt | None:
        row = self._get(
            "SELECT digest, revision, changed, written FROM keys "
            "WHERE author = (SELECT id FROM authors WHERE name = ?) AND key = ?", author, key,
        )  # fmt: skip
        return Receipt(*row) if row else None


class Turn(Reader, Parcels):
    """The writer's transaction: sees and adds to the journal. Only the thread that began it may use it."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        super().__init__(connection)
        self._path = path
        self.newest: int
        self.time_of_newest: int
        self._chain: bytes
        self.newest, self.time_of_newest, self._chain = self._get(
            "SELECT revision, time, hash FROM edits ORDER BY revision DESC LIMIT 1"
        )
        self.added: bytes | None = None  # the chain hash of the newest revision, if it was added in this turn
        self.committed = False

    @property
    def alive(self) -> bool:
        """Whether the transaction still stands; a full disk ends it as a whole."""
        return bool(self._db.in_transaction)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part that may fail alone: what it added is taken back by an exception."""
        before = self.newest, self.time_of_newest, self._chain, self.added
        self._db.execute("SAVEPOINT attempt")
        try:
            with explained(self._path):
                yield
        except BaseException:
            if self.alive:
                self._db.execute("ROLLBACK TO attempt; RELEASE attempt")
            self.newest, self.time_of_newest, self._chain, self.added = before
            raise
        self._db.execute("RELEASE attempt")

    def add(self, record: Record, digests: Sequence[bytes], facts: Sequence[Fact]) -> None:
        """The next revision, with the digest of the delta of each of its chunks; `facts` ascend by key."""
        assert record.revision == self.newest + 1
        self._chain = self.added = insert(self._db, self._chain, record, digests, facts)
        self.newest, self.time_of_newest = record.revision, record.time

    def set_live(self, changes: dict[int, bool]) -> None:
        """Note which commits count from now on, and which do not."""
        for revision, live in changes.items():
            self._db.execute("UPDATE edits SET live = ? WHERE revision = ?", (int(live), revision))

    def set_receipt(self, author: str, key: str, receipt: Receipt) -> None:
        """Note what came of a key; there may be a refusal, which this replaces."""
        query = "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?)"
        self._db.execute(query, (_author(self._db, author), key, *receipt))

    def set_manifest(self, entries: Iterable[tuple[int, int, int]]) -> None:
        """Chunk, revision and CRC of chunks now in the base."""
        self._db.executemany("INSERT OR REPLACE INTO base VALUES (?, ?, ?)", entries)

    def keep(self, chunk: int, revision: int, data: bytes) -> None:
        """The whole chunk at a revision, so that old revisions are near to something whole."""
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (chunk, revision, data))


def _numbers(items: Iterable[int | Kind]) -> str:
    return ", ".join(str(KINDS.index(item) if isinstance(item, Kind) else int(item)) for item in items)


def _author(connection: apsw.Connection, name: str) -> int:
    number = connection.execute("SELECT id FROM authors WHERE name = ?", (name,)).get
    if number is None:
        connection.execute("INSERT INTO authors (name) VALUES (?)", (name,))
        number = connection.last_insert_rowid()
    return int(number)


def insert(connection: apsw.Connection, before: bytes, record: Record, digests: Sequence[bytes],
           facts: Sequence[Fact]) -> bytes:  # fmt: skip
    """A commit, after the one with the chain hash `before`; its own chain hash."""
    chain = link(before, record, digests, facts)
    connection.execute(
        "INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        (record.revision, KINDS.index(record.kind), _author(connection, record.author), record.session, record.time,
         record.message, record.changed, record.written, record.left_alone, record.lowest,
         pack_numbers(record.chunks), chain),
    )  # fmt: skip
    for target in record.targets:
        connection.execute("INSERT INTO takes_out VALUES (?, ?)", (record.revision, target))
    Facts(connection).add_facts(record.revision, facts)
    return chain


def _record(connection: apsw.Connection, row: tuple[Any, ...]) -> Record:
    revision, kind, *rest, chunks = row
    targets: tuple[int, ...] = ()
    if KINDS[kind] not in (Kind.CREATE, Kind.EDIT):
        found = connection.execute("SELECT target FROM takes_out WHERE revision = ? ORDER BY target", (revision,))
        targets = tuple(target for (target,) in found)
    return Record._make([revision, KINDS[kind], *rest, unpack_numbers(chunks), targets])
