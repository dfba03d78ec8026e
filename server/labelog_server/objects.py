"""Volumes as objects with keys, for programs that never heard of labelog: OME-Zarr 0.5 groups of Zarr v3 arrays.

    {volume}/{view}/zarr.json             the group: an OME-Zarr label image
    {volume}/{view}/s0/zarr.json          the array: uint64, chunks as the volume's, bytes + zstd
    {volume}/{view}/s0/c/{z}/{y}/{x}      a chunk, encoded anew from runs; none where all voxels are 0

Chunks of `instance` may be written. That is an edit of the voxels which differ from the newest revision, or, if the
writer says which version it has seen (If-Match, If-None-Match) and that is not current, none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import zstandard

import labelog
from labelog.engine.snapshot import Revision
from labelog.formats.colours import colour
from labelog.geometry import Box
from labelog.storage import base
from labelog.storage.meta import UNITS
from labelog_server.answers import etag, matches
from labelog_server.bodies import decompressed
from labelog_server.catalog import Catalog
from labelog_server.problems import Problem

ARRAY = "s0"
CHUNK = re.compile(rf"{ARRAY}/c/(0|[1-9]\d{{0,9}})/(0|[1-9]\d{{0,9}})/(0|[1-9]\d{{0,9}})")
MOST_COLOURS = 10_000
WRITABLE = "instance"


@dataclass(frozen=True)
class Object:
    """What lies under a key."""

    body: bytes
    tag: str
    media_type: str = "application/octet-stream"


class Objects:
    """All objects of the volumes of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def get(self, key: str) -> Object:
        """The object under a key. Raises NotFound."""
        name, view, rest = _split(key)
        seen = self._catalog[name].at().view(view, dtype=np.uint64)
        if rest in ("zarr.json", f"{ARRAY}/zarr.json"):
            document = group_document(seen) if rest == "zarr.json" else array_document(seen)
            body = json.dumps(document, indent=1).encode()
            return Object(body, etag(blake2b(body, digest_size=16).digest()), "application/json")
        found = self._chunk(seen, rest)
        if found is None:
            raise labelog.NotFound(f"there is no object {key}: all its voxels are 0, or it is no key of a volume")
        return found

    def put(
        self, key: str, body: bytes, author: str | None, if_match: str | None, if_none_match: str | None
    ) -> str | None:
        """Write a chunk; its new tag, or None if it is now more than what was sent, as others wrote in it too.

        Raises Problem 405 for what cannot be written, 412 if a condition does not hold; Invalid.
        """
        volume, box = self._writable(key)
        values = np.frombuffer(_unzipped(body, 8 * box_voxels(volume)), "<u8")
        if values.size != box_voxels(volume):
            raise labelog.Invalid(f"a chunk has {box_voxels(volume)} labels of 8 bytes, not {values.nbytes} bytes")
        values = values.reshape(volume.chunks)
        inside = box.relative(box.start).slices()
        if values.any() and np.count_nonzero(values) != np.count_nonzero(values[inside]):
            raise labelog.Invalid(f"voxels outside of the volume, beyond {box}, are 0")
        return self._write(volume, key, box, values[inside], author, if_match, if_none_match)

    def delete(self, key: str, author: str | None, if_match: str | None) -> None:
        """Make all voxels of a chunk 0. Raises as `put`."""
        volume, box = self._writable(key)
        self._write(volume, key, box, np.zeros(box.shape, np.uint64), author, if_match, None)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so, ascending as text; only chunks that were ever written."""
        for name in self._catalog.names():
            if not (f"{name}/".startswith(prefix) or prefix.startswith(f"{name}/")):
                continue
            volume = self._catalog[name]
            for view in sorted(["instance", "fragment", "semantic", *volume.classes]):
                root = f"{name}/{view}/"
                if root.startswith(prefix) or prefix.startswith(root):
                    yield from (key for key in self._of_view(volume, root) if key.startswith(prefix))

    def _of_view(self, volume: labelog.Volume, root: str) -> Iterator[str]:
        with volume.store.journal.reading() as journal:
            chunks = journal.chunks()
        grid = volume.store.grid
        yield from sorted(f"{root}{ARRAY}/c/" + "/".join(map(str, grid.index(chunk))) for chunk in chunks)
        yield f"{root}{ARRAY}/zarr.json"
        yield f"{root}zarr.json"

    def _chunk(self, seen: Revision, key: str) -> Object | None:
        """A chunk's object; None if it is all 0, or the key is no chunk's."""
        box = _box(seen.volume, key)
        if box is None:
            return None
        values = np.zeros(seen.chunks, np.uint64)
        seen.read(box, values[box.relative(box.start).slices()])
        if not values.any():
            return None
        body = zstandard.ZstdCompressor(level=1).compress(values.astype("<u8", copy=False).tobytes())
        return Object(body, etag(seen.version(box)))

    def _writable(self, key: str) -> tuple[labelog.Volume, Box]:
        name, view, rest = _split(key)
        volume = self._catalog[name]
        volume.view(view)
        box = _box(volume, rest)
        if view != WRITABLE or box is None:
            raise Problem(
                405,
                f"only chunks of {name}/{WRITABLE}/{ARRAY} are written this way, not {key}",
                headers={"Allow": "GET, HEAD"},
            )
        return volume, box

    def _write(self, volume: labelog.Volume, key: str, box: Box, values: Any, author: str | None, if_match: str | None,
               if_none_match: str | None) -> str | None:  # fmt: skip
        snapshot = volume.at()
        seen = snapshot.view(WRITABLE, dtype=np.uint64)
        now = snapshot.read(box)
        tag = etag(seen.version(box)) if now.any() else None
        if not _holds(tag, if_match, if_none_match):
            raise Problem(412, f"{key} is not what was seen; read it again", headers={"ETag": tag} if tag else None)
        conditional = if_match is not None or if_none_match is not None
        try:
            with volume.edit(author, f"chunk {key}", seen=snapshot.revision if conditional else None) as edit:
                if conditional:
                    edit.expect(box)
                edit.change(box, values)
        except labelog.Conflict as error:
            raise Problem(412, f"{key} was written meanwhile; read it again: {error}") from None
        after = volume.at(snapshot.revision if edit.revision is None else edit.revision)
        whole = edit.revision in (None, snapshot.revision + 1) or np.array_equal(after.read(box), values)
        return etag(after.view(WRITABLE, dtype=np.uint64).version(box)) if whole else None


def _holds(tag: str | None, if_match: str | None, if_none_match: str | None) -> bool:
    if if_match is not None and (tag is None or not matches(if_match, tag)):
        return False
    return if_none_match is None or tag is None or not matches(if_none_match, tag)


def _split(key: str) -> tuple[str, str, str]:
    """Volume, view, and the rest of a key. Raises NotFound."""
    parts = key.split("/", 2)
    if len(parts) != 3:
        raise labelog.NotFound(
            f"there is no object {key!r}; keys are volume/view/zarr.json and volume/view/{ARRAY}/..."
        )
    return parts[0], parts[1], parts[2]


def _box(volume: labelog.Volume, key: str) -> Box | None:
    """The voxels of a chunk's key within the volume; None if it is no chunk's."""
    match = CHUNK.fullmatch(key)
    if match is None:
        return None
    index = int(match[1]), int(match[2]), int(match[3])
    grid = volume.store.grid
    if any(i >= n for i, n in zip(index, grid.counts, strict=True)):
        return None
    return grid.box(grid.number(index))


def box_voxels(volume: labelog.Volume) -> int:
    return int(np.prod(volume.chunks))


def _unzipped(body: bytes, most: int) -> bytes:
    try:
        return decompressed(body, "zstd", most)
    except Problem as problem:
        raise labelog.Invalid(f"a chunk is sent as the array says, with zstd: {problem.detail}") from None


def group_document(seen: Revision) -> dict[str, Any]:
    """OME-Zarr 0.5: a label image of one scale, with the colours that labels have."""
    axes = [{"name": name, "type": "space", "unit": UNITS[seen.unit]} for name in "zyx"]
    scale = {"type": "scale", "scale": list(seen.voxel_size)}
    colours = [
        {"label-value": value, "rgba": list(colour(shade))}
        for value, shade in list(seen.colours.items())[:MOST_COLOURS]
    ]
    datasets = [{"path": ARRAY, "coordinateTransformations": [scale]}]
    ome = {
        "version": "0.5",
        "multiscales": [{"name": "labels", "axes": axes, "datasets": datasets}],
        "image-label": {"colors": colours} if colours else {},
    }  # fmt: skip
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}


def array_document(seen: Revision) -> dict[str, Any]:
    """The base's, with codecs that everyone has."""
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}},
              {"name": "zstd", "configuration": {"level": 1, "checksum": False}}]  # fmt: skip
    return base.array_document(seen.volume.store.meta) | {"codecs": codecs}
