"""The label table: merges by size, views beside plain reads, lookups and lists by how many labels there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import labelog
from benchmarks import settings
from benchmarks.datasets import Labels
from benchmarks.growth import flat
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, interleaved, timed

TOPIC = "Labels"
PLATELET = ("cell", "mitochondrion", "alpha granule")

NOTE = """\
Merges: two objects of so many voxels each, in one volume, are merged and the merge is undone, durably, sizes taking
turns. Fragments: bodies of so many of them, each merged with the one before it; the last one is cleaved, that is
undone, and a fragment more is merged, durably, bodies taking turns. Views: XY slices of connectomics-512, everything
in cache; 500 pairs of labels are merged, each label has a class and every other one a parent; the reference is the
snapshot, which gives the instance labels in uint64, as the views here do. Lookups: `volume.labels[label]` with its
voxels and box, of random labels; a list: `labels.where(cls=)` of 10,000 objects, with voxels, box, parent and name of
each; the reference is a volume with 10^4 labels."""


def pairs(shape: tuple[int, int, int]) -> Iterator[NDArray[np.uint32]]:
    """Slabs of six objects: 1 and 2 of one voxel, 3 and 4 of 10^4, 5 and 6 of about 10^8 (half a volume)."""
    depth, height, width = shape
    for z in range(0, depth, 16):
        slab = np.full((min(16, depth - z), height, width), 5 if z < depth // 2 else 6, np.uint32)
        if z == 0:
            slab[0, 0, :2] = 1, 2
            slab[1, :100, :100], slab[2, :100, :100] = 3, 4
        yield slab


def bench_merge_by_size(table: Table, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    shape = (32, 256, 256) if settings.QUICK else (192, 1024, 1024)
    sizes = [f"{size} voxels" for size in ("1", "10^4", f"{np.prod(shape) / 2:.0e}".replace("e+0", "·10^"))]
    merges: list[list[float]] = [[], [], []]
    undos: list[list[float]] = [[], [], []]
    with labelog.load(folder / "pairs", pairs(shape)) as volume:

        def merge(first: int) -> None:
            with volume.edit("ana") as edit:
                edit.merge(first, first + 1)

        for turn in range(settings.times(200, 30)):
            for step in range(3):
                place = (turn + step) % 3
                merges[place].append(timed(merge, 2 * place + 1))
                undos[place].append(timed(volume.undo, "ana"))
    for what, found in (("merge of two objects", merges), ("undo of a merge", undos)):
        flat(table, TOPIC, f"{what}, durable, by their voxels", sizes, [Sample(times[5:]) for times in found])


def bench_bodies_by_fragments(table: Table, folder: Path) -> None:
    counts = (2, 1_000, 10_000 if settings.QUICK else 100_000)
    firsts = [1 + sum(counts[:place]) for place in range(3)]
    last = 1 + sum(counts)  # a fragment more
    array = np.arange(1, last + 1, dtype=np.uint32)[None, None]
    merges = [(label, label + 1) for first, count in zip(firsts, counts, strict=True)
              for label in range(first, first + count - 1)]  # fmt: skip
    names = ("fragment cleaved", "undo of that", "fragment merged", "undo of that merge")
    found: dict[str, list[list[float]]] = {name: [[], [], []] for name in names}
    with labelog.load(folder / "bodies", array, merges=merges) as volume:

        def cleave(label: int) -> None:
            with volume.edit("ana") as edit:
                edit.cleave(label)

        def merge(label: int) -> None:
            with volume.edit("ana") as edit:
                edit.merge(label, last)

        for turn in range(settings.times(200, 30)):
            for step in range(3):
                place = (turn + step) % 3
                label = firsts[place] + counts[place] - 1
                jobs = ((cleave, label), (volume.undo, "ana"), (merge, label), (volume.undo, "ana"))
                for name, (job, item) in zip(names, jobs, strict=True):
                    found[name][place].append(timed(job, item))
    sizes = [f"{counts[0]} fragments", "10^3", "10^4" if settings.QUICK else "10^5"]
    for name, times in found.items():
        flat(table, TOPIC, f"{name}, durable, by fragments of the body", sizes, [Sample(each[5:]) for each in times])


@pytest.fixture(scope="module")
def seen(folder: Path, labels: Labels) -> Iterator[labelog.Volume]:
    """The labels with classes, parents and merges, all in cache."""
    array = labels.array[:64]
    found = [int(label) for label in np.unique(array) if label]
    known: dict[int, dict[str, Any]] = {label: {"cls": PLATELET[label % 3]} for label in found}
    for child, parent in zip(found[1::2], found[::2], strict=False):
        known[child]["parent"] = parent
    merges = list(zip(found[::4], found[2::4], strict=False))[:500]
    with labelog.load(folder / "seen", array, classes="platelet", table=known, merges=merges) as volume:
        volume.read()
        yield volume


def bench_views(table: Table, seen: labelog.Volume) -> None:
    plain = seen.at()
    sides: dict[str, Callable[[int], object]] = {"plain": plain.__getitem__}
    for name in ("fragment", "semantic", "cell"):
        view = plain.view(name, dtype=np.uint64)
        view.read()  # its map is known from now on
        sides[name] = view.__getitem__
    rng = np.random.default_rng(8)
    found = interleaved(sides, rng.integers(0, len(seen), settings.times(800, 100)).tolist(), warm_up=40, block=8)
    reference = found.pop("plain")
    for name, sample in found.items():
        ratio = sample.median / reference.median
        table.add(Row(TOPIC, f"XY slice through the view {name}", sample.ms(), "the instance labels", reference.ms(),
                      ratio, Target(1.2, 1, ceiling=True)), more=name == "fragment")  # fmt: skip


def blocks(side: int, deep: int) -> Iterator[NDArray[np.uint32]]:
    """Slices of blocks of 10 x 10 voxels, a label each: side^2 of them in each of `deep` slices."""
    plane = np.arange(side * side, dtype=np.uint32).reshape(side, side).repeat(10, 0).repeat(10, 1)
    for z in range(deep):
        yield plane[None] + np.uint32(1 + z * side * side)


@pytest.fixture(scope="module")
def crowds(folder: Path) -> Iterator[list[labelog.Volume]]:
    """Volumes of 10^4 and of 10^6 labels; 10,000 of each are mitochondria in one cell."""
    deep = 10 if settings.QUICK else 100
    known = {label: {"cls": "mitochondrion", "parent": 1, "name": f"m{label}"} for label in range(2, 10_001)}
    known[1] = {"cls": "cell"}
    volumes = [labelog.load(folder / f"{depth}", blocks(100, depth), classes="platelet", table=known)
               for depth in (1, deep)]  # fmt: skip
    yield volumes
    for volume in volumes:
        volume.close()


def bench_lookups(table: Table, crowds: list[labelog.Volume]) -> None:
    def look_up(volume: labelog.Volume, label: int) -> object:
        found = volume.labels[label]
        return found.cls, found.parent, found.voxels, found.box

    labels = np.random.default_rng(9).integers(2, 10_000, settings.times(400, 50)).tolist()
    sides = {place: lambda label, volume=volume: look_up(volume, label) for place, volume in enumerate(crowds)}
    found = interleaved(sides, labels, warm_up=10)
    sizes = ["10^4 labels", "10^5" if settings.QUICK else "10^6"]
    flat(table, TOPIC, "lookup of a label: class, parent, voxels, box", sizes, [found[0], found[1]])


def bench_lists(table: Table, crowds: list[labelog.Volume]) -> None:
    def rows(volume: labelog.Volume) -> list[dict[str, Any]]:
        return [label.row() for label in volume.labels.where(cls="mitochondrion")]

    samples: list[list[float]] = [[] for _ in crowds]
    for turn in range(settings.times(7, 2)):
        for place in ((0, 1), (1, 0))[turn % 2]:
            samples[place].append(timed(rows, crowds[place]))
    assert len(rows(crowds[1])) == 9_999
    sizes = ["10^4 labels", "10^5" if settings.QUICK else "10^6"]
    flat(table, TOPIC, "list of 10,000 objects", sizes, [Sample(times[1:]) for times in samples])
