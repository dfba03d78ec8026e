"""Reading slices: at random with a 64-MB cache, with everything in cache, and cold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.peers import Shape
from benchmarks.table import Table, Target
from benchmarks.timing import Sample, interleaved

CHUNKS: Shape = (16, 256, 256)  # ours
SHAPES: tuple[Shape, ...] = (CHUNKS, (64, 64, 64), (32, 32, 32))  # the peer's, for all three axes alike
FLAT: Shape = (1, 512, 512)  # the peer's for XY alone
BLOCK = 8  # slices that one side reads in a row
EVERYTHING = 4 * 2**30
INSTALLED = peers.ts is not None
TOPIC = "Slices"

NOTE = """\
The labels are stored as uint64, labelog in chunks of 16 x 256 x 256, tensorstore as zarr3 files in chunks of that
shape, of 64^3 and of 32^3; the row is against the best of them. 64 random slices, in random order, several times over;
the first time warms up. With a 64-MB cache labelog holds all of this volume, because it caches runs; tensorstore
caches dense chunks. "No cache" gives both a cache of 0 bytes: all chunks are decoded for each slice. "All in cache"
reads the whole volume first, with a 4-GB cache in both; tensorstore then by default asks the file system whether a
chunk has changed, as labelog asks its journal, and with `recheck_cached_data="open"` does not. "Cold" opens, reads
one slice and closes, with a new context each time. zarr-python has no cache of chunks; Icechunk has one of encoded
chunks, of 64 MB. tensorstore in chunks of 1 x 512 x 512 reads one chunk for an XY slice, and 512 for an XZ slice."""


@dataclass
class Stored:
    """The same labels in labelog and in each peer."""

    labelog: Path
    shape: Shape
    arrays: dict[Shape, Path]  # tensorstore's
    repository: Any  # Icechunk's


@pytest.fixture(scope="module")
def stored(folder: Path, labels: Labels, table: Table) -> Stored:
    table.notes[TOPIC] = NOTE
    labelog.load(folder / "labelog", labels.array, chunks=CHUNKS, threads=1).close()
    arrays = {}
    for chunks in (*SHAPES, FLAT):
        arrays[chunks] = folder / peers.named(chunks)
        if INSTALLED:
            peers.tensorstore_write(arrays[chunks], labels.array, chunks)
    repository = None
    if peers.icechunk:
        repository = peers.icechunk_write(folder / "icechunk", labels.array, CHUNKS, settings.CACHE)
    return Stored(folder / "labelog", labels.array.shape, arrays, repository)


@pytest.fixture
def volume(stored: Stored) -> Iterator[labelog.Volume]:
    with labelog.open(stored.labelog, cache_bytes=settings.CACHE, threads=1) as opened:
        yield opened


def rounds(extent: int, count: int, times: int) -> list[int]:
    """`count` random slices, `times` times over, each time in another order."""
    rng = np.random.default_rng(1)
    chosen = rng.choice(extent, min(count, extent), replace=False)
    return [int(z) for _ in range(times) for z in rng.permutation(chosen)]


def reader(array: Any, axis: int) -> Callable[[int], object]:
    """Slices of a tensorstore array or of anything that NumPy's indexing reads."""

    def read(number: int) -> object:
        found = array[(slice(None),) * axis + (number,)]
        return found.read().result() if hasattr(found, "read") else found

    return read


def opened(stored: Stored, shapes: tuple[Shape, ...], cache: int, recheck: str | None = None) -> dict[str, Any]:
    """tensorstore's arrays, named for the table."""
    return {f"tensorstore {peers.named(shape)}":
            peers.tensorstore_open(stored.arrays[shape], cache, recheck) if INSTALLED else None
            for shape in shapes}  # fmt: skip


def measure(ours: Any, theirs: dict[str, Any], axis: int, items: list[int],
            warm_up: int) -> tuple[Sample, dict[str, Sample | None]]:  # fmt: skip
    sides = {name: reader(array, axis) for name, array in {"labelog": ours, **theirs}.items() if array is not None}
    found = interleaved(sides, items, warm_up=warm_up, block=BLOCK)
    return found["labelog"], {name: found.get(name) for name in theirs}


