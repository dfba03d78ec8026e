"""The journal in SQLite: write-ahead log, synchronous=FULL, a checksum on each page.

Readers never wait for writers. Writers take turns: one at a time in a process by a lock, one process at a time by
`flock` on a file, then BEGIN IMMEDIATE, which therefore never has to wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from labelog.errors import Corrupt, LabelogError, NotFound, ReadOnly, Unsupported
from labelog.storage import connections, deltas, facts, mark, parcels
from labelog.storage.connections import Connections, checksummed, explained, extended, keep_log
from labelog.storage.deltas import Deltas
from labelog.storage.disk import explained as files_explained
from labelog.storage.facts import Facts
from labelog.storage.forks import working
from labelog.storage.head import Head, Slot, read_slots
from labelog.storage.journal import KINDS, Fact, Kind, Receipt, Record, link, pack_numbers, unpack_numbers
from labelog.storage.layout import APPLICATION_ID, FORMAT, HEAD, JOURNAL, LOCK, PARCELS
from labelog.storage.log_room import make_room
from labelog.storage.parcels import Parcels

log = logging.getLogger("labelog.journal")

CHECKPOINT_AT = 2_000  # pages of the log after which it should be copied into the database
CHECKPOINT_NOW = 16_000  # pages after which the next writer does it at once

SCHEMA = f"""
CREATE TABLE volume (id BLOB NOT NULL, next INTEGER NOT NULL) STRICT;
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
{parcels.SCHEMA}{deltas.SCHEMA}{facts.SCHEMA}PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""

HEAD_QUERY = "SELECT max(revision) FROM edits"

EDIT_COLUMNS = (
    "revision, kind, (SELECT name FROM authors WHERE id = author), session, time, message, "
    "changed, written, left_alone, lowest, chunks"
)


