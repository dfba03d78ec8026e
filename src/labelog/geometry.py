"""Where voxels are: boxes, the grid of chunks, and scales. Axes are always z, y, x."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid

Triple = tuple[int, int, int]
Lengths = tuple[float, float, float]

MAX_CHUNK = 2**27
"""Most voxels a chunk may have: it is read, changed and written whole."""

MAX_CHUNKS = 2**40
"""Most chunks a volume may have."""

MAX_AXIS = 2**31 - 1


class Box(NamedTuple):
    """Half-open voxel bounds: start (z, y, x) is in, stop (z, y, x) is not."""

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        (z0, y0, x0), (z1, y1, x1) = self
        return max(0, z1 - z0), max(0, y1 - y0), max(0, x1 - x0)

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)

    def intersect(self, other: Box) -> Box:
        """The voxels in both; a box without voxels where there are none."""
        start = tuple(max(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(s, min(a, b)) for s, a, b in zip(start, self.stop, other.stop, strict=True))
        return Box(start, stop)  # type: ignore[arg-type]

    def union(self, other: Box) -> Box:
        """The smallest box that holds both."""
        start = tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Box(start, stop)  # type: ignore[arg-type]

    def shift(self, by: Triple) -> Box:
        (z0, y0, x0), (z1, y1, x1), (z, y, x) = self.start, self.stop, by
        return Box((z0 + z, y0 + y, x0 + x), (z1 + z, y1 + y, x1 + x))

    def relative(self, to: Triple) -> Box:
        """The same voxels counted from another first voxel."""
        return self.shift((-to[0], -to[1], -to[2]))

    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing an array."""
        (z0, y0, x0), (z1, y1, x1) = self
        return slice(z0, z1), slice(y0, y1), slice(x0, x1)

    def __str__(self) -> str:
        return ", ".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Grid:
    """A volume of `shape` voxels cut into chunks of `chunks` voxels, numbered in C order.

    Chunks at the far faces reach over them; what lies outside is 0.
    """

    shape: Triple
    chunks: Triple

    @classmethod
    def of(cls, shape: object, chunks: object) -> Self:
        """A checked grid. Raises Invalid for anything but three whole numbers of at least 1, each within limits."""
        grid = cls(triple("shape", shape), triple("chunks", chunks))
        if math.prod(grid.chunks) > MAX_CHUNK:
            raise Invalid(f"a chunk may have at most {MAX_CHUNK} voxels, not {grid.chunks}")
        if math.prod(grid.counts) > MAX_CHUNKS:
            raise Invalid(f"a volume may have at most {MAX_CHUNKS} chunks, not {grid.counts} of {grid.chunks}")
        return grid

    @cached_property
    def counts(self) -> Triple:
        """Chunks along each axis."""
        z, y, x = (-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))
        return z, y, x

    def index(self, chunk: int) -> Triple:
        """The place of a chunk in the grid."""
        _, ny, nx = self.counts
        return chunk // (ny * nx), chunk // nx % ny, chunk % nx

    def number(self, index: Triple) -> int:
        _, ny, nx = self.counts
        return (index[0] * ny + index[1]) * nx + index[2]

    def origin(self, chunk: int) -> Triple:
        """A chunk's first voxel."""
        (z, y, x), (cz, cy, cx) = self.index(chunk), self.chunks
        return z * cz, y * cy, x * cx

    def box(self, chunk: int) -> Box:
        """A chunk's voxels within the volume."""
        return self._clipped(self.origin(chunk))

    def _clipped(self, start: Triple) -> Box:
        z, y, x = (min(a + c, n) for a, c, n in zip(start, self.chunks, self.shape, strict=True))
        return Box(start, (z, y, x))

    def numbers(self, box: Box) -> list[int]:
        """The chunks that a box within the volume touches."""
        return [chunk for chunk, _ in self.starts(box)]

    def starts(self, box: Box) -> list[tuple[int, Triple]]:
        """Each chunk that a box within the volume touches, and where the box's first voxel is, counted from its own."""
        (z, y, x), (cz, cy, cx), (_, ny, nx) = box.start, self.chunks, self.counts
        zs, ys, xs = (
            range(a // c, -(-b // c)) if b > a else range(0) for a, b, c in zip(*box, self.chunks, strict=True)
        )
        return [((kz * ny + ky) * nx + kx, (z - kz * cz, y - ky * cy, x - kx * cx))
                for kz in zs for ky in ys for kx in xs]  # fmt: skip

    def touching(self, box: Box) -> Iterator[tuple[int, Box]]:
        """Each chunk that a box within the volume touches, and the voxels that they share."""
        zs, ys, xs = (_pieces(a, b, c) for a, b, c in zip(*box, self.chunks, strict=True))
        _, ny, nx = self.counts
        for kz, z0, z1 in zs:
            for ky, y0, y1 in ys:
                row = (kz * ny + ky) * nx
                for kx, x0, x1 in xs:
                    yield row + kx, Box((z0, y0, x0), (z1, y1, x1))

    def groups(self, points: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.int64]]]:
        """Voxels (n, 3) chunk by chunk: the chunk, which of them lie in it, and their flat places in there."""
        index, local = np.divmod(points, np.array(self.chunks))
        number = np.ravel_multi_index(tuple(index.T), self.counts) if len(points) else np.zeros(0, np.int64)
        flat = (local[:, 0] * self.chunks[1] + local[:, 1]) * self.chunks[2] + local[:, 2]
        order = np.argsort(number, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
            if len(group):
                yield int(number[group[0]]), group, np.ascontiguousarray(flat[group])


def _pieces(start: int, stop: int, length: int) -> list[tuple[int, int, int]]:
    """An interval cut at the multiples of a length: which piece of the axis, and its bounds."""
    if stop <= start:
        return []
    return [
        (k, max(start, k * length), min(stop, (k + 1) * length)) for k in range(start // length, -(-stop // length))
    ]


def next_factors(shape: Triple, voxel_size: Lengths) -> Triple:
    """By what z, y and x shrink to the next scale: 2 for the axes with the finest voxels, so that these become cubes.

    Axes within a factor of sqrt(2) of the finest count as finest, which brings them as close as powers of 2 can.
    """
    finest = min((size for size, n in zip(voxel_size, shape, strict=True) if n > 1), default=0.0)
    z, y, x = (2 if n > 1 and size <= finest * math.sqrt(2) else 1 for size, n in zip(voxel_size, shape, strict=True))
    return z, y, x


@dataclass(frozen=True)
class Scale:
    """One resolution of a volume.

    Attributes
    ----------
    number : 0 is the finest.
    grid : its voxels and chunks; a chunk has as many voxels as one of the finest.
    voxel_size : along z, y, x.
    steps : how many voxels of the next finer scale one of its voxels spans along z, y, x: 1 or 2.
    factors : how many voxels of the finest.
    """

    number: int
    grid: Grid
    voxel_size: Lengths
    steps: Triple = (1, 1, 1)
    factors: Triple = (1, 1, 1)

    def coarser(self) -> Scale | None:
        """The next scale; None once no axis is longer than the longest of a chunk, or no voxels are left to join."""
        steps = next_factors(self.grid.shape, self.voxel_size)
        if max(self.grid.shape) <= max(self.grid.chunks) or max(steps) == 1:
            return None
        (a, b, c), (z, y, x), (dz, dy, dx), (fz, fy, fx) = self.voxel_size, self.grid.shape, steps, self.factors
        grid = Grid((-(-z // dz), -(-y // dy), -(-x // dx)), self.grid.chunks)
        size = (a * dz, b * dy, c * dx)
        return Scale(self.number + 1, grid, size, steps, (fz * dz, fy * dy, fx * dx))


def scales(grid: Grid, voxel_size: Lengths) -> tuple[Scale, ...]:
    """The scales of a volume, finest first."""
    found = [Scale(0, grid, voxel_size)]
    while (scale := found[-1].coarser()) is not None:
        found.append(scale)
    return tuple(found)


REACHES = {1: {2: 1}, 2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}
"""For each number of dimensions: how many neighbours a voxel has -> along how many axes they may differ at once."""


def reach(connectivity: object, ndim: int = 3) -> int:
    """Along how many axes neighbours may differ at once. Raises Invalid for a connectivity that there is not."""
    known = REACHES[ndim]
    try:
        return known[whole(connectivity)]
    except (KeyError, TypeError):
        names = " or ".join(map(str, known))
        raise Invalid(f"the connectivity in {ndim} dimensions must be {names}, not {connectivity!r}") from None


def checked_axis(axis: object) -> int:
    """0, 1 or 2 for z, y or x, or Invalid."""
    try:
        return (0, 1, 2).index(whole(axis))
    except (TypeError, ValueError):
        raise Invalid(f"an axis is 0, 1 or 2 (z, y, x), not {axis!r}") from None


def triple(name: str, value: object) -> Triple:
    """Three whole numbers of at least 1, or Invalid."""
    try:
        numbers = [whole(n) for n in value]  # type: ignore[attr-defined]
    except TypeError:
        numbers = []
    if len(numbers) != 3 or not all(1 <= n <= MAX_AXIS for n in numbers):
        raise Invalid(f"{name} must be three whole numbers (z, y, x) of 1 to {MAX_AXIS}, not {value!r}")
    return numbers[0], numbers[1], numbers[2]


def whole(value: object) -> int:
    """An int from anything that is a whole number by type; TypeError otherwise (bool is not a number here)."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"expected a whole number, found {value!r}")
    return int(value.__index__())
