"""The journal in SQLite: write-ahead log, synchronous=FULL, a checksum on each page.

Readers never wait for writers. Writers take turns: one at a time in a process by a lock, one process at a time by
`flock` on a file, then BEGIN IMMEDIATE, which therefore never has to wait.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra
import google_crc32c

from labelog.errors import Corrupt, Invalid, LabelogError, NotFound, OutOfSpace, ReadOnly, Unsupported
from labelog.storage.disk import explained as files_explained
from labelog.storage.head import Head, Slot, read_slots
from labelog.storage.journal import Kind, Receipt, Record, Stored, link, pack_numbers, unpack_numbers
from labelog.storage.layout import APPLICATION_ID, FORMAT, HEAD, JOURNAL, LOCK

log = logging.getLogger("labelog.journal")

OLDEST = (3, 51, 3)  # SQLite before 3.51.3 may corrupt a database when the write-ahead log is reset
CHECKPOINT_AT = 2_000  # pages of the log after which it should be copied into the database
CHECKPOINT_NOW = 16_000  # pages after which the next writer does it at once

LOG_HEADER = 32  # bytes of a log without commits

Rest = tuple[int, int, int] | None
"""What a database was that no log lay beside: inode, size, time of its last change. None if there is a log."""

SCHEMA = f"""
CREATE TABLE volume (id BLOB NOT NULL) STRICT;
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE edits (
    revision INTEGER PRIMARY KEY, kind INTEGER NOT NULL, author INTEGER NOT NULL, session TEXT, time INTEGER NOT NULL,
    message TEXT NOT NULL, changed INTEGER NOT NULL, written INTEGER NOT NULL, left_alone INTEGER NOT NULL,
    lowest INTEGER NOT NULL, chunks BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE INDEX edits_author ON edits (author, kind);
CREATE TABLE takes_out (revision INTEGER, target INTEGER, PRIMARY KEY (revision, target)) STRICT, WITHOUT ROWID;
CREATE INDEX takes_out_target ON takes_out (target);
CREATE TABLE dead (revision INTEGER PRIMARY KEY) STRICT;
CREATE TABLE deltas (chunk INTEGER, revision INTEGER, crc INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (chunk, revision)) STRICT, WITHOUT ROWID;
CREATE TABLE keys (author INTEGER, key TEXT, digest BLOB NOT NULL, revision INTEGER, changed INTEGER NOT NULL,
    written INTEGER NOT NULL, PRIMARY KEY (author, key)) STRICT, WITHOUT ROWID;
CREATE TABLE base (chunk INTEGER PRIMARY KEY, revision INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE kept (chunk INTEGER, revision INTEGER, data BLOB NOT NULL,
    PRIMARY KEY (chunk, revision)) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "wal_autocheckpoint": 0,  # that is the keeper's
    "journal_size_limit": 64 * 2**20,  # bytes that the log keeps when it begins anew; none at the last close
    "cache_size": -16 * 1024,  # KiB
}

KINDS = tuple(Kind)  # a kind is stored as its place here

EDIT_COLUMNS = (
    "revision, kind, (SELECT name FROM authors WHERE id = author), session, time, message, "
    "changed, written, left_alone, lowest, chunks"
)


def _prepare() -> None:
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST:
        raise Unsupported(f"SQLite {apsw.sqlite_lib_version()} is too old: 3.51.3 or newer is needed")
    if "cksmvfs" not in apsw.vfs_names():
        apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as labelog's, naming the path."""
    try:
        yield
    except apsw.FullError as error:
        raise OutOfSpace(f"the disk that holds {path} is full", path=str(path)) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Corrupt(f"{path} is damaged: {error}", path=str(path)) from error
    except (apsw.ReadOnlyError, apsw.AuthError, apsw.PermissionsError) as error:
        raise ReadOnly(f"{path} may not be written: {error}", path=str(path)) from error
    except apsw.CantOpenError as error:
        if not path.exists():
            raise NotFound(f"{path} does not exist", path=str(path)) from error
        raise LabelogError(f"{path} cannot be opened: {error}", path=str(path)) from error
    except apsw.IOError as error:
        code = _extended(error)
        if code == apsw.SQLITE_IOERR_DATA:
            raise Corrupt(f"{path} is damaged: a page's checksum does not hold", path=str(path)) from error
        if code == apsw.SQLITE_IOERR_SHMSIZE or _full(path):
            raise OutOfSpace(f"the disk that holds {path} is full", path=str(path)) from error
        raise LabelogError(f"{path}: {error}", path=str(path)) from error
    except apsw.Error as error:
        raise LabelogError(f"{path}: {error}", path=str(path)) from error


def _extended(error: apsw.Error) -> int:
    """SQLite's extended result code, which apsw gives to each of its errors."""
    code: int = error.extendedresult  # type: ignore[attr-defined]
    return code


def _full(path: Path) -> bool:
    space = os.statvfs(path.parent)
    return space.f_bavail * space.f_frsize < 2**16


def _file_control(connection: apsw.Connection, operation: int, value: int) -> int:
    number = ctypes.c_int(value)
    connection.file_control("main", operation, ctypes.addressof(number))
    return number.value


def _delta_crc(chunk: int, revision: int, data: bytes) -> int:
    place = chunk.to_bytes(8, "little") + revision.to_bytes(8, "little")
    return int(google_crc32c.extend(google_crc32c.value(place), data))


_locks: set[int] = set()  # descriptors of the locks held


def _drop_locks() -> None:
    """In a forked process: its copies of a lock would keep it from everybody when the parent has given it up."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_drop_locks)


class SqliteJournal:
    """The journal of the volume in `folder`. Its methods may be called from any thread."""

    def __init__(self, folder: Path, volume: bytes, *, writable: bool) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self.volume = volume
        self.writable = writable
        self.closed = False
        self.broken: str | None = None  # why no more may be written through this handle
        self.log_pages = 0  # pages in the write-ahead log after the last commit
        self._idle: list[tuple[Rest, apsw.Connection]] = []
        self._lock = threading.RLock()  # held by the thread whose turn it is to write
        self._writer: apsw.Connection | None = None
        self._head: Head | None = None
        if not self.path.exists():
            raise Corrupt(f"{self.path} is missing", path=str(self.path))
        _prepare()
        slots = self.head_slots()  # before the journal, which may go on meanwhile
        with self._reading() as connection:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # of a damaged log nothing shall be lost
            self._inspect(connection)
            self._compare(slots, Reader(connection))
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)

    # Opening

    @classmethod
    def create(cls, folder: Path, volume: bytes, record: Record, manifest: Iterable[tuple[int, int, int]]) -> None:
        """A new journal with revision 0 and the chunks loaded with it, flushed to disk."""
        _prepare()
        path = folder / JOURNAL
        with explained(path):
            connection = apsw.Connection(str(path), vfs="cksmvfs")
            _file_control(connection, apsw.SQLITE_FCNTL_RESERVE_BYTES, 8)
            _configure(connection)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO volume VALUES (?)", (volume,))
            chain = _insert(connection, volume, record, {})
            Turn(connection).set_manifest(manifest)
            connection.execute("COMMIT")
            connection.close()
        head = Head(folder / HEAD)
        head.write(0, chain)
        head.flush()
        head.close()

    def _connect(self, rest: Rest = None) -> apsw.Connection:
        with explained(self.path):
            if self.writable:
                connection = apsw.Connection(str(self.path), vfs="cksmvfs", flags=apsw.SQLITE_OPEN_READWRITE)
                _configure(connection)
                return connection
            how = "immutable=1" if rest else "readonly_shm=1"
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            name = str(self.path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            connection = apsw.Connection(f"file:{name}?mode=ro&{how}", vfs="cksmvfs", flags=flags)
            connection.set_busy_timeout(10_000)
            return connection

    def _refuse_closed(self) -> None:
        if self.closed:
            raise Invalid(f"{self.folder} is closed")

    def _rest(self) -> Rest:
        """What to know the database by if it can be read as it is, because no commit lies in a log beside it.

        A log without commits is as good as none, and SQLite, where it must not write, cannot make sense of one
        that is only a header.
        """
        if self.writable:
            return None
        try:
            log_bytes = os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            log_bytes = -1
        index = os.path.exists(f"{self.path}-shm")  # looked for after the log: it is there before commits are
        if index and log_bytes not in (-1, LOG_HEADER):
            return None
        if log_bytes > LOG_HEADER:
            raise ReadOnly(
                f'{self.path}-wal holds commits but {self.path}-shm, without which it cannot be read, is missing; '
                f'open the volume once with mode="r+"',
                path=str(self.path),
            )
        with files_explained(self.path):
            found = os.stat(self.path)
        return found.st_ino, found.st_size, found.st_mtime_ns

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """A connection of one's own for a few queries."""
        self._refuse_closed()
        rest = self._rest()
        connection = self._pooled(rest) or self._connect(rest)
        with explained(self.path):
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append((rest, connection))
            if self.closed:  # meanwhile, so that nobody else will
                self._close_idle()

    def _pooled(self, rest: Rest) -> apsw.Connection | None:
        """A connection that is there already and of use while the database is at this rest, or not at rest."""
        while True:
            try:
                of, connection = self._idle.pop()
            except IndexError:
                return None
            if of == rest:
                return connection
            connection.close()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop()[1].close()
            except IndexError:  # another thread does the same
                return

    def _inspect(self, connection: apsw.Connection) -> None:
        """Refuse what is not this volume's journal of this format."""
        found = connection.pragma("application_id"), connection.pragma("user_version")
        if found[0] != APPLICATION_ID:
            raise Corrupt(f"{self.path} is not a labelog journal", path=str(self.path))
        if found[1] != FORMAT:
            raise Unsupported(f"{self.path} has format {found[1]}; this version of labelog reads format {FORMAT}")
        if _file_control(connection, apsw.SQLITE_FCNTL_RESERVE_BYTES, -1) != 8:
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
        with self._lock:
            self.closed = True
            if self._head is not None:
                self._head.flush()
                self._head.close()
                self._head = None
            with explained(self.path):
                self._close_idle()
                if self._writer is not None:
                    self._writer.close()
                    self._writer = None

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """For a few queries; each sees the journal as it is at that moment."""
        with self._reading() as connection:
            yield Reader(connection)

    # Writing

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """A transaction, alone among all processes: committed at the end, rolled back by an exception."""
        if not self.writable:
            raise ReadOnly(f'{self.folder} is open for reading; open it with mode="r+"', path=str(self.folder))
        with self._lock, self._flocked():
            self._refuse_closed()
            if self.broken:
                raise ReadOnly(f"{self.folder} takes no more writes until reopened: {self.broken}")
            if self._head is None:
                self._head = Head(self.folder / HEAD)
            if self._writer is None:
                self._writer = self._connect()
                self._writer.set_wal_hook(self._count_pages)
            if self.log_pages > CHECKPOINT_NOW:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)
            with explained(self.path):
                self._writer.execute("BEGIN IMMEDIATE")
                turn = Turn(self._writer)
                try:
                    yield turn
                    with self._minding_flushes():
                        self._writer.execute("COMMIT")
                    turn.committed = True
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    elif turn.added is not None:  # interrupted after the commit?
                        turn.committed = turn.chain(turn.newest) == turn.added
                    raise
            if turn.added is not None:
                self._write_head(turn.newest, turn.added)

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
            if _extended(error) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC):
                self.broken = f"flushing {self.path} to disk failed"
            raise

    @contextmanager
    def _flocked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ReadOnly(f"{self.folder} may not be written: {error.strerror}", path=str(self.folder)) from error
        _locks.add(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            _locks.discard(descriptor)
            os.close(descriptor)

    def _count_pages(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self.log_pages = pages
        return apsw.SQLITE_OK

    def checkpoint(self) -> None:
        """Copy the log into the database, as far as no reader is in the way; flush the head file."""
        with self._lock:
            if self._writer is not None:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _checkpoint(self, mode: int) -> None:
        assert self._writer is not None and self._head is not None
        with explained(self.path):
            try:
                with self._minding_flushes():
                    self._writer.wal_checkpoint(mode=mode)
                self.log_pages = 0
            except apsw.BusyError:
                log.info("%s: a reader holds back the checkpoint", self.path)
        self._head.flush()


class Reader:
    """What can be asked of the journal, on one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def _get(self, query: str, *values: Any) -> Any:
        """The first row: its only value, a tuple of its values, or None."""
        return self._db.execute(query, values).get

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Any rows at all: for checking the journal as a whole."""
        return self._db.execute(query, values).fetchall()

    # Commits

    def head(self) -> int:
        """The newest revision."""
        return int(self._get("SELECT max(revision) FROM edits"))

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
            f"SELECT {EDIT_COLUMNS}, NOT EXISTS (SELECT 1 FROM dead WHERE dead.revision = edits.revision) "
            f"FROM edits WHERE {where} ORDER BY revision {order} LIMIT {limit}",
            *values,
        )
        return [(_record(self._db, row[:-1]), bool(row[-1])) for row in rows]

    def authors(self, path: str) -> list[int]:
        """The numbers of an author and of all below: `vendor-b` finds `vendor-b/ana`."""
        path = path.rstrip("/")
        query = "SELECT id FROM authors WHERE name = ? OR substr(name, 1, ?) = ?"
        return [number for (number,) in self.rows(query, path, len(path) + 1, path + "/")]

    # Deltas

    def deltas(self, chunk: int, after: int, upto: int) -> list[tuple[int, bytes]]:
        """Revision and bytes of a chunk's deltas with after < revision <= upto, ascending."""
        rows = self._db.execute(
            "SELECT revision, crc, data FROM deltas WHERE chunk = ? AND revision > ? AND revision <= ? "
            "ORDER BY revision", (chunk, after, upto),
        )  # fmt: skip
        return [(revision, _verified(chunk, revision, crc, data)) for revision, crc, data in rows]

    def edits(self, chunk: int, first: int) -> Iterator[Stored]:
        """The deltas that edits made in a chunk from revision `first` on, newest first."""
        rows = self._db.execute(
            "SELECT d.revision, d.crc, d.data, NOT EXISTS (SELECT 1 FROM dead WHERE dead.revision = d.revision) "
            "FROM deltas d JOIN edits e ON e.revision = d.revision "
            "WHERE d.chunk = ? AND d.revision >= ? AND e.kind = ? ORDER BY d.revision DESC",
            (chunk, first, KINDS.index(Kind.EDIT)),
        )
        for revision, crc, data, live in rows:
            yield Stored(revision, bool(live), _verified(chunk, revision, crc, data))

    def lowest_toggled(self, chunk: int, first: int) -> int | None:
        """The lowest edit that an undo, redo or revert from revision `first` on put back or took out in a chunk."""
        lowest: int | None = self._get(
            "SELECT min(e.lowest) FROM deltas d JOIN edits e ON e.revision = d.revision "
            "WHERE d.chunk = ? AND d.revision >= ? AND e.kind != ?", chunk, first, KINDS.index(Kind.EDIT),
        )  # fmt: skip
        return lowest

    def last_change(self, chunk: int, upto: int) -> int:
        """The newest revision up to `upto` with a delta in this chunk; 0 if there is none."""
        query = "SELECT coalesce(max(revision), 0) FROM deltas WHERE chunk = ? AND revision <= ?"
        return int(self._get(query, chunk, upto))

    def count_deltas(self, chunk: int, after: int) -> int:
        """How many deltas of a chunk are newer than `after`."""
        return int(self._get("SELECT count(*) FROM deltas WHERE chunk = ? AND revision > ?", chunk, after))

    def changed_chunks(self, after: int, upto: int) -> dict[int, int]:
        """Chunk -> newest revision with a delta in it, after < revision <= upto."""
        found: dict[int, int] = {}
        query = "SELECT revision, chunks FROM edits WHERE revision > ? AND revision <= ? ORDER BY revision"
        for revision, chunks in self._db.execute(query, (after, upto)):
            found.update(dict.fromkeys(unpack_numbers(chunks), revision))
        return found

    def chunks(self) -> list[int]:
        """All chunks that were ever loaded or written, ascending."""
        return [chunk for (chunk,) in self.rows("SELECT chunk FROM base UNION SELECT chunk FROM deltas ORDER BY 1")]

    # The live set

    def takers(self, target: int) -> list[int]:
        """The commits that take this one out, were they live."""
        return [revision for (revision,) in self.rows("SELECT revision FROM takes_out WHERE target = ?", target)]

    def is_live(self, revision: int) -> bool:
        return self._get("SELECT 1 FROM dead WHERE revision = ?", revision) is None

    def latest(self, author: str, session: str | None, kinds: Iterable[Kind], *, live: bool) -> int | None:
        """The author's newest commit of these kinds (in this session, if one is given)."""
        newest = [self._latest(author, session, kind, live) for kind in kinds]  # each walks back along the index
        return max((revision for revision in newest if revision is not None), default=None)

    def _latest(self, author: str, session: str | None, kind: Kind, live: bool) -> int | None:
        revision: int | None = self._get(
            "SELECT revision FROM edits WHERE author = (SELECT id FROM authors WHERE name = ?) AND kind = ? "
            "AND (? IS NULL OR session = ?) "
            "AND NOT (? AND EXISTS (SELECT 1 FROM dead WHERE dead.revision = edits.revision)) "
            "ORDER BY revision DESC LIMIT 1",
            author, KINDS.index(kind), session, session, live,
        )  # fmt: skip
        return revision

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


class Turn(Reader):
    """The writer's transaction: sees and adds to the journal. Only the thread that began it may use it."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__(connection)
        self.newest = self.head()
        self.added: bytes | None = None  # the chain hash of the newest revision, if it was added in this turn
        self.committed = False

    @property
    def alive(self) -> bool:
        """Whether the transaction still stands; a full disk ends it as a whole."""
        return bool(self._db.in_transaction)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part that may fail alone: what it added is taken back by an exception."""
        before = self.newest, self.added
        self._db.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self.alive:
                self._db.execute("ROLLBACK TO attempt; RELEASE attempt")
            self.newest, self.added = before
            raise
        self._db.execute("RELEASE attempt")

    def add(self, record: Record, deltas: dict[int, bytes]) -> None:
        """The next revision."""
        assert record.revision == self.newest + 1
        before = self.added or self.chain(self.newest)
        assert before is not None
        self.added = _insert(self._db, before, record, deltas)
        self.newest = record.revision

    def set_live(self, changes: dict[int, bool]) -> None:
        self._db.executemany("INSERT INTO dead VALUES (?)", ((r,) for r, live in changes.items() if not live))
        self._db.executemany("DELETE FROM dead WHERE revision = ?", ((r,) for r, live in changes.items() if live))

    def add_receipt(self, author: str, key: str, receipt: Receipt) -> None:
        self._db.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)", (_author(self._db, author), key, *receipt))

    def set_manifest(self, entries: Iterable[tuple[int, int, int]]) -> None:
        """Chunk, revision and CRC of chunks now in the base."""
        self._db.executemany("INSERT OR REPLACE INTO base VALUES (?, ?, ?)", entries)

    def keep(self, chunk: int, revision: int, data: bytes) -> None:
        """The whole chunk at a revision, so that old revisions are near to something whole."""
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (chunk, revision, data))