class SqliteJournal:
    """The journal of the volume in `folder`. Its methods may be called from any thread."""

    def __init__(self, folder: Path, volume: bytes, *, writable: bool) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._lock_file, self._parcels_file = folder / LOCK, folder / PARCELS
        self.volume = volume
        self.writable = writable
        self.broken: str | None = None  # why no more may be written through this handle
        self.log_pages = 0  # pages in the write-ahead log after the last commit
        self._room = 0  # pages that it has room for
        self._lock = threading.RLock()  # held by the thread whose turn it is to write
        self._head: Head | None = None
        self._mark: mark.Mark | None = None
        self._newest: tuple[bytes, int] | None = None  # as long as the mark is this, the newest revision is that
        if not self.path.exists():
            raise Corrupt(f"{self.path} is missing", path=str(self.path))
        slots = self.head_slots()  # before the journal, which may go on meanwhile
        self._connections = Connections(self.path, writable=writable)
        try:
            with self._connections.reading() as connection:
                keep_log(connection, True)  # of a damaged log nothing shall be lost
                self._inspect(connection)
                self._compare(slots, Reader(connection))
                keep_log(connection, False)
        except BaseException:
            self._connections.close()
            raise

    @property
    def closed(self) -> bool:
        return self._connections.closed

    # Opening

    @classmethod
    def create(cls, folder: Path, volume: bytes, record: Record, table: Sequence[Fact],
               fill: Callable[[Turn], None]) -> None:  # fmt: skip
        """A new journal with revision 0, its label table, and what `fill` adds for it; flushed to disk."""
        path = folder / JOURNAL
        with working, explained(path):
            connection = connections.create(path)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO volume VALUES (?, 1)", (volume,))
            chain = _insert(connection, volume, record, [], table)
            fill(Turn(connection, path))
            connection.execute("COMMIT")
            connection.close()
        head = Head(folder / HEAD)
        head.write(0, chain)
        head.flush()
        head.close()
        mark.make(folder / LOCK)

    def _inspect(self, connection: apsw.Connection) -> None:
        """Refuse what is not this volume's journal of this format."""
        found = connection.pragma("application_id"), connection.pragma("user_version")
        if found[0] != APPLICATION_ID:
            raise Corrupt(f"{self.path} is not a labelog journal", path=str(self.path))
        if found[1] != FORMAT:
            raise Unsupported(f"{self.path} has format {found[1]}; this version of labelog reads format {FORMAT}")
        if not checksummed(connection):
            raise Corrupt(f"{self.path} is damaged: its pages have no checksums", path=str(self.path))
        if (volume := connection.execute("SELECT id FROM volume").get) != self.volume:
            whose = volume.hex() if isinstance(volume, bytes) else volume
            raise Corrupt(f"{self.path} belongs to volume {whose}, not {self.volume.hex()}", path=str(self.path))

    def _compare(self, slots: list[Slot | None], journal: Reader) -> None:
        """Raise Corrupt if the head file knew of commits that the journal has lost."""
        for slot in slots:
            if slot is not None and slot.revision >= 0 and journal.chain(slot.revision) != slot.hash:
                raise Corrupt(
                    f"{self.path} has lost commits: the head file names revision {slot.revision}, the journal "
                    f"ends at {journal.head()} or differs there",
                    path=str(self.path),
                )

    def head_slots(self) -> list[Slot | None]:
        """The head file's slots; an empty list if there is no head file."""
        try:
            return read_slots(self.folder / HEAD)
        except NotFound:
            return []

    def close(self) -> None:
        """Close all connections. A turn under way in another thread ends first."""
        with working, self._lock:
            head, self._head = self._head, None
            try:
                if head is not None:
                    head.flush()
                    head.close()
            finally:
                self._connections.close()
                self._mark = None

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """For a few queries; each sees the journal as it is at that moment."""
        with self._connections.reading() as connection:
            yield Reader(connection)

    def head(self) -> int:
        """The newest revision."""
        seen, newest = self._seen(), self._newest
        if seen is not None and newest is not None and newest[0] == seen:
            return newest[1]
        head = int(self._connections.value(HEAD_QUERY))
        if seen is not None and seen == self._seen():
            self._newest = seen, head
        return head

    def _seen(self) -> bytes | None:
        """The mark, if there is one."""
        self._connections.refuse_closed()
        now = self._mark
        if now is None:
            with suppress(OSError):  # somebody has left it behind, or it may not be read
                self._mark = now = mark.Mark(self._lock_file)
        return None if now is None else now.read()

    # Writing

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """A transaction, alone among all processes: committed at the end, rolled back by an exception."""
        self.refuse_to_write()
        with working, self._lock, _flocked(self._lock_file, fcntl.LOCK_EX) as lock:
            self.refuse_to_write()
            if self._head is None:
                self._head = Head(self.folder / HEAD)
            writer = self._connections.writer()
            writer.set_wal_hook(self._count_pages)
            if self.log_pages > CHECKPOINT_NOW:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)
            if self.log_pages >= self._room:
                self._room = make_room(self.path.with_name(f"{JOURNAL}-wal"), self.log_pages)
            with explained(self.path):
                writer.execute("BEGIN IMMEDIATE")
                turn = Turn(writer, self.path)
                try:
                    yield turn
                    self._commit(writer, lock, turn.newest)
                    turn.committed = True
                except BaseException:
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                    elif turn.added is not None:  # interrupted after the commit?
                        turn.committed = turn.chain(turn.newest) == turn.added
                    raise
            if turn.added is not None:
                self._write_head(turn.newest, turn.added)

    def _commit(self, writer: apsw.Connection, lock: int, newest: int) -> None:
        with files_explained(self._lock_file):
            mark.begin(lock)
        try:
            with self._minding_flushes():
                writer.execute("COMMIT")
        finally:
            now = mark.end(lock)
        self._newest = now, newest

    def refuse_to_write(self) -> None:
        """Raise ReadOnly, or what a closed volume raises, if no turn can be had."""
        if not self.writable:
            raise ReadOnly(f'{self.folder} is open for reading; open it with mode="r+"', path=str(self.folder))
        self._connections.refuse_closed()
        if self.broken:
            raise ReadOnly(f"{self.folder} takes no more writes until reopened: {self.broken}")

    def _write_head(self, revision: int, chain: bytes) -> None:
        """Note what is committed. If that fails, the head file is behind, as after a power loss, and no more."""
        assert self._head is not None
        try:
            self._head.write(revision, chain)
        except LabelogError as error:
            log.warning("%s: revision %d is committed, but the head file was not written: %s",
                        self.folder, revision, error)  # fmt: skip

    @contextmanager
    def _minding_flushes(self) -> Iterator[None]:
        """After a failed flush no more is written: what the system says of a second one may be a lie."""
        try:
            yield
        except apsw.IOError as error:
            if extended(error) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC):
                self.broken = f"flushing {self.path} to disk failed"
            raise

    @contextmanager
    def parcelling(self) -> Iterator[None]:
        """While parcels of this handle may be without a revision."""
        with _flocked(self._parcels_file, fcntl.LOCK_SH):
            yield

    @contextmanager
    def not_parcelling(self) -> Iterator[bool]:
        """Keep all from beginning with parcels; False, and then it does not, if somebody is at work with one."""
        try:
            with _flocked(self._parcels_file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    def _count_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.log_pages = pages
        return apsw.SQLITE_OK

    def checkpoint(self) -> None:
        """Copy the log into the database, as far as no reader is in the way; flush the head file."""
        with working, self._lock:
            if self._head is not None:  # else nothing was written through this handle
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _checkpoint(self, mode: int) -> None:
        assert self._head is not None
        with explained(self.path):
            try:
                with self._minding_flushes():
                    self._connections.writer().wal_checkpoint(mode=mode)
                self.log_pages = 0
            except apsw.BusyError:
                log.info("%s: a reader holds back the checkpoint", self.path)
        self._head.flush()


@contextmanager
def _flocked(path: Path, how: int) -> Iterator[int]:
    """Hold the flock of a file; yields its descriptor."""
    with files_explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


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
        path = path.rstrip("/")
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
        self._chain = self.added = _insert(self._db, self._chain, record, digests, facts)
        self.newest, self.time_of_newest = record.revision, record.time

    def set_live(self, changes: dict[int, bool]) -> None:
        """Note which commits count from now on, and which do not."""
        for revision, live in changes.items():
            self._db.execute("UPDATE edits SET live = ? WHERE revision = ?", (int(live), revision))

    def add_receipt(self, author: str, key: str, receipt: Receipt) -> None:
        self._db.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)", (_author(self._db, author), key, *receipt))

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


def _insert(connection: apsw.Connection, before: bytes, record: Record, digests: Sequence[bytes],
            facts: Sequence[Fact]) -> bytes:  # fmt: skip
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
