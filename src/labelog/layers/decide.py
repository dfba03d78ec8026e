"""Which object each voxel is given to, decided from what the layers have there and from one rule: `trust`.

What a voxel lies in is a path, outermost first, such as cell 3, granule 17, its core. A stop on it is an `Object`,
which a layer gives, or a `Piece`: voxels of a class that no object stands for, to be cut into connected components.
The voxel becomes the last stop's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from labelog.errors import Invalid
from labelog.layers.joint import Row, Tally
from labelog.layers.nesting import Nesting

Trust = Literal["instance", "semantic"]


@dataclass(frozen=True)
class Object:
    """An object of a layer: the layer's name and the label it has there."""

    layer: str
    id: int


@dataclass(frozen=True)
class Piece:
    """Voxels of a class, in an object or in another piece, that are objects by their connected components."""

    cls: str
    around: Object | Piece | None


Stop = Object | Piece
Path = tuple[Stop, ...]


class Decision:
    """Classes of objects, and the path of each row of the count table.

    Parameters
    ----------
    layers : the layers of objects, outermost first; each name is a class.
    table : the rows that occur, and their voxels.
    trust : "instance": an object's voxels are the object's, whatever the semantic layer says; what that has where
        no object is given is given to what is around. "semantic": the class of each voxel is what that layer says.

    Attributes
    ----------
    classes : the class of each object. It is the class that most of its voxels have, where a core counts for the
        body it lies in. An object most of whose voxels have no class of its layer is of the layer's class.
    paths : where the voxels of each row belong; () is background.
    """

    def __init__(self, nesting: Nesting, layers: Sequence[str], table: Mapping[Row, Tally], trust: Trust) -> None:
        if trust not in get_args(Trust):
            raise Invalid(f"trust: expected {' or '.join(get_args(Trust))}; found {trust!r}")
        self.nesting, self.layers, self.trust = nesting, list(layers), trust
        self.classes = self._classes(table)
        self.paths = {row: self._path(row) for row in table}

    def objects(self, row: Row) -> list[Object]:
        """The objects that the layers have in a row, outermost first."""
        return [Object(layer, label) for layer, label in zip(self.layers, row[1:], strict=True) if label]

    def cls(self, stop: Stop) -> str:
        return stop.cls if isinstance(stop, Piece) else self.classes[stop]

    def semantic(self, row: Row) -> str | None:
        """The semantic class of a row; None if there is no such layer."""
        return None if row[0] is None else self.nesting.name(row[0])

    def vote(self, said: str, layer: str) -> str | None:
        """The class that an object of this layer has at a voxel said to be of class `said`, if it has any."""
        if said not in self.nesting:
            return None
        return next((cls for cls in self.nesting.chain(said) if self.nesting.is_a(cls, layer)), None)

    def around(self, path: Path, stop: Stop) -> Stop | None:
        """The nearest stop of the path before `stop` in which it may lie; the last before it if it may in none."""
        before = path[: path.index(stop)]
        cls = self.cls(stop)
        fitting = [other for other in before if self.nesting.may_lie(cls, self.cls(other))]
        return next(reversed(fitting or before), None)

    def _classes(self, table: Mapping[Row, Tally]) -> dict[Object, str]:
        votes: dict[Object, Counter[str]] = {}
        for row, tally in table.items():
            said = self.semantic(row)
            for given in self.objects(row):
                count = votes.setdefault(given, Counter())
                if said is None:
                    continue
                vote = self.vote(said, given.layer)
                if vote or self.trust == "instance":  # otherwise these voxels are not the object's
                    count[vote or said] += tally.voxels
        return {given: self._elected(given, count) for given, count in votes.items()}

    def _elected(self, given: Object, votes: Counter[str]) -> str:
        def standing(cls: str) -> tuple[int, bool, int]:
            known = cls in self.nesting
            own = known and self.nesting.is_a(cls, given.layer)
            return votes[cls], own, -self.nesting.id(cls) if known else 0

        best = max(votes, key=standing, default=given.layer)
        return best if best in self.nesting and self.nesting.is_a(best, given.layer) else given.layer

    def _path(self, row: Row) -> Path:
        objects, said = self.objects(row), self.semantic(row)
        if said is None:
            return tuple(objects)
        if row[0] == 0:
            return tuple(objects) if self.trust == "instance" else ()
        return self._by_instance(said, objects) if self.trust == "instance" else self._by_semantic(said, objects)

    def covered(self, cls: str) -> bool:
        """Whether a layer of objects is there for this class."""
        return any(self.nesting.is_a(cls, layer) for layer in self.layers)

    def _by_instance(self, said: str, rest: list[Object]) -> Path:
        """All objects; and among them pieces of classes that no layer but the semantic one has."""
        path: list[Stop] = []
        missing = False  # something that the voxel should lie in
        for cls in self.nesting.chain(said):
            found = [given for given in rest if self.nesting.is_a(cls, given.layer)]
            if found:
                taken = rest.index(found[-1]) + 1
                path, rest = [*path, *rest[:taken]], rest[taken:]
                continue
            taken = self._holders(cls, rest)
            path, rest = [*path, *rest[:taken]], rest[taken:]
            fits = self.nesting.may_lie(cls, self.cls(path[-1])) if path else not missing
            if fits and not self.covered(cls):
                path.append(Piece(cls, path[-1] if path else None))
            else:
                missing = True
        return (*path, *rest)

    def _by_semantic(self, said: str, rest: list[Object]) -> Path:
        """The objects whose class the semantic layer confirms, and pieces of the classes that none stands for."""
        path: list[Stop] = []
        for cls in self.nesting.chain(said):
            found = [given for given in rest if self.classes[given] == cls]
            if found:
                while path and isinstance(path[-1], Piece) and self.covered(path[-1].cls):
                    path.pop()  # an object that sticks out of its cell makes no cell
                path.append(found[-1])
                rest = rest[rest.index(found[-1]) + 1 :]
                continue
            path += rest[: self._holders(cls, rest)]
            path.append(Piece(cls, path[-1] if path else None))
        return tuple(path)

    def _holders(self, cls: str, rest: Sequence[Object]) -> int:
        """How many of the objects, outermost first, there are up to the last in which one of this class may lie."""
        fitting = [self.nesting.may_lie(cls, self.classes[given]) for given in rest]
        return len(rest) - fitting[::-1].index(True) if True in fitting else 0
