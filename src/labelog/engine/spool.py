"""What is counted in the chunks of a load, on disk until the journal is made of it: a load takes no more memory for it,
however many labels come."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from labelog.storage.disk import explained
from labelog.storage.facts import Pieces

ROW = struct.Struct("<qI")  # the first label of a row, signed; its bytes, which follow
CHUNK = struct.Struct("<qI")  # a chunk; its rows, which follow


class Spool:
    """Chunks with the extents of all their labels, in the order in which they are added. A file without a name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with explained(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def add(self, chunk: int, rows: Pieces) -> None:
        with explained(self._folder):
            self._file.write(CHUNK.pack(chunk, len(rows)))
            for first, data in rows:
                self._file.write(ROW.pack(first, len(data)) + data)

    def __iter__(self) -> Iterator[tuple[int, Pieces]]:
        with explained(self._folder):
            self._file.seek(0)
            while head := self._file.read(CHUNK.size):
                chunk, count = CHUNK.unpack(head)
                yield chunk, [self._row() for _ in range(count)]

    def _row(self) -> tuple[int, bytes]:
        first, size = ROW.unpack(self._file.read(ROW.size))
        return first, self._file.read(size)

    def close(self) -> None:
        with suppress(OSError):  # of what could not be written whoever wrote it was told
            self._file.close()
