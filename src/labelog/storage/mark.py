"""The mark: 8 bytes that are others after each commit, so that whoever has seen them can tell whether there was one.

They are the file `lock`. Whoever commits writes zeros before it and random bytes after it. So a mark never hides a
commit that is acknowledged; where one is cut short the zeros stay, and the journal itself is asked until the next one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from labelog.storage.disk import put_file

SIZE = 8
UNDER_WAY = bytes(SIZE)


class Mark:
    """The mark of a volume, to read. Its file is closed when nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was not opened
            os.close(self._file)

    def read(self) -> bytes | None:
        """The mark; None if it tells nothing: a commit is under way, or the file is not the volume's any more."""
        found = os.pread(self._file, SIZE, 0)
        if len(found) < SIZE or found == UNDER_WAY or os.fstat(self._file).st_nlink == 0:
            return None
        return found


def make(path: Path) -> None:
    """The file of a volume that nobody else knows yet."""
    put_file(path, os.urandom(SIZE))


def begin(file: int) -> None:
    """A commit is under way, by who holds the flock of this file."""
    os.pwrite(file, UNDER_WAY, 0)


def end(file: int) -> bytes:
    """It is not any more: the new mark, zeros if it could not be written."""
    mark = os.urandom(SIZE)
    with suppress(OSError):
        os.pwrite(file, mark, 0)
        return mark
    return UNDER_WAY
