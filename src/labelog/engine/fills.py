"""Flood fill of a volume: what hangs together with a voxel, by label and, if wanted, by the image under it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from labelog import indexing
from labelog.engine import drawing
from labelog.engine.change import Patches, measure
from labelog.engine.values import checked_count, label_set
from labelog.engine.views import LabelMap
from labelog.engine.walk import Walk
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Box, Grid, Triple, checked_axis, reach, whole
from labelog.image import Image
from labelog.kernels import spans
from labelog.kernels.components import label_runs
from labelog.kernels.fill import opened
from labelog.kernels.runs import Runs
from labelog.progress import Progress

if TYPE_CHECKING:
    from labelog.engine.store import Store


class Limits(TypedDict, total=False):
    """How far a fill goes, as callers say it: see `Edit.fill`."""

    connectivity: int | None
    within: Box | tuple[Triple, Triple] | None
    axis: int | None
    limit: int | None
    over: Iterable[int] | int | None
    tolerance: float | None
    between: tuple[float, float] | None


class Rule(NamedTuple):
    """The same, checked."""

    seed: Triple
    box: Box
    reach: int
    limit: int | None
    over: tuple[int, ...] | None
    tolerance: float | None
    between: tuple[float, float] | None

    @classmethod
    def of(cls, shape: Triple, seed: Iterable[int], *, connectivity: int | None = None,
           within: Box | tuple[Triple, Triple] | None = None, axis: int | None = None, limit: int | None = None,
           over: Iterable[int] | int | None = None, tolerance: float | None = None,
           between: tuple[float, float] | None = None) -> Self:  # fmt: skip
        """A rule for a volume of this shape. Errors are those of `Edit.fill`."""
        first = _voxel(seed, shape)
        far = reach((6 if axis is None else 4) if connectivity is None else connectivity, 3 if axis is None else 2)
        if tolerance is not None and _number("tolerance", tolerance) < 0:
            raise Invalid(f"the tolerance of a fill is a number from 0 on, not {tolerance!r}")
        if tolerance is not None and between is not None:
            raise Invalid("a fill goes by a tolerance, or between two values, not both")
        return cls(first, _box(first, axis, within, shape), far,
                   None if limit is None else checked_count("limit", limit, least=1),
                   None if over is None else tuple(sorted(label_set(over))),
                   None if tolerance is None else _number("tolerance", tolerance),
                   None if between is None else _pair(between))  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a fill takes place: labels, what they are in a view, and the image under them, opened if it is needed."""

    store: Store
    chunk_runs: Callable[[int], Runs]
    view: LabelMap
    image: Callable[[], Image]

    def at(self, voxel: Triple) -> int:
        """What a voxel is in the view."""
        return int(self.store.lookup(self.store.grid, np.array([voxel]), self.chunk_runs, self.view)[0])

    def nothing(self) -> Filled:
        """No voxels."""
        return Filled(0, None, {}, self.store.grid)


@dataclass(frozen=True)
class Filled:
    """What a fill takes.

    Attributes
    ----------
    voxels : how many.
    box : their bounds; None if there are none.
    """

    voxels: int
    box: Box | None
    patches: Patches = field(repr=False)
    grid: Grid = field(repr=False)

    @property
    def spans(self) -> NDArray[np.int64]:
        """The voxels as rows of z, y, x0, x1 (n, 4), in C order, as `Edit.paint` takes them. Made when asked for."""
        return drawing.label_rows(self.grid, self.patches).rows


def needless(source: Source, rule: Rule, label: int) -> bool:
    """Whether all that might be filled has the label already."""
    there = source.at(rule.seed)
    return (source.view.name in ("instance", "fragment") and rule.over in (None, (there,))
            and source.view.each([label]) == [there])  # fmt: skip


def filled(source: Source, rule: Rule, value: int = 1, progress: Progress | None = None) -> Filled:
    """What hangs together with a voxel; its patches have this value. Errors are those of `Edit.fill`."""
    store = source.store
    chosen, grey = _chosen(source, rule), _grey(source, rule)

    def components(chunk: int) -> Runs:
        return label_runs(_open(source, chunk, rule.box, chosen, grey), rule.reach)[0]

    pool = store.pool if store.threads > 1 else None
    walk = Walk(components, store.grid, rule.seed, reach=rule.reach, limit=rule.limit, pool=pool, progress=progress)
    patches: Patches = {}
    for chunk in list(walk.parts):
        part = walk.parts.pop(chunk)
        patches[chunk] = spans.select(part.components, part.reached, np.full(len(part.reached), value, np.uint64))
    return Filled(*measure(store, patches), patches, store.grid)