def _configure(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(10_000)
    for name, value in PRAGMAS.items():
        connection.pragma(name, value)
    _file_control(connection, apsw.SQLITE_FCNTL_PERSIST_WAL, 1)


def _numbers(items: Iterable[int | Kind]) -> str:
    return ", ".join(str(KINDS.index(item) if isinstance(item, Kind) else int(item)) for item in items)


def _author(connection: apsw.Connection, name: str) -> int:
    number = connection.execute("SELECT id FROM authors WHERE name = ?", (name,)).get
    if number is None:
        connection.execute("INSERT INTO authors (name) VALUES (?)", (name,))
        number = connection.last_insert_rowid()
    return int(number)


def _insert(connection: apsw.Connection, before: bytes, record: Record, deltas: dict[int, bytes]) -> bytes:
    chain = link(before, record, deltas)
    connection.execute(
        "INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (record.revision, KINDS.index(record.kind), _author(connection, record.author), record.session, record.time,
         record.message, record.changed, record.written, record.left_alone, record.lowest,
         pack_numbers(record.chunks), chain),
    )  # fmt: skip
    for target in record.targets:
        connection.execute("INSERT INTO takes_out VALUES (?, ?)", (record.revision, target))
    for chunk, data in deltas.items():
        crc = _delta_crc(chunk, record.revision, data)
        connection.execute("INSERT INTO deltas VALUES (?, ?, ?, ?)", (chunk, record.revision, crc, data))
    return chain


def _record(connection: apsw.Connection, row: tuple[Any, ...]) -> Record:
    revision, kind, *rest, chunks = row
    targets: tuple[int, ...] = ()
    if KINDS[kind] not in (Kind.CREATE, Kind.EDIT):
        found = connection.execute("SELECT target FROM takes_out WHERE revision = ? ORDER BY target", (revision,))
        targets = tuple(target for (target,) in found)
    return Record._make([revision, KINDS[kind], *rest, unpack_numbers(chunks), targets])


def _verified(chunk: int, revision: int, crc: int, data: bytes) -> bytes:
    if _delta_crc(chunk, revision, data) != crc:
        raise Corrupt(f"the delta of chunk {chunk} at revision {revision} is damaged", chunk=chunk, revision=revision)
    return data
