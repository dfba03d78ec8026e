"""The pyramid: chunks of the coarser scales, as files. A cache of what follows from the base and the journal.

A file says what it is of: scale and chunk, the revision that last changed the voxels beneath it, and that revision's
chain hash, which no other volume and no other history has. One that is not of the revision asked for is as good as
none; so is one that is damaged or lost, so the folders are not flushed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from labelog.errors import Corrupt, NotFound
from labelog.geometry import Scale
from labelog.kernels import codec
from labelog.kernels.runs import Runs
from labelog.storage.base import sealed, unsealed
from labelog.storage.disk import explained, temporary, write_file
from labelog.storage.layout import FORMAT, PYRAMID, SCALED_HEADER, SCALED_MAGIC


class Mark(NamedTuple):
    """The newest revision that a chunk of a coarser scale is of, and its chain hash."""

    revision: int
    chain: bytes


class Pyramid:
    """The coarser scales of the volume in `folder`; `scales` are all of them, the finest first."""

    def __init__(self, folder: Path, scales: Sequence[Scale]) -> None:
        self.folder = folder / PYRAMID
        self.scales = scales

    def path(self, scale: Scale, chunk: int) -> Path:
        """Where the file of a chunk is."""
        z, y, x = scale.grid.index(chunk)
        return self.folder / str(scale.number) / str(z) / str(y) / str(x)

    def mark(self, scale: Scale, chunk: int) -> Mark | None:
        """What a file is of, its checksum verified; None if there is no file. Raises Corrupt, naming the chunk."""
        data = self._bytes(scale, chunk)
        return None if data is None else self._mark(data, scale, chunk)

    def read(self, scale: Scale, chunk: int, wanted: Mark | None = None) -> tuple[Mark, Runs] | None:
        """A chunk, and what it is of; None if there is no file, or none of what is wanted.

        Raises Corrupt, naming the chunk.
        """
        data = self._bytes(scale, chunk)
        if data is None:
            return None
        mark = self._mark(data, scale, chunk)
        if wanted is not None and mark != wanted:
            return None
        try:
            return mark, codec.decode(memoryview(data)[SCALED_HEADER.size :], scale.grid.chunks)
        except Corrupt as error:
            raise Corrupt(f"{self._place(scale, chunk)} is damaged: {error}") from error

    def _bytes(self, scale: Scale, chunk: int) -> bytes | None:
        path = self.path(scale, chunk)
        try:
            with explained(path), open(path, "rb") as file:
                return file.read()
        except NotFound:
            return None

    def _mark(self, data: bytes, scale: Scale, chunk: int) -> Mark:
        place = self._place(scale, chunk)
        _, chain, *numbers = unsealed(data, SCALED_HEADER, SCALED_MAGIC, place)
        found, revision, shape = tuple(numbers[:6]), numbers[6], tuple(numbers[7:])
        if found != (*scale.factors, *scale.grid.index(chunk)) or shape != scale.grid.chunks:
            raise Corrupt(f"{place} is not where it belongs: it is chunk {found[3:]} of the scale with factors "
                          f"{found[:3]}, of shape {shape}")  # fmt: skip
        return Mark(revision, chain)

    def _place(self, scale: Scale, chunk: int) -> str:
        return f"chunk {scale.grid.index(chunk)} of scale {scale.number} in {self.path(scale, chunk)}"

    def pack(self, scale: Scale, chunk: int, mark: Mark, runs: Runs) -> bytes:
        """The bytes of a chunk's file."""
        place = *scale.factors, *scale.grid.index(chunk)
        head = SCALED_HEADER.pack(SCALED_MAGIC, FORMAT, 0, mark.chain, *place, mark.revision, *runs.shape)
        return sealed(head, codec.encode(runs))

    def write(self, scale: Scale, chunk: int, data: bytes) -> None:
        """Replace a chunk's file by the bytes of `pack`. In a turn."""
        path = self.path(scale, chunk)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)

    def present(self) -> list[tuple[Scale, int]]:
        """The chunks that have a file."""
        return sorted((found for path in self._files() if (found := self._chunk(path))), key=_order)

    def stray(self) -> list[Path]:
        """Files that are no chunk's, nor what is written first."""
        return [path for path in self._files() if self._chunk(path) is None and not self._is_draft(path)]

    def drafts(self) -> list[Path]:
        """What was written first by somebody at work, or killed. Those found may be removed in a turn."""
        return [path for path in self._files() if self._is_draft(path)]

    def _chunk(self, path: Path) -> tuple[Scale, int] | None:
        """The chunk whose file this is, if it is one's."""
        place = path.relative_to(self.folder).parts
        if len(place) != 4 or not all(part.isdecimal() and part == str(int(part)) for part in place):
            return None
        number, z, y, x = (int(part) for part in place)
        if not 0 < number < len(self.scales):
            return None
        scale = self.scales[number]
        inside = all(i < n for i, n in zip((z, y, x), scale.grid.counts, strict=True))
        return (scale, scale.grid.number((z, y, x))) if inside else None

    def _is_draft(self, path: Path) -> bool:
        whole = path.with_name(path.name.removeprefix(".").removesuffix(".tmp") or "-")
        return path == temporary(whole) and self._chunk(whole) is not None

    def _files(self) -> Iterator[Path]:
        return (Path(folder) / name for folder, _, names in os.walk(self.folder) for name in names)


def _order(found: tuple[Scale, int]) -> tuple[int, int]:
    return found[0].number, found[1]
