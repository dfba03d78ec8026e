"""The shape of an object, and what is done to shapes: holes found, islands, growth, slices between slices.

A shape is an object's extent, its own voxels and those of all that lies in it, as one box of runs: memory grows with
its runs and with the rows (z, y) of its bounds, not with voxels. Slice by slice the box is turned so that slices are
planes, and the planes are laid one below the other as a single one: what surrounds the object keeps them apart.

    slice 0   . . . . .        What is background, and not one with what surrounds the object, is a hole.
              . # # # .        Faces of the volume count as surroundings: beyond them nothing is known, so a hole
              . # 0 # .        that is open there is none, and nothing is eroded from there.
              . # # # .
              . . . . .
    slice 1   . . . . .
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.engine.splitting import Extent
from labelog.errors import Invalid
from labelog.geometry import Box, Grid, Triple
from labelog.kernels import components, solid, spans
from labelog.kernels.dilation import dilated
from labelog.kernels.distance import squared_distances
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans

Lengths = tuple[float, float, float]

CLOSE = 1e-9
"""A part of a distance by which voxels may be further away and still count, as lengths such as 0.1 are not exact."""

SLAB = 2**24
"""Voxels that are dilated at one time: in between Ctrl-C is heard, and threads take turns."""

MOST_CHORDS = 2**26
"""Rows of a ball, which take 4 bytes each."""


class Found(NamedTuple):
    """Voxels that were found: of these runs, which are the box, those whose entries of the palette are chosen. The box
    may reach over the volume's faces."""

    box: Box
    runs: Runs
    chosen: NDArray[np.bool_]

    def spans(self, grid: Grid, within: Box | None = None) -> Iterator[tuple[int, Spans]]:
        """They chunk by chunk, as far as they lie in a box."""
        bounds = _bounds(self.runs, self.chosen)
        if bounds is None:
            return
        bounds = bounds.shift(self.box.start)
        for chunk, part in grid.touching(bounds if within is None else bounds.intersect(within)):
            origin = grid.origin(chunk)
            start = tuple(a - b for a, b in zip(origin, self.box.start, strict=True))
            found = solid.spans_in(self.runs, self.chosen, start, grid.chunks)
            if within is not None:
                found = spans.intersect(found, spans.box_spans(grid.chunks, part.relative(origin).start, part.shape, 0))
            if found:
                yield chunk, found


class Shape:
    """An object's extent.

    Parameters
    ----------
    extent : of the object.
    box : only the chunks that this touches, if not None.

    Attributes
    ----------
    box : its bounds; None if it has no voxels (there).
    """

    def __init__(self, extent: Extent, box: Box | None = None) -> None:
        self.extent, self.grid = extent, extent.grid
        self.box: Box | None = None
        self._parts: list[tuple[Triple, Runs]] = []
        for chunk in extent.chunks:
            if box is not None and not self.grid.box(chunk).intersect(box).voxels:
                continue
            runs = extent.runs(chunk)
            bounds = _bounds(runs)
            if bounds is not None:
                origin = self.grid.origin(chunk)
                bounds = bounds.shift(origin)
                self.box = bounds if self.box is None else self.box.union(bounds)
                self._parts.append((origin, runs))

    def runs(self, frame: Box, axis: int | None = None) -> Runs:
        """1 where it is, 0 elsewhere in a box that may reach over the volume; the slices along an axis as planes."""
        starts = [tuple(a - b for a, b in zip(origin, frame.start, strict=True)) for origin, _ in self._parts]
        return _turned(solid.gathered(frame.shape, [runs for _, runs in self._parts], starts), axis)


def holes(shape: Shape, reach: int, axis: int | None, below: int | None) -> Found | None:
    """Background that the object encloses, numbered hole by hole.

    Parameters
    ----------
    reach : along how many axes voxels of the background may differ to be one.
    axis : slices along it are looked at one by one; the whole object if None.
    below : only holes of fewer voxels.
    """
    if shape.box is None:
        return None
    frame = _grown(shape.box, (1, 1, 1))
    inside = shape.runs(frame, axis)
    parts = _components(components.relabelled(inside, 1 - inside.palette), reach, axis)
    sizes = parts.counts()
    chosen = parts.palette > 1  # the first voxel of all is outside: 1 is what surrounds the object
    if below is not None:
        chosen &= sizes < below
    return Found(frame, _back(parts, inside, axis), chosen)


