"""New volumes: empty ones, and ones made of an array or of slabs as they come.

A volume is built beside its final name and renamed into place whole, so there is never half of one. What is loaded
becomes the base, at revision 0, without passing through edits.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from getpass import getuser
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.arrays.boxes import thread_count
from labelog.engine.bodies import clustered, edges, merge_key
from labelog.engine.classes import LabelClass, check_classes, listed_classes, read_classes
from labelog.engine.commit import draft
from labelog.engine.naming import MADE
from labelog.engine.spool import Spool
from labelog.engine.table import class_facts, label_facts
from labelog.engine.values import checked_colours, checked_labels, checked_object, checked_pairs
from labelog.errors import Invalid
from labelog.geometry import MAX_AXIS, MAX_CHUNKS, Box, Grid
from labelog.kernels.extents import Extents, counted, decode
from labelog.kernels.runs import Runs
from labelog.progress import Progress
from labelog.storage.base import Base
from labelog.storage.commits import Turn
from labelog.storage.disk import checked_path, refuse_inside_volume, under_construction
from labelog.storage.facts import Pieces, pieces
from labelog.storage.journal import LISTED, PARENT, Fact, Key, Kind, Record, Space, Value
from labelog.storage.meta import Meta, checked_size
from labelog.storage.sqlite import SqliteJournal

CHUNKS = (16, 256, 256)
"""The default chunk: a brush stroke touches one to four, a slice of 2000 x 2000 voxels 64."""

Classes = str | os.PathLike[str] | Iterable[LabelClass]
TableRows = Mapping[int, Mapping[str, Any]] | Iterable[tuple[int, Mapping[str, Any]]]


def user(author: str | None) -> str:
    """The author, or the operating system's user where none is named."""
    if author is not None:
        return author
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def load(path: str | os.PathLike[str], labels: Any, *, voxel_size: Iterable[float] = (1, 1, 1), unit: str = "nm",
         chunks: Iterable[int] | None = None, classes: Classes = (), table: TableRows = (),
         merges: Iterable[tuple[int, int]] = (), colours: Mapping[int, str] | None = None, author: str | None = None,
         message: str = "", threads: int | None = None, progress: Progress | None = None) -> None:  # fmt: skip
    """Make a new volume of an array, or of slabs as they come, without passing through edits.

    Parameters
    ----------
    path : where the volume shall be; nothing may be there.
    labels : an integer array (z, y, x) of any kind that gives NumPy arrays when sliced (NumPy, HDF5, Zarr), or an
        iterable of slabs: integer arrays (n, y, x), consecutive along z, of any n.
    voxel_size : along z, y, x, in `unit` (nm, um, mm, m, angstrom).
    chunks : voxels of a chunk along z, y, x; by default 16, 256, 256, or less where the volume is smaller (of slabs
        the depth is not known before).
    classes : that objects may have: a TOML file, the name of one that comes with labelog (`platelet`), or a list of
        `LabelClass`.
    table : label -> what is known of it: `cls`, `parent`, `name`, and attributes; read when the last slab has come.
    merges : pairs of labels that are one object, as named first and second; read when the last slab has come.
    colours : label -> "#rrggbbaa", kept with the volume; read when the last slab has come.
    author, message : who loads it and why, for the history.
    threads : how many to use; by default one for each processor.
    progress : called with slices done, slices in all (0 for slabs).

    Raises Exists, Invalid (dtype, shape, negative labels: naming the slab), OutOfSpace; then nothing is left behind.
    """
    size, target = checked_size(voxel_size, unit), new_place(path)
    who = draft(user(author), None, message, None)
    known = checked_classes(classes)
    checked_colours(colours or {})
    total, slabs = _slabs(labels)
    if total:
        chunks = _grid(labels.shape, chunks).chunks
    threads = thread_count(threads)
    with under_construction(target) as folder, ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as beside:
        with closing(Spool(folder)) as counts:
            loader = _Loader(folder, chunks, pool, beside, counts)
            for number, slab in enumerate(slabs):
                loader.add(slab, number)
                if progress:
                    progress(loader.depth, total)
            grid = loader.finish()
            meta = Meta(loader.key.hex, grid.shape, grid.chunks, size, unit,
                        checked_colours(colours or {}))  # fmt: skip
            facts = table_facts(known, table, merges)
            _complete(folder, meta, who.author, message or "loaded", loader.manifest, facts, counts, loader.flushed)


def new_place(path: Any) -> Path:
    """Where a volume is to be: not in another one. Raises Invalid, Exists."""
    target = checked_path(path)
    refuse_inside_volume(target.parent)
    return target


def create(path: str | os.PathLike[str], shape: Iterable[int], voxel_size: Iterable[float], unit: str,
           chunks: Iterable[int] | None, classes: Classes, author: str | None) -> None:  # fmt: skip
    """Make a new volume of zeros."""
    size, target = checked_size(voxel_size, unit), new_place(path)
    grid = _grid(shape, chunks)
    known = checked_classes(classes)
    who = draft(user(author), None, "", None)
    with under_construction(target) as folder:
        meta = Meta(uuid.uuid4().hex, grid.shape, grid.chunks, size, unit)
        _complete(folder, meta, who.author, "created", [], table_facts(known, {}, ()), [], [])


