"""What a journal holds, whatever database keeps it: commits, their deltas and facts, who took out what."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from labelog.storage.layout import HASH_BYTES


class Kind(enum.StrEnum):
    """What a commit is."""

    CREATE = "create"  # revision 0: the volume as made, with what was loaded
    EDIT = "edit"
    UNDO = "undo"
    REDO = "redo"
    REVERT = "revert"


KINDS = tuple(Kind)
"""A kind is stored as its place here."""


@dataclass(frozen=True)
class Commit:
    """One revision of a volume.

    Attributes
    ----------
    revision : counts up from 0 without gaps.
    kind : edit, undo, redo, revert; create for revision 0.
    author : who did it, a path such as `vendor-b/ana`.
    session : the window or program it was done in, if the author said.
    time : when, to the microsecond, UTC; never before that of an earlier revision.
    message : why.
    voxels : how many got another label.
    written : how many were written, those that already had the label included. For undo, redo and revert: how many
        the commits in question wrote.
    left_alone : for undo, redo and revert: voxels left as they are because a later live edit wrote them.
    targets : the commits that this one takes out of the live set (an undo's own, for a redo).
    live : whether it counts today: no live commit takes it out.
    """

    revision: int
    kind: Kind
    author: str
    session: str | None
    time: datetime
    message: str
    voxels: int
    written: int
    left_alone: int
    targets: tuple[int, ...]
    live: bool = True

    def row(self) -> dict[str, Any]:
        """It as JSON has it: the same names, the time in ISO 8601."""
        return asdict(self) | {"kind": self.kind.value, "time": self.time.isoformat(), "targets": list(self.targets)}


class Record(NamedTuple):
    """A commit as stored, without what is derived from later ones."""

    revision: int
    kind: Kind
    author: str
    session: str | None
    time: int  # microseconds since 1970, UTC
    message: str
    changed: int
    written: int
    left_alone: int
    lowest: int  # the lowest edit that was put back or taken out; the revision itself for an edit
    chunks: tuple[int, ...]  # ascending
    targets: tuple[int, ...]  # ascending

    def commit(self, live: bool) -> Commit:
        time = datetime.fromtimestamp(self.time / 1e6, UTC)
        return Commit(
            self.revision, self.kind, self.author, self.session, time, self.message,
            self.changed, self.written, self.left_alone, self.targets, live,
        )  # fmt: skip


class Space(enum.IntEnum):
    """What facts are about."""

    LABEL = 0
    CLASS = 1
    REGION = 2  # subject 0, a field for each region's name
    VOLUME = 3  # subject 0


Value = int | str | None
"""What a fact says: a number, a text, or nothing any more."""

LISTED, CLASS, PARENT, NAME, MERGE, ATTRIBUTE = "listed", "class", "parent", "name", "merge:", "attribute:"
"""Fields of a label; a merge's goes on with the label that was named first, an attribute's with its name."""


IMAGE = "image"
"""The field of the volume that says where its image is."""

UNSAID = -1
"""The origin of a fact that no live edit says: its value is None."""


class Key(NamedTuple):
    """What a fact is about."""

    space: Space
    subject: int
    field: str


class Fact(NamedTuple):
    """What is said of a key, with its place in the order of edits.

    Attributes
    ----------
    origin : the revision of the edit that said it; an undo repeats what an older edit said.
    step : its place within that edit.
    """

    key: Key
    origin: int
    step: int
    value: Value


REFUSED = -1
"""The voxels written by what was refused."""


class Receipt(NamedTuple):
    """What came of what was asked under an idempotency key: a revision, nothing to write, or a refusal."""

    digest: bytes
    revision: int | None
    voxels: int
    written: int

    @property
    def refused(self) -> bool:
        return self.written == REFUSED


def digest(data: bytes) -> bytes:
    """What stands for a delta's bytes in the chain hash."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def link(before: bytes, record: Record, digests: Sequence[bytes], facts: Sequence[Fact]) -> bytes:
    """The chain hash of a commit: over the hash before it (the volume's id, for revision 0) and all that it holds.

    `digests` has that of the delta of each of its chunks.
    """
    texts = (record.kind.value, record.author, record.message, record.session)
    numbers = (record.revision, record.time, record.changed, record.written, record.left_alone, record.lowest)
    counts = len(record.chunks), len(record.targets), len(facts)
    fixed = struct.pack(f"<6q3Q{len(record.targets)}q", *numbers, *counts, *record.targets)
    parts = [before, *map(_text, texts), fixed]
    for chunk, of_delta in zip(record.chunks, digests, strict=True):
        parts.append(struct.pack("<q", chunk) + of_delta)
    for (space, subject, field), origin, step, value in facts:
        parts.append(struct.pack("<BQqq?", space, subject, origin, step, isinstance(value, int)))
        parts += _text(field), _text(None if value is None else str(value))
    return blake2b(b"".join(parts), digest_size=HASH_BYTES).digest()


def _text(text: str | None) -> bytes:
    data = b"" if text is None else text.encode()
    return struct.pack("<Q?", len(data), text is None) + data


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Ascending numbers as the differences between them, 7 bits a byte, low ones first."""
    out = bytearray()
    before = 0
    for number in numbers:
        step, before = number - before, number
        while step >= 0x80:
            out.append(step & 0x7F | 0x80)
            step >>= 7
        out.append(step)
    return bytes(out)


def unpack_numbers(data: bytes) -> tuple[int, ...]:
    """The inverse of `pack_numbers`."""
    numbers: list[int] = []
    number = shift = before = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            before += number
            numbers.append(before)
            number = shift = 0
    return tuple(numbers)
