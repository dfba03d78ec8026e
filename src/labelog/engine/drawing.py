"""Masks and spans as callers draw them, cut into chunks, and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog import indexing
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Grid, Triple, whole
from labelog.kernels import spans
from labelog.kernels.spans import Spans


def drawn(grid: Grid, where: ArrayLike, at: Iterable[int] | None, value: int) -> dict[int, Spans]:
    """The voxels of a mask whose first one is `at`, or of spans if that is None: chunk -> voxels, with this value.

    Raises Invalid for what is neither; OutOfBounds, naming it, for what reaches outside the volume.
    """
    return _spans(grid, where, value) if at is None else _mask(grid, where, at, value)


def _mask(grid: Grid, where: ArrayLike, at: Iterable[int], value: int) -> dict[int, Spans]:
    mask = np.asarray(where)
    if mask.dtype.kind not in "biu" or mask.ndim not in (2, 3):
        raise Invalid(f"a mask is a boolean array (z, y, x) or (y, x), not {mask.dtype} of shape {mask.shape}")
    if mask.ndim == 2:
        mask = mask[None]
    try:
        z, y, x = (whole(n) for n in at)
    except (TypeError, ValueError):
        raise Invalid(f"at must be the mask's first voxel (z, y, x), not {at!r}") from None
    size = mask.shape
    box = indexing.within(((z, y, x), (z + size[0], y + size[1], x + size[2])), grid.shape)
    mask = np.ascontiguousarray(mask != 0).view(np.uint8) if mask.dtype != bool else mask.view(np.uint8)
    found = {}
    for chunk, part in grid.touching(box):
        piece, start = mask[part.relative(box.start).slices()], part.relative(grid.origin(chunk)).start
        found[chunk] = spans.mask_spans(grid.chunks, start, piece, value)
    return found


def _spans(grid: Grid, where: ArrayLike, value: int) -> dict[int, Spans]:
    rows = np.asarray(where)
    if rows.size == 0:
        return {}
    if rows.dtype.kind not in "iu" or rows.ndim != 2 or rows.shape[1] != 4:
        raise Invalid(
            f"without `at`, expected spans: an integer array (n, 4) of z, y, x0, x1; found {rows.dtype} of shape "
            f"{rows.shape}"
        )
    limits = np.array([*grid.shape, grid.shape[2]])
    bad = ((rows < 0) | (rows >= limits + np.array([0, 0, 1, 1])) | (rows[:, 2:3] >= rows[:, 3:4])).any(axis=1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise OutOfBounds(f"span {first} ({rows[first].tolist()}) is empty, or outside the volume of {grid.shape}")
    return {chunk: _row_spans(*flat, value) for chunk, flat in _by_chunk(grid, rows.astype(np.int64)).items()}


def _by_chunk(grid: Grid, rows: NDArray[np.int64]) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of z, y, x0, x1 as flat starts and stops within each chunk that they touch."""
    cz, cy, cx = grid.chunks
    _, ny, nx = grid.counts
    pieces = -(-rows[:, 3] // cx) - rows[:, 2] // cx  # chunks that each row reaches into
    row = np.repeat(np.arange(len(rows)), pieces)
    kx = rows[row, 2] // cx + np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    z, y = rows[row, 0], rows[row, 1]
    x0, x1 = np.maximum(rows[row, 2], kx * cx) - kx * cx, np.minimum(rows[row, 3], (kx + 1) * cx) - kx * cx
    chunk = (z // cz * ny + y // cy) * nx + kx
    base = (z % cz * cy + y % cy) * cx
    order = np.lexsort((base + x0, chunk))
    groups = np.split(order, np.flatnonzero(np.diff(chunk[order])) + 1)
    return {int(chunk[g[0]]): (base[g] + x0[g], base[g] + x1[g]) for g in groups}


def _row_spans(start: NDArray[np.int64], stop: NDArray[np.int64], value: int) -> Spans:
    """Spans of one value from ascending starts; they may overlap."""
    reach = np.maximum.accumulate(stop)
    first = np.concatenate([[True], start[1:] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    starts = start[first]
    return Spans(starts, reach[last], np.full(len(starts), value, np.uint64))


class LabelRows(NamedTuple):
    """Voxels with labels: rows of z, y, x0, x1 (n, 4) int64, in C order, each as long as can be; a uint64 for each."""

    rows: NDArray[np.int64]
    labels: NDArray[np.uint64]


def label_rows(grid: Grid, patches: Mapping[int, Spans]) -> LabelRows:
    """What patches of chunks write."""
    parts, values = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.uint64)]
    for chunk, patch in patches.items():
        found, label = _rows(patch, grid.chunks)
        parts.append(found + np.array(grid.origin(chunk))[[0, 1, 2, 2]])
        values.append(label)
    found, label = np.concatenate(parts), np.concatenate(values)
    order = np.lexsort((found[:, 2], found[:, 1], found[:, 0]))
    found, label = found[order], label[order]
    goes_on = (found[1:, :2] == found[:-1, :2]).all(axis=1) & (found[1:, 2] == found[:-1, 3])
    goes_on &= label[1:] == label[:-1]
    first, last = np.append(True, ~goes_on)[: len(found)], np.append(~goes_on, True)[: len(found)]
    return LabelRows(np.column_stack([found[first, :3], found[last, 3]]), label[first])


def _rows(patch: Spans, chunk: Triple) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The spans of a chunk cut where rows end, counted from its first voxel."""
    _, ny, nx = chunk
    start, stop = patch.start.astype(np.int64), patch.stop.astype(np.int64)
    pieces = (stop - 1) // nx - start // nx + 1
    span = np.repeat(np.arange(len(start)), pieces)
    row = start[span] // nx + np.arange(len(span)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    x0, x1 = np.maximum(start[span] - row * nx, 0), np.minimum(stop[span] - row * nx, nx)
    return np.column_stack([row // ny, row % ny, x0, x1]), patch.value[span]
