"""A disk that loses power: records what a process asks of its files, and says what may be found after a cut.

In a process of its own, `record` puts a VFS of SQLite beneath labelog's and replaces Python's calls that change files.
Every write, truncation, flush, rename and new folder is noted in the order in which it was done, and so is each
acknowledgement of an edit. `Disk` replays the notes up to some point. What was flushed is there; of what was not, each
sector and each name may be there or not.
"""

from __future__ import annotations

import os
import pickle
import random
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from faults import strokes
from labelog.storage import connections

SECTOR = 512


class Note(NamedTuple):
    """Something done: write (offset, data), cut (length), flush, name (data: a file's bytes, or None for a folder),
    acknowledge (number)."""

    what: str
    path: str = ""
    number: int = 0
    data: bytes | None = None


class Recorder:
    """Notes in one order, the deed and its note being one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.notes: list[Note] = []
        self.lock = threading.RLock()

    def note(self, what: str, path: str, number: int = 0, data: bytes | None = None) -> None:
        if os.path.realpath(path).startswith(self.folder + "/"):
            self.notes.append(Note(what, os.path.relpath(path, self.folder), number, data))


def record(path: str, notes: str, commits: int, synchronous: str) -> None:
    """Make so many commits in a volume, and leave the notes in a file. For a process of its own."""
    strokes.hurry()
    recorder = Recorder(Path(path))
    _record_database(recorder)
    _record_files(recorder)
    configure = connections.configure
    connections.configure = lambda connection: (configure(connection), connection.pragma("synchronous", synchronous))
    volume = strokes.labelog.open(path)
    for revision in range(volume.revision + 1, commits + 1):
        strokes.commit(volume, revision)
        with recorder.lock:
            recorder.notes.append(Note("acknowledge", number=revision))
        if revision % 29 == 0:
            volume.compact()
    volume.close()
    Path(notes).write_bytes(pickle.dumps(recorder.notes))


def _record_database(recorder: Recorder) -> None:
    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            super().__init__("unix", name, flags)

        def xWrite(self, data: bytes, offset: int) -> None:
            with recorder.lock:
                super().xWrite(data, offset)
                recorder.note("write", self.name, offset, bytes(data))

        def xTruncate(self, size: int) -> None:
            with recorder.lock:
                super().xTruncate(size)
                recorder.note("cut", self.name, size)

        def xSync(self, flags: int) -> None:
            with recorder.lock:
                super().xSync(flags)
                recorder.note("flush", self.name)

    class Vfs(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("recorder", "unix", makedefault=True)

        def xOpen(self, name: Any, flags: list[int]) -> File:
            return File(name, flags)

    recorder.vfs = Vfs()  # type: ignore[attr-defined]


def _record_files(recorder: Recorder) -> None:
    """Files are written to a draft and renamed; what of the draft was not flushed counts as lost with the power."""
    flushed: dict[int, int] = {}  # inode -> its size when flushed
    fsync, replace, mkdir, pwrite = os.fsync, os.replace, os.mkdir, os.pwrite

    def recorded_fsync(descriptor: int) -> None:
        with recorder.lock:
            fsync(descriptor)
            flushed[os.fstat(descriptor).st_ino] = os.fstat(descriptor).st_size
            recorder.note("flush", _path(descriptor))

    def recorded_replace(old: Any, new: Any) -> None:
        with recorder.lock:
            replace(old, new)
            kept = flushed.pop(Path(new).stat().st_ino, 0)
            recorder.note("name", str(new), 0, Path(new).read_bytes()[:kept])

    def recorded_mkdir(path: Any, *args: Any) -> None:
        with recorder.lock:
            mkdir(path, *args)
            recorder.note("name", str(path))

    def recorded_pwrite(descriptor: int, data: bytes, offset: int) -> int:
        with recorder.lock:
            recorder.note("write", _path(descriptor), offset, bytes(data))
            return pwrite(descriptor, data, offset)

    os.fsync, os.replace, os.mkdir, os.pwrite = recorded_fsync, recorded_replace, recorded_mkdir, recorded_pwrite


def _path(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


class Disk:
    """The disk after some notes: what is safely on it, and what is on its way.

    Files are written in place (the journal, its log, the head) or come by name as a whole (chunks); folders by name.
    """

    def __init__(self, start: dict[str, bytes]) -> None:
        self.acknowledged = 0
        self.safe = {path: bytearray(data) for path, data in start.items()}
        self.pending: dict[str, list[Note]] = {}  # by file; in order
        self.names: dict[str, list[Note]] = {}  # by folder: names that may not be there yet, the newest last

    def do(self, note: Note) -> None:
        match note.what:
            case "acknowledge":
                self.acknowledged = note.number
            case "name":
                self.names.setdefault(str(Path(note.path).parent), []).append(note)
            case "flush":
                for change in self.pending.pop(note.path, ()):
                    _apply(self.safe.setdefault(note.path, bytearray()), change)
                for change in self.names.pop(note.path, ()):
                    if change.data is not None:
                        self.safe[change.path] = bytearray(change.data)
            case _:
                self.pending.setdefault(note.path, []).append(note)

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """Files as they may be found: of what is on its way, each sector and name there or not, one of them torn."""
        found = {path: bytearray(data) for path, data in self.safe.items()}
        for path, changes in self.pending.items():
            likelihood = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
            for change in changes:
                for piece in _sectors(change):
                    if chance.random() < likelihood:
                        _apply(found.setdefault(path, bytearray()), _torn(piece, chance))
        for names in self.names.values():
            for change in names:
                if change.data is not None and chance.random() < 0.5:
                    found[change.path] = bytearray(change.data)
        folders = [name.path for names in self.names.values() for name in names if name.data is None]
        lost = tuple(f"{folder}/" for folder in folders if chance.random() < 0.5)
        return {path: bytes(data) for path, data in found.items() if not path.startswith(lost)}


def _apply(data: bytearray, change: Note) -> None:
    if change.what == "cut":
        data[:] = data[: change.number].ljust(change.number, b"\0")
    elif change.data:
        end = change.number + len(change.data)
        data.extend(bytes(max(0, end - len(data))))
        data[change.number : end] = change.data


def _sectors(change: Note) -> list[Note]:
    if change.what == "cut" or not change.data:
        return [change]
    end = change.number + len(change.data)
    edges = [change.number, *range(change.number // SECTOR * SECTOR + SECTOR, end, SECTOR), end]
    return [change._replace(number=a, data=change.data[a - change.number : b - change.number])
            for a, b in pairwise(edges)]  # fmt: skip


def _torn(change: Note, chance: random.Random) -> Note:
    """One sector in twenty is written in part; the head's slots are too small to be."""
    if change.what == "cut" or not change.data or len(change.data) < SECTOR or chance.random() > 0.05:
        return change
    return change._replace(data=change.data[: chance.randrange(len(change.data))])
