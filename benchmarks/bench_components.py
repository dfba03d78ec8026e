"""Connected components: of a dense array, and of a stored volume."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.table import Table, Target
from benchmarks.timing import interleaved
from labelog.engine.components import Components

TOPIC = "Connected components"

NOTE = """\
The labels as a dense uint32 array; both sides allocate the array they give, labelog in the smallest dtype that fits
(its default), cc3d in the one it chooses. One thread, and two for labelog (cc3d has one). The stored volume has chunks
of 16x256x256 that are in the cache, and gives components as runs of all chunks, with two threads; cc3d has the dense
array in memory already."""

DENSE = {(6, 1): Target(1.5, 2.5), (26, 1): Target(1, 2), (6, 2): Target(2.5, 4), (26, 2): Target(1.6, 3)}
STORED = Target(4, 10)


def bench_dense(table: Table, labels: Labels) -> None:
    table.notes[TOPIC] = NOTE
    array = labels.array.astype(np.uint32)
    for connectivity in (6, 26):
        sides = {
            f"labelog {threads}": lambda _, n=connectivity, threads=threads: labelog.connected_components(
                array, n, threads=threads
            )
            for threads in (1, 2)
        }
        if peers.cc3d:
            sides["cc3d"] = lambda _, n=connectivity: peers.cc3d.connected_components(array, connectivity=n)
        found = interleaved(sides, range(settings.times(9, 4)), warm_up=1)
        for threads in (1, 2):
            what = f"components, {connectivity}-connected, dense in and out" + (", 2 threads" if threads == 2 else "")
            table.compare(TOPIC, what, found[f"labelog {threads}"], {"cc3d": found.get("cc3d")},
                          DENSE[connectivity, threads])  # fmt: skip


def bench_stored(table: Table, labels: Labels, folder: Path) -> None:
    array = labels.array.astype(np.uint32)
    with labelog.load(folder / "labelog", labels.array, cache_bytes=1024 * settings.MB) as volume:
        volume.read()
        store, revision = volume.store, volume.revision

        def ours(_: int) -> None:
            with ThreadPoolExecutor(2) as pool:
                found = Components(lambda chunk: store.runs(chunk, revision), store.grid, pool=pool)
                for _runs in pool.map(found.runs, range(math.prod(store.grid.counts))):
                    pass

        sides = {"labelog": ours}
        if peers.cc3d:
            sides["cc3d"] = lambda _: peers.cc3d.connected_components(array, connectivity=6)
        found = interleaved(sides, range(settings.times(9, 4)), warm_up=1)
    what = "components of a stored volume, 6-connected, to runs, 2 threads"
    table.compare(TOPIC, what, found["labelog"], {"cc3d": found.get("cc3d")}, STORED)
