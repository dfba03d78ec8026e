"""What clients write down: each thing that one did, when, and what it was told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any


@dataclass
class Call:
    """One thing that a client did, however often it had to send it.

    Attributes
    ----------
    client, number : who did it, and as the how many-th.
    kind : read, edit, undo, redo, put (a chunk, by Zarr) or reuse (of a key that another edit has used).
    asked : what for.
    start, stop : before the first attempt and after the answer, in seconds of the machine's monotonic clock.
    sent : how often.
    status : of the answer.
    revision : that the answer says, or None. An edit that was refused before is told no revision, but its key.
    told : what else of it counts.
    """

    client: int
    number: int
    kind: str
    asked: dict[str, Any]
    start: float = 0.0
    stop: float = 0.0
    sent: int = 0
    status: int = 0
    revision: int | None = None
    told: Any = None

    @property
    def name(self) -> str:
        """By which its commit is found again."""
        return f"c{self.client:02}-{self.number:06}"


def digest(data: bytes) -> str:
    """What is kept of voxels that were read: uint64, little-endian, C order."""
    return blake2b(data, digest_size=12).hexdigest()


def line(call: Call) -> str:
    return json.dumps(asdict(call)) + "\n"


def calls(paths: Iterable[Path]) -> Iterator[Call]:
    """All that was written down. A process that was killed may leave half a line; these are not."""
    for path in paths:
        with path.open() as lines:
            yield from (Call(**json.loads(text)) for text in lines)
