"""Where HDF5 writes to, so that a full disk becomes an error and not a crash.

HDF5 2.0 ends the whole process (segmentation fault) when objects of a file are freed that could not be flushed. So
it writes through this, which never fails: from the first error on it keeps what comes in memory, lets HDF5 close in
peace, and has the error to raise. That is little, as the writer stops at the next block.
"""

from __future__ import annotations

import os
from pathlib import Path


class Sink:
    """A file as h5py wants it, at `path`, which must be new; `error` is what stopped it, if anything did."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._kept: list[tuple[int, bytes]] = []
        self._at = self._end = 0

    def close(self) -> None:
        os.close(self._handle)

    def check(self) -> None:
        """Raise the error, if there was one."""
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (self._end if whence == os.SEEK_END else self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: memoryview | bytes | bytearray) -> int:
        piece = bytes(data)
        if self.error is None:
            try:
                self._write(piece)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._at, piece))
        self._at += len(piece)
        self._end = max(self._end, self._at)
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        data = bytearray(self._end - self._at if size < 0 else size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: memoryview | bytes | bytearray) -> int:
        view, start = memoryview(buffer).cast("B"), self._at
        stored = os.pread(self._handle, len(view), start)
        view[:] = stored + bytes(len(view) - len(stored))
        for at, piece in self._kept:
            first, last = max(at, start), min(at + len(piece), start + len(view))
            if first < last:
                view[first - start : last - start] = piece[first - at : last - at]
        self._at += len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        self._end = size
        try:
            os.ftruncate(self._handle, size)
        except OSError as error:
            self.error = self.error or error
        return size

    def flush(self) -> None:
        """Nothing is buffered here."""

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, memoryview(data)[written:], self._at + written)
