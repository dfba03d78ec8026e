"""Connections to SQLite: how they are opened, pooled, shared with a process's other handles, and closed.

A handle that writes and its readers use the log's index (the -shm file) as SQLite means it. One opened for reading
writes nothing: it maps the index read only, or does without if no commit lies in a log.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import apsw.sqlite_extra

from labelog.errors import Corrupt, Invalid, LabelogError, NotFound, OutOfSpace, ReadOnly, Unsupported
from labelog.storage.disk import explained as files_explained
from labelog.storage.forks import working

OLDEST = (3, 51, 3)  # SQLite before 3.51.3 may corrupt a database when the write-ahead log is reset
LOG_HEADER = 32  # bytes of a log without commits
STILL = 10**9  # nanoseconds without a change after which the next one has a time of its own
CHECKED = 8  # bytes at the end of each page, for its checksum
TORN = {apsw.SQLITE_READONLY_RECOVERY, apsw.SQLITE_READONLY_CANTINIT}  # the log's index is, or was at that moment
PATIENCE = 1.0  # seconds that a reader waits for whoever is writing the index
STATEMENTS = 1000  # that a connection keeps prepared: each use takes one's place, so many more than there are

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "wal_autocheckpoint": 0,  # that is the keeper's
    "journal_size_limit": 64 * 2**20,  # bytes that the log keeps when it begins anew; none at the last close
    "cache_size": -16 * 1024,  # KiB
}


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
        if extended(error) in TORN:
            raise ReadOnly(
                f"{path}-shm, the index of the log, was left half written, and this handle may not write it anew; "
                f'open the volume once with mode="r+"',
                path=str(path),
            ) from error
        raise ReadOnly(f"{path} may not be written: {error}", path=str(path)) from error
    except apsw.CantOpenError as error:
        if not path.exists():
            raise NotFound(f"{path} does not exist", path=str(path)) from error
        raise LabelogError(f"{path} cannot be opened: {error}", path=str(path)) from error
    except apsw.IOError as error:
        code = extended(error)
        if code == apsw.SQLITE_IOERR_DATA:
            raise Corrupt(f"{path} is damaged: a page's checksum does not hold", path=str(path)) from error
        if code == apsw.SQLITE_IOERR_SHMSIZE or _full(path):
            raise OutOfSpace(f"the disk that holds {path} is full", path=str(path)) from error
        raise LabelogError(f"{path}: {error}", path=str(path)) from error
    except apsw.Error as error:
        raise LabelogError(f"{path}: {error}", path=str(path)) from error


def extended(error: apsw.Error) -> int:
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


def checksummed(connection: apsw.Connection) -> bool:
    """Whether each page of the database has a checksum."""
    return _file_control(connection, apsw.SQLITE_FCNTL_RESERVE_BYTES, -1) == CHECKED


def create(path: Path) -> apsw.Connection:
    """A new database whose pages have checksums."""
    _prepare()
    connection = apsw.Connection(str(path), vfs="cksmvfs")
    _file_control(connection, apsw.SQLITE_FCNTL_RESERVE_BYTES, CHECKED)
    configure(connection)
    return connection


def configure(connection: apsw.Connection) -> None:
    """Settings of a connection that may write."""
    connection.set_busy_timeout(10_000)
    for name, value in PRAGMAS.items():
        connection.pragma(name, value)
    _file_control(connection, apsw.SQLITE_FCNTL_PERSIST_WAL, 1)


def keep_log(connection: apsw.Connection, keep: bool) -> None:
    """Whether the log is left as it is when this is the last connection to be closed."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(keep))


def refuse_old(version: str) -> None:
    """Raise Unsupported for a version of SQLite that may damage a database."""
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        raise Unsupported(f"SQLite {version} is too old: {'.'.join(map(str, OLDEST))} or newer is needed")


def _prepare() -> None:
    refuse_old(apsw.sqlite_lib_version())
    if "cksmvfs" not in apsw.vfs_names():
        apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")


class OnlyReading(apsw.Connection):
    """One that may not write the log's index, and looks again where that seems half written.

    A writer writes the index's header twice, and what readers go by after it. Who reads in between, and asks only
    then whether somebody is writing, may hear no; SQLite then takes the index for one left by a writer that died,
    which it would mend if it might. The next look shows which of the two it was.
    """

    def execute(self, *arguments: Any, **options: Any) -> apsw.Cursor:
        until = 0.0
        while True:
            try:
                return super().execute(*arguments, **options)
            except apsw.ReadOnlyError as error:
                until = until or time.monotonic() + PATIENCE
                if extended(error) not in TORN or time.monotonic() > until:
                    raise
                time.sleep(0.001)


class Rest(NamedTuple):
    """What tells a database at rest from what it is after the next commit."""

    inode: int
    size: int
    changed: int  # nanoseconds since 1970


class How(NamedTuple):
    """How a database can be read now; a connection opened so is of use while this stays the same.

    `rest` is None if there may be commits in the log; otherwise the database can be read as it is. `shared` says that
    the index may be mapped for writing.
    """

    rest: Rest | None
    shared: bool


