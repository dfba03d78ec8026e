"""Downsampling by the mode: of a dense array, beside tinybrain."""

from __future__ import annotations

import numpy as np

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.table import Table, Target
from benchmarks.timing import interleaved

TOPIC = "Downsampling"

NOTE = """\
The labels as a dense uint32 array, halved once along two axes (z stays) or along all three, to a new array; one thread.
tinybrain is given the same voxels as a Fortran array (x, y, z), which it is made for. It takes any of equally frequent
labels, labelog the smallest that is not background. "In runs" is what the pyramid of a volume does: from the runs of
chunks of 16x256x256 that are in memory to the runs of half of them."""

DENSE, RUNS = Target(1, 2), Target(1, 2)


def bench_downsample(table: Table, labels: Labels) -> None:
    from labelog.kernels.downsample import downsample as kernel
    from labelog.kernels.runs import Runs

    table.notes[TOPIC] = NOTE
    array = labels.array.astype(np.uint32)
    chunks = [Runs.from_dense(array[z : z + 16, y : y + 256, x : x + 256]) for z in range(0, len(array), 16)
              for y in (0, 256) for x in (0, 256)]  # fmt: skip
    for factors in ((1, 2, 2), (2, 2, 2)):
        sides = {
            "dense": lambda _, factors=factors: labelog.downsample(array, factors, threads=1),
            "runs": lambda _, factors=factors: [kernel(runs, factors) for runs in chunks],
        }
        if peers.tinybrain:
            sides["tinybrain"] = lambda _, factors=factors: peers.tinybrain.downsample_segmentation(
                array.T, factor=factors[::-1]
            )
        found = interleaved(sides, range(settings.times(5, 3)), warm_up=1)
        name = peers.named(factors)
        theirs = {"tinybrain": found.get("tinybrain")}
        table.compare(TOPIC, f"halve labels by the mode, {name}, dense", found["dense"], theirs, DENSE)
        table.compare(TOPIC, f"halve labels by the mode, {name}, in runs", found["runs"], theirs, RUNS)
