"""Connected components: of a dense array, and of a stored volume."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import checkerboard
from benchmarks.loading import Loaded
from benchmarks.table import Table, Target
from benchmarks.timing import Sample, interleaved
from labelog.engine.components import Components
from labelog.geometry import Box

TOPIC = "Connected components"

NOTE = """\
The labels as a dense uint32 array; both sides allocate the array they give, labelog in the smallest dtype that fits
(its default), cc3d in the one it chooses. One thread, and two for labelog (cc3d has one). fib25: 250^3 voxels of
neurons; platelets: a gigavoxel, 250x2000x2000, of synthetic ones. Checkerboards (256^3), where no two voxels that touch
at a face are alike, are the worst that runs can meet: of two labels, and of one and background. Stored volumes have
chunks that are in the cache, and give components as runs of all chunks, with two threads; cc3d has the dense array in
memory already."""

DENSE = {(6, 1): Target(1.5, 2.5), (26, 1): Target(1, 2), (6, 2): Target(2.5, 4), (26, 2): Target(1.6, 3)}
STORED, BOARD = Target(4, 10), Target(0.5, 1)


def bench_dense(table: Table, samples: dict[str, NDArray[np.uint32]]) -> None:
    table.notes[TOPIC] = NOTE
    for name, array in samples.items():
        for connectivity in (6, 26):
            found = compared(array, connectivity, (1, 2))
            for threads in (1, 2):
                what = f"components, {connectivity}-connected, dense in and out{name}"
                table.compare(TOPIC, what + (", 2 threads" if threads == 2 else ""), found[f"labelog {threads}"],
                              {"cc3d": found.get("cc3d")}, DENSE[connectivity, threads])  # fmt: skip


def bench_checkerboards(table: Table) -> None:
    board = checkerboard(settings.times(256, 128))
    for name, array in (("two labels", board + 1), ("a label and background", board)):
        for connectivity in (6, 18, 26):
            found = compared(array, connectivity, (1,))
            table.compare(TOPIC, f"components of a checkerboard, {name}, {connectivity}-connected", found["labelog 1"],
                          {"cc3d": found.get("cc3d")}, BOARD)  # fmt: skip


def compared(array: NDArray[np.uint32], connectivity: int, threads: tuple[int, ...]) -> dict[str, Sample]:
    sides = {
        f"labelog {count}": lambda _, count=count: labelog.connected_components(array, connectivity, threads=count)
        for count in threads
    }
    if peers.cc3d:
        sides["cc3d"] = lambda _: peers.cc3d.connected_components(array, connectivity=connectivity)
    return interleaved(sides, range(settings.times(7, 4)), warm_up=1)


def bench_stored(table: Table, platelets: Loaded, samples: dict[str, NDArray[np.uint32]], folder: Path) -> None:
    labelog.load(folder / "labelog", samples[""]).close()
    for name, path in (("", folder / "labelog"), (", platelets", platelets.path)):
        with labelog.open(path, "r", cache_bytes=1024 * settings.MB) as volume:
            stored(table, name, volume, samples[name])


def stored(table: Table, name: str, volume: labelog.Volume, array: NDArray[np.uint32]) -> None:
    """A row: of a volume, beside the same labels as an array."""
    store, revision, box = volume.store, volume.revision, Box((0, 0, 0), volume.shape)
    chunks = [chunk for chunk, _ in store.grid.touching(box)]

    def ours(_: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            found = Components(lambda chunk: store.runs(chunk, revision), store.grid, box, pool=pool)
            for _runs in pool.map(found.runs, chunks):
                pass

    sides = {"labelog": ours}
    if peers.cc3d:
        sides["cc3d"] = lambda _: peers.cc3d.connected_components(array, connectivity=6)
    found = interleaved(sides, range(settings.times(9, 4)), warm_up=1)
    what = f"components of a stored volume{name}, 6-connected, to runs, 2 threads"
    table.compare(TOPIC, what, found["labelog"], {"cc3d": found.get("cc3d")}, STORED)
