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
from benchmarks.machine import about_alone, alone
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, number

TOPIC = "Large edits beside small ones"
PAINTERS, RATE = 8, 10  # strokes a second of each, whether or not the one before is done
BAR = 0.1  # seconds

ROUNDS = settings.times(5, 1)

NOTE = f"""\
{PAINTERS} threads paint discs at {RATE} strokes a second each, counted from when a stroke was due, so that waiting for
the one before counts too. In turns with that, {ROUNDS} times, another thread of the same handle relabels every object
of the volume meanwhile, in one edit: of a volume just loaded, then of what the turns before left. The figure is the
median of the turns' p99, beside it their range; the ratio is to {1000 * BAR:g} ms. The log's peak is that of its file,
while an edit goes on."""


def bench_painters_beside_a_relabelling(table: Table, folder: Path, labels: Labels) -> None:
    table.notes[TOPIC] = NOTE
    shape = SHAPES[1]
    path = folder / "large"
    labelog.load(path, slabs(labels.array, shape), chunks=CHUNKS).close()
    objects = [label for label in np.unique(labels.array).tolist() if label]
    size = f"{np.prod(shape, dtype=float) / 1e9:.2g} Gvoxel"
    found: dict[str, list[list[float]]] = {"alone": [], f"while {size} are relabelled": []}
    logs, before = [], []
    with labelog.open(path, cache_bytes=settings.CACHE) as volume:
        for turn in range(ROUNDS):

            def relabel(old: int = turn * 2**32, new: int = (turn + 1) * 2**32) -> None:
                with volume.edit("large") as edit:
                    edit.relabel({label + old: label + new for label in objects})

            before.append(alone(folder, 5))
            for what, job in zip(found, (lambda: time.sleep(settings.times(10, 5)), relabel), strict=True):
                taken, log = painted(volume, job)
                found[what].append(taken)
                logs.append(log)
    for what, turns in found.items():
        p50, p99 = (Sample(np.percentile(taken, share) for taken in turns) for share in (50, 99))
        ours = f"{p99.spread()} (p50 {number(1e3 * p50.median)})"
        table.add(Row(TOPIC, f"stroke, p99, {PAINTERS} painters {what}", ours, "bar", f"{1000 * BAR:g} ms",
                      p99.median / BAR, Target(1, 0.5, ceiling=True)))  # fmt: skip
    table.add(Row(TOPIC, "the log's peak meanwhile", f"{max(logs) / 2**20:.1f} MiB"))
    table.notes[TOPIC] += f"\n\n{about_alone(before)}"


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
