"""One object made several: by a mask, by spans or by seeds.

What is divided is the object's extent, its own voxels and those of all that lies in it. Its own voxels are written;
what lies in it keeps its voxels, and moves along if it is wholly in a new part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.engine.components import Components
from labelog.engine.table import Table
from labelog.errors import Invalid, OutOfBounds
from labelog.geometry import Box, Triple, whole
from labelog.kernels import components as kernel
from labelog.kernels import spans
from labelog.kernels.runs import Runs
from labelog.kernels.seeds import nearest_seed
from labelog.kernels.spans import Spans

if TYPE_CHECKING:
    from labelog.engine.store import Store

Parts = Callable[[int], Spans]
"""Of a chunk the voxels of new parts, with the number of each from 1 on; what stays is not among them."""


class Split(NamedTuple):
    """What became of an object.

    Attributes
    ----------
    labels : of the new objects, in the order of the parts.
    moved : objects that lay in it -> the new object that they lie in now.
    straddling : objects that lie in several parts at once; they stay with the old one.
    removed : voxels of components that were too small, and were given away.
    """

    labels: tuple[int, ...]
    moved: dict[int, int]
    straddling: tuple[int, ...]
    removed: int = 0


class Division(NamedTuple):
    """An object divided: what is to be written, and what becomes of what lies in it.

    Attributes
    ----------
    written : its own voxels in new parts, chunk by chunk, with the parts' numbers.
    within : objects that lie in it -> the new part that they are wholly in.
    straddling : objects that lie in several parts.
    stays : whether any voxel stays with the old one.
    """

    written: dict[int, Spans]
    within: dict[int, int]
    straddling: list[int]
    stays: bool


class Extent:
    """The voxels of an object and of all that lies in it.

    Parameters
    ----------
    chunk_runs : gives a chunk's labels as stored, with what is staged.
    bodies : gives the body of each entry of their palette.
    chunks : that it may lie in.
    """

    def __init__(self, store: Store, table: Table, body: int, chunks: Iterable[int],
                 chunk_runs: Callable[[int], Runs], bodies: Callable[[Runs], NDArray[np.uint64]]) -> None:  # fmt: skip
        self.grid = store.grid
        self.body = body
        self.children = {child: set(table.subtree(child)) for child in table.children(body)}
        self.chunks = sorted(chunks)
        self._all = np.array(sorted({body}.union(*self.children.values())), np.uint64)
        self._chunk_runs, self._bodies = chunk_runs, bodies

    def runs(self, chunk: int) -> Runs:
        """1 in the extent, 0 elsewhere."""
        runs = self._chunk_runs(chunk)
        return kernel.relabelled(runs, np.isin(self._bodies(runs), self._all).astype(np.uint64))

    def spans(self, chunk: int) -> Spans:
        """Its voxels."""
        runs = self.runs(chunk)
        return spans.select(runs, runs.palette == 1, runs.palette)

    def of(self, chunk: int, bodies: set[int]) -> Spans:
        """The voxels of some bodies."""
        runs = self._chunk_runs(chunk)
        chosen = np.isin(self._bodies(runs), np.array(sorted(bodies), np.uint64))
        return spans.select(runs, chosen, np.zeros(len(chosen), np.uint64))

    def components(self, connectivity: int) -> Components:
        return Components(self.runs, self.grid, connectivity=connectivity, chunks=self.chunks)

    def dense(self) -> tuple[Box, NDArray[np.uint8]]:
        """Its bounds, and 1 where it is within them."""
        box: Box | None = None
        for chunk in self.chunks:
            found = self._bounds(chunk)
            box = box.union(found) if box and found else box or found
        if box is None:
            raise Invalid(f"label {self.body} has no voxels")
        mask = np.zeros(box.shape, np.uint8)
        for chunk, part in self.grid.touching(box):
            if chunk in self.chunks:
                runs, start = self.runs(chunk), part.relative(self.grid.origin(chunk)).start
                runs.fill(mask[part.relative(box.start).slices()], start, runs.palette.astype(np.uint8))
        return box, mask

    def _bounds(self, chunk: int) -> Box | None:
        bounds = self.spans(chunk).bounds(self.grid.chunks)
        if bounds is None:
            return None
        z0, z1, y0, y1, x0, x1 = bounds
        return Box((z0, y0, x0), (z1, y1, x1)).shift(self.grid.origin(chunk))

    def divide(self, parts: Parts) -> Division:
        """Its own voxels, and the objects that lie in it, among new parts."""
        written = {}
        shares: dict[int, Counter[int]] = defaultdict(Counter)
        sizes: Counter[int] = Counter()
        own = taken = 0
        for chunk in self.chunks:
            new, mine = parts(chunk), self.of(chunk, {self.body})
            patch = spans.intersect(new, mine)
            own, taken = own + mine.voxels, taken + patch.voxels
            if patch:
                written[chunk] = patch
            for child, bodies in self.children.items():
                voxels = self.of(chunk, bodies)
                sizes[child] += voxels.voxels
                inside = spans.intersect(new, voxels)
                for part, count in zip(inside.value.tolist(), (inside.stop - inside.start).tolist(), strict=True):
                    shares[child][part] += count
        within = {child: part for child, counts in shares.items() for part, count in counts.items()
                  if count == sizes[child]}  # fmt: skip
        stays = taken < own or any(sizes[child] and child not in within for child in self.children)
        return Division(written, within, sorted(set(shares) - set(within)), stays)


def by_seeds(extent: Extent, groups: list[list[Triple]]) -> tuple[int, Parts]:
    """How many new parts, and where: each voxel goes to the group of seeds nearest to it inside the object."""
    box, mask = extent.dense()
    nearest = np.zeros(box.shape, np.int32)
    for number, group in enumerate(groups, 1):
        for point in group:
            z, y, x = (i - first for i, first in zip(point, box.start, strict=True))
            if not all(0 <= i < n for i, n in zip((z, y, x), box.shape, strict=True)) or not mask[z, y, x]:
                raise OutOfBounds(f"seed {point} is not in label {extent.body}", label=extent.body)
            if nearest[z, y, x] not in (0, number):
                raise Invalid(f"seed {point} is in two groups", label=extent.body)
            nearest[z, y, x] = number
    nearest_seed(mask, nearest)
    np.maximum(nearest, 1, out=nearest)
    nearest -= 1  # what no seed reaches stays, as what the first group reaches
    new = nearest.view(np.uint32)

    def parts(chunk: int) -> Spans:
        shared = extent.grid.box(chunk).intersect(box)
        if not shared.voxels:
            return spans.nothing()
        start = shared.relative(extent.grid.origin(chunk)).start
        found = spans.array_spans(extent.grid.chunks, start, new[shared.relative(box.start).slices()])
        kept = found.value != 0
        return Spans(found.start[kept], found.stop[kept], found.value[kept])

    return len(groups) - 1, parts


def checked_seeds(seeds: Iterable[Iterable[Iterable[int]]]) -> list[list[Triple]]:
    """Groups of voxels as callers give them, or Invalid."""
    try:
        groups = [[_voxel(*point) for point in group] for group in seeds]
    except TypeError:
        groups = []
    if len(groups) < 2 or not all(groups):
        raise Invalid("seeds are two or more groups of voxels (z, y, x); the first keeps the label")
    return groups


def _voxel(z: int, y: int, x: int) -> Triple:
    return whole(z), whole(y), whole(x)