def others(stored: Stored) -> dict[str, Any]:
    """zarr-python and Icechunk, with our chunks."""
    shape = peers.named(CHUNKS)
    array = peers.zarr_open(stored.arrays[CHUNKS]) if peers.zarr and INSTALLED else None
    repository = peers.icechunk_open(stored.repository) if stored.repository else None
    return {f"zarr-python {shape}": array, f"Icechunk {shape}": repository}


def bench_xy_64_mb(table: Table, stored: Stored, volume: labelog.Volume) -> None:
    main, more = opened(stored, SHAPES, settings.CACHE), {**opened(stored, (FLAT,), settings.CACHE), **others(stored)}
    items = rounds(stored.shape[0], 64, settings.times(4, 2))
    ours, found = measure(volume, {**main, **more}, 0, items, 64)
    table.compare(TOPIC, "XY slice, random, 64-MB cache", ours, {name: found[name] for name in main}, Target(5, 15),
                  also={name: found[name] for name in more})  # fmt: skip


def bench_xy_all_in_cache(table: Table, stored: Stored) -> None:
    items = rounds(stored.shape[0], 64, settings.times(12, 4))
    asks, trusts = opened(stored, (CHUNKS,), EVERYTHING), opened(stored, (CHUNKS,), EVERYTHING, "open")
    asks = {f"{name}, asks each time": array for name, array in asks.items()}
    trusts = {f"{name}, recheck at open": array for name, array in trusts.items()}
    for array in (*asks.values(), *trusts.values()):
        if array is not None:
            array.read().result()
    with labelog.open(stored.labelog, cache_bytes=EVERYTHING, threads=1) as volume:
        volume.read()
        ours, found = measure(volume, {**asks, **trusts}, 0, items, 128)
    what = "XY slice, all in cache"
    table.compare(TOPIC, what, ours, {name: found[name] for name in asks}, Target(2))
    table.compare(TOPIC, what, ours, {name: found[name] for name in trusts}, Target(None, 1))


def bench_xy_cold(table: Table, stored: Stored) -> None:
    def ours(number: int) -> object:
        with labelog.open(stored.labelog, cache_bytes=settings.CACHE, threads=1) as volume:
            return volume[number]

    def theirs(shape: Shape) -> Callable[[int], object]:
        return lambda number: peers.tensorstore_open(stored.arrays[shape], settings.CACHE)[number].read().result()

    names = {f"tensorstore {peers.named(shape)}": shape for shape in SHAPES}
    sides = {"labelog": ours, **({name: theirs(shape) for name, shape in names.items()} if INSTALLED else {})}
    found = interleaved(sides, rounds(stored.shape[0], 48, settings.times(2, 1)), warm_up=8)
    table.compare(TOPIC, "XY slice, cold: open, one slice, close", found["labelog"],
                  {name: found.get(name) for name in names}, Target(1, 3))  # fmt: skip


@pytest.mark.parametrize(("name", "axis"), [("XZ", 1), ("YZ", 2)])
def bench_across(table: Table, stored: Stored, volume: labelog.Volume, name: str, axis: int) -> None:
    items = rounds(stored.shape[axis], 16, settings.times(3, 2))
    ours, found = measure(volume, opened(stored, SHAPES, settings.CACHE), axis, items, 16)
    table.compare(TOPIC, f"{name} slice, random, 64-MB cache", ours, found, Target(3, 10))


def bench_xy_no_cache(table: Table, stored: Stored) -> None:
    items = rounds(stored.shape[0], 24, settings.times(2, 1))
    with labelog.open(stored.labelog, cache_bytes=0, threads=1) as volume:
        ours, found = measure(volume, opened(stored, SHAPES, 0), 0, items, 4)
    table.compare(TOPIC, "XY slice, random, no cache", ours, {}, Target(None), also=found)
