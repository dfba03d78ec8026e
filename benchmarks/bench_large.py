"""Whether eight people can go on painting while one commit changes a whole volume."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import labelog
from benchmarks import settings
from benchmarks.bench_strokes import CHUNKS
from benchmarks.bench_volume_growth import SHAPES, slabs
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target

TOPIC = "Large edits beside small ones"
PAINTERS, RATE = 8, 10  # strokes a second of each, whether or not the one before is done
BAR = 0.1  # seconds

NOTE = f"""\
{PAINTERS} threads paint discs at {RATE} strokes a second each, counted from when a stroke was due, so that waiting for
the one before counts too. Meanwhile another thread of the same handle relabels every object of the volume, in one edit.
The ratio is to {1000 * BAR:g} ms. The log's peak is that of its file, while the edit goes on."""


def bench_painters_beside_a_relabelling(table: Table, folder: Path, labels: Labels) -> None:
    table.notes[TOPIC] = NOTE
    shape = SHAPES[1]
    path = folder / "large"
    labelog.load(path, slabs(labels.array, shape), chunks=CHUNKS).close()
    objects = [label for label in np.unique(labels.array).tolist() if label]
    with labelog.open(path, cache_bytes=settings.CACHE) as volume:

        def relabel() -> None:
            with volume.edit("large") as edit:
                edit.relabel({label: label + 2**32 for label in objects})

        alone, _ = painted(volume, lambda: time.sleep(5 if settings.QUICK else 10))
        beside, log = painted(volume, relabel)
    size = f"{np.prod(shape, dtype=float) / 1e9:.2g} Gvoxel"
    for what, found in (("alone", alone), (f"while {size} are relabelled", beside)):
        p50, p99 = (float(np.percentile(found, share)) for share in (50, 99))
        table.add(Row(TOPIC, f"stroke, p99, {PAINTERS} painters {what}", f"{1000 * p99:.1f} ms (p50 {1000 * p50:.1f})",
                      "bar", f"{1000 * BAR:g} ms", p99 / BAR, Target(1, 0.5, ceiling=True)))  # fmt: skip
    table.add(Row(TOPIC, "the log's peak meanwhile", f"{log / 2**20:.1f} MiB"))


def painted(volume: labelog.Volume, job: Callable[[], object]) -> tuple[list[float], int]:
    """How long strokes took while a job was done, and how large the log was."""
    over = threading.Event()
    log = Path(volume.address) / "journal.sqlite-wal"
    taken: list[float] = []
    sizes = [0]

    def paint(number: int) -> None:
        chance = np.random.default_rng(number)
        mask = np.hypot(*np.mgrid[-10:11, -10:11]) <= 10
        due = time.perf_counter() + number / RATE / PAINTERS
        while not over.is_set():
            due += 1 / RATE
            time.sleep(max(0, due - time.perf_counter()))
            at = [int(chance.integers(0, min(n, 512) - 21)) for n in volume.shape]
            with volume.edit(f"painter-{number}") as edit:
                edit.paint(2**40 + number, mask, at=at)
            taken.append(time.perf_counter() - due)

    def watch() -> None:
        while not over.wait(0.01):
            sizes.append(log.stat().st_size)

    threads = [threading.Thread(target=paint, args=(n,)) for n in range(PAINTERS)] + [threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    try:
        job()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return taken, max(sizes)
