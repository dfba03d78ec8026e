"""Shapes: holes, islands, growth, of one object of a stored volume, beside scipy on a dense mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import labelog
from benchmarks import peers, settings
from benchmarks.datasets import checkerboard
from benchmarks.loading import Loaded
from benchmarks.table import Table, Target
from benchmarks.timing import Sample, interleaved, timed
from labelog.engine import shapes
from labelog.engine.shapes import Shape

TOPIC = "Shapes"
FAR = 80  # nm

NOTE = f"""\
Of a cell of the synthetic platelets of median size, all of whose organelles count with it. labelog: one edit of the
stored volume, until it is on disk, two threads; it is undone before the next. scipy has the mask of the cell, cut out
with room for the ball, in memory already, and gives another mask. Growth is by a ball of {FAR} nm (2 x 8 x 8 voxels):
in scipy the exact distance transform with `sampling`, and `binary_dilation` with a ball, of which the faster counts.
Checkerboards: 128^3 voxels of one label and background, each voxel an island, or a hole through edges and corners: a
million pieces are found in the stored volume; scipy gives the mask that is left. As an edit they are given away or
filled as well, and committed as a million spans, which has no counterpart in scipy, and no bar."""

TARGET, BOARD = Target(1, 4), Target(0.5, 1)


def bench_shapes(table: Table, platelets: Loaded) -> None:
    table.notes[TOPIC] = NOTE
    with labelog.open(platelets.path, cache_bytes=1024 * settings.MB, threads=2) as volume:
        cell = middling_cell(volume)
        mask = cut_out(volume, cell)
        spoil(volume, cell)
        for what, ours, theirs in jobs(cell, mask):
            found = measured(volume, ours, theirs)
            others = {name: found.get(name) for name in theirs} or {"scipy": None}
            table.compare(TOPIC, what, found["labelog"], others, TARGET)


def bench_checkerboards(table: Table, folder: Path) -> None:
    board = checkerboard(settings.times(128, 64))
    mask, nd = board == 1, peers.ndimage

    def left() -> NDArray[np.bool_]:
        numbers = nd.label(mask)[0]
        return (np.bincount(numbers.ravel()) >= 10)[numbers] & mask

    with labelog.load(folder / "board", board, cache_bytes=1024 * settings.MB, threads=2) as volume:
        volume.read()
        for what, find, ours, name, peer in (
            ("the islands of a checkerboard", lambda shape: shapes.islands(shape, 1, None, below=10),
             lambda edit: edit.remove_islands(1, below=10), "scipy, label", left),
            ("the holes of a checkerboard, 26-connected", lambda shape: shapes.holes(shape, 1, None, None),
             lambda edit: edit.fill_holes(1, connectivity=26), "scipy, binary_fill_holes",
             lambda: nd.binary_fill_holes(mask)),
        ):  # fmt: skip
            theirs = {name: peer} if nd else {}
            with volume.edit("bench") as edit:
                sides = {"labelog": lambda _, find=find, edit=edit: find(Shape(edit._extent(1)))}
                sides |= {name: lambda _, peer=peer: peer() for name, peer in theirs.items()}
                found = interleaved(sides, range(settings.times(5, 3)), warm_up=1)
            table.compare(TOPIC, f"find {what}", found["labelog"], {name: found.get(name)}, BOARD)
            found = measured(volume, ours, theirs)
            table.compare(TOPIC, f"{what}, as an edit", found["labelog"], {name: found.get(name)}, None)


def jobs(
    cell: int, mask: NDArray[np.bool_]
) -> list[tuple[str, Callable[[Any], object], dict[str, Callable[[], object]]]]:
    """What is measured: its name, the edit, and the peers."""
    steps = np.ogrid[-2:3, -8:9, -8:9]
    ball = sum((step * size) ** 2 for step, size in zip(steps, (40, 10, 10), strict=True)) <= FAR**2
    nd, size = peers.ndimage, (40, 10, 10)
    if nd is None:
        return [(name, edit, {}) for name, edit in edits(cell)]
    labelled = lambda: np.bincount(nd.label(mask)[0].ravel())  # noqa: E731
    theirs: list[dict[str, Callable[[], object]]] = [
        {"scipy, distances": lambda: nd.distance_transform_edt(~mask, sampling=size) <= FAR,
         "scipy, binary_dilation": lambda: nd.binary_dilation(mask, ball)},
        {"scipy, distances": lambda: nd.distance_transform_edt(mask, sampling=size) > FAR,
         "scipy, binary_erosion": lambda: nd.binary_erosion(mask, ball)},
        {"scipy, binary_fill_holes": lambda: nd.binary_fill_holes(mask)},
        {"scipy, binary_fill_holes": lambda: [nd.binary_fill_holes(plane) for plane in mask]},
        {"scipy, label": labelled},
    ]  # fmt: skip
    return [(name, edit, peer) for (name, edit), peer in zip(edits(cell), theirs, strict=True)]


def edits(cell: int) -> list[tuple[str, Callable[[Any], object]]]:
    return [
        (f"dilate a cell by {FAR} nm, as an edit", lambda edit: edit.dilate(cell, FAR, unit="nm")),
        (f"erode a cell by {FAR} nm, as an edit", lambda edit: edit.erode(cell, FAR, unit="nm")),
        ("fill the holes of a cell, 3D, as an edit", lambda edit: edit.fill_holes(cell)),
        ("fill the holes of a cell in its slices, as an edit", lambda edit: edit.fill_holes(cell, axis=0)),
        ("remove the islands of a cell, as an edit", lambda edit: edit.remove_islands(cell, below=1000)),
    ]


def measured(volume: labelog.Volume, ours: Callable[[Any], object],
             theirs: dict[str, Callable[[], object]]) -> dict[str, Sample]:  # fmt: skip
    """Each in turn; what the edit did is undone, which is not timed."""

    def edit() -> None:
        with volume.edit("bench") as edit:
            ours(edit)

    seconds: dict[str, list[float]] = {name: [] for name in ("labelog", *theirs)}
    for _ in range(settings.times(3)):
        seconds["labelog"].append(timed(edit))
        volume.undo("bench")
        for name, peer in theirs.items():
            seconds[name].append(timed(peer))
    return {name: Sample(spent[1:]) for name, spent in seconds.items()}


def middling_cell(volume: labelog.Volume) -> int:
    """Of the cells that touch no face of the volume the one of median size."""
    cells = [each for each in volume.labels.where(cls="cell") if each.whole.box]
    inside = [each for each in cells if all(
        a > 0 and b < n for a, b, n in zip(*each.whole.box, volume.shape, strict=True))]  # fmt: skip
    return sorted(inside or cells, key=lambda each: each.whole.voxels)[len(inside or cells) // 2].id


def cut_out(volume: labelog.Volume, cell: int) -> NDArray[np.bool_]:
    box = volume.labels[cell].whole.box
    assert box is not None
    room = (3, 9, 9)
    place = tuple(slice(max(0, a - m), b + m) for a, b, m in zip(*box, room, strict=True))
    return np.asarray(volume.view("cell")[place] == cell)


def spoil(volume: labelog.Volume, cell: int) -> None:
    """Give the cell a hole and an island, so that there is something to do."""
    box = volume.labels[cell].whole.box
    assert box is not None
    middle = [(a + b) // 2 for a, b in zip(*box, strict=True)]
    z, y, x = middle
    with volume.edit("maker") as edit:
        edit[z : z + 2, y : y + 6, x : x + 6] = 0
        edit[box.start[0], box.start[1] : box.start[1] + 4, box.start[2] : box.start[2] + 4] = cell