def _grid(shape: Any, chunks: Any) -> Grid:
    if chunks is not None:
        return Grid.of(shape, chunks)
    whole = Grid.of(shape, CHUNKS)
    return Grid.of(whole.shape, [min(n, c) for n, c in zip(whole.shape, whole.chunks, strict=True)])


def _deepest(slices: tuple[int, ...], chunks: Any) -> Grid:
    """A grid with as many of such slices (y, x) as a volume may have."""
    row = _grid((CHUNKS[0], *slices), chunks)
    most = MAX_CHUNKS // math.prod(row.counts[1:]) * row.chunks[0]
    return replace(row, shape=(min(most, MAX_AXIS), *row.shape[1:]))


def _complete(folder: Path, meta: Meta, author: str, message: str, manifest: list[tuple[int, int, int]],
              facts: list[Fact], counts: Iterable[tuple[int, Pieces]],
              flushed: list[Future[None]]) -> None:  # fmt: skip
    now = time.time_ns() // 1000
    members, clusters = clustered(edges(facts))
    refuse_cycles(facts, {label: clusters[member.cluster] for label, member in members.items()})
    base = Base(folder, meta)
    base.create()
    record = Record(0, Kind.CREATE, author, None, now, message, 0, 0, 0, 0, (), ())

    def fill(turn: Turn) -> None:
        turn.set_manifest(manifest)
        for chunk, rows in counts:
            turn.add_extents(chunk, 0, rows)
        turn.add_first_haunts((chunk, decode(data, meta.chunks).labels.tolist())
                              for chunk, rows in counts for _, data in rows)  # fmt: skip
        turn.add_bodies(0, members, clusters)

    SqliteJournal.create(folder, meta.key, record, facts, fill)
    for row in flushed:
        row.result()
    base.flush()
    meta.write(folder)


def checked_classes(classes: Classes) -> list[LabelClass]:
    """Classes as given: a file, or a list of them."""
    if isinstance(classes, (str, os.PathLike)):
        return read_classes(classes)
    found = listed_classes(classes)
    check_classes(found)
    return found


def table_facts(classes: list[LabelClass], table: TableRows,
                merges: Iterable[tuple[int, int]]) -> list[Fact]:  # fmt: skip
    """What revision 0 says."""
    ids = {entry.name: entry.id for entry in classes}
    said: dict[Key, Value] = {}
    for entry in classes:
        said |= {Key(Space.CLASS, entry.id, name): value for name, value in class_facts(entry, ids).items()}
    try:
        rows = dict(table)
    except (TypeError, ValueError):
        raise Invalid(f"a table is label -> what is known of it: a mapping or pairs, not {table!r}") from None
    for label, fields in rows.items():
        if not isinstance(fields, Mapping):
            raise Invalid(f"label {label}: expected what is known of it by name, not {fields!r}")
        subject = checked_object(label)
        for name, value in label_facts(fields, ids).items():
            said[Key(Space.LABEL, subject, name)] = value
    named = {int(str(value)) for key, value in said.items() if key.field == PARENT and value is not None}
    named -= {key.subject for key in said if key.space is Space.LABEL}
    for first, second in checked_pairs(merges):
        said[merge_key(first, second)] = first
        named.add(first)  # it stays to be named, also if it is cleaved, and nothing else is said of it
    for label in named:
        said[Key(Space.LABEL, label, LISTED)] = MADE
    facts = [Fact(key, 0, step, value) for step, (key, value) in enumerate(said.items()) if value is not None]
    return sorted(facts)


def refuse_cycles(facts: Iterable[Fact], bodies: Mapping[int, int]) -> None:
    """Raise Invalid if an object would be its own ancestor."""
    parents = {key.subject: bodies.get(int(str(value)), int(str(value))) for key, _, _, value in facts
               if key.field == PARENT and bodies.get(key.subject, key.subject) == key.subject}  # fmt: skip
    sound: set[int] = set()
    for label in parents:
        path: dict[int, None] = {}
        while label in parents and label not in sound:
            if label in path:
                raise Invalid(f"label {label} would be its own ancestor", label=label)
            path[label] = None
            label = parents[label]
        sound.update(path)


def _slabs(labels: Any) -> tuple[int, Iterable[NDArray[Any]]]:
    """How many slices there are (0 if that is not known), and the slabs."""
    if hasattr(labels, "shape") and hasattr(labels, "__getitem__"):
        if len(labels.shape) != 3:
            raise Invalid(f"labels must be an array (z, y, x), not of shape {tuple(labels.shape)}")
        step = CHUNKS[0]
        return labels.shape[0], (np.asarray(labels[z : z + step]) for z in range(0, labels.shape[0], step))
    if isinstance(labels, (str, bytes, os.PathLike)):
        raise Invalid(f"expected an array (z, y, x) or an iterable of slabs (n, y, x), found a path, {labels!r}; "
                      "files are read by `labelog import`, a volume by labelog.open(path)")  # fmt: skip
    if not hasattr(labels, "__iter__"):
        raise Invalid(f"expected an array (z, y, x) or an iterable of slabs (n, y, x), found {type(labels).__name__}")
    return 0, labels


