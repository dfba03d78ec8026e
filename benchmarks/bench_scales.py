"""Downsampling by the mode: of a dense array, beside tinybrain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import peers, settings
from benchmarks.table import Table, Target
from benchmarks.timing import interleaved
from labelog.kernels.downsample import downsample as kernel
from labelog.kernels.runs import Runs

TOPIC = "Downsampling"

NOTE = """\
The labels as a dense uint32 array, halved once along two axes (z stays) or along all three, to a new array; one thread.
tinybrain is given the same voxels as a Fortran array (x, y, z), which it is made for. It takes any of equally frequent
labels, labelog the smallest that is not background. "In runs" is what the pyramid of a volume does: from the runs of
chunks of 16x256x256 that are in memory to the runs of half of them."""

DENSE, RUNS = Target(1, 2), Target(1, 2)


def bench_downsample(table: Table, samples: dict[str, NDArray[np.uint32]]) -> None:
    table.notes[TOPIC] = NOTE
    for name, array in samples.items():
        for factors in ((1, 2, 2), (2, 2, 2)):
            halved(table, array, factors, name)


def halved(table: Table, array: NDArray[np.uint32], factors: tuple[int, int, int], name: str) -> None:
    z, y, x = (n - n % 2 for n in array.shape)
    array = np.ascontiguousarray(array[:z, :y, :x])
    chunks = [Runs.from_dense(array[z : z + 16, y : y + 256, x : x + 256]) for z, y, x in corners(array.shape)]
    sides = {
        "dense": lambda _: labelog.downsample(array, factors, threads=1),
        "runs": lambda _: [kernel(runs, factors) for runs in chunks],
    }
    if peers.tinybrain:
        sides["tinybrain"] = lambda _: peers.tinybrain.downsample_segmentation(array.T, factor=factors[::-1])
    found = interleaved(sides, range(settings.times(7, 3)), warm_up=1, ahead=True)
    theirs = {"tinybrain": found.get("tinybrain")}
    for way, what, target in (("dense", "dense", DENSE), ("runs", "in runs", RUNS)):
        row = f"halve labels by the mode, {peers.named(factors)}, {what}{name}"
        table.compare(TOPIC, row, found[way], theirs, target)


def corners(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Where chunks of 16x256x256 begin."""
    return itertools.product(*(range(0, n, step) for n, step in zip(shape, (16, 256, 256), strict=True)))
