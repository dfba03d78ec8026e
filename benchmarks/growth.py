"""What the two topics on growth share: the same small jobs done to several volumes in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import labelog
from benchmarks import datasets
from benchmarks.datasets import Stroke
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, interleaved, number, timed

FLAT = Target(1.5, ceiling=True)
WARM_UP = 10


def in_turn(volumes: Sequence[labelog.Volume], job: Callable[[labelog.Volume, Stroke], object], seed: int, count: int,
            shape: tuple[int, int, int]) -> list[Sample]:  # fmt: skip
    """The same strokes, within `shape`, given to a job on each volume in turn; a sample for each volume."""
    items = list(islice(datasets.strokes(shape, seed), WARM_UP + count))
    sides = {place: lambda item, volume=volume: job(volume, item) for place, volume in enumerate(volumes)}
    found = interleaved(sides, items, warm_up=WARM_UP)
    return [found[place] for place in range(len(volumes))]


def paint(volume: labelog.Volume, stroke: Stroke) -> None:
    with volume.edit(author="ana") as edit:
        edit.paint(stroke.label, stroke.mask, at=stroke.at)


def strokes_and_undos(volumes: Sequence[labelog.Volume], seed: int, count: int,
                      shape: tuple[int, int, int]) -> tuple[list[Sample], list[Sample]]:  # fmt: skip
    """A stroke and its undo on each volume in turn, and so on: what is there stays what it was."""
    strokes: list[list[float]] = [[] for _ in volumes]
    undos: list[list[float]] = [[] for _ in volumes]
    for turn, stroke in enumerate(islice(datasets.strokes(shape, seed), WARM_UP + count)):
        for step in range(len(volumes)):
            place = (step + turn) % len(volumes)
            strokes[place].append(timed(paint, volumes[place], stroke))
            undos[place].append(timed(volumes[place].undo, "ana"))
    return [Sample(times[WARM_UP:]) for times in strokes], [Sample(times[WARM_UP:]) for times in undos]


def flat(table: Table, topic: str, what: str, sizes: Sequence[str], samples: Sequence[Sample], *,
         decides: bool = True) -> None:  # fmt: skip
    """A row: the median at each size, and the worst as a multiple of the one at the smallest size."""
    medians = [sample.median for sample in samples]
    ours = ", ".join(f"{size}: {number(median * 1e3)} ms" for size, median in zip(sizes, medians, strict=True))
    row = Row(topic, what, ours, f"itself at {sizes[0]}", samples[0].ms(), max(medians) / medians[0],
              FLAT if decides else None)  # fmt: skip
    table.add(row, more=not decides)
