"""Objects made of pieces: what no layer gives an object for becomes one for each connected component.

Components are found rank by rank (cells, what lies in cells, what lies in that), as a body's component is all of the
granule, its core included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labelog.layers.components import Components
from labelog.layers.decide import Decision, Object, Path, Piece, Stop
from labelog.layers.joint import Joint, Slab, Tally


@dataclass(frozen=True)
class Part:
    """One component of a piece: its rank among classes, and its root there."""

    rank: int
    root: int


Owner = Object | Part
"""What gets a label."""


@dataclass
class Made:
    """A component that became an object: its class, the object it lies in, and its voxels with what lies in it."""

    cls: str
    parent: Owner | None
    extent: Tally


class Pieces:
    """The components of all pieces of a decision.

    Attributes
    ----------
    made : the objects that come of it, in the order of rank and first voxel. A component none of whose voxels is its
        own, such as the cell that an organelle in the open would have to lie in, is not made.
    votes : for each object given by a layer, its voxels in each component that it may lie in.
    """

    def __init__(self, joint: Joint, decision: Decision) -> None:
        self.joint, self.decision = joint, decision
        pieces = {stop: None for path in decision.paths.values() for stop in path if isinstance(stop, Piece)}
        self._pieces = list(pieces)
        self._numbers = {piece: number for number, piece in enumerate(self._pieces, 1)}
        self._ranks = {piece: decision.nesting.rank(piece.cls) for piece in self._pieces}
        self._found = {rank: Components() for rank in sorted(set(self._ranks.values()))}
        self._own: Counter[Part] = Counter()
        self._around: dict[Part, Part] = {}
        self.votes: dict[Object, Counter[Part]] = {}
        self.made: dict[Part, Made] = {}
        if pieces:
            for slab in joint.slabs():
                self._add(slab)
            self._finish()

    def labels(self, slab: Slab, label: Mapping[Owner, int]) -> NDArray[np.uint64]:
        """The slab's final labels (n, y, x), given those of objects and of components made."""
        rows, which = self.joint.rows(slab)
        paths = [self.decision.paths[row] for row in rows]
        given = [label[path[-1]] if path and isinstance(path[-1], Object) else 0 for path in paths]
        out = slab.spread(np.array(given, np.uint64)[which])
        for rank, components in self._found.items():
            if any(self._rank_of_last(path) == rank for path in paths):
                numbers = components.replay(slab.z, self._array(rank, slab, paths, which))
                own = slab.spread(np.array([self._rank_of_last(path) == rank for path in paths])[which])
                found, low = _counted(numbers[own])[0], int(numbers[own].min())
                table = np.zeros(found[-1] - low + 1, np.uint64)
                for number in found:
                    table[number - low] = label[Part(rank, components.root(number))]
                out[own] = table[numbers[own] - low]
        return out

    def _rank_of_last(self, path: Path) -> int | None:
        return self._ranks[path[-1]] if path and isinstance(path[-1], Piece) else None

    def _array(self, rank: int, slab: Slab, paths: list[Path], which: NDArray[np.intp]) -> NDArray[np.int32]:
        """Which piece of this rank each voxel lies in."""
        numbers = [
            next((self._numbers[s] for s in path if isinstance(s, Piece) and self._ranks[s] == rank), 0)
            for path in paths
        ]
        return slab.spread(np.array(numbers, np.int32)[which])

    def _add(self, slab: Slab) -> None:
        rows, which = self.joint.rows(slab)
        paths = [self.decision.paths[row] for row in rows]
        numbers = {
            rank: components.add(slab.z, self._array(rank, slab, paths, which))
            for rank, components in self._found.items()
        }
        for rank, array in numbers.items():
            own = slab.spread(np.array([self._rank_of_last(path) == rank for path in paths])[which])
            for number, voxels in zip(*_counted(array[own]), strict=True):
                self._own[Part(rank, number)] += voxels
        self._note_parents(slab.z, numbers)
        self._note_votes(slab, paths, which, numbers)

    def _note_parents(self, z: int, numbers: dict[int, NDArray[np.intp]]) -> None:
        """Of each component in another piece, which of that one's components it lies in: that of its first voxel."""
        for rank, array in numbers.items():
            components = self._found[rank]
            top = int(array.max())
            for number in range(int(array[array > 0].min()) if top else 1, top + 1):
                around = self._pieces[components.values[number - 1] - 1].around
                if isinstance(around, Piece):
                    first_z, y, x = components.tallies[number - 1].first
                    outer = self._ranks[around]
                    self._around[Part(rank, number)] = Part(outer, int(numbers[outer][first_z - z, y, x]))

    def _note_votes(
        self, slab: Slab, paths: list[Path], which: NDArray[np.intp], numbers: dict[int, NDArray[np.intp]]
    ) -> None:
        for index, path in enumerate(paths):
            for stop in path:
                around = self.decision.around(path, stop) if isinstance(stop, Object) else None
                if isinstance(stop, Object) and isinstance(around, Piece):
                    rank = self._ranks[around]
                    found = numbers[rank][slab.spread(which == index)]
                    votes = self.votes.setdefault(stop, Counter())
                    for number, voxels in zip(*_counted(found), strict=True):
                        votes[Part(rank, number)] += voxels

    def _finish(self) -> None:
        """Sum up what was noted of the parts of components in single slabs."""
        own: Counter[Part] = Counter()
        for part, voxels in self._own.items():
            own[self._root(part)] += voxels
        self._around = {self._root(part): self._root(around) for part, around in self._around.items()}
        for given, votes in self.votes.items():
            whole: Counter[Part] = Counter()
            for part, voxels in votes.items():
                whole[self._root(part)] += voxels
            self.votes[given] = Counter({part: voxels for part, voxels in whole.items() if own[part]})
        for rank, components in self._found.items():
            extents = {Part(rank, root): tally for root, tally in components.whole().items()}
            for part in sorted(extents, key=lambda part: extents[part].first):
                if own[part]:
                    piece = self._piece(part)
                    self.made[part] = Made(piece.cls, self._parent(part, own), extents[part])

    def _root(self, part: Part) -> Part:
        return Part(part.rank, self._found[part.rank].root(part.root))

    def _piece(self, part: Part) -> Piece:
        return self._pieces[self._found[part.rank].values[part.root - 1] - 1]

    def _parent(self, part: Part, own: Counter[Part]) -> Owner | None:
        """What it lies in; where that is a component that is not made, what that one lies in."""
        around: Stop | None = self._piece(part).around
        if not isinstance(around, Piece):
            return around
        outer = self._around[part]
        return outer if own[outer] else self._parent(outer, own)


def _counted(values: NDArray[np.intp]) -> tuple[list[int], list[int]]:
    """The distinct values and how often each is there; they are numbers of one slab, so not far apart."""
    if not values.size:
        return [], []
    low = values.min()
    counts = np.bincount(values - low)
    found = np.flatnonzero(counts)
    return (found + low).tolist(), counts[found].tolist()
