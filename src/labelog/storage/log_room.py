"""Room in the write-ahead log, made before commits need it.

A commit that makes the log longer flushes the file's new length and blocks with its own pages, which takes about twice
as long as pages that are written over others. So the log grows by many pages of zeros at a time: to SQLite these are of
no commit, as is whatever else lies behind the last one.
"""

from __future__ import annotations

import logging
import os
from io import FileIO
from pathlib import Path

log = logging.getLogger("labelog.journal")

HEADER, FRAME = 32, 24 + 4096  # bytes of the log's header, and of a page with the header of its own
STEP = 256  # pages by which the log grows
COMMIT = 32  # pages that a commit may need


def make_room(path: Path, pages: int) -> int:
    """Let a log that holds so many pages have room for the next commits. Up to how many pages that will be so.

    Call it in a turn, as nobody else writes to the log then. A disk that is full leaves the log as it was.
    """
    wanted = HEADER + (pages + STEP + COMMIT) * FRAME
    try:
        with open(path, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size >= wanted:
                return (size - HEADER) // FRAME - COMMIT
            if not _fits(file, bytes(wanted - size)):
                file.truncate(size)
    except OSError as error:
        log.info("%s: no room made for commits: %s", path, error)
    return pages + STEP


def _fits(file: FileIO, data: bytes) -> bool:
    try:
        return file.write(data) == len(data)
    except OSError:
        return False
