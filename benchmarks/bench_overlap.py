"""The contingency table of two volumes: of dense arrays, and of stored volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.table import Table, Target
from benchmarks.timing import Sample, interleaved

TOPIC = "Contingency tables"

NOTE = """\
The labels (the first 128 slices, 33 Mvoxel) beside themselves moved by (3, 5, 7) voxels: 16,000 pairs, as uint32
arrays. skimage is `skimage.metrics.contingency_table`; np.unique counts pairs as 64-bit numbers, which NumPy sorts with
what vectors a processor has, so that its time depends on the machine: it took 0.45 s on one, 2 s on another. The stored
volumes have chunks of 16x256x256 and 20x200x200 that are in the cache; the peers have the dense arrays in memory.
Extents (voxels and bounds of every label, of all but one plane, so that the index does not do) are beside np.unique
with counts, which finds no bounds. One thread for arrays; two for volumes. fib25: 64x250x250 voxels of neurons,
platelets: 32x2000x2000 of the synthetic ones, each beside themselves moved. Each side makes three tables in turn, so
that most find caches and memory as it left them itself: after np.unique's gigabyte the next call takes longer. The
second array lies at four places in turn, as some processors take longer where two arrays' addresses differ by
2^27 + 2^12 bytes (docs/decisions/0019-changes-as-bits.md)."""

TARGET = Target(15, 50)
BLOCK = 3  # tables that a side makes in turn
PLACES = 4  # of the second array


def bench_overlap(table: Table, labels: Labels, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    first = labels.array[:128].astype(np.uint32)
    moved = np.roll(first, (3, 5, 7), (0, 1, 2))
    places = [moved, *(moved.copy() for _ in range(PLACES - 1))]

    def second(turn: int) -> NDArray[np.uint32]:
        return places[turn // BLOCK % PLACES]

    options = {"cache_bytes": 1024 * settings.MB, "threads": 2}
    with (
        labelog.load(folder / "first", first, chunks=(16, 256, 256), **options) as a,
        labelog.load(folder / "moved", moved, chunks=(20, 200, 200), **options) as b,
    ):
        a.read(), b.read()
        depth, height, width = a.shape
        sides = {
            "dense": lambda turn: labelog.contingency(first, second(turn), threads=1),
            "stored": lambda _: labelog.contingency(a, b),
            "extents": lambda _: a.extents(((0, 0, 0), (depth, height, width - 1))),
            "np.unique on pairs": lambda turn: np.unique(
                first.ravel().astype(np.uint64) << np.uint64(32) | second(turn).ravel(), return_counts=True
            ),
            "np.unique": lambda _: np.unique(first, return_counts=True),
        }
        if peers.skimage:
            sides["skimage"] = lambda _: peers.skimage.metrics.contingency_table(first, moved)
        found: dict[str, Sample] = interleaved(sides, range(settings.times(24, 4)), warm_up=1, block=BLOCK)
    others = {name: found.get(name) for name in ("np.unique on pairs", "skimage")}
    table.compare(TOPIC, "contingency table, dense", found["dense"], others, TARGET)
    table.compare(TOPIC, "contingency table of two stored volumes, 2 threads", found["stored"], others, TARGET)
    table.compare(TOPIC, "voxels and bounds of all labels in a box of a stored volume, 2 threads", found["extents"],
                  {"np.unique": found["np.unique"]}, TARGET)  # fmt: skip


def bench_overlap_of_others(table: Table, samples: dict[str, NDArray[np.uint32]]) -> None:
    for name, array in samples.items():
        if not name:
            continue
        first, rounds = (array[:64], settings.times(24, 3)) if name == ", fib25" else (array[:32], settings.times(6, 3))
        moved = np.roll(first, (3, 5, 7), (0, 1, 2))
        sides = {
            "dense": lambda _, a=first, b=moved: labelog.contingency(a, b, threads=1),
            "np.unique on pairs": lambda _, a=first, b=moved: np.unique(
                a.ravel().astype(np.uint64) << np.uint64(32) | b.ravel(), return_counts=True
            ),
        }
        if peers.skimage:
            sides["skimage"] = lambda _, a=first, b=moved: peers.skimage.metrics.contingency_table(a, b)
        found = interleaved(sides, range(rounds), warm_up=1, block=BLOCK)
        others = {name: found.get(name) for name in ("np.unique on pairs", "skimage")}
        table.compare(TOPIC, f"contingency table, dense{name}", found["dense"], others, TARGET)
