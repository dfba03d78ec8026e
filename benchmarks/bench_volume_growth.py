"""Whether the cost of strokes, undos and reads per voxel stays flat as the volume grows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import labelog
from benchmarks import settings
from benchmarks.bench_strokes import CHUNKS
from benchmarks.datasets import Labels, Stroke
from benchmarks.growth import flat, in_turn, strokes_and_undos
from benchmarks.peers import Shape
from benchmarks.table import Table

SHAPES: list[Shape] = [(512, 512, 512), (1024, 1024, 1024), (1024, 2048, 2048)]
if settings.QUICK:
    SHAPES = [(128, 512, 512), (256, 1024, 1024), (256, 2048, 2048)]
SIZES = [f"{np.prod(shape, dtype=float) / 1e9:.2g} Gvoxel" for shape in SHAPES]
NEIGHBOURHOOD = (64, 512, 512)  # where one person works; its chunks fit in all caches
TOPIC = "Growth of the volume"

NOTE = f"""\
Volumes of 0.1, 1 and 4 gigavoxels, loaded slab by slab: the labels, tiled, so that each chunk holds what it holds in
the smallest volume. All are measured in turn with the same strokes. "In one place": all within
{" x ".join(map(str, NEIGHBOURHOOD))} voxels, so that the chunks are in cache. "Anywhere": at random places of the
whole volume with a cache of 0 bytes, so that each stroke decodes its chunks. Reads are of 512 x 512 voxels on a slice,
the same number in each volume. The ratio is the worst of the sizes to the smallest."""


def slabs(labels: NDArray[Any], shape: Shape) -> Iterator[NDArray[np.uint32]]:
    """The labels tiled to a shape, as many slices at a time as a chunk is deep."""
    step = CHUNKS[0]
    narrow = labels.astype(np.uint32)
    tiles = 1, shape[1] // labels.shape[1], shape[2] // labels.shape[2]
    for z in range(0, shape[0], step):
        first = z % len(narrow)
        yield np.tile(narrow[first : first + step], tiles)


@pytest.fixture(scope="module")
def paths(folder: Path, labels: Labels, table: Table) -> list[Path]:
    table.notes[TOPIC] = NOTE
    found = []
    for shape, size in zip(SHAPES, SIZES, strict=True):
        labelog.load(folder / size, slabs(labels.array, shape), chunks=CHUNKS).close()
        found.append(folder / size)
    return found


def opened(paths: list[Path], stack: ExitStack, cache: int) -> list[labelog.Volume]:
    return [stack.enter_context(labelog.open(path, cache_bytes=cache, threads=1)) for path in paths]


def bench_in_one_place(table: Table, paths: list[Path]) -> None:
    def read(volume: labelog.Volume, stroke: Stroke) -> object:
        return volume[stroke.at[0], :512, :512]

    with ExitStack() as stack:
        volumes = opened(paths, stack, settings.CACHE)
        for volume in volumes:
            volume.read(((0, 0, 0), NEIGHBOURHOOD))
        strokes, undos = strokes_and_undos(volumes, 13, settings.times(300), NEIGHBOURHOOD)
        reads = in_turn(volumes, read, 14, settings.times(200), NEIGHBOURHOOD)
    flat(table, TOPIC, "stroke in one place, by size of the volume", SIZES, strokes)
    flat(table, TOPIC, "undo in one place, by size of the volume", SIZES, undos)
    flat(table, TOPIC, "slice of 512^2 in cache, by size of the volume", SIZES, reads)


def bench_anywhere(table: Table, paths: list[Path]) -> None:
    def scaled(volume: labelog.Volume, stroke: Stroke) -> Stroke:
        """The stroke's place, as a share of the smallest volume, in this one; aligned to tiles, so equal in content."""
        where = zip(stroke.at, volume.shape, SHAPES[0], strict=True)
        z, y, x = (n + int(n * 7919) % (whole // tile) * tile for n, whole, tile in where)
        return Stroke((z, y, x), stroke.mask, stroke.label)

    def paint(volume: labelog.Volume, stroke: Stroke) -> None:
        stroke = scaled(volume, stroke)
        with volume.edit(author="ben") as edit:
            edit.paint(stroke.label, stroke.mask, at=stroke.at)

    def read(volume: labelog.Volume, stroke: Stroke) -> object:
        z, y, x = (n - n % size for n, size in zip(scaled(volume, stroke).at, (1, 512, 512), strict=True))
        return volume[z, y : y + 512, x : x + 512]

    def cold(volume: labelog.Volume, stroke: Stroke) -> object:
        with labelog.open(volume.address, cache_bytes=settings.CACHE, threads=1) as fresh:
            return read(fresh, stroke)

    with ExitStack() as stack:
        volumes = opened(paths, stack, 0)
        reads = in_turn(volumes, read, 15, settings.times(60), SHAPES[0])
        colds = in_turn(volumes, cold, 16, settings.times(60), SHAPES[0])
        strokes = in_turn(volumes, paint, 17, settings.times(150), SHAPES[0])
    flat(table, TOPIC, "stroke anywhere, no cache, by size of the volume", SIZES, strokes)
    flat(table, TOPIC, "slice of 512^2 anywhere, no cache, by size of the volume", SIZES, reads)
    flat(table, TOPIC, "slice of 512^2, cold (open, read, close), by size of the volume", SIZES, colds)
