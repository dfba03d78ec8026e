"""Connected components of a stored volume, chunk by chunk.

Each chunk is labelled by itself. Of its components the extents are kept, and of its voxels those at its sides, until
the chunks beside it have been compared with them:

    +---+---+---+
    | 1 | 2 | 3 |      the sides of 1 to 4 are at hand when 5 is labelled;
    +---+---+---+      those of 1 (the last chunk beside it is 5) are then let go
    | 4 | 5 |   |
    +---+---+---+

So memory grows with components and with one layer's sides, not with voxels. Which voxels a component has is worked out
again, chunk by chunk, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.arrays.boxes import ahead
from labelog.engine.cache import ChunkCache
from labelog.geometry import MAX_AXIS, Box, Grid, Triple, reach
from labelog.indexing import Voxels
from labelog.kernels import components as kernel
from labelog.kernels import sides, spans
from labelog.kernels.forest import Forest
from labelog.kernels.runs import Runs
from labelog.progress import Progress

AHEAD = 8  # chunks that are labelled, or wait to be joined
KEPT = 2**26  # bytes of chunks' components that are kept, to be asked for

COLUMNS = ("component", "label", "voxels", "z0", "y0", "x0", "z1", "y1", "x1", "z", "y", "x")
"""Of the table of components: half-open bounds, and the first voxel."""

AFTER: list[Triple] = [  # where chunks lie that come later and touch one at a face, an edge or a corner
    (0, 0, 1), (0, 1, -1), (0, 1, 0), (0, 1, 1),
    (1, -1, -1), (1, -1, 0), (1, -1, 1), (1, 0, -1), (1, 0, 0), (1, 0, 1), (1, 1, -1), (1, 1, 0), (1, 1, 1),
]  # fmt: skip


class _Extents(NamedTuple):
    """What components are, an entry for each; of a chunk within it, the background among them."""

    label: NDArray[np.uint64]
    voxels: NDArray[np.uint64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    first: NDArray[np.int64]


class _Part(NamedTuple):
    """What a chunk has of the components."""

    extents: _Extents
    sides: dict[Triple, Runs]


class Components(Voxels):
    """The connected components of equal labels in a box of a volume, numbered from 1 in the order of first voxels.

    Array-like, read only: indexing gives the numbers of voxels, 0 where there is background or nothing was looked at.
    Get one from `Volume.components`, or of a snapshot or a view.

    Attributes
    ----------
    count : how many components there are.
    label, voxels : uint64, count + 1: the label of each and how many voxels it has. Entry 0 is the background: 0.
    start, stop : int64, (count + 1, 3): half-open bounds, z, y, x in the volume.
    first : int64, (count + 1, 3): the first voxel of each in C order, z, y, x in the volume.
    shape, dtype : of the volume, and the smallest that holds the numbers.

    Safe for several threads, if `chunk_runs` is.
    """

    def __init__(self, chunk_runs: Callable[[int], Runs], grid: Grid, box: Box | None = None, *,
                 labels: Iterable[int] | None = None, connectivity: int = 6, chunks: Iterable[int] | None = None,
                 pool: Executor | None = None, progress: Progress | None = None) -> None:  # fmt: skip
        """Find them.

        Parameters
        ----------
        chunk_runs : gives the labels of a chunk, the same each time.
        grid : the volume's chunks.
        box : voxels to look at, within the volume; all of them by default.
        labels : labels to look at, others count as background; all of them by default.
        connectivity : how many neighbours a voxel has: 6, 18 or 26.
        chunks : chunks to look at, others count as background; all that touch the box by default.
        pool : where chunks are labelled side by side; one after another if None.
        progress : called with chunks labelled, chunks in all. What it raises ends it.

        Raises Invalid for another connectivity, and what `chunk_runs` raises.
        """
        self._chunk_runs, self._grid = chunk_runs, grid
        self.shape = grid.shape
        self._box = Box((0, 0, 0), grid.shape) if box is None else box
        self._labels = None if labels is None else np.array(sorted(set(labels)), np.uint64)
        self._reach = reach(connectivity)
        self._near = [after for after in AFTER if _apart(after) <= self._reach]
        self._kept = ChunkCache(KEPT)
        within = [chunk for chunk, _ in grid.touching(self._box)] if chunks is None else sorted(set(chunks))
        self._find([chunk for chunk in within if grid.box(chunk).intersect(self._box).voxels], pool, progress)

    def box(self, number: int) -> Box:
        """The bounds of a component."""
        return Box(tuple(self.start[number].tolist()), tuple(self.stop[number].tolist()))

    def runs(self, chunk: int) -> Runs:
        """The components in a chunk: their numbers instead of labels."""
        numbers = self._numbers.get(chunk)
        if numbers is None:
            return Runs.full(self._grid.chunks, 0)
        local = self._kept.get(chunk, 0) or self._local(chunk)[0]
        return kernel.relabelled(local, numbers)

    def _fill(self, box: Box, out: NDArray[Any]) -> None:
        for chunk, start in self._grid.starts(box):
            runs = self.runs(chunk)
            runs.fill(out, start, runs.palette.astype(self.dtype))

    def _lookup(self, points: NDArray[np.int64]) -> NDArray[Any]:
        out = np.empty(len(points), self.dtype)
        for chunk, group, flat in self._grid.groups(points):
            out[group] = self.runs(chunk).at(flat)
        return out

    def table_rows(self) -> list[dict[str, int]]:
        """The components as rows of a table: see `COLUMNS`."""
        numbers = np.arange(1, self.count + 1)
        columns = [numbers, self.label[1:], self.voxels[1:], *self.start[1:].T, *self.stop[1:].T, *self.first[1:].T]
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def __repr__(self) -> str:
        z, y, x = self.shape
        return f"<{self.count} components in {z} x {y} x {x}>"

    # One chunk

    def _local(self, chunk: int) -> tuple[Runs, NDArray[np.uint64]]:
        """A chunk's own components, and the label of each."""
        runs = self._chunk_runs(chunk)
        if self._labels is not None and not (chosen := np.isin(runs.palette, self._labels)).all():
            runs = kernel.relabelled(runs, np.where(chosen, runs.palette, 0))
        whole = self._grid.box(chunk)
        inside = whole.intersect(self._box)
        if inside != whole:
            inside = inside.relative(whole.start)
            zeros = spans.box_spans(runs.shape, (0, 0, 0), runs.shape, 0)
            outside = spans.subtract(zeros, spans.box_spans(runs.shape, inside.start, inside.shape, 0))
            runs = spans.apply(runs, outside)
        return kernel.label_runs(runs, self._reach)

    def _part(self, chunk: int) -> _Part:
        runs, labels = self._local(chunk)
        self._kept.put(chunk, 0, runs)
        cuts = {side: sides.cut(runs, side) for after in self._near for side in (after, _opposite(after))}
        return _Part(_Extents(labels, *kernel.measure(runs)), cuts)

    # All of them

    def _find(self, chunks: list[int], pool: Executor | None, progress: Progress | None) -> None:
        """Label each chunk, join what meets at their sides, and number it all."""
        _, ny, nx = self._grid.counts
        base: dict[int, int] = {}  # chunk -> how many parts of components were found before it
        near: dict[int, _Part] = {}
        parts, found = [], 0
        pairs = [np.zeros((0, 2), np.int64)]
        with closing(ahead(pool, self._part, chunks, AHEAD)) as of_chunks:
            for chunk, part in zip(chunks, of_chunks, strict=True):
                for other, joined in self._meeting(chunk, part, near):
                    pairs.append(np.add(joined, (base[other] - 1, found - 1)))
                base[chunk], near[chunk] = found, part
                while (oldest := next(iter(near))) < chunk - (ny + 1) * nx:
                    del near[oldest]
                parts.append(part.extents)
                found += len(part.extents.label) - 1
                if progress is not None:
                    progress(len(base), len(chunks))
        forest = Forest(found)
        forest.union(*np.concatenate(pairs).T)
        numbers = self._number(self._placed(chunks, parts), forest.roots())
        cuts = np.split(numbers, list(base.values())[1:])
        self._numbers = {chunk: np.append(0, cut) for chunk, cut in zip(base, cuts, strict=False)}

    def _meeting(self, chunk: int, part: _Part, near: dict[int, _Part]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each chunk labelled before that lies beside one, and which of their components are one: pairs."""
        (z, y, x), (_, ny, nx) = self._grid.index(chunk), self._grid.counts
        for after in self._near:
            dz, dy, dx = after
            number = self._grid.number((z - dz, y - dy, x - dx))
            if number not in near or not (0 <= y - dy < ny and 0 <= x - dx < nx):
                continue
            other = near[number]
            planes = other.sides[after], part.sides[_opposite(after)]
            labels = other.extents.label, part.extents.label
            yield number, sides.touching(*planes, *labels, self._reach - _apart(after)).astype(np.int64)

    def _placed(self, chunks: list[int], parts: list[_Extents]) -> _Extents:
        """The components of all chunks, where they are in the volume, without the background."""
        corners = np.array([self._grid.origin(chunk) for chunk in chunks], np.int64).reshape(-1, 3)
        origins = np.repeat(corners, [len(part.label) - 1 for part in parts], axis=0)
        columns = zip(_nothing(), *parts, strict=True)
        label, voxels, start, stop, first = (np.concatenate([part[1:] for part in column]) for column in columns)
        return _Extents(label, voxels, start + origins, stop + origins, first + origins)

    def _number(self, parts: _Extents, roots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number the components, of which each part has a root, and put their parts' extents together.

        Gives the number of each part.
        """
        total = len(roots)
        order = np.lexsort(parts.first.T[::-1])
        rank = np.empty(total, np.int64)
        rank[order] = np.arange(total)
        least = np.full(total, total)
        np.minimum.at(least, roots, rank)
        leaders = np.sort(least[roots == np.arange(total)])  # ranks of the parts with components' first voxels
        numbers = np.searchsorted(leaders, least[roots]) + 1
        self.count = n = len(leaders)
        self.dtype = np.min_scalar_type(n)
        self.label = np.append(np.uint64(0), parts.label[order[leaders]])
        self.first = np.concatenate([np.zeros((1, 3), np.int64), parts.first[order[leaders]]])
        self.voxels = np.zeros(n + 1, np.uint64)
        np.add.at(self.voxels, numbers, parts.voxels)
        self.start, self.stop = np.full((n + 1, 3), MAX_AXIS, np.int64), np.zeros((n + 1, 3), np.int64)
        self.start[0] = 0
        np.minimum.at(self.start, numbers, parts.start)
        np.maximum.at(self.stop, numbers, parts.stop)
        return numbers


def _opposite(direction: Triple) -> Triple:
    z, y, x = direction
    return -z, -y, -x


def _apart(direction: Triple) -> int:
    """Along how many axes."""
    return sum(map(abs, direction))


def _nothing() -> _Extents:
    one, three = np.zeros(0, np.uint64), np.zeros((0, 3), np.int64)
    return _Extents(one, one, three, three, three)
