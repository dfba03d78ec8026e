"""Flood fill of one large object: of a dense array, and as an edit of a stored volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels, checkerboard
from benchmarks.table import Table, Target
from benchmarks.timing import interleaved

TOPIC = "Flood fill"

NOTE = """\
The largest object, through faces, from a voxel in its middle. The array is dense uint32; `flood` gives a mask on both
sides, `flood_fill` a filled copy. One thread, and two for labelog (scikit-image has one). The stored volume has chunks
of 16x256x256 that are in the cache, and two threads; its time is that of a whole edit until it is on disk; each
gives the object another label. scikit-image has the dense array in memory already. fib25: a neuron in
250^3 voxels; platelets: a gigavoxel, 250x2000x2000, of synthetic ones, of which the background is filled.
Checkerboards: 256^3 voxels, of one label and background; one of its voxels, which touches none that is alike at a face,
or all of them, which touch at edges and corners."""

DENSE, STORED, BOARD = Target(6, 20), Target(2, 8), Target(0.5, 1)


def bench_fill(table: Table, labels: Labels, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    array = labels.array.astype(np.uint32)
    seed = middle(array)
    new = int(array.max()) + 1
    with labelog.load(folder / "labelog", labels.array, cache_bytes=1024 * settings.MB, threads=2) as volume:
        volume.read()

        def edit(turn: int) -> None:
            with volume.edit("bench") as edit:
                edit.fill(seed, new + turn)

        sides = {
            "flood": lambda _: labelog.flood(array, seed, threads=1),
            "flood, 2 threads": lambda _: labelog.flood(array, seed, threads=2),
            "flood_fill": lambda _: labelog.flood_fill(array, seed, new, threads=1),
            "edit": edit,
        }
        if peers.segmentation:
            sides["their flood"] = lambda _: peers.segmentation.flood(array, seed, connectivity=1)
            sides["their flood_fill"] = lambda _: peers.segmentation.flood_fill(array, seed, new, connectivity=1)
        found = interleaved(sides, range(settings.times(4, 3)), warm_up=1)
    for what, ours, theirs, target in (
        ("flood fill of one object, dense, to a mask", "flood", "flood", DENSE),
        ("flood fill of one object, dense, to a mask, 2 threads", "flood, 2 threads", "flood", DENSE),
        ("flood fill of one object, dense, to a filled copy", "flood_fill", "flood_fill", DENSE),
        ("flood fill of one object in a stored volume, as an edit", "edit", "flood", STORED),
    ):
        table.compare(TOPIC, what, found[ours], {f"scikit-image {theirs}": found.get(f"their {theirs}")}, target)


def bench_fill_of_others(table: Table, samples: dict[str, NDArray[np.uint32]]) -> None:
    for name, array in samples.items():
        if not name:
            continue
        seed = middle(array, background=name == ", platelets")
        sides = {"labelog": lambda _, array=array, seed=seed: labelog.flood(array, seed, threads=1)}
        if peers.segmentation:
            sides["scikit-image flood"] = lambda _, array=array, seed=seed: peers.segmentation.flood(
                array, seed, connectivity=1)  # fmt: skip
        found = interleaved(sides, range(settings.times(4, 3)), warm_up=1)
        table.compare(TOPIC, f"flood fill, dense, to a mask{name}", found["labelog"],
                      {"scikit-image flood": found.get("scikit-image flood")}, DENSE)  # fmt: skip


def bench_fill_of_checkerboards(table: Table) -> None:
    array = checkerboard(settings.times(256, 128))
    seed = (len(array) // 2,) * 3
    for what, connectivity, reach in (
        ("of one voxel of a checkerboard, 6-connected", 6, 1),
        ("of the background of a checkerboard, 18-connected", 18, 2),
        ("of the background of a checkerboard, 26-connected", 26, 3),
    ):
        sides = {"labelog": lambda _, connectivity=connectivity: labelog.flood(array, seed, connectivity, threads=1)}
        if peers.segmentation:
            sides["scikit-image flood"] = lambda _, reach=reach: peers.segmentation.flood(
                array, seed, connectivity=reach)  # fmt: skip
        found = interleaved(sides, range(settings.times(4, 3)), warm_up=1)
        table.compare(TOPIC, f"flood fill {what}, dense, to a mask", found["labelog"],
                      {"scikit-image flood": found.get("scikit-image flood")}, BOARD)  # fmt: skip


def middle(array: NDArray[Any], *, background: bool = False) -> tuple[int, ...]:
    """The middle one of the largest object's voxels, or of the background's; of every fourth along each axis."""
    few = array[::4, ::4, ::4]
    labels, counts = np.unique(few, return_counts=True)
    label = 0 if background else labels[np.argmax(np.where(labels == 0, 0, counts))]
    places = np.argwhere(few == label)
    return tuple(4 * int(i) for i in places[len(places) // 2])