def _columns(band: NDArray[Any], size: tuple[int, int]) -> list[Runs]:
    """The parts of slices (n, y, x) that lie in chunks beside one another; with zeros where those leave the volume."""
    height, width = size
    if band.shape[1] < height:
        band = np.pad(band, [(0, 0), (0, height - band.shape[1]), (0, 0)])
    whole = band.shape[2] // width * width
    found = Runs.columns(band[:, :, :whole], width) if whole else []
    if whole < band.shape[2]:
        found.append(Runs.from_dense(np.pad(band[:, :, whole:], [(0, 0), (0, 0), (0, whole + width - band.shape[2])])))
    return found


class _Loader:
    """Cuts slabs into chunks, and writes each row of chunks when it is complete; flushes it beside the next."""

    def __init__(self, folder: Path, chunks: Any, pool: ThreadPoolExecutor, beside: ThreadPoolExecutor,
                 counts: Spool) -> None:  # fmt: skip
        self.key = uuid.uuid4()
        self.depth = 0
        self.manifest: list[tuple[int, int, int]] = []
        self.flushed: list[Future[None]] = []
        self._beside = beside
        self._counts = counts
        self._chunks = chunks
        self._pool = pool
        self._folder = folder
        self._base: Base | None = None
        self._parts: dict[int, list[Runs]] = {}

    def add(self, slab: NDArray[Any], number: int) -> None:
        try:
            slab = checked_labels(slab)
            if slab.ndim != 3 or 0 in slab.shape:
                raise Invalid(f"a slab is an array (n, y, x) with voxels, not of shape {slab.shape}")
            if self._base is None:
                self._base = Base(self._folder, self._meta(_deepest(slab.shape[1:], self._chunks)))
            grid = self._base.grid
            if slab.shape[1:] != grid.shape[1:]:
                raise Invalid(f"expected slices of {grid.shape[1:]}, found {slab.shape[1:]}")
            if self.depth + len(slab) > grid.shape[0]:
                raise Invalid(f"expected at most {grid.shape[0]} slices in chunks of {grid.chunks}, "
                              f"found {self.depth + len(slab)}")  # fmt: skip
            depth = grid.chunks[0]
            while len(slab):
                taken = min(depth - self.depth % depth, len(slab))
                self._place(slab[:taken])
                slab = slab[taken:]
        except Invalid as error:
            raise Invalid(f"slab {number} (slices from {self.depth} on): {error}") from None

    def _meta(self, grid: Grid) -> Meta:
        return Meta(self.key.hex, grid.shape, grid.chunks, (1, 1, 1), "nm")

    def _place(self, slab: NDArray[Any]) -> None:
        """Add slices that lie in one row of chunks."""
        assert self._base is not None
        grid = self._base.grid
        box = Box((self.depth, 0, 0), (self.depth + len(slab), *grid.shape[1:]))

        def band(y: int) -> list[Runs]:
            return _columns(slab[:, y : y + grid.chunks[1]], grid.chunks[1:])

        bands = self._pool.map(band, range(0, grid.shape[1], grid.chunks[1]))
        for (chunk, _), runs in zip(grid.touching(box), chain.from_iterable(bands), strict=True):
            self._parts.setdefault(chunk, []).append(runs)
        self.depth += len(slab)
        if self.depth % grid.chunks[0] == 0:
            self._write()

    def _write(self) -> None:
        base = self._base
        assert base is not None

        def write(item: tuple[int, list[Runs]]) -> tuple[int, int, Extents] | None:
            chunk, parts = item
            missing = base.grid.chunks[0] - sum(part.nz for part in parts)
            if missing:
                parts = [*parts, Runs.full((missing, *base.grid.chunks[1:]), 0)]
            runs = parts[0] if len(parts) == 1 else Runs.stacked(parts)
            if runs.palette.tolist() == [0]:
                return None
            return chunk, base.place(chunk, base.pack(chunk, 0, runs)), counted(runs)

        for written in self._pool.map(write, self._parts.items()):
            if written:
                chunk, crc, found = written
                self.manifest.append((chunk, 0, crc))
                self._counts.add(chunk, pieces(found))
        self.flushed.append(self._beside.submit(base.flush_row, base.grid.index(min(self._parts))[0]))
        self._parts.clear()

    def finish(self) -> Grid:
        """Write what is left; the grid of the whole."""
        if self._base is None:
            raise Invalid("there are no slices to load")
        if self._parts:
            self._write()
        return replace(self._base.grid, shape=(self.depth, *self._base.grid.shape[1:]))