def _open(source: Source, chunk: int, box: Box, chosen: NDArray[np.uint64], grey: Grey | None) -> Runs:
    """1 where voxels of a chunk may be filled."""
    grid = source.store.grid
    part = grid.box(chunk).intersect(box)
    if not part.voxels:
        return Runs.full(grid.chunks, 0)
    runs = source.chunk_runs(chunk)
    start = part.relative(grid.origin(chunk)).start
    found = opened(runs, np.isin(source.view.values(runs).astype(np.uint64), chosen), start, part.shape)
    if grey is None or not found.index.any():
        return found
    inside = spans.mask_spans(runs.shape, start, grey.mask(part).view(np.uint8), 1)
    return spans.apply(Runs.full(runs.shape, 0), spans.intersect(spans.select(found, (False, True), (0, 1)), inside))


def _chosen(source: Source, rule: Rule) -> NDArray[np.uint64]:
    """The values in the view that may be filled."""
    there = source.at(rule.seed)
    values = (there,) if rule.over is None else rule.over
    if there not in values:
        raise Invalid(f"the seed {rule.seed} is {there} in view {source.view.name}, which is not among what shall be "
                      f"filled: {', '.join(map(str, values)) or 'nothing'}")  # fmt: skip
    return np.array(values, np.uint64)


# The image


class Grey(NamedTuple):
    """What an image has between two values, both included; beside floats these are rounded to the image's dtype."""

    image: Image
    low: float
    high: float

    def mask(self, box: Box) -> NDArray[np.bool_]:
        voxels = self.image.read(box)
        with np.errstate(over="ignore"):  # a bound beyond the dtype's highest is infinite
            found: NDArray[np.bool_] = (voxels >= self.low) & (voxels <= self.high)
        return found


def _grey(source: Source, rule: Rule) -> Grey | None:
    if rule.tolerance is None and rule.between is None:
        return None
    image = source.image()
    there: Any = image[rule.seed].item()
    low, high = _bounds(rule, there)
    if not low <= there <= high:
        low, high = rule.between or (low, high)
        raise Invalid(f"the image is {there} at the seed {rule.seed}, which is not from {low} to {high}")
    return Grey(image, low, high)


def _bounds(rule: Rule, there: Any) -> tuple[Any, Any]:
    """The least and the most that the image may have; whole numbers beside whole ones, of which floats miss some."""
    most = rule.tolerance or 0
    low, high = rule.between or (-most, most)
    if isinstance(there, int):
        low, high = (rounded(value) if math.isfinite(value) else value
                     for rounded, value in ((math.ceil, low), (math.floor, high)))  # fmt: skip
    return (low, high) if rule.between else (there + low, there + high)


# What callers give


def _voxel(seed: Iterable[int], shape: Triple) -> Triple:
    try:
        z, y, x = (whole(n) for n in seed)
    except (TypeError, ValueError):
        raise Invalid(f"the seed of a fill is a voxel (z, y, x), not {seed!r}") from None
    if not all(0 <= i < n for i, n in zip((z, y, x), shape, strict=True)):
        raise OutOfBounds(f"the seed {(z, y, x)} is not within the volume's {Box((0, 0, 0), shape)}")
    return z, y, x


def _box(seed: Triple, axis: int | None, within: Box | tuple[Triple, Triple] | None, shape: Triple) -> Box:
    """Where to fill."""
    box = Box((0, 0, 0), shape) if within is None else indexing.within(within, shape)
    if axis is not None:
        axis = checked_axis(axis)
        start, stop = [0, 0, 0], list(shape)
        start[axis], stop[axis] = seed[axis], seed[axis] + 1
        box = box.intersect(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))
    if not all(a <= i < b for a, i, b in zip(box.start, seed, box.stop, strict=True)):
        raise OutOfBounds(f"the seed {seed} is not within {box}, where it shall be filled", box=box)
    return box


def _number(name: str, value: Any) -> float:
    """A plain number, which NaN is not, or Invalid."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or math.isnan(plain):
        raise Invalid(f"the {name} of a fill is a number, not {value!r}")
    return plain


def _pair(between: Any) -> tuple[float, float]:
    try:
        low, high = (_number("range", value) for value in between)
    except (TypeError, ValueError):
        low, high = 1, 0
    if low > high:
        raise Invalid(f"a fill goes between two numbers, the lower one first, not {between!r}")
    return low, high
