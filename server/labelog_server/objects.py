"""Volumes as objects with keys, for programs that never heard of labelog: OME-Zarr 0.5 groups of Zarr v3 arrays.

    {volume}/zarr.json                    a group: which views there are
    {volume}/{view}/zarr.json             a group: an OME-Zarr label image
    {volume}/{view}/s0/zarr.json          its finest array: uint64, chunks as the volume's; s1, ... are coarser
    {volume}/{view}/s0/c/{z}/{y}/{x}      a chunk, encoded anew from runs; none where all voxels are 0
    {volume}/image/...                    the EM image alike, and below labels/ all of the above once more

Chunks of `instance/s0` may be written. That is an edit of the voxels which differ from the newest revision, or, if the
writer says which version it has seen (If-Match, If-None-Match) and that is not current, none.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from hashlib import blake2b
from typing import Any

import numpy as np

import labelog
from labelog.engine.snapshot import Snapshot
from labelog.geometry import Box
from labelog_server.answers import matches
from labelog_server.bodies import decompressed
from labelog_server.catalog import Catalog
from labelog_server.memory import Share
from labelog_server.ome import Array, Group, ImageGroup, LabelGroup, Object, has_image, tagged, view_names
from labelog_server.problems import Problem

NUMBER = r"(0|[1-9]\d{0,9})"
SCALE = re.compile(rf"s{NUMBER}/(.*)")
CHUNK = re.compile(rf"c/{NUMBER}/{NUMBER}/{NUMBER}")
DOCUMENT = "zarr.json"
IMAGE, LABELS = "image/", "image/labels/"
WRITABLE = "instance/s0"


class Shown:
    """All objects of one volume at its newest revision. Keys are those within the volume."""

    def __init__(self, snapshot: Snapshot, share: Share) -> None:
        self.snapshot, self._share = snapshot, share
        self._groups: dict[str, Group] = {}
        self._arrays: dict[str, Array] = {}

    def get(self, key: str) -> Object | None:
        """The object under a key, if there is one. Raises NotFound for the key of a view that there is not."""
        key, nested = key.removeprefix(LABELS), key.startswith(LABELS)
        if nested and key.startswith(IMAGE):
            return None
        if key == DOCUMENT:
            return _document({"attributes": {"ome": {"version": "0.5", "labels": view_names(self.snapshot)}}})
        view, _, rest = key.partition("/")
        if rest == DOCUMENT:
            return _document({"attributes": self._attributes(view, nested)})
        array, rest = self.array(view, rest)
        if array is None or rest == DOCUMENT:
            return None if array is None else _document(array.document())
        chunk = chunk_of(array, rest)
        if chunk is None:
            return None
        self._share.hold_in_turn(2 * 8 * math.prod(array.grid.chunks))  # as an array, and as it is sent
        return array.chunk(chunk)

    def _attributes(self, view: str, nested: bool) -> dict[str, Any]:
        """What OME-Zarr says of a view or the image; of a view also where its image is."""
        group = self._group(view)
        found = group.attributes()
        if isinstance(group, LabelGroup) and has_image(self.snapshot):
            found["ome"]["image-label"]["source"] = {"image": "../../" if nested else "../image"}
        return found

    def children(self, folder: str) -> list[str]:
        """What lies directly in a folder (its name ends in a slash, or is empty); folders end in a slash."""
        if folder.startswith(LABELS):
            found = self.children(folder.removeprefix(LABELS))
            return [name for name in found if name != IMAGE] if folder == LABELS else found
        view, _, rest = folder.partition("/")
        if not view:
            views = [*view_names(self.snapshot), *(["image"] if has_image(self.snapshot) else [])]
            return [DOCUMENT, *(f"{name}/" for name in views)]
        if not rest:
            more = ["labels/"] if folder == IMAGE else []
            return [DOCUMENT, *more, *(f"s{number}/" for number in range(len(self._group(view))))]
        array, rest = self.array(view, rest)
        return [] if array is None else self._of_array(array, rest)

    def _of_array(self, array: Array, folder: str) -> list[str]:
        if not folder:
            return [DOCUMENT, "c/"] if len(array.written()) else [DOCUMENT]
        above, found = folder.split("/")[1:-1], array.written()
        for axis, place in enumerate(above):
            found = found[found[:, axis] == int(place)]
        ending = "" if len(above) == 2 else "/"
        return [f"{place}{ending}" for place in np.unique(found[:, len(above)]).tolist()]

    def _group(self, view: str) -> Group:
        if view not in self._groups:
            image = view == IMAGE.strip("/")
            self._groups[view] = ImageGroup(self.snapshot) if image else LabelGroup(self.snapshot, view)
        return self._groups[view]

    def array(self, view: str, rest: str) -> tuple[Array | None, str]:
        """The array that a key is about, and the key within it; None if it is about none."""
        match, group = SCALE.fullmatch(rest), self._group(view)
        if match is None or int(match[1]) >= len(group):
            return None, rest
        name = f"{view}/s{match[1]}"
        if name not in self._arrays:
            self._arrays[name] = group[int(match[1])]
        return self._arrays[name], match[2]


class Objects:
    """All objects of the volumes of a catalog, for the time of a request, of whose memory chunks take."""

    def __init__(self, catalog: Catalog, share: Share) -> None:
        self._catalog, self._share = catalog, share
        self._shown: dict[str, Shown] = {}

    def volume(self, name: str) -> Shown:
        """The objects of one volume. Raises NotFound."""
        if not name:
            raise labelog.NotFound(f"keys are volume/view/..., such as cells/instance/{DOCUMENT}; found no volume")
        if name not in self._shown:
            self._shown[name] = Shown(self._catalog[name].at(), self._share)
        return self._shown[name]

    def get(self, key: str) -> Object:
        """The object under a key. Raises NotFound."""
        name, rest = _split(key)
        found = self.volume(name).get(rest)
        if found is None:
            raise labelog.NotFound(f"there is no object {key!r}: all its voxels are 0, or it is no key of a volume; "
                                   f"keys are volume/view/{DOCUMENT} and volume/view/s0/...")  # fmt: skip
        return found

    def modified(self, key: str) -> datetime:
        """When the newest revision was made of the volume that a key is of: nothing has changed since."""
        return self.volume(key.partition("/")[0]).snapshot.time

    def children(self, folder: str) -> list[str]:
        """What lies directly in a folder (its name ends in a slash, or is empty); folders end in a slash."""
        name, _, rest = folder.partition("/")
        return self.volume(name).children(rest) if name else [f"{each}/" for each in self._catalog.names()]

    def put(self, key: str, body: bytes, author: str, if_match: str | None, if_none_match: str | None) -> str | None:
        """Write a chunk; its new tag, or None if it is not what was sent: others wrote in it too, or a label that was
        sent has been merged into another.

        Raises Problem 405 for what cannot be written, 412 if a condition does not hold; Invalid.
        """
        volume, box = self._writable(key)
        self._share.hold_in_turn(2 * 8 * box_voxels(volume))  # and what is there now
        sent = _unzipped(body, 8 * box_voxels(volume))
        if len(sent) != 8 * box_voxels(volume):
            raise labelog.Invalid(f"a chunk has {box_voxels(volume)} labels of 8 bytes, not {len(sent)} bytes")
        values = np.frombuffer(sent, "<u8").reshape(volume.chunks)
        inside = box.relative(box.start).slices()
        if values.any() and np.count_nonzero(values) != np.count_nonzero(values[inside]):
            raise labelog.Invalid(f"voxels outside of the volume, beyond {box}, are 0")
        return self._write(volume, key, box, values[inside], author, if_match, if_none_match)

    def delete(self, key: str, author: str, if_match: str | None, if_none_match: str | None) -> None:
        """Make all voxels of a chunk 0. Raises as `put`."""
        volume, box = self._writable(key)
        self._write(volume, key, box, np.zeros(box.shape, np.uint64), author, if_match, if_none_match)

    def _writable(self, key: str) -> tuple[labelog.Volume, Box]:
        """The volume and the voxels of a chunk that may be written. Raises Problem 405, saying why it may not."""
        name, rest = _split(key)
        view, _, rest = rest.removeprefix(LABELS).partition("/")
        try:
            array, within = self.volume(name).array(view, rest)
        except (labelog.NotFound, Problem) as error:
            # some programs try again without end after a 404
            raise _read_only(f"{key} is no chunk's key: {error}") from None
        number = None if array is None else chunk_of(array, within)
        if array is None or number is None:
            raise _read_only(f"{key} is no chunk's key, and only chunks are written this way")
        if view == "image":
            raise _read_only("the image is read only")
        if view != "instance":
            raise _read_only(f"{view} follows from labels and what is said of them: write {name}/{WRITABLE}")
        if not rest.startswith("s0/"):
            raise _read_only(f"{rest.partition('/')[0]} is made from s0: write {name}/{WRITABLE}")
        return self._catalog[name], array.grid.box(number)

    def _write(self, volume: labelog.Volume, key: str, box: Box, values: Any, author: str, if_match: str | None,
               if_none_match: str | None) -> str | None:  # fmt: skip
        snapshot = volume.at()
        seen = snapshot.view(dtype=np.uint64)
        now = snapshot.read(box)
        tag = tagged(seen.version(box)) if now.any() else None
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
        whole = np.array_equal(after.read(box), values)
        return tagged(after.view(dtype=np.uint64).version(box)) if whole else None


def _holds(tag: str | None, if_match: str | None, if_none_match: str | None) -> bool:
    if if_match is not None and (tag is None or not matches(if_match, tag, strongly=True)):
        return False
    return if_none_match is None or tag is None or not matches(if_none_match, tag)


def _split(key: str) -> tuple[str, str]:
    """The volume, and the key within it. Some programs, such as napari, take for Zarr only what has .zarr in its name:
    the view may end so."""
    name, _, rest = key.partition("/")
    view, slash, rest = rest.partition("/")
    return name, f"{view.removesuffix('.zarr')}{slash}{rest}" if slash else view


def _read_only(why: str) -> Problem:
    return Problem(405, why, headers={"Allow": "GET, HEAD"})


def chunk_of(array: Array, key: str) -> int | None:
    """The chunk whose key within an array this is, if it is one's."""
    match = CHUNK.fullmatch(key)
    if match is None:
        return None
    index = int(match[1]), int(match[2]), int(match[3])
    inside = all(i < n for i, n in zip(index, array.grid.counts, strict=True))
    return array.grid.number(index) if inside else None


def _document(document: dict[str, Any]) -> Object:
    """A group's or an array's metadata."""
    body = json.dumps({"zarr_format": 3, "node_type": "group"} | document).encode()
    return Object(body, tagged(blake2b(body, digest_size=16).digest()), "application/json")


def box_voxels(volume: labelog.Volume) -> int:
    return int(np.prod(volume.chunks))


def _unzipped(body: bytes, most: int) -> bytes:
    try:
        return decompressed(body, "zstd", most)
    except Problem as problem:
        raise labelog.Invalid(f"a chunk is sent as the array says, with zstd: {problem.detail}") from None
