"""What may lie in what, and what is a kind of what: the questions that layers ask of the classes."""

from __future__ import annotations

from collections.abc import Iterable

from labelog.engine.classes import LabelClass, check_classes
from labelog.errors import Invalid


class Nesting:
    """Classes that are asked by name.

    `within` may leave a choice. Where nothing but a semantic class is known of a voxel, its objects are taken to lie
    in the first class named that has no kinds of its own: see `chain`.
    """

    def __init__(self, classes: Iterable[LabelClass]) -> None:
        self.classes = list(classes)
        check_classes(self.classes)
        self._by_name = {entry.name: entry for entry in self.classes}
        self._by_id = {entry.id: entry for entry in self.classes}
        self._with_kinds = {entry.kind_of for entry in self.classes if entry.kind_of}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def names(self) -> list[str]:
        return list(self._by_name)

    def id(self, name: str) -> int:
        return self._by_name[name].id

    def name(self, number: int) -> str | None:
        """The name of a semantic file's value; "background" for 0, None if no class has this id."""
        entry = self._by_id.get(number)
        return entry.name if entry else "background" if number == 0 else None

    def kinds(self, name: str) -> tuple[str, ...]:
        """The class, what it is a kind of, what that is a kind of, ..."""
        found: list[str] = []
        at: str | None = name
        while at is not None:
            found.append(at)
            at = self._by_name[at].kind_of
        return tuple(found)

    def is_a(self, name: str, kind: str) -> bool:
        return kind in self.kinds(name)

    def anywhere(self, name: str) -> bool:
        """Whether nothing is said about where its objects may lie."""
        return self._by_name[name].within is None

    def may_lie(self, name: str, around: str | None) -> bool:
        """Whether an object of this class may lie in one of class `around` (None: at the top level)."""
        within = self._by_name[name].within
        if within is None or around is None:
            return not within
        return any(kind in within for kind in self.kinds(around))

    def chain(self, name: str) -> tuple[str, ...]:
        """The classes that a voxel of this class lies in, outermost first: cell, dense granule body, its core."""
        chain, at = [name], self._by_name[name]
        while at.within:
            open_ = [other for other in at.within if other not in chain]
            if not open_:
                break
            around = next((other for other in open_ if other not in self._with_kinds), None)
            at = self._by_name[around or open_[0]]
            if around:
                chain.insert(0, around)
            elif at.within and all(other in chain for other in at.within):
                break
        return tuple(chain)

    def rank(self, name: str) -> int:
        """How deep objects of this class lie: 0 for cells."""
        return len(self.chain(name)) - 1

    def in_order(self, layers: Iterable[str]) -> list[str]:
        """Names of layers, those whose objects lie around others first. Invalid for what is not a class."""
        names = list(layers)
        for name in names:
            if name not in self or self.id(name) == 0:
                known = ", ".join(other for other in self._by_name if self.id(other))
                raise Invalid(f"layer {name!r}: expected semantic, image or a class; the classes are: {known}")
        return sorted(names, key=lambda name: (self.rank(name), len(self.kinds(name)), self.id(name)))
