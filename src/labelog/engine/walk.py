"""What can be reached from a voxel through open voxels, box by box.

Each box that is met is divided into the connected components of its open voxels, once. From a component that was
reached the walk goes on to those beside it that it touches:

    +-------+-------+
    | 1 1 1 | 1 1   |      The walk begins in 1 of the left box. It reaches 1 of the right box, from there 2 of the
    |       |   1   |      left one, and from that 2 of the right one. Nothing leads to 3.
    | 2 2 2 | 1 1   |
    | 2     |     3 |
    | 2 2 2 | 2   3 |
    +-------+-------+

So a box is looked at once however often it is entered, boxes out of reach are never, and memory grows with runs and
components, not with voxels.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.errors import Invalid
from labelog.geometry import Box, Grid, Triple
from labelog.kernels import sides
from labelog.kernels.components import measure
from labelog.kernels.runs import Runs
from labelog.progress import Progress

Numbers = NDArray[np.int64]

DIRECTIONS: list[Triple] = [(z, y, x) for z, y, x in itertools.product((-1, 0, 1), repeat=3) if z or y or x]


class Part(NamedTuple):
    """A box that was met.

    Attributes
    ----------
    components : of its open voxels, numbered from 1; 0 elsewhere.
    reached : for each number, whether the walk came there.
    voxels : how many each number has.
    sides : the components at its face, edge or corner in each direction.
    """

    components: Runs
    reached: NDArray[np.bool_]
    voxels: NDArray[np.uint64]
    sides: dict[Triple, Runs]


class Walk:
    """The open voxels that hang together with one of them.

    Parameters
    ----------
    components : gives the connected components of a box's open voxels, as `label_runs` does for the same reach: runs
        with the palette 0, 1, ... n. What reaches over the grid is not open.
    grid : the boxes.
    seed : where to begin (z, y, x).
    reach : along how many axes voxels that touch may differ, 1 to 3.
    limit : how many voxels may be reached.
    pool : where boxes are divided side by side; one after another if None.
    progress : called with how many voxels were reached so far, and 0, as nobody knows how many there will be. What it
        raises ends the walk.

    Attributes
    ----------
    voxels : how many were reached; 0 if the seed is not open.
    parts : the boxes in which voxels were reached, ascending.

    Raises Invalid if more than `limit` are (its attributes `voxels` and `box` say how far it got), and what
    `components` raises.
    """

    def __init__(self, components: Callable[[int], Runs], grid: Grid, seed: Triple, *, reach: int = 1,
                 limit: int | None = None, pool: Executor | None = None,
                 progress: Progress | None = None) -> None:  # fmt: skip
        self._components, self._grid, self._reach = components, grid, reach
        self._limit, self._pool, self._progress = limit, pool, progress
        self._near = [direction for direction in DIRECTIONS if _apart(direction) <= reach]
        self.parts: dict[int, Part] = {}
        self._pairs: dict[tuple[int, int], Numbers] = {}
        self._whole: Part | None = None
        self.voxels = 0
        chunk, number = self._begin(seed)
        if number:
            self._go(chunk, number)
        self._pairs.clear()
        self.parts = self._reached()

    # One step after another

    def _begin(self, seed: Triple) -> tuple[int, int]:
        """The box and the component of the first voxel."""
        z, y, x = seed
        chunk, (z, y, x) = self._grid.starts(Box(seed, (z + 1, y + 1, x + 1)))[0]
        self._meet([chunk])
        runs = self.parts[chunk].components
        return chunk, int(runs.at(np.array([(z * runs.ny + y) * runs.nx + x]))[0])

    def _go(self, chunk: int, number: int) -> None:
        """From what was reached last to what it touches, until nothing is new."""
        last = {chunk: self._take(chunk, np.array([number]))}
        while last:
            steps = [step for chunk, numbers in last.items() for step in self._steps(chunk, numbers)]
            self._meet({near for _, _, near in steps if near not in self.parts})
            found: dict[int, list[Numbers]] = defaultdict(list)
            for chunk, direction, near in steps:
                pairs = self._touching(chunk, direction, near)
                found[near].append(self._take(near, pairs[np.isin(pairs[:, 0], last[chunk]), 1]))
            last = {chunk: new for chunk, each in found.items() if len(new := np.concatenate(each))}

    def _steps(self, chunk: int, numbers: Numbers) -> Iterator[tuple[int, Triple, int]]:
        """Where components of a box lie at its sides: the box, the direction, and the box there."""
        counts = self._grid.counts
        for direction, side in self.parts[chunk].sides.items():
            z, y, x = (i + d for i, d in zip(self._grid.index(chunk), direction, strict=True))
            there = 0 <= z < counts[0] and 0 <= y < counts[1] and 0 <= x < counts[2]
            if there and np.isin(side.palette, numbers).any():
                yield chunk, direction, self._grid.number((z, y, x))

    def _take(self, chunk: int, numbers: Numbers) -> Numbers:
        """Count components as reached; those that were not before."""
        part = self.parts[chunk]
        new = np.unique(numbers[~part.reached[numbers]])
        part.reached[new] = True
        self.voxels += int(part.voxels[new].sum())
        if self._limit is not None and self.voxels > self._limit:
            box = self._box()
            raise Invalid(f"more than {self._limit} voxels would be filled: {self.voxels} were found within {box}, and "
                          "there may be more; nothing was changed",
                          limit=self._limit, voxels=self.voxels, box=box)  # fmt: skip
        return new

    def _touching(self, chunk: int, direction: Triple, near: int) -> Numbers:
        """The components of a box and of the one in a direction that touch: pairs."""
        key = min(chunk, near), max(chunk, near)
        if key not in self._pairs:
            z, y, x = direction
            a, b = self.parts[chunk].sides[direction], self.parts[near].sides[-z, -y, -x]
            first, second = (a, b) if chunk < near else (b, a)
            is_open = [(side.palette != 0).astype(np.uint64) for side in (first, second)]
            found = sides.touching(first, second, is_open[0], is_open[1], self._reach - _apart(direction))
            self._pairs[key] = found.astype(np.int64)
        return self._pairs[key][:, :: 1 if chunk < near else -1]

    def _reached(self) -> dict[int, Part]:
        return {chunk: part for chunk, part in sorted(self.parts.items()) if part.reached.any()}

    def _box(self) -> Box:
        """The bounds of what was reached."""
        found = []
        for chunk, part in self._reached().items():
            _, start, stop, _ = measure(part.components)
            low, high = start[part.reached].min(axis=0).tolist(), stop[part.reached].max(axis=0).tolist()
            found.append(Box(tuple(low), tuple(high)).shift(self._grid.origin(chunk)))
        return reduce(Box.union, found)

    # Boxes

    def _meet(self, chunks: Iterable[int]) -> None:
        fresh = sorted(chunks)
        pool = self._pool if len(fresh) > 1 else None
        for chunk, part in zip(fresh, pool.map(self._part, fresh) if pool else map(self._part, fresh), strict=True):
            self.parts[chunk] = part
            if self._progress is not None:
                self._progress(self.voxels, 0)

    def _part(self, chunk: int) -> Part:
        runs = self._components(chunk)
        open_everywhere = len(runs.ends) == runs.nz * runs.ny and bool(runs.index.all())
        if open_everywhere and self._whole and self._whole.components.shape == runs.shape:
            return self._whole._replace(reached=np.zeros(2, bool))
        cuts = {direction: sides.cut(runs, direction).compacted() for direction in self._near}
        part = Part(runs, np.zeros(len(runs.palette), bool), runs.counts(), cuts)
        if open_everywhere:
            self._whole = part
        return part


def _apart(direction: Triple) -> int:
    """Along how many axes."""
    return sum(map(abs, direction))
