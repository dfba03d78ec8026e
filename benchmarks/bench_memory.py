"""How much memory a large load takes."""

from __future__ import annotations

import math

from benchmarks.loading import SLAB, Loaded
from benchmarks.table import Row, Table, Target

TOPIC = "Memory"
BAR = 2 * 2**30

NOTE = f"""\
`labelog.load` of synthetic platelets, as many threads as there are processors, in a process of its own: the most memory
that it ever had resident (VmHWM), with the interpreter, the libraries and the slabs of {SLAB} slices that are drawn
while it loads. The ratio is to 2 GiB. `make soak` does the same with 16 gigavoxels."""


def bench_memory_of_a_load(table: Table, platelets: Loaded) -> None:
    table.notes[TOPIC] = NOTE
    voxels = math.prod(platelets.shape) / 1e9
    ours = f"{platelets.peak / 2**20:,.0f} MiB ({platelets.before / 2**20:,.0f} before the first slab)"
    table.add(Row(TOPIC, f"peak memory of a {voxels:.2g}-gigavoxel load", ours, "bar", "2 GiB", platelets.peak / BAR,
                  Target(1, 0.5, ceiling=True)))  # fmt: skip
