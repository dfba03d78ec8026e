"""Brush strokes of one client: how many a second, durable, and how many bytes each adds."""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path

import labelog
from benchmarks import datasets, peers, settings
from benchmarks.datasets import Labels, Stroke
from benchmarks.peers import Paint, Shape
from benchmarks.table import Row, Table, Target
from benchmarks.timing import Sample, interleaved, number

CHUNKS: Shape = (16, 256, 256)
SHAPES: tuple[Shape, ...] = ((16, 64, 64), (64, 64, 64), CHUNKS)
BLOCK = 10  # strokes that one side paints in a row
TOPIC = "Brush strokes"

NOTE = """\
A stroke is a disc of radius 6 to 15 at a random place, painted on one slice with a label of its own and committed;
when the call returns it is on disk. labelog: `with volume.edit() as edit: edit.paint(label, disc, at=...)`.
tensorstore OCDBT: a transaction that reads the disc's box, changes it and writes it, flushed. Icechunk: the same in a
session and a commit, which does not flush. tensorstore's plain zarr3 files are flushed, and keep no versions. All
paint the same discs in the same labels with a 64-MB cache, ten at a time in turn; Icechunk after those that
flush, so that no one's flush has to carry what Icechunk left unwritten. Bytes: the lengths of all files after closing,
less those before, by the strokes between; labelog's over many more strokes, its folds of chunks into the base
included, without `compact`."""


def painter(volume: labelog.Volume) -> Paint:
    def paint(stroke: Stroke) -> None:
        with volume.edit(author="ana") as edit:
            edit.paint(stroke.label, stroke.mask, at=stroke.at)

    return paint


def sides(folder: Path, labels: Labels) -> dict[str, Paint | None]:
    """Each peer in each of its chunk shapes, loaded with the labels; None where it is not installed."""
    makers = {"tensorstore OCDBT": peers.ocdbt if peers.ts else None,
              "Icechunk (does not flush)": peers.icechunk_paint if peers.icechunk else None,
              "tensorstore files (no versions)": peers.files if peers.ts else None}  # fmt: skip
    return {f"{name} {peers.named(shape)}":
            make(folder / f"{name} {peers.named(shape)}", labels.array, shape, settings.CACHE) if make else None
            for name, make in makers.items() for shape in SHAPES
            if shape == SHAPES[0] or "files" not in name}  # fmt: skip


def bench_strokes(table: Table, labels: Labels, folder: Path) -> None:
    table.notes[TOPIC] = NOTE
    labelog.load(folder / "labelog", labels.array, chunks=CHUNKS, threads=1).close()
    theirs = sides(folder, labels)
    before = {name: peers.size(folder / name) for name in ["labelog", *theirs] if theirs.get(name, 1) is not None}
    warm_up, count, many = settings.times(20, 8), settings.times(200, 24), settings.times(4000, 1000)
    stream = datasets.strokes(labels.array.shape, seed=2)
    found: dict[str, Sample] = {}
    with labelog.open(folder / "labelog", cache_bytes=settings.CACHE, threads=1) as volume:
        read_all(volume)
        present = {"labelog": painter(volume), **{name: paint for name, paint in theirs.items() if paint is not None}}
        items = list(islice(stream, warm_up + count))
        for flushes in (True, False):
            turn = {name: paint for name, paint in present.items() if ("Icechunk" not in name) is flushes}
            found |= interleaved(turn, items, warm_up=warm_up, block=BLOCK)
        for stroke in islice(stream, many):
            present["labelog"](stroke)
    del present, turn
    theirs = dict.fromkeys(theirs)
    gc.collect()
    rates(table, found, list(theirs))
    painted = {name: warm_up + count + (many if name == "labelog" else 0) for name in before}
    grown = {name: (peers.size(folder / name) - was) / painted[name] for name, was in before.items()}
    sizes(table, grown, list(theirs))
    table.notes[TOPIC] += f"\n\nAfter {many + warm_up + count} strokes {where(folder / 'labelog', painted['labelog'])}"


def read_all(volume: labelog.Volume) -> None:
    """Fill the cache, as tensorstore's is filled by loading."""
    for z in range(0, volume.shape[0], CHUNKS[0]):
        volume.read(((z, 0, 0), (z + 1, *volume.shape[1:])))


def rates(table: Table, found: dict[str, Sample], names: list[str]) -> None:
    durable = [name for name in names if "OCDBT" in name]
    table.compare(TOPIC, "brush stroke, durable, one client", found["labelog"],
                  {name: found.get(name) for name in durable}, Target(5, 15), show=Sample.rate,
                  also={name: found.get(name) for name in names if name not in durable})  # fmt: skip


def sizes(table: Table, grown: dict[str, float], names: list[str]) -> None:
    """A row against the smallest of OCDBT's, and the variants."""
    versioned = [name for name in names if "OCDBT" in name]
    least = min((name for name in versioned if name in grown), key=grown.__getitem__, default=versioned[0])
    for name in [*versioned, *(name for name in names if "Icechunk" in name)]:
        there = grown.get(name)
        table.add(Row(TOPIC, "bytes that a stroke adds", f"{number(grown['labelog'])} B", name,
                      "not installed" if there is None else f"{number(there)} B",
                      None if there is None else there / grown["labelog"],
                      Target(50, 150) if name == least else None), more=name != least)  # fmt: skip


def where(path: Path, strokes: int) -> str:
    """What of labelog's bytes is journal, and what compaction changes."""
    journal, folder = (path / "journal.sqlite").stat().st_size, peers.size(path)
    with labelog.open(path, threads=1) as volume:
        volume.compact()
    after = peers.size(path)
    return (f"labelog's folder has {number(folder / 1e6)} MB, of which the journal {number(journal / 1e6)} MB "
            f"({number(journal / strokes)} bytes a stroke); after `compact` {number(after / 1e6)} MB.")  # fmt: skip
