"""Undo of a brush stroke, durable, beside the stroke itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import labelog
from benchmarks import datasets, settings
from benchmarks.bench_strokes import CHUNKS, painter, read_all
from benchmarks.datasets import Labels, Stroke
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, number, timed

OTHERS = 8  # strokes of others over one that is undone
DEPTH = 100  # strokes that are undone one after another
TOPIC = "Undo"

NOTE = f"""\
Strokes as above, durable; undo is `volume.undo(author)`, durable. Nothing else has it, so the reference is the median
stroke of the same run, strokes and undos taking turns. "The last": the author's newest commit of all. "Under others'
strokes": {OTHERS} strokes of other people have overlapped it since, in part. "Deep": {DEPTH} strokes at random places,
then {DEPTH} undos one after another; "redo" puts the same back. The median and the 90th percentile count."""


@pytest.fixture(scope="module")
def volume(folder: Path, labels: Labels, table: Table) -> Iterator[labelog.Volume]:
    table.notes[TOPIC] = NOTE
    with labelog.load(folder / "labelog", labels.array, chunks=CHUNKS, threads=1, cache_bytes=settings.CACHE) as loaded:
        read_all(loaded)
        for stroke in islice(datasets.strokes(loaded.shape, seed=3), settings.times(300, 50)):  # warms up
            painter(loaded)(stroke)
            loaded.undo("ana")
        yield loaded


def show(table: Table, what: str, undos: list[float], strokes: list[float]) -> None:
    """The two rows of one way to undo."""
    undo, stroke = Sample(undos), Sample(strokes)
    for name, seconds, target in (("median", undo.median, Target(1.5, 1, ceiling=True)),
                                  ("p90", undo.quantile(0.9), Target(4, 2, ceiling=True))):  # fmt: skip
        ours = undo.ms() if name == "median" else f"{number(seconds * 1e3)} ms"
        table.add(Row(TOPIC, f"undo of a stroke, durable: {what}, {name}", ours, "labelog's median stroke", stroke.ms(),
                      seconds / stroke.median, target))  # fmt: skip


def each(volume: labelog.Volume, seed: int, count: int, between: Callable[[Stroke], None]) -> tuple[list[float], ...]:
    """Strokes and undos in turn, with something in between; seconds of the undos and of the strokes."""
    paint, undos, strokes = painter(volume), [], []
    for stroke in islice(datasets.strokes(volume.shape, seed), count):
        strokes.append(timed(paint, stroke))
        between(stroke)
        undos.append(timed(volume.undo, "ana"))
    return undos, strokes


def bench_undo_of_the_last(table: Table, volume: labelog.Volume) -> None:
    undos, strokes = each(volume, 4, settings.times(400), lambda stroke: None)
    show(table, "the last", undos, strokes)


def bench_undo_under_others(table: Table, volume: labelog.Volume) -> None:
    rng = np.random.default_rng(5)

    def overlap(stroke: Stroke) -> None:
        for _ in range(OTHERS):
            other = datasets.near(stroke, volume.shape, rng)
            with volume.edit(author="ben") as edit:
                edit.paint(other.label, other.mask, at=other.at)

    undos, strokes = each(volume, 6, settings.times(150), overlap)
    show(table, "under others' strokes", undos, strokes)


def bench_deep_undo(table: Table, volume: labelog.Volume) -> None:
    paint = painter(volume)
    undos: list[float] = []
    redos: list[float] = []
    strokes: list[float] = []
    stream = datasets.strokes(volume.shape, seed=7)
    for _ in range(settings.times(4, 1)):
        strokes += [timed(paint, stroke) for stroke in islice(stream, DEPTH)]
        undos += [timed(volume.undo, "ana") for _ in range(DEPTH)]
        redos += [timed(volume.redo, "ana") for _ in range(DEPTH)]
    show(table, "deep", undos, strokes)
    redo, stroke = Sample(redos), Sample(strokes)
    table.add(Row(TOPIC, "redo of a stroke, durable: deep, median", redo.ms(), "labelog's median stroke", stroke.ms(),
                  redo.median / stroke.median), more=True)  # fmt: skip
