"""Views and images as OME-Zarr 0.5: groups of Zarr v3 arrays `s0`, `s1`, ..., one for each scale.

Codecs are such as everyone has: bytes and zstd. A chunk is encoded when it is asked for, labels from runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from labelog.engine.classes import PLAIN
from labelog.engine.snapshot import Revision, Snapshot
from labelog.errors import LabelogError
from labelog.formats.colours import colour
from labelog.geometry import Grid
from labelog.image import Image
from labelog.image.ome import group_attributes
from labelog.storage.base import array_document

CODECS = ({"name": "bytes", "configuration": {"endian": "little"}},
          {"name": "zstd", "configuration": {"level": 1, "checksum": False}})  # fmt: skip
MOST_TOLD = 10_000  # labels that a group tells the colours and properties of
MOST_VOXELS = 2**22  # of an image's chunk; of larger ones the chunks are those of the labels


@dataclass(frozen=True)
class Object:
    """What lies under a key."""

    body: bytes
    tag: str
    media_type: str = "application/octet-stream"


def tagged(version: bytes) -> str:
    """The tag of an object: a decimal number and a dash.

    What looks like hex digits S3 clients take for the MD5 of the body, and compare; with a number behind the dash, for
    that of an upload in parts. CloudVolume knows this form, which a storage system of Dell's has.
    """
    return f'"{int.from_bytes(version, "big")}-"'


class Array(ABC):
    """One scale as a Zarr array."""

    grid: Grid

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """Its metadata."""

    @abstractmethod
    def chunk(self, number: int) -> Object | None:
        """A chunk; None if all of it is 0."""

    @abstractmethod
    def written(self) -> NDArray[np.int64]:
        """The places (n, 3) in the grid of chunks that may have an object."""


class Group(ABC):
    """An OME-Zarr image."""

    @abstractmethod
    def __len__(self) -> int:
        """How many scales there are."""

    @abstractmethod
    def __getitem__(self, number: int) -> Array: ...

    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What OME-Zarr says of it."""


class LabelGroup(Group):
    """A view: an OME-Zarr label image, with what is known of the labels."""

    def __init__(self, snapshot: Snapshot, view: str) -> None:
        self._snapshot, self._view = snapshot, snapshot.view(view, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._view.volume.store.scales.all)

    def __getitem__(self, number: int) -> LabelArray:
        return LabelArray(self._view.scale(number))

    def attributes(self) -> dict[str, Any]:
        scales = [(scale.voxel_size, scale.translation) for scale in self._view.scales]
        found = group_attributes(scales, self._view.unit, self._view.name, "s")
        colours = [{"label-value": value, "rgba": list(colour(shade))}
                   for value, shade in list(self._view.colours.items())[:MOST_TOLD]]  # fmt: skip
        told = {"colors": colours, "properties": self._properties()}
        found["ome"]["image-label"] = {name: value for name, value in told.items() if value}
        return found

    def _properties(self) -> list[dict[str, Any]]:
        """What is said of the labels of the view, as far as anything is."""
        name = self._view.name
        if name == "semantic":
            return [{"label-value": known.id, "class": known.name} for known in self._snapshot.classes.values()]
        if name == "fragment":
            return []
        known = self._snapshot.labels.described(MOST_TOLD, None if name in PLAIN else name)
        rows = ({"class": label.cls, "parent": label.parent, "name": label.name} for label in known)
        return [{"label-value": label.id} | said for label, row in zip(known, rows, strict=True)
                if (said := {field: value for field, value in row.items() if value})]  # fmt: skip


class LabelArray(Array):
    """A view at a scale."""

    def __init__(self, seen: Revision) -> None:
        self.seen, self.grid = seen, seen.grid

    def document(self) -> dict[str, Any]:
        return array_document(self.grid, CODECS)

    def chunk(self, number: int) -> Object | None:
        box = self.grid.box(number)
        values = np.zeros(self.grid.chunks, np.uint64)
        self.seen.read(box, values[box.relative(box.start).slices()])
        return Object(packed(values), tagged(self.seen.version(box))) if values.any() else None

    @cached_property
    def _written(self) -> NDArray[np.int64]:
        store = self.seen.volume.store
        with store.journal.reading() as journal:
            chunks = np.array(journal.chunks(), np.int64)
        places = np.stack(np.unravel_index(chunks, store.grid.counts), axis=1) // np.array(self.seen.factors)
        return places if self.seen.number == 0 else np.unique(places, axis=0)

    def written(self) -> NDArray[np.int64]:
        return self._written


class ImageGroup(Group):
    """The EM image under the labels: an OME-Zarr image, with the views as its labels."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot, self._image = snapshot, snapshot.image

    def __len__(self) -> int:
        return len(self._image.scales)

    def __getitem__(self, number: int) -> ImageArray:
        return ImageArray(self._image.scale(number), self._snapshot)

    def attributes(self) -> dict[str, Any]:
        own = self._snapshot
        scales = [(scale.voxel_size or own.voxel_size, scale.translation) for scale in self._image.scales]
        return group_attributes(scales, self._image.unit if self._image.voxel_size else own.unit, "image", "s")


class ImageArray(Array):
    """The image at a scale, in chunks as it is stored if those are not large."""

    def __init__(self, image: Image, home: Snapshot) -> None:
        self._image = image
        small = int(np.prod(image.chunks)) <= MOST_VOXELS
        self.grid = Grid(image.shape, image.chunks if small else home.chunks)

    def document(self) -> dict[str, Any]:
        dtype = self._image.dtype
        return array_document(self.grid, CODECS, dtype.name, fill=dtype.type(0).item())

    def chunk(self, number: int) -> Object | None:
        box = self.grid.box(number)
        values = np.zeros(self.grid.chunks, self._image.dtype)
        self._image.read(box, values[box.relative(box.start).slices()])
        body = packed(values)
        return Object(body, tagged(blake2b(body, digest_size=16).digest()))

    def written(self) -> NDArray[np.int64]:
        return np.stack(np.unravel_index(np.arange(int(np.prod(self.grid.counts))), self.grid.counts), axis=1)


def packed(values: NDArray[Any]) -> bytes:
    """The bytes of a chunk."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return zstandard.ZstdCompressor(level=1).compress(little.tobytes())


def has_image(snapshot: Snapshot) -> bool:
    """Whether there is an image, where it can be read."""
    try:
        return bool(snapshot.image.shape)
    except LabelogError:
        return False


def view_names(snapshot: Snapshot) -> list[str]:
    """The views that have a group: `image` is the image."""
    return [*PLAIN, *(name for name in snapshot.classes if name != "image")]
