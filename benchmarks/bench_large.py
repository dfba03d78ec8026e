"""A large edit beside small ones: what painters wait while somebody relabels a whole volume."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import labelog
from benchmarks import datasets, settings
from benchmarks.bench_strokes import CHUNKS
from benchmarks.bench_volume_growth import slabs
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, number

TOPIC = "A large edit beside small ones"
SHAPE = (256, 1024, 1024) if settings.QUICK else (1024, 1024, 1024)
PAINTERS, EVERY = 8, 0.1  # each paints a stroke every so many seconds, whether the last one was quick or not
ALONE = 3.0 if settings.QUICK else 15.0  # seconds

NOTE = f"""\
One process relabels all objects of a volume of {" x ".join(map(str, SHAPE))} voxels (the labels, tiled) in one edit.
Meanwhile {PAINTERS} painters in another paint a durable stroke each every {EVERY:g} s, open loop: a stroke's time
counts from when it was due. The row has the 99th percentile while the edit goes on, from its first look at the volume
to its commit, beside that of the same painters alone. The bar is 100 ms."""

RELABEL = """
import sys, labelog
with labelog.open(sys.argv[1], threads=1) as volume, volume.edit("large") as edit:
    edit.relabel({label: label + 10**9 for label in map(int, sys.stdin.read().split())})
print(edit.voxels)
"""


def bench_large(table: Table, labels: Labels, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    path = folder / "large.labelog"
    labelog.load(path, slabs(labels.array, SHAPE), chunks=CHUNKS).close()
    names = " ".join(map(str, np.setdiff1d(labels.array, [0]).tolist()))
    with labelog.open(path, threads=1) as volume:
        alone = painted(volume, lambda: time.sleep(ALONE))
        child = subprocess.Popen([sys.executable, "-c", RELABEL, str(path)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)  # fmt: skip
        log, told = [0], [""]

        def relabelled() -> None:
            watch = threading.Thread(target=lambda: told.__setitem__(0, child.communicate(names)[0]))
            watch.start()
            while watch.is_alive():
                log[0] = max(log[0], os.path.getsize(path / "journal.sqlite-wal"))
                watch.join(0.05)

        begun = time.perf_counter()
        beside = painted(volume, relabelled)
        took = time.perf_counter() - begun
        assert child.returncode == 0 and int(told[0]) > 0.3 * np.prod(SHAPE)
    table.notes[TOPIC] += (
        f"\n\nThe edit changed {int(told[0]):,} voxels in {took:.1f} s; the log had {log[0] / 1e6:.1f} MB at most; "
        f"{len(beside.seconds)} strokes were painted beside it."
    )
    p99 = beside.quantile(0.99)
    table.add(Row(TOPIC, "stroke of 8 painters beside an edit of 10^9 voxels, p99", f"{number(p99 * 1e3)} ms",
                  "the bar", "100 ms", p99 / 0.1, Target(1, 0.5, ceiling=True)))  # fmt: skip
    table.add(Row(TOPIC, "stroke of 8 painters alone, p99", f"{number(alone.quantile(0.99) * 1e3)} ms", "the bar",
                  "100 ms", alone.quantile(0.99) / 0.1), more=True)  # fmt: skip


def painted(volume: labelog.Volume, meanwhile) -> Sample:  # type: ignore[no-untyped-def]
    """What strokes of several painters took, from when they were due, while something goes on."""
    over, seconds = threading.Event(), []

    def paint(painter: int) -> None:
        due = time.perf_counter() + EVERY * painter / PAINTERS
        for stroke in datasets.strokes(SHAPE, seed=100 + painter):
            time.sleep(max(0.0, due - time.perf_counter()))
            if over.is_set():
                return
            with volume.edit(f"painter/{painter}") as edit:
                edit.paint(stroke.label, stroke.mask, at=stroke.at)
            seconds.append(time.perf_counter() - due)
            due += EVERY

    painters = [threading.Thread(target=paint, args=[number]) for number in range(PAINTERS)]
    for painter in painters:
        painter.start()
    meanwhile()
    over.set()
    for painter in painters:
        painter.join()
    return Sample(seconds)
