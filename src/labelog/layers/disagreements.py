"""Where layers disagree, found from the count table: no voxel is looked at again."""

from __future__ import annotations

from collections.abc import Mapping

from labelog.layers.decide import Decision, Object, Path, Piece, Stop
from labelog.layers.joint import Row, Tally
from labelog.layers.pieces import Made, Owner, Pieces
from labelog.layers.report import Disagreement, Kind, in_order

Place = tuple[Kind, Object | None, str, str]
"""A kind of disagreement, the object it is about, what was found, and what was done."""


class Finder:
    """Names the disagreements of each row.

    Parameters
    ----------
    label, parent : of objects and of components made.
    colours : of objects, in their own files.
    """

    def __init__(
        self, decision: Decision, label: Mapping[Owner, int], parent: Mapping[Owner, Owner | None],
        colours: Mapping[Object, str],
    ) -> None:  # fmt: skip
        self.decision, self.label, self.parent, self.colours = decision, label, parent, colours
        self.nesting = decision.nesting

    def places(self, row: Row) -> list[Place]:
        """What the layers disagree about in a row."""
        path = self.decision.paths[row]
        places = [*self._of_class(row, path), *self._of_place(path)]
        lost = [given for given in self.decision.objects(row) if not self._shows(path, given)]
        if lost and not places:
            places.append(("hidden", lost[-1], self._leaf(path), f"now {self._leaf(path)}"))
        return places

    def all(self, table: Mapping[Row, Tally], pieces: Pieces) -> list[Disagreement]:
        """Every disagreement, with its voxels."""
        sums: dict[Place, Tally] = {}
        for row, tally in table.items():
            for place in self.places(row):
                sums[place] = sums[place] + tally if place in sums else tally
        found = [self._disagreement(place, tally) for place, tally in sums.items()]
        for part, made in pieces.made.items():
            around = self.parent[part]
            cls = None if around is None else self._cls(around, pieces)
            if not self.nesting.may_lie(made.cls, cls):
                found.append(self._homeless(self.label[part], made, around, cls))
        return in_order(found)

    def _of_class(self, row: Row, path: Path) -> list[Place]:
        """That the semantic layer has another class than the one the voxel is now of, or than an object it is not of.

        Blamed on the deepest object that is not what the semantic layer says; if all are, an object is missing.
        """
        said, objects = self.decision.semantic(row), self.decision.objects(row)
        if said is None:
            return []
        same = self.decision.cls(path[-1]) == said if path else row[0] == 0
        made = any(isinstance(stop, Piece) and self.decision.covered(stop.cls) for stop in path)
        if same and not made and all(given in path for given in objects):
            return []
        leaf = self._leaf(path)
        for given in reversed(objects):
            if self.decision.vote(said, given.layer) != self.decision.classes[given]:
                return [("class", given, said, "kept" if path and path[-1] == given else f"now {leaf}")]
        return [("no object", objects[-1] if objects else None, said, f"now {leaf}")]

    def _of_place(self, path: Path) -> list[Place]:
        """That an object lies in nothing it may lie in, or in something else than its parent."""
        places: list[Place] = []
        for stop in path:
            if not isinstance(stop, Object) or not self._has_around(stop):
                continue
            around, parent = self.decision.around(path, stop), self.parent[stop]
            done = "no parent" if parent is None else f"parent {self._name(parent)}"
            if around is None or not self.nesting.may_lie(self.decision.cls(stop), self.decision.cls(around)):
                found = "nothing around" if around is None else self._leaf((around,))
                places.append(("outside", stop, found, done))
            elif isinstance(around, Object) and around != parent:
                places.append(("across", stop, self._leaf((around,)), done))
        return places

    def _has_around(self, given: Object) -> bool:
        """Whether there is a layer whose objects it may lie in."""
        cls = self.decision.classes[given]
        names = [name for name in self.nesting.names() if not self.nesting.anywhere(cls)]
        return any(
            self.nesting.may_lie(cls, name) and self.nesting.is_a(name, layer)
            for name in names for layer in self.decision.layers
        )  # fmt: skip

    def _shows(self, path: Path, given: Object) -> bool:
        """Whether the voxels of a path are, in the volume, in this object."""
        stop = path[-1] if path else None
        while isinstance(stop, Piece):
            stop = stop.around
        owner: Owner | None = stop
        while owner is not None and owner != given:
            owner = self.parent[owner]
        return owner == given

    def _leaf(self, path: tuple[Stop, ...]) -> str:
        """What the voxels of a path are now, in words."""
        if not path:
            return "background"
        last = path[-1]
        return f"a new {last.cls}" if isinstance(last, Piece) else self._name(last)

    def _name(self, owner: Owner) -> str:
        return f"{owner.layer if isinstance(owner, Object) else 'new'} {self.label.get(owner, '(not there)')}"

    def _cls(self, owner: Owner, pieces: Pieces) -> str:
        return self.decision.classes[owner] if isinstance(owner, Object) else pieces.made[owner].cls

    def _disagreement(self, place: Place, tally: Tally) -> Disagreement:
        kind, given, found, done = place
        where = tally.voxels, tally.box, tally.first
        if given is None:
            return Disagreement(kind, "semantic", None, None, None, found, found, *where, done)
        label, colour, cls = self.label.get(given), self.colours.get(given), self.decision.classes[given]
        return Disagreement(kind, given.layer, given.id, label, colour, cls, found, *where, done)

    def _homeless(self, label: int, made: Made, around: Owner | None, cls: str | None) -> Disagreement:
        found = "nothing around" if around is None else f"{cls} {self.label[around]}"
        done = "no parent" if around is None else f"parent {self._name(around)}"
        where = made.extent.voxels, made.extent.box, made.extent.first
        return Disagreement("outside", "semantic", None, label, None, made.cls, found, *where, done)
