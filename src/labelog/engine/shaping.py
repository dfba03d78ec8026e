"""The part of `Edit` that changes the shape of objects: holes, islands, growth, slices between slices."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from labelog import indexing
from labelog.engine import drawing, shapes
from labelog.engine.change import Patches
from labelog.engine.naming import Naming
from labelog.engine.shapes import Ball, Shape
from labelog.engine.splitting import Extent
from labelog.engine.store import layered
from labelog.engine.values import checked_count, checked_object, label_set
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import REACHES, Box, Triple, checked_axis, reach, whole
from labelog.kernels import spans
from labelog.kernels.spans import Spans
from labelog.storage.meta import UNITS

BoxLike = Box | tuple[Triple, Triple]

FARTHEST = 1e9  # units of a distance
POWERS = {"m": 0, "mm": -3, "um": -6, "nm": -9, "angstrom": -10}
"""Units of length as powers of ten of a metre."""


class Shaped(NamedTuple):
    """What was done to the shape of an object.

    Attributes
    ----------
    voxels : how many are written.
    box : their bounds; None if there are none.
    pieces : in how many holes, islands or slices they lie; of a dilation or erosion 1, or 0 without voxels.
    """

    voxels: int
    box: Box | None
    pieces: int


class Shaping(Naming):
    """Shapes. What is looked at is an object's extent, itself with all that lies in it; what is written or given away
    are its own voxels. So a mitochondrion is no hole in its cell, and keeps its voxels where the cell loses some.

    All methods take `label` (the object; the body, if it is merged with others), see what is staged, and raise NotFound
    if there is no such label and Invalid if it has no voxels; then nothing is staged.
    """

    def _extent(self, label: int) -> Extent:
        raise NotImplementedError

    def _select(self, chunk: int, mapping: dict[int, int]) -> Spans:
        raise NotImplementedError

    def _stage(self, patches: Patches, over: set[int] | None = None) -> None:
        raise NotImplementedError

    def fill_holes(self, label: int, *, axis: int | None = None, connectivity: int | None = None,
                   below: int | None = None, over: Iterable[int] | int | None = 0,
                   within: BoxLike | None = None) -> Shaped:  # fmt: skip
        """Fill what an object encloses.

        A hole is what is not the object, and cannot leave it without crossing it. What reaches a face of the volume
        is none.

        Parameters
        ----------
        axis : holes of each slice along this axis (0, 1 or 2 for z, y or x); of the whole object, in 3D, if None.
        connectivity : how many neighbours a voxel of the object has: 6 (the default), 18 or 26; in slices 4 or 8.
            What is around it has the complementary one (Rosenfeld 1970; Kong and Rosenfeld 1989): 26, or 8 in slices,
            to the default; 6, or 4, to the others. So the default holds nothing in with a wall that hangs together
            only at edges or corners, such as a slanted line one voxel wide; 8 and 26 do.
        below : only holes of fewer voxels.
        over : paint only where the label is one of these; background by default. None is whatever is in the hole.
        within : paint only in this box. The holes are those of the whole object, or of whole slices.
        """
        label, extent = self._shaped(label)
        ndim = _ndim(axis)
        mine = reach(min(REACHES[ndim]) if connectivity is None else connectivity, ndim)
        below = None if below is None else checked_count("below", below)
        chosen, box = _over(over), self._box(within)
        self._asked("fill holes", self._called(label), axis, mine, below, self._over_called(chosen), tuple(box))
        shape = self._shape(extent, None if axis is None else _slices(box, axis, self._store.grid.shape))
        found = shapes.holes(shape, ndim if mine == 1 else 1, axis, below)
        return self._paint_shape(extent, found.spans(self._store.grid, box) if found else (), chosen)

    def remove_islands(self, label: int, *, below: int, axis: int | None = None,
                       connectivity: int | None = None) -> Shaped:  # fmt: skip
        """Give small pieces of an object to the one that it lies in, or else to the background.

        The largest piece stays, whatever its size; of equal ones that with the first voxel. What lies in the object
        keeps its voxels.

        Parameters
        ----------
        below : pieces of fewer voxels; what lies in the object counts with it.
        axis : pieces of each slice along this axis, of which the largest stays; of the whole object if None.
        connectivity : how many neighbours a voxel has: 6 (the default), 18 or 26; in slices 4 (the default) or 8.
        """
        label, extent = self._shaped(label)
        ndim = _ndim(axis)
        near = reach(min(REACHES[ndim]) if connectivity is None else connectivity, ndim)
        below = checked_count("below", below)
        self._asked("remove islands", self._called(label), axis, near, below)
        found = shapes.islands(self._shape(extent), near, axis, below)
        return self._give_away(extent, found.spans(self._store.grid) if found else ())

    def dilate(self, label: int, distance: float, *, unit: str = "voxel", axis: int | None = None,
               over: Iterable[int] | int | None = 0, within: BoxLike | None = None) -> Shaped:  # fmt: skip
        """Grow an object: it gets all voxels within a distance of one of its extent, centre to centre.

        Parameters
        ----------
        distance : 0 or more. What is exactly that far counts. The ball may have 2^26 rows of voxels along x.
        unit : "voxel", where each axis counts alike; or nm, um, mm, m or angstrom, by the volume's voxel size: with
            voxels of 40 x 10 x 10 nm a ball of 80 nm is 2 voxels high and 8 wide to each side.
        axis : grow only within slices along this axis; in all directions if None.
        over : paint only where the label is one of these; background by default, so that no object loses voxels. None
            is whatever is there. What lies in the object keeps its voxels in any case.
        within : paint only in this box.

        Time grows with the object's runs and the square of the distance.
        """
        label, extent = self._shaped(label)
        ball = self._ball(distance, unit, axis)
        chosen, box = _over(over), self._box(within)
        self._asked("dilate", self._called(label), float(distance), unit, axis, self._over_called(chosen), tuple(box))
        found = shapes.grown(self._shape(extent, ball.around(box)), ball, box, self._pool())
        return self._paint_shape(extent, found.spans(self._store.grid, box) if found else (), chosen)

    def erode(self, label: int, distance: float, *, unit: str = "voxel", axis: int | None = None,
              within: BoxLike | None = None) -> Shaped:  # fmt: skip
        """Shrink an object: its own voxels within a distance of what is outside go to the object that it lies in, or
        else to the background.

        What lies in the object keeps its voxels. Beyond the volume's faces is no outside: an object that is cut off
        there keeps its cut. So `dilate` and then `erode` by the same distance takes nothing away, unless the object
        could not grow because another was in its way: there it shrinks all the same.

        Parameters are those of `dilate`; `within`: take voxels away only in this box.
        """
        label, extent = self._shaped(label)
        ball, box = self._ball(distance, unit, axis), self._box(within)
        self._asked("erode", self._called(label), float(distance), unit, axis, tuple(box))
        found = shapes.worn(self._shape(extent, ball.around(box)), ball, box, self._pool())
        return self._give_away(extent, found.spans(self._store.grid, box) if found else ())

    def interpolate(self, label: int, slices: Iterable[int] | None = None, *, axis: int = 0,
                    over: Iterable[int] | int | None = 0) -> Shaped:  # fmt: skip
        """Fill the slices between those on which an object is drawn.

        In between it is where the signed distance to its border, interpolated from the nearest drawn slice on either
        side, is not outside (Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Transactions
        on Medical Imaging 9, 1990; here with exact Euclidean distances in the volume's lengths). Outlines on two
        slices that hardly overlap leave gaps: draw one in between. An object that fills its slice has the volume's
        faces as its border there; else it goes on beyond them.

        Parameters
        ----------
        slices : places along the axis, two or more with others between them, on each of which it has
            voxels; all on which it has any if None.
        axis : along which the slices lie.
        over : paint only where the label is one of these; background by default. None is whatever is there. What lies
            in the object keeps its voxels in any case.

        Raises Invalid, naming the slice, if it has no voxels there, OutOfBounds for one outside the volume.
        """
        label, extent = self._shaped(label)
        if axis is None:
            raise Invalid("interpolate needs an axis: 0, 1 or 2")
        _ndim(axis)
        chosen, grid = _over(over), self._store.grid
        places = None if slices is None else _places(slices, grid.shape[axis])
        self._asked("interpolate", self._called(label), places, axis, self._over_called(chosen))
        shape = self._shape(extent)
        places = shapes.drawn_slices(shape, axis) if places is None else places
        masks = shapes.between(shape, places, axis, self._store.meta.voxel_size)
        found = ((chunk, patch) for start, mask in masks
                 for chunk, patch in drawing.drawn(grid, mask, start, 1 + start[axis]).items())  # fmt: skip
        return self._paint_shape(extent, found, chosen)

    # What they have in common

    def _shaped(self, label: int) -> tuple[int, Extent]:
        self._mine()
        label = checked_object(label)
        return label, self._extent(label)

    def _shape(self, extent: Extent, box: Box | None = None) -> Shape:
        shape = Shape(extent, box)
        if shape.box is None and (box is None or Shape(extent).box is None):
            raise Invalid(f"label {extent.body} has no voxels", label=extent.body)
        return shape

    def _box(self, within: BoxLike | None) -> Box:
        shape = self._store.grid.shape
        return Box((0, 0, 0), shape) if within is None else indexing.within(within, shape)

    def _ball(self, distance: float, unit: str, axis: int | None) -> Ball:
        _ndim(axis)
        return Ball(_distance(distance), _lengths(self._store.meta, unit), axis, self._store.grid.shape)

    def _pool(self) -> Any:
        return self._store.pool if self._store.threads > 1 else None

    def _over_called(self, over: set[int] | None) -> list[Any] | None:
        return None if over is None else sorted(map(self._called, over))

    def _paint_shape(self, extent: Extent, found: Iterable[tuple[int, Spans]], over: set[int] | None) -> Shaped:
        """Give voxels that are not the object to it."""

        def free(chunk: int, patch: Spans) -> Spans:
            if over is not None:
                patch = spans.intersect(patch, self._select(chunk, dict.fromkeys(over, 0)))
            return spans.subtract(patch, extent.spans(chunk))

        return self._write(found, free, extent.body)

    def _give_away(self, extent: Extent, found: Iterable[tuple[int, Spans]]) -> Shaped:
        """Give the object's own voxels to the one that it lies in."""
        with self._table() as table:
            parent = table.parent(extent.body)
        return self._write(found, lambda chunk, patch: spans.intersect(patch, extent.of(chunk, {extent.body})), parent)

    def _write(self, found: Iterable[tuple[int, Spans]], chosen: Callable[[int, Spans], Spans], label: int) -> Shaped:
        """Stage a label where voxels were found and are chosen; the spans' values number the pieces."""
        patches: dict[int, list[Spans]] = defaultdict(list)
        numbered = np.zeros(0, bool)  # which numbers there are
        voxels, box = 0, None
        for chunk, patch in found:
            patch = chosen(chunk, patch)
            if not patch:
                continue
            grid = self._store.grid
            z0, z1, y0, y1, x0, x1 = patch.bounds(grid.chunks) or (0,) * 6
            bounds = Box((z0, y0, x0), (z1, y1, x1)).shift(grid.origin(chunk))
            box = bounds if box is None else box.union(bounds)
            voxels += patch.voxels
            most = int(patch.value.max())
            numbered = np.pad(numbered, (0, max(0, most + 1 - len(numbered))))
            numbered[patch.value] = True
            patches[chunk].append(Spans(patch.start, patch.stop, np.full(len(patch), label, np.uint64)))
        self._stage({chunk: layered(each) for chunk, each in patches.items()})
        return Shaped(voxels, box, int(np.count_nonzero(numbered)))


def _ndim(axis: int | None) -> int:
    """In how many dimensions is looked at; Invalid for an axis that there is not."""
    if axis is None:
        return 3
    checked_axis(axis)
    return 2


def _over(over: Iterable[int] | int | None) -> set[int] | None:
    return None if over is None else label_set(over)


def _distance(value: float) -> float:
    try:
        distance = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        distance = math.nan
    if not 0 <= distance <= FARTHEST:
        raise Invalid(f"a distance is a number from 0 to {FARTHEST:g}, not {value!r}")
    return distance


def _lengths(meta: Any, unit: str) -> tuple[float, float, float]:
    """The lengths of a voxel in a unit."""
    if unit == "voxel":
        return 1.0, 1.0, 1.0
    if not isinstance(unit, str) or unit not in POWERS:
        raise Invalid(f"unit must be voxel or one of {', '.join(UNITS)}, not {unit!r}")
    z, y, x = (length * 10.0 ** (POWERS[meta.unit] - POWERS[unit]) for length in meta.voxel_size)
    return z, y, x


def _slices(box: Box, axis: int, shape: Triple) -> Box:
    """The whole slices along an axis that a box touches."""
    start, stop = [0, 0, 0], list(shape)
    start[axis], stop[axis] = box.start[axis], box.stop[axis]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _places(slices: Iterable[int], count: int) -> list[int]:
    """Places of slices, ascending; Invalid unless something lies between them, OutOfBounds for those not there."""
    try:
        places = sorted({whole(place) for place in slices})
    except TypeError:
        raise Invalid(f"slices are whole numbers, two or more, not {slices!r}") from None
    for place in places:
        if not 0 <= place < count:
            raise OutOfBounds(f"slice {place} is not within the volume: 0 to {count - 1}")
    if len(places) < 2 or places[-1] - places[0] < len(places):
        raise Invalid(f"expected two slices or more, with others between them, found {places}", slices=places)
    return places