def islands(shape: Shape, reach: int, axis: int | None, below: int) -> Found | None:
    """Pieces of fewer voxels than `below`, numbered; never the largest, slice by slice if an axis is given."""
    if shape.box is None:
        return None
    frame = _grown(shape.box, (1, 1, 1))
    inside = shape.runs(frame, axis)
    parts = _components(inside, reach, axis)
    sizes = parts.counts().view(np.int64)
    chosen = (sizes < below) & (parts.palette > 0)
    if axis is None:
        chosen[np.argmax(sizes[1:]) + 1] = False
    else:
        plane = components.first_voxels(parts, (0, 1, 0)) // inside.ny
        chosen[_largest(sizes[1:], plane[1:]) + 1] = False
    return Found(frame, _back(parts, inside, axis), chosen)


def _largest(sizes: NDArray[np.int64], plane: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest piece of each plane, of equal ones the first. They are in the order of planes."""
    starts = np.flatnonzero(np.append(True, np.diff(plane) != 0)[: len(plane)])
    most = np.maximum.reduceat(sizes, starts) if len(starts) else sizes
    found = np.flatnonzero(sizes == np.repeat(most, np.diff(np.append(starts, len(sizes)))))
    first: NDArray[np.int64] = found[np.append(True, np.diff(plane[found]) != 0)[: len(found)]]
    return first


def _components(inside: Runs, reach: int, axis: int | None) -> Runs:
    """Its components; of slices, which are planes laid one below the other, so that none touch."""
    if axis is not None:
        inside = solid.reshaped(inside, 1, inside.nz * inside.ny)
    return components.label_runs(inside, reach)[0]


def _back(parts: Runs, inside: Runs, axis: int | None) -> Runs:
    """What `_components` gave, as the volume lies."""
    parts = solid.reshaped(parts, inside.nz, inside.ny)
    if axis is None or axis == 0:
        return parts
    parts = solid.swapped(parts)
    return parts if axis == 1 else solid.transposed(parts)


def _turned(runs: Runs, axis: int | None) -> Runs:
    """A box with the slices along an axis as planes."""
    if axis is None or axis == 0:
        return runs
    return solid.swapped(runs if axis == 1 else solid.transposed(runs))


# Growth


class Ball:
    """The voxels within a distance of one.

    Parameters
    ----------
    distance : 0 or more.
    lengths : of a voxel along z, y, x, in the same unit.
    axis : only those of the same slice along this axis, if not None.
    most : voxels that an axis has: no chord has to be longer.

    Attributes
    ----------
    chords : int32, as for `kernels.dilation.dilated`.
    reach : how far it goes along each axis, in voxels.
    """

    def __init__(self, distance: float, lengths: Lengths, axis: int | None, most: Triple) -> None:
        steps = [0 if k == axis else int(min(n, distance * (1 + CLOSE) / length))
                 for k, (n, length) in enumerate(zip(most, lengths, strict=True))]  # fmt: skip
        nz, ny = 2 * steps[0] + 1, 2 * steps[1] + 1
        if nz * ny > MOST_CHORDS:
            raise Invalid(f"a distance of {distance:g} is too far: a ball of {nz} x {ny} rows of voxels, "
                          f"and at most {MOST_CHORDS} can be")  # fmt: skip
        dz, dy = (np.arange(-step, step + 1) * length for step, length in zip(steps[:2], lengths[:2], strict=True))
        self.chords = np.empty((nz, ny), np.int32)
        for z, row in zip(dz, self.chords, strict=True):
            left = distance**2 * (1 + CLOSE) - z**2 - dy**2
            row[:] = np.where(left < 0, -1, np.minimum(np.sqrt(np.maximum(left, 0)) / lengths[2], steps[2]))
        self.reach: Triple = (steps[0], steps[1], steps[2])

    def around(self, box: Box) -> Box:
        """A box grown by it."""
        return _grown(box, self.reach)


def grown(shape: Shape, ball: Ball, within: Box, pool: Executor | None) -> Found | None:
    """The object and what is within a ball of it, in a box. The shape is as far as `ball.around(within)` at least."""
    if shape.box is None:
        return None
    frame = ball.around(shape.box).intersect(ball.around(within)).intersect(_whole(shape.grid))
    if not frame.voxels:
        return None
    found = _dilated(shape.runs(frame), ball, pool)
    return Found(frame, found, found.palette != 0)


def worn(shape: Shape, ball: Ball, within: Box, pool: Executor | None) -> Found | None:
    """What is within a ball of what is not the object, the object's own among it, in a box; as for `grown`."""
    if shape.box is None:
        return None
    frame = _grown(shape.box, (1, 1, 1)).intersect(ball.around(within)).intersect(_whole(shape.grid))
    if not frame.voxels:
        return None
    inside = shape.runs(frame)
    found = _dilated(components.relabelled(inside, 1 - inside.palette), ball, pool)
    return Found(frame, found, found.palette != 0)


def _dilated(inside: Runs, ball: Ball, pool: Executor | None) -> Runs:
    planes = max(1, SLAB // (inside.ny * inside.nx))
    slabs = [(z, min(z + planes, inside.nz)) for z in range(0, inside.nz, planes)]

    def slab(bounds: tuple[int, int]) -> Runs:
        return dilated(inside, ball.chords, *bounds)

    run: Callable[..., Iterable[Runs]] = map if pool is None else pool.map
    return Runs.stacked(list(run(slab, slabs)))


# Between slices


def drawn_slices(shape: Shape, axis: int) -> list[int]:
    """The slices along an axis in which the object has voxels."""
    if shape.box is None:
        return []
    inside = shape.runs(shape.box, axis)
    planes = np.searchsorted(inside.offsets[inside.ny :: inside.ny], np.flatnonzero(inside.index == 1), side="right")
    return [shape.box.start[axis] + place for place in np.unique(planes).tolist()]


def between(shape: Shape, slices: list[int], axis: int, lengths: Lengths) -> Iterator[tuple[Triple, NDArray[np.bool_]]]:
    """The slices between those given, each as a mask (z, y, x) and where its first voxel is.

    What a slice has lies where the signed distance to the object's border, interpolated between the two slices beside
    it, is not negative (Raya and Udupa 1990; here with Euclidean distances, in the volume's lengths).

    Raises Invalid for a slice in which the object has no voxels.
    """
    if shape.box is None:
        raise Invalid(f"label {shape.extent.body} has no voxels in slice {slices[0]}", label=shape.extent.body)
    frame = _grown(shape.box, (1, 1, 1)).intersect(_whole(shape.grid))
    inside = shape.runs(frame, axis)
    rest = [k for k in range(3) if k != axis]
    spacing = tuple(lengths[k] for k in rest)
    planes = {place: _plane(shape, inside, place, place - frame.start[axis]) for place in slices}
    for a, b in pairwise(slices):
        if b - a < 2:
            continue
        window = planes[a][1].union(planes[b][1])
        low, high = (_signed(solid.cropped(planes[place][0], window.start, window.shape), spacing) for place in (a, b))
        start = [0, 0, 0]
        for k, first in zip(rest, window.start[1:], strict=True):
            start[k] = frame.start[k] + first
        for place in range(a + 1, b):
            start[axis] = place
            mask = (b - place) * low + (place - a) * high >= -CLOSE * max(spacing)
            yield (start[0], start[1], start[2]), np.expand_dims(mask, axis)


def _plane(shape: Shape, inside: Runs, place: int, number: int) -> tuple[Runs, Box]:
    """A slice, and the bounds of what is in it, with one voxel of background around where there is room."""
    if 0 <= number < inside.nz:
        plane = solid.cropped(inside, (number, 0, 0), (1, inside.ny, inside.nx))
        bounds = _bounds(plane)
        if bounds is not None:
            return plane, _grown(bounds, (0, 1, 1)).intersect(Box((0, 0, 0), plane.shape))
    raise Invalid(f"label {shape.extent.body} has no voxels in slice {place}", label=shape.extent.body, slice=place)


def _signed(plane: Runs, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Distances to what is outside, of voxels inside; to what is inside, negative, of voxels outside.

    If it fills its slice, what is outside is what lies beyond the volume's faces.
    """
    if plane.palette[plane.index].all():
        sides = (np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in (plane.ny, plane.nx))
        return np.minimum.outer(*(length * side for length, side in zip(spacing, sides, strict=True)))
    outside = components.relabelled(plane, 1 - plane.palette)
    return np.sqrt(squared_distances(outside, spacing)) - np.sqrt(squared_distances(plane, spacing))


def _bounds(runs: Runs, chosen: NDArray[np.bool_] | None = None) -> Box | None:
    """The bounds of what is chosen of the palette, or of what is not 0."""
    found = solid.bounds(runs, runs.palette != 0 if chosen is None else chosen)
    if found is None:
        return None
    z0, y0, x0, z1, y1, x1 = found.tolist()
    return Box((z0, y0, x0), (z1, y1, x1))


def _grown(box: Box, by: Triple) -> Box:
    (z0, y0, x0), (z1, y1, x1), (z, y, x) = *box, by
    return Box((z0 - z, y0 - y, x0 - x), (z1 + z, y1 + y, x1 + x))


def _whole(grid: Grid) -> Box:
    return Box((0, 0, 0), grid.shape)
