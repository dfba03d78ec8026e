"""Bulk load: a dense array in memory becomes a volume on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, interleaved

CHUNKS = (16, 256, 256)
SHAPES = (CHUNKS, (64, 64, 64), (32, 128, 128))
TOPIC = "Bulk load"

NOTE = """\
A dense uint64 array in memory is written as a new volume, every file flushed to disk, one thread on both sides;
tensorstore as zarr3 files, in three chunk shapes. Bytes are the lengths of all files when everything is closed. The
size is compared with tensorstore's smallest."""


def bench_load(table: Table, labels: Labels, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    array = labels.array
    names = {f"tensorstore {peers.named(shape)}": shape for shape in SHAPES}
    places = {name: folder / f"{place}" for place, name in enumerate(["labelog", *names])}

    def ours(_: int) -> None:
        shutil.rmtree(places["labelog"], ignore_errors=True)
        labelog.load(places["labelog"], array, chunks=CHUNKS, threads=1).close()

    def theirs(name: str) -> None:
        shutil.rmtree(places[name], ignore_errors=True)
        peers.tensorstore_write(places[name], array, names[name])

    sides = {"labelog": ours}
    if peers.ts:
        sides |= {name: lambda _, name=name: theirs(name) for name in names}  # type: ignore[misc]
    found = interleaved(sides, range(settings.times(8, 2)), warm_up=1)

    def rate(sample: Sample) -> str:
        return sample.rate(" Mvoxel/s", array.size / 1e6)

    table.compare(TOPIC, "bulk load, dense uint64", found["labelog"], {name: found.get(name) for name in names},
                  Target(1, 2), show=rate)  # fmt: skip
    bytes_ours = peers.size(places["labelog"])
    bytes_theirs = {name: peers.size(places[name]) for name in names if name in found}
    least = min(bytes_theirs, key=bytes_theirs.__getitem__, default=next(iter(names)))
    for name in names:
        there = bytes_theirs.get(name)
        table.add(Row(TOPIC, "its bytes on disk", f"{bytes_ours / 1e6:.2f} MB", name,
                      "not installed" if there is None else f"{there / 1e6:.2f} MB",
                      None if there is None else there / bytes_ours, Target(3) if name == least else None),
                  more=name != least)  # fmt: skip
