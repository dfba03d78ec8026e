"""The head file: the newest revision and its chain hash, kept outside the journal so that a cut journal is noticed.

Even revisions go to the first of two slots, odd ones to the second, each with its own checksum; the newer valid one
counts. It is not flushed at each
commit, so after a power loss it may be behind the journal, never ahead of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from labelog.storage.disk import explained
from labelog.storage.layout import FORMAT, HASH_BYTES, HEAD_MAGIC, HEAD_SLOT


class Slot(NamedTuple):
    revision: int
    hash: bytes

    def to_bytes(self) -> bytes:
        crc = google_crc32c.value(HEAD_SLOT.pack(HEAD_MAGIC, FORMAT, 0, *self))
        return HEAD_SLOT.pack(HEAD_MAGIC, FORMAT, crc, *self)


class Head:
    """The head file of a volume, open for writing until closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def write(self, revision: int, chain: bytes) -> None:
        """Record the newest commit. Call it under the writer's lock, with ascending revisions."""
        with explained(self.path):
            os.pwrite(self._file, Slot(revision, chain).to_bytes(), revision % 2 * HEAD_SLOT.size)

    def flush(self) -> None:
        with explained(self.path):
            os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def read_slots(path: Path) -> list[Slot | None]:
    """Both slots; None for one that is damaged. A slot never written is revision -1."""
    with explained(path):
        data = path.read_bytes()
    found: list[Slot | None] = []
    for at in (0, HEAD_SLOT.size):
        raw = data[at : at + HEAD_SLOT.size]
        if raw in (b"", bytes(HEAD_SLOT.size)):
            found.append(Slot(-1, bytes(HASH_BYTES)))
            continue
        slot = Slot(*HEAD_SLOT.unpack(raw)[3:]) if len(raw) == HEAD_SLOT.size else None
        found.append(slot if slot and slot.to_bytes() == raw else None)
    if len(data) > 2 * HEAD_SLOT.size:
        found[1] = None
    return found
