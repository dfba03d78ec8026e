"""The chunk codec: bytes, and the time from dense labels to them and back, to runs or dense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, interleaved, number
from labelog.arrays.boxes import team
from labelog.kernels import codec
from labelog.kernels.runs import Runs

TOPIC = "Chunk codec"

NOTE = """\
Chunks at random places, as uint32, one at a time, one thread; medians, each chunk nine times. Each side has four in
turn, as who reads a volume has many, and finds the caches as it left them itself. crackle works along Fortran order, so
it is given the same voxels as a Fortran array (x, y, z), with which it is faster and smaller than with (z, y, x); its
times are with its defaults, its bytes with a Markov model of order 5 and pins. Both give dense labels as new uint32
arrays. fib25: 250^3 voxels of neurons; platelets: a gigavoxel of synthetic ones. Neither side's checksum is counted.
"Two threads" is labelog's own gain, encoding and decoding; each chunk goes to the thread that is free, of which the
caller's is one."""

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((64, 64, 64), (32, 128, 128))
BYTES = {SHAPES[0]: Target(1.1, 1.4), SHAPES[1]: Target(1.0, 1.2)}
DENSE = {SHAPES[0]: Target(2.5, 5), SHAPES[1]: Target(1.5, 3)}
RUNS = {SHAPES[0]: Target(4, 8), SHAPES[1]: Target(2, 4)}
ENCODE = {SHAPES[0]: Target(2, 4), SHAPES[1]: Target(1.5, 3)}
THREADS = Target(1.7)

Chunk = NDArray[np.uint32]


def chosen(array: NDArray[Any], shape: Shape) -> list[Chunk]:
    """Chunks of a grid, at random."""
    counts = [n // m for n, m in zip(array.shape, shape, strict=True)]
    places = np.random.default_rng(5).permutation(math.prod(counts))[: settings.times(48, 8)]
    corners = [[i * n for i, n in zip(np.unravel_index(place, counts), shape, strict=True)] for place in places]
    return [array[tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))].astype(np.uint32)
            for corner in corners]  # fmt: skip


def dense(data: bytes, shape: Shape) -> Chunk:
    runs = codec.decode(data, shape)
    out = np.empty(shape, np.uint32)
    runs.fill(out, (0, 0, 0), runs.palette.astype(np.uint32))
    return out


def encoded(chunk: Chunk) -> bytes:
    return codec.encode(Runs.from_dense(chunk))


@pytest.mark.parametrize("shape", SHAPES, ids=peers.named)
def bench_codec(table: Table, samples: dict[str, NDArray[np.uint32]], shape: Shape) -> None:
    table.notes[TOPIC] = NOTE
    for sample, array in samples.items():
        codec_of(table, chosen(array, shape), shape, peers.named(shape) + sample)


def codec_of(table: Table, chunks: list[Chunk], shape: Shape, name: str) -> None:
    voxels = math.prod(shape)
    mine = [encoded(chunk) for chunk in chunks]
    theirs: list[Any] = [None] * len(chunks)
    if peers.crackle:
        theirs = [peers.crackle.compress(chunk.T, parallel=1) for chunk in chunks]
        least = [peers.crackle.compress(chunk.T, markov_model_order=5, allow_pins=True, parallel=1) for chunk in chunks]
        _bytes(table, name, BYTES[shape], voxels * len(chunks), sum(map(len, mine)), sum(map(len, least)))
    for what, target, ours, peer in (
        (
            "encode from dense",
            ENCODE,
            lambda i: encoded(chunks[i]),
            lambda i: peers.crackle.compress(chunks[i].T, parallel=1),
        ),
        (
            "decode to dense",
            DENSE,
            lambda i: dense(mine[i], shape),
            lambda i: peers.crackle.decompress(theirs[i], parallel=1),
        ),
        (
            "decode to runs",
            RUNS,
            lambda i: codec.decode(mine[i], shape),
            lambda i: peers.crackle.decompress(theirs[i], parallel=1),
        ),
    ):
        sides = {"labelog": ours} | ({"crackle": peer} if peers.crackle else {})
        times = [*range(len(chunks))] * settings.times(9, 1)
        found = interleaved(sides, times, warm_up=len(times) // 4, block=4, ahead=True)
        table.compare(TOPIC, f"{what}, {name}", found["labelog"], {"crackle": found.get("crackle")}, target[shape],
                      show=lambda sample: sample.rate(" Mvoxel/s", voxels / 1e6))  # fmt: skip


def _bytes(table: Table, name: str, target: Target, voxels: int, ours: int, theirs: int) -> None:
    smaller = [f"{number(4 * voxels / n)}x smaller than uint32" for n in (ours, theirs)]
    table.add(Row(TOPIC, f"bytes, {name}", smaller[0], "crackle, its smallest", smaller[1], theirs / ours, target))


def bench_threads(table: Table, labels: Labels) -> None:
    chunks = chosen(labels.array, SHAPES[1])

    def there_and_back(chunk: Chunk) -> None:
        dense(encoded(chunk), SHAPES[1])

    with team(1) as alone, team(2) as both:
        found: dict[str, Sample] = interleaved({
            "one": lambda _: alone(there_and_back, chunks),
            "two": lambda _: both(there_and_back, chunks),
        }, range(settings.times(48, 4)), block=4, ahead=True)  # fmt: skip
    what = f"there and back, {peers.named(SHAPES[1])}, 2 threads"
    table.compare(TOPIC, what, found["two"], {"labelog, 1 thread": found["one"]}, THREADS)
