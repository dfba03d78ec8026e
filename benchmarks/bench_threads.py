"""What kernels gain by a second thread, beside what copying memory gains by it."""

from __future__ import annotations

from hashlib import sha256
from itertools import cycle

import numpy as np

import labelog
from benchmarks import settings
from benchmarks.bench_fill import middle
from benchmarks.datasets import Labels
from benchmarks.table import Row, Table, Target
from benchmarks.timing import interleaved, number
from labelog.arrays.boxes import team

TOPIC = "Two threads"

NOTE = """\
How much faster functions of the dense array (uint32) are with two threads than with one, as a share of what copying it
gains, half of it in each thread. It is copied into memory that is there: taking 512 MB anew costs a virtual machine
more than copying them, and never the same. So the flood fill is in place, to and fro between two labels; it begins in
the middle of the object. The others allocate what they give. All take turns, and are called once more beforehand
without counting. Hashing only computes: what it gains by a second thread is what the machine's second core was worth
while this ran, to the codec too; the row decides nothing."""

SHARE = Target(0.9)
HASHED = 2**24  # bytes, 8 times over


def bench_two_threads(table: Table, labels: Labels) -> None:
    table.notes[TOPIC] = NOTE
    array = labels.array.astype(np.uint32)
    moved, filled, seed = np.roll(array, (3, 5, 7), axis=(0, 1, 2)), array.copy(), middle(array)
    colours = cycle([int(array.max()) + 1, int(array[seed])])
    jobs = {
        "components, 6-connected": lambda threads: labelog.connected_components(array, 6, threads=threads),
        "components, 26-connected": lambda threads: labelog.connected_components(array, 26, threads=threads),
        "contingency table": lambda threads: labelog.contingency(array, moved, threads=threads),
        "halve labels by the mode, 2x2x2": lambda threads: labelog.downsample(array, threads=threads),
        "flood fill of one object, in place": lambda threads: labelog.flood_fill(
            filled, seed, next(colours), in_place=True, threads=threads
        ),
    }
    copy, piece = array.copy(), array.reshape(-1)[: HASHED // array.itemsize].tobytes()
    with team(1) as alone, team(2) as both:
        each = {1: alone, 2: both}

        def hashed(threads: int) -> None:
            each[threads](sha256, [piece] * 8)

        def copied(threads: int) -> None:
            parts = [slice(k * len(array) // threads, (k + 1) * len(array) // threads) for k in range(threads)]
            each[threads](lambda part: np.copyto(copy[part], array[part]), parts)

        timed = {"copy": copied, "SHA-256": hashed, **jobs}
        sides = {(name, threads): lambda _, job=job, threads=threads: job(threads)
                 for name, job in timed.items() for threads in (1, 2)}  # fmt: skip
        found = interleaved(sides, range(settings.times(48, 4)), block=4, ahead=True)
    gain = {name: found[name, 1].median / found[name, 2].median for name, _ in sides}
    theirs = f"{number(gain['copy'])}x faster with 2"
    for name in jobs:
        mine = f"{number(gain[name])}x faster with 2"
        table.add(Row(TOPIC, f"{name}, 2 threads", mine, "memcpy", theirs, gain[name] / gain["copy"], SHARE))
    hashing = f"{number(gain['SHA-256'])}x faster with 2"
    table.add(Row(TOPIC, "SHA-256 of memory, 2 threads", hashing, "memcpy", theirs, gain["SHA-256"] / gain["copy"]))