class Connections:
    """One handle's connections to the database at `path`. Its methods may be called from any thread."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._database, self._log, self._index = str(path), f"{path}-wal", f"{path}-shm"  # asked for at each read
        self.writable = writable
        self.closed = False
        self._idle: list[tuple[How, apsw.Connection]] = []
        self._writer: apsw.Connection | None = None
        with files_explained(path):
            found = path.stat()
        self._file = found.st_dev, found.st_ino
        with working:
            _prepare()
        working.enlist(self)
        if writable:
            self._claim_index()

    def writer(self) -> apsw.Connection:
        """The only one that writes."""
        if self._writer is None:
            self._writer = self._connect(How(None, True))
        return self._writer

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection of one's own for a few queries.

        One that reads a database at rest keeps nobody from writing to it. If that happens meanwhile, what was read may
        be of before and after: then this raises LabelogError, at the end.
        """
        with working, explained(self.path):
            self.refuse_closed()
            how = self._how()
            connection = self._pooled(how) or self._connect(how)
            try:
                yield connection
                self._refuse_moved(how)
            except BaseException as error:
                connection.close()
                if isinstance(error, (apsw.Error, LabelogError)):
                    self._refuse_moved(how)
                raise
            self._idle.append((how, connection))
            if self.closed:  # meanwhile, so that nobody else will
                self._close_idle()

    def value(self, query: str) -> Any:
        """What a query gives. As by `reading`, without its layers: for what is asked at each read of a volume."""
        if self.writable:
            with working, suppress(IndexError, apsw.Error):  # none is idle, or it fails: then as usual
                entry = self._idle.pop()
                found = entry[1].execute(query).get
                self._idle.append(entry)
                if self.closed:
                    self._close_idle()
                return found
        with self.reading() as connection:
            return connection.execute(query).get

    def at_rest(self) -> Rest | None:
        """What the database is, if there is no commit in the log; None if there may be, or was a moment ago."""
        if self._log_bytes() > LOG_HEADER:
            return None
        rest = self._rest()
        return rest if time.time_ns() - rest.changed > STILL else None

    def refuse_closed(self) -> None:
        if self.closed:
            raise Invalid(f"{self.path.parent} is closed")

    def close(self) -> None:
        """Close all that are not in use, and the others when they are not any more."""
        self.closed = True
        with explained(self.path):
            self._close_idle()
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    def abandon(self) -> None:
        """Give up what a forked process has inherited; no thread of the parent was using it."""
        if self._writer is not None:
            self._idle.append((How(None, True), self._writer))
            self._writer = None
        for _, connection in self._idle:
            keep_log(connection, True)
        self._close_idle()

    def _connect(self, how: How) -> apsw.Connection:
        with explained(self.path):
            if self.writable:
                connection = apsw.Connection(str(self.path), apsw.SQLITE_OPEN_READWRITE, "cksmvfs", STATEMENTS)
                configure(connection)
                return connection
            option = "&immutable=1" if how.rest else "" if how.shared else "&readonly_shm=1"
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            name = str(self.path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
            connection = OnlyReading(f"file:{name}?mode=ro{option}", flags, "cksmvfs", STATEMENTS)
            connection.set_busy_timeout(10_000)
            return connection

    def _pooled(self, how: How) -> apsw.Connection | None:
        while True:
            try:
                opened, connection = self._idle.pop()
            except IndexError:
                return None
            if opened == how:
                return connection
            connection.close()

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop()[1].close()
            except IndexError:  # another thread does the same
                return

    # Reading without writing

    def _how(self) -> How:
        """How the database can be read now.

        A log without commits is as good as none, and SQLite, where it must not write, cannot make sense of one
        that is only a header.
        """
        if self.writable:
            return How(None, True)
        log_bytes = self._log_bytes()
        index = os.path.exists(self._index)  # looked for after the log: it is there before commits are
        if index and log_bytes not in (-1, LOG_HEADER):
            return How(None, self._has_writer())
        if log_bytes > LOG_HEADER:
            raise ReadOnly(
                f"{self._log} holds commits but {self._index}, without which it cannot be read, is missing; "
                f'open the volume once with mode="r+"',
                path=str(self.path),
            )
        return How(self._rest(), False)

    def _refuse_moved(self, how: How) -> None:
        if how.rest is not None and self._rest() != how.rest:
            raise LabelogError(f"{self.path} was written to while it was read; ask again", path=str(self.path))

    def _log_bytes(self) -> int:
        """The log's size; -1 if there is none."""
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return -1

    def _rest(self) -> Rest:
        with files_explained(self.path):
            found = os.stat(self._database)
        return Rest(found.st_ino, found.st_size, found.st_mtime_ns)

    def _has_writer(self) -> bool:
        """Whether this process has a handle that may write."""
        return any(other.writable and not other.closed for other in self._siblings())

    def _claim_index(self) -> None:
        """Make readers of this process let go of the index: SQLite maps it once for all, as whoever comes first."""
        readers = [other for other in self._siblings() if not other.writable]
        if readers:
            with working.alone():
                for reader in readers:
                    reader._close_idle()

    def _siblings(self) -> list[Connections]:
        """All of this process that are connected to the same file."""
        return [other for other in working.enlisted() if isinstance(other, Connections) and other._file == self._file]
