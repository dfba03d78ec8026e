"""The journal in SQLite: write-ahead log, synchronous=FULL, a checksum on each page.

Readers never wait for writers. Writers take turns: one at a time in a process by a lock, one process at a time by
`flock` on a file, then BEGIN IMMEDIATE, which therefore never has to wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from labelog.errors import Corrupt, LabelogError, NotFound, OutOfSpace, ReadOnly, Unsupported
from labelog.storage import commits, connections, deltas, facts, mark, parcels
from labelog.storage.commits import HEAD_QUERY, Reader, Turn, insert
from labelog.storage.connections import Connections, Rest, checksummed, explained, extended, keep_log
from labelog.storage.disk import explained as files_explained
from labelog.storage.forks import working
from labelog.storage.head import Head, Slot, read_slots
from labelog.storage.journal import Fact, Record
from labelog.storage.layout import APPLICATION_ID, FORMAT, HEAD, JOURNAL, LOCK, PARCELS
from labelog.storage.log_room import make_room

log = logging.getLogger("labelog.journal")

CHECKPOINT_AT = 2_000  # pages of the log after which it should be copied into the database
CHECKPOINT_NOW = 16_000  # pages after which the next writer does it at once
ROOM = 2**20  # bytes on the disk, with less of which an edit is refused now or soon

SCHEMA = f"""
CREATE TABLE volume (id BLOB NOT NULL, next INTEGER NOT NULL) STRICT;
{commits.SCHEMA}{parcels.SCHEMA}{deltas.SCHEMA}{facts.SCHEMA}PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""


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
        self._newest: tuple[bytes | Rest, int] | None = None  # as long as `_seen` is this, the newest revision is that
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
            chain = insert(connection, volume, record, [], table)
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
        found = tuple(connection.execute(f"PRAGMA {name}").get for name in ("application_id", "user_version"))
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

    def _seen(self) -> bytes | Rest | None:
        """What is the same for as long as nothing is committed; None if nothing tells."""
        self._connections.refuse_closed()
        now = self._mark
        if now is None:
            try:
                self._mark = now = mark.Mark(self._lock_file)
            except OSError:  # somebody has left it behind, or it may not be read
                return self._connections.at_rest()
        return now.read()

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

    def refuse_unwritable(self) -> None:
        """The same, and raise what the system would say to a write: ReadOnly, OutOfSpace, NotFound. Writes nothing."""
        self.refuse_to_write()
        for path in (self.folder, self.folder / JOURNAL, self.folder / LOCK):
            with files_explained(path):
                path.stat()
            if not os.access(path, os.W_OK):
                raise ReadOnly(f"{path} may not be written", path=str(path))
        if shutil.disk_usage(self.folder).free < ROOM:
            raise OutOfSpace(f"the disk that holds {self.folder} is full", path=str(self.folder))

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
            except apsw.BusyError:
                log.info("%s: a reader holds back the checkpoint", self.path)
            finally:
                self.log_pages = 0  # until the next commit counts them: then there may be room, or no reader
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
