"""Neuroglancer's chunks: the time from labels to `compressed_segmentation`, and the bytes."""

from __future__ import annotations

import math

import numpy as np

from benchmarks import peers, settings
from benchmarks.bench_codec import chosen
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target
from benchmarks.timing import interleaved, number
from labelog.kernels.compressed_segmentation import encode
from labelog.kernels.runs import Runs

TOPIC = "Neuroglancer's chunks"

NOTE = """\
Chunks at random places as `compressed_segmentation` of uint64 in blocks of 8 x 8 x 8, one at a time, one thread;
medians over the chunks. compressed-segmentation is given dense labels as a Fortran array (x, y, z), as it works along
that order. labelog has runs, as a server has that keeps chunks in memory, or makes them of a dense array first. The
server sends either's bytes compressed."""

SHAPE = (64, 64, 64)
TARGETS = {"from runs": Target(3, 6), "from dense": Target(1.5, 3)}
BYTES = Target(0.9, 1)


def bench_encode(table: Table, labels: Labels) -> None:
    table.notes[TOPIC] = NOTE
    dense = [chunk.astype(np.uint64) for chunk in chosen(labels.array, SHAPE)]
    runs, turned = [Runs.from_dense(chunk) for chunk in dense], [np.asfortranarray(chunk.T) for chunk in dense]
    theirs = peers.compressed_segmentation

    def encoded(found: Runs) -> bytes:
        return encode(found, (0, 0, 0), SHAPE, found.palette)

    def peer(place: int) -> bytes:
        done: bytes = theirs.compress(turned[place], block_size=(8, 8, 8))
        return done

    sides = {"from runs": lambda place: encoded(runs[place]),
             "from dense": lambda place: encoded(Runs.from_dense(dense[place]))}  # fmt: skip
    times = [*range(len(dense))] * settings.times(3, 1)
    found = interleaved(sides | ({"peer": peer} if theirs else {}), times, warm_up=len(times) // 4)
    for what, target in TARGETS.items():
        table.compare(TOPIC, f"encode {what}, {peers.named(SHAPE)}", found[what],
                      {"compressed-segmentation": found.get("peer")}, target,
                      show=lambda sample: sample.rate(" Mvoxel/s", math.prod(SHAPE) / 1e6))  # fmt: skip
    if theirs:
        ours, others = (sum(map(len, map(side, range(len(dense))))) for side in (sides["from runs"], peer))
        smaller = [
            f"{number(8 * math.prod(SHAPE) * len(dense) / size)}x smaller than uint64" for size in (ours, others)
        ]
        table.add(Row(TOPIC, f"bytes, {peers.named(SHAPE)}", smaller[0], "compressed-segmentation", smaller[1],
                      others / ours, BYTES))  # fmt: skip
