"""The base: chunks folded up to some revision, the files of a Zarr v3 array with the codec `labelog.runs`.

Chunk files are read and written here by key; any Zarr program with labelog installed reads the same array.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import google_crc32c

from labelog.errors import Corrupt, NotFound, Unsupported
from labelog.geometry import Grid, Triple
from labelog.kernels import codec
from labelog.kernels.runs import Runs
from labelog.storage.disk import explained, flush_file, flush_folder, flush_tree, put_file, temporary, write_file
from labelog.storage.layout import ARRAY, BASE, CHUNK_GUARDED, CHUNK_HEADER, CHUNK_MAGIC, CODEC, FORMAT
from labelog.storage.meta import UNITS, Meta

RUNS = ({"name": CODEC, "configuration": {}},)


class Chunk(NamedTuple):
    """A chunk as stored: its labels up to and including `revision`, and the CRC-32C that its bytes carry."""

    revision: int
    runs: Runs
    crc: int


def pack(runs: Runs, volume: bytes, index: Triple, revision: int) -> bytes:
    """The bytes of a chunk of the volume with this 16-byte id."""
    head = CHUNK_HEADER.pack(CHUNK_MAGIC, FORMAT, 0, volume, *index, revision, *runs.shape)
    return sealed(head, codec.encode(runs))


def sealed(head: bytes, body: bytes) -> bytes:
    """A header and what follows it, with the CRC of all other bytes in its place."""
    crc = google_crc32c.extend(google_crc32c.extend(google_crc32c.value(head[:8]), head[CHUNK_GUARDED:]), body)
    return b"".join([head[:8], crc.to_bytes(4, "little"), head[CHUNK_GUARDED:], body])


def unpack(data: bytes, shape: Triple, place: str, volume: bytes | None = None, index: Triple | None = None) -> Chunk:
    """The chunk of these bytes, checked: magic, version, CRC, volume and index (if given), shape.

    Raises Corrupt or Unsupported, naming `place`.
    """
    crc, found_volume, *rest = unsealed(data, CHUNK_HEADER, CHUNK_MAGIC, place)
    found_index, revision, found_shape = tuple(rest[:3]), rest[3], tuple(rest[4:])
    if volume is not None and (found_volume, found_index) != (volume, index):
        raise Corrupt(f"{place} is not where it belongs: it is chunk {found_index} of volume {found_volume.hex()}")
    if found_shape != tuple(shape):
        raise Corrupt(f"{place} has shape {found_shape}, expected {tuple(shape)}")
    try:
        return Chunk(revision, codec.decode(memoryview(data)[CHUNK_HEADER.size :], shape), crc)
    except Corrupt as error:
        raise Corrupt(f"{place} is damaged: {error}") from error


def unsealed(data: bytes, header: Struct, magic: bytes, place: str) -> tuple[Any, ...]:
    """The CRC, and what it guards of a header; checked: magic, version, CRC.

    Raises Corrupt or Unsupported, naming `place`.
    """
    if len(data) < header.size or data[:4] != magic:
        raise Corrupt(f"{place} is not a chunk: expected {magic!r}, found {data[:4]!r} in {len(data)} bytes")
    _, version, crc, *guarded = header.unpack_from(data)
    if version != FORMAT:
        if version > FORMAT and crc == _crc(data):
            raise Unsupported(f"{place} has chunk format {version}; this version of labelog reads {FORMAT}")
        raise Corrupt(f"{place} is damaged: format {version}, expected {FORMAT}")
    if crc != _crc(data):
        raise Corrupt(f"{place} is damaged: its CRC-32C is {_crc(data):08x}, expected {crc:08x}")
    return crc, *guarded


def _crc(data: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(data[:8]), data[CHUNK_GUARDED:]))


class Base:
    """The base of the volume in `folder`."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder = folder / BASE
        self._chunks = self.folder / ARRAY / "c"
        self.meta = meta
        self.grid = meta.grid

    def path(self, chunk: int) -> Path:
        """Where the file of a chunk is."""
        z, y, x = self.grid.index(chunk)
        return self._chunks / str(z) / str(y) / str(x)

    def read(self, chunk: int) -> Chunk | None:
        """A chunk as stored; None if there is no file of it. Raises Corrupt, naming the chunk."""
        path = self.path(chunk)
        try:
            with explained(path), open(path, "rb") as file:
                data = file.read()
        except NotFound:
            return None
        index = self.grid.index(chunk)
        return unpack(data, self.grid.chunks, f"chunk {index} in {path}", self.meta.key, index)

    def pack(self, chunk: int, revision: int, runs: Runs) -> bytes:
        return pack(runs, self.meta.key, self.grid.index(chunk), revision)

    def write(self, chunk: int, data: bytes) -> int:
        """Replace a chunk's file by the bytes of `pack`, durably; their CRC."""
        path = self.path(chunk)
        with explained(path):
            fresh = [folder for folder in list(path.parents)[:3] if not folder.exists()]  # y, z and c
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
        for folder in (path.parent, *(f.parent for f in fresh)):
            flush_folder(folder)
        return _crc_within(data)

    def place(self, chunk: int, data: bytes) -> int:
        """The same in a base that nobody else knows yet; `flush_row` and `flush` make it durable."""
        put_file(self.path(chunk), data)
        return _crc_within(data)

    def documents(self) -> dict[Path, bytes]:
        """The Zarr metadata: an OME-NGFF group, and in it the label array."""
        return {
            self.folder / "zarr.json": _json(group_document(self.meta)),
            self.folder / ARRAY / "zarr.json": _json(array_document(self.grid)),
        }

    def create(self) -> None:
        """Place the documents."""
        for path, data in self.documents().items():
            put_file(path, data)

    def flush_row(self, z: int) -> None:
        """Make chunks that were placed durable, those of this index along z."""
        flush_tree(self._chunks / str(z))

    def flush(self) -> None:
        """Make durable what was placed beside rows of chunks: the documents, and all folders above the rows."""
        for path in self.documents():
            flush_file(path)
        for folder in (self._chunks, self.folder / ARRAY, self.folder):
            if folder.exists():  # a volume of zeros has no chunks
                flush_folder(folder)

    def stray(self) -> list[Path]:
        """Files that are no chunk of this base and none of its documents, nor what a fold writes first."""
        return [path for path in self._files() if not self._belongs(path) and not self._is_draft(path)]

    def drafts(self) -> list[Path]:
        """What folds under way, or killed, have written first. Those found may be removed in a turn."""
        return [path for path in self._files() if self._is_draft(path)]

    def present(self) -> list[int]:
        """The chunks that have a file, ascending."""
        return sorted(chunk for path in self._files() if (chunk := self._chunk(path)) is not None)

    def _chunk(self, path: Path) -> int | None:
        """The chunk whose file this is, if it is one's."""
        place = path.relative_to(self.folder).parts
        if len(place) != 5 or not all(part.isdecimal() and part == str(int(part)) for part in place[2:]):
            return None
        z, y, x = (int(part) for part in place[2:])
        inside = all(i < n for i, n in zip((z, y, x), self.grid.counts, strict=True))
        return self.grid.number((z, y, x)) if inside and path == self.path(self.grid.number((z, y, x))) else None

    def _belongs(self, path: Path) -> bool:
        return self._chunk(path) is not None or path in self.documents()

    def _is_draft(self, path: Path) -> bool:
        """Whether it is what `write_file` writes first."""
        name = path.name.removeprefix(".").removesuffix(".tmp")
        return bool(name) and path == temporary(path.with_name(name)) and self._belongs(path.with_name(name))

    def _files(self) -> list[Path]:
        return [Path(folder) / name for folder, _, names in os.walk(self.folder) for name in names]


def _crc_within(data: bytes) -> int:
    return int.from_bytes(data[8:CHUNK_GUARDED], "little")


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def group_document(meta: Meta) -> dict[str, Any]:
    """OME-NGFF 0.5: one scale."""
    axes = [{"name": name, "type": "space", "unit": UNITS[meta.unit]} for name in "zyx"]
    scale = {"type": "scale", "scale": list(meta.voxel_size)}
    dataset = {"path": ARRAY, "coordinateTransformations": [scale]}
    ome = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [dataset], "name": "labels"}],
        "image-label": {"version": "0.5"},
    }
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}


def array_document(grid: Grid, codecs: Sequence[dict[str, Any]] = RUNS, dtype: str = "uint64",
                   fill: float = 0) -> dict[str, Any]:  # fmt: skip
    """A Zarr v3 array (z, y, x)."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(grid.shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": list(codecs),
        "dimension_names": ["z", "y", "x"],
        "attributes": {},
    }
