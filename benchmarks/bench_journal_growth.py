"""Whether the cost of strokes, undos and reads stays flat as the journal grows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import labelog
from benchmarks import datasets, settings
from benchmarks.bench_strokes import CHUNKS, read_all
from benchmarks.datasets import Labels, Stroke
from benchmarks.growth import flat, in_turn, strokes_and_undos
from benchmarks.table import Table

LENGTHS = [10**power for power in range(2, 7 if settings.FULL else 5 if settings.QUICK else 6)]
AUTHORS = ("ana", "ben", "chris", "dana", "vendor/eli", "vendor/fay")
CACHE = 512 * settings.MB
TOPIC = "Growth of the journal"

NOTE = """\
One volume is edited through the public interface, durably, edit by edit: a stroke, then what was there before painted
back over it, and so on; each tenth commit is an undo; six authors in turn. So what is there stays the same, and only
the journal grows. At each length it is closed and copied; the copies are then measured in turn with the same strokes.
Everything is in cache but for the cold rows, which open, read one slice and close. Each chunk has been written by
about 1/100 of the edits. The ratio is the worst of the lengths to the shortest; 10^6 edits only with FULL=1.

An old revision of a chunk is made of the nearest whole state, which is kept after each 256 edits of it, and the deltas
in between. So a slice at a random old revision costs more until all of its chunks have been edited so often, and then
no more: it has no bar."""


def edits(volume: labelog.Volume, labels: Labels) -> Iterator[None]:
    """Without end; after any two what is there is what was loaded."""
    stream = datasets.strokes(volume.shape, seed=8)
    for number, stroke in enumerate(stream):
        author = AUTHORS[number % len(AUTHORS)]
        with volume.edit(author) as edit:
            edit.paint(stroke.label, stroke.mask, at=stroke.at)
        yield
        if number % 5 == 4:
            volume.undo(author)
        else:
            with volume.edit(author) as edit:
                edit[stroke.box] = labels.array[stroke.box]
        yield


@pytest.fixture(scope="module")
def volumes(folder: Path, labels: Labels, table: Table) -> Iterator[list[labelog.Volume]]:
    """The same volume with journals of each length, open, all chunks in cache."""
    table.notes[TOPIC] = NOTE
    labelog.load(folder / "growing", labels.array, chunks=CHUNKS, threads=1).close()
    done = 0
    for length in LENGTHS:
        with labelog.open(folder / "growing", cache_bytes=CACHE, threads=1) as volume:
            for _ in islice(edits(volume, labels), length - done):
                pass
            done = length
        shutil.copytree(folder / "growing", folder / str(length))
    with ExitStack() as stack:
        opened = [stack.enter_context(labelog.open(folder / str(length), cache_bytes=CACHE, threads=1))
                  for length in LENGTHS]  # fmt: skip
        for volume in opened:
            read_all(volume)
        yield opened


SIZES = [f"10^{int(np.log10(length))}" for length in LENGTHS]


def bench_strokes_and_undos(table: Table, volumes: list[labelog.Volume]) -> None:
    strokes, undos = strokes_and_undos(volumes, 9, settings.times(300), volumes[0].shape)
    flat(table, TOPIC, "stroke, by edits in the journal", SIZES, strokes)
    flat(table, TOPIC, "undo, by edits in the journal", SIZES, undos)


def bench_reads(table: Table, volumes: list[labelog.Volume]) -> None:
    def warm(volume: labelog.Volume, stroke: Stroke) -> object:
        return volume[stroke.at[0]]

    def cold(volume: labelog.Volume, stroke: Stroke) -> object:
        with labelog.open(volume.address, cache_bytes=settings.CACHE, threads=1) as fresh:
            return fresh[stroke.at[0]]

    def old(volume: labelog.Volume, stroke: Stroke) -> object:
        share = (stroke.at[1] + stroke.at[2]) / sum(volume.shape[1:])
        with labelog.open(volume.address, "r", cache_bytes=0, threads=1) as fresh:
            return fresh.at(int(share * fresh.revision))[stroke.at[0]]

    shape = volumes[0].shape
    flat(table, TOPIC, "slice in cache, by edits in the journal", SIZES,
         in_turn(volumes, warm, 10, settings.times(200), shape))  # fmt: skip
    flat(table, TOPIC, "slice cold (open, read, close), by edits in the journal", SIZES,
         in_turn(volumes, cold, 11, settings.times(60), shape))  # fmt: skip
    flat(table, TOPIC, "slice at a random old revision, cold, by edits in the journal", SIZES,
         in_turn(volumes, old, 12, settings.times(30), shape), decides=False)  # fmt: skip
