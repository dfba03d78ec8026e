"""The part of `Edit` that makes objects of connected components.

Objects lie in one another, so the extents of some contain those of others, and one walk over components sees either the
one or the other. So objects are taken depth by depth, the innermost first:

    cell          depth 0      walked last: the mitochondrion counts as cell
      mitochondrion     1      walked first: the cell around it counts as background
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.engine.change import Patches
from labelog.engine.components import Components
from labelog.engine.naming import MADE, Naming
from labelog.engine.splitting import Split
from labelog.engine.table import Table
from labelog.engine.values import checked_count, checked_object, label_set
from labelog.engine.views import LabelMap, seen_runs
from labelog.geometry import Triple, reach
from labelog.kernels import spans
from labelog.kernels.overlap import overlap_runs
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans
from labelog.storage.journal import CLASS, LISTED, PARENT, Key, Space, Value

ORIGIN: Triple = (0, 0, 0)


class _Found(NamedTuple):
    """What a chunk has of components that change."""

    chunk: int
    patch: Spans  # own voxels of objects in components that change, with the components' numbers
    pairs: set[tuple[int, int]]  # components, also those that stay, and the bodies that have voxels in them


class Separating(Naming):
    """Stages components as objects. `Edit` is one."""

    _staged: dict[int, list[Spans]]

    @property
    def _map(self) -> LabelMap:
        raise NotImplementedError

    def _runs(self, chunk: int) -> Runs:
        raise NotImplementedError

    def _stage(self, patches: Patches) -> None:
        raise NotImplementedError

    def _chunks(self, table: Table, bodies: Iterable[int]) -> set[int]:
        raise NotImplementedError

    def separate(self, labels: Iterable[int] | int | None = None, connectivity: int = 6, *,
                 cls: str | int | None = None, below: int = 0) -> Split:  # fmt: skip
        """Make an object of each connected component of objects, and remove small ones.

        Of each object the largest component keeps the label, of equal ones that with the first voxel. The others get
        new labels, of the same class and parent; what lies in the object moves along if it is wholly in one of them. A
        component of which only objects have voxels that are in others too makes none: separate those. Nothing happens
        to an object that is connected and large enough.

        Parameters
        ----------
        labels : the objects; all by default. Of merged ones the body.
        connectivity : how many neighbours a voxel has: 6 (at its faces), 18 (and edges) or 26 (and corners).
        cls : only those of this class, by name or id, or of a kind of it.
        below : components of fewer voxels, also the largest, go to the object that theirs lies in, or else to the
            background. What lies in the object counts with it, and keeps its voxels.

        Returns `Split`. `Volume.components` lists components beforehand, and changes nothing. Raises NotFound for a
        label or a class that is not there, Invalid for a connectivity or size that is none; then nothing is staged.
        """
        self._mine()
        near = reach(connectivity)
        least = checked_count("below", below)
        chosen, chunks = self._chosen(labels, cls)
        called = None if labels is None else sorted(map(self._called, label_set(labels)))
        self._asked("separate", called, cls, near, least)
        family = self._family(chosen, sorted(chunks))
        done = [self._separate(family, depth, connectivity, least) for depth in reversed(range(family.depth))]
        return Split(
            tuple(label for part in done for label in part.labels),
            {child: label for part in done for child, label in part.moved.items()},
            tuple(child for part in done for child in part.straddling),
            sum(part.removed for part in done),
        )

    def _chosen(self, labels: Iterable[int] | int | None, cls: str | int | None) -> tuple[set[int] | None, set[int]]:
        """The bodies that are meant, None for all, and the chunks that they may be in."""
        named = None if labels is None else {checked_object(label) for label in label_set(labels)}
        if named:
            self._listed(*named)
        if named is None and cls is None:
            with self._store.journal.reading() as journal:
                return None, {*journal.chunks(), *self._staged}
        with self._table() as table:
            chosen = None if named is None else {table.body(label) for label in named}
            if cls is not None:
                kinds = table.kinds(table.class_id(cls))
                of_class = {label for kind in kinds for label in table.subjects(Space.LABEL, CLASS, kind)}
                chosen = of_class if chosen is None else chosen & of_class
            return chosen, self._chunks(table, chosen or ())

    def _family(self, chosen: set[int] | None, chunks: list[int]) -> _Family:
        voxels = len(chunks) * int(np.prod(self._store.grid.chunks))
        met: set[int] = set()
        for bodies in self._store.mapped(lambda chunk: self._map.values(self._runs(chunk)).tolist(), chunks, voxels):
            met.update(bodies)
        with self._table() as table:
            return _Family(table, met - {0}, chosen, chunks)

    def _separate(self, family: _Family, depth: int, connectivity: int, below: int) -> Split:
        """Separate the chosen objects at a depth."""
        grid, owner = self._store.grid, family.owners(depth)
        voxels = len(family.chunks) * int(np.prod(grid.chunks))

        def seen(chunk: int) -> Runs:
            runs = self._runs(chunk)
            return seen_runs(runs, family.values(owner, self._map.values(runs)))

        found = Components(seen, grid, connectivity=connectivity, chunks=family.chunks,
                           pool=self._store.pool_for(voxels))  # fmt: skip
        fresh, gone = _fates(found, below)
        changes = fresh | gone
        looked = np.isin(found.label, found.label[changes])

        def look(chunk: int) -> _Found | None:
            parts = found.runs(chunk)
            numbers = parts.palette.astype(np.int64)
            if not looked[numbers].any():
                return None
            runs = self._runs(chunk)
            bodies = self._map.values(runs)
            own = spans.select(runs, (family.values(owner, bodies) == bodies) & (bodies != 0), bodies)
            patch = spans.intersect(spans.select(parts, changes[numbers], parts.palette), own)
            there, over, _ = overlap_runs(parts, runs, ORIGIN, ORIGIN, grid.chunks)
            pairs = zip(numbers[there].tolist(), bodies[over].tolist(), strict=True)
            return _Found(chunk, patch, {pair for pair in pairs if looked[pair[0]]})

        if not changes.any():
            return Split((), {}, ())
        parts = [part for part in self._store.mapped(look, family.chunks, voxels) if part is not None]
        return self._make(family, owner, found.label, fresh, parts)

    def _make(self, family: _Family, owner: dict[int, int], label: NDArray[np.uint64], fresh: NDArray[np.bool_],
              parts: list[_Found]) -> Split:  # fmt: skip
        """Stage new objects for fresh components, and give the other voxels that were found away."""
        within, straddling = family.moves(owner, fresh, {pair for part in parts for pair in part.pairs})
        numbers = {number for part in parts for number in np.unique(part.patch.value).tolist()}
        made = sorted(number for number in numbers | set(within.values()) if fresh[number])
        values = np.zeros(len(label), np.uint64)
        said: dict[Key, Value] = {}
        with self._table() as table:
            for number in numbers - set(made):
                values[number] = table.parent(int(label[number]))
            known = {body: table.fields(Space.LABEL, body) for body in set(label[made].tolist())}
        fields = {body: {name: value for name, value in all_said.items() if name in (CLASS, PARENT)} | {LISTED: MADE}
                  for body, all_said in known.items()}  # fmt: skip
        if made:
            said = self._listed(*{each.get(PARENT) for each in fields.values()})
        for number in made:
            values[number] = new = self._take()
            family.add(int(label[number]), new)
            said |= {Key(Space.LABEL, new, name): value for name, value in fields[int(label[number])].items()}
        moved = {child: int(values[number]) for child, number in within.items()}
        said |= {Key(Space.LABEL, child, PARENT): new for child, new in moved.items()}
        if said:
            self._say_all(said)
        family.move(moved)
        self._stage({chunk: Spans(patch.start, patch.stop, values[patch.value.astype(np.int64)])
                     for chunk, patch, _ in parts})  # fmt: skip
        removed = sum(int((patch.stop - patch.start)[~fresh[patch.value.astype(np.int64)]].sum())
                      for _, patch, _ in parts)  # fmt: skip
        return Split(tuple(int(values[number]) for number in made), moved, tuple(straddling), removed)


class _Family:
    """Which bodies lie in which: of each that was met a line of those around it, outermost first, itself last."""

    def __init__(self, table: Table, bodies: set[int], chosen: set[int] | None, chunks: list[int]) -> None:
        self.chunks = chunks
        self._lines = {body: (*reversed(list(table.ancestors(body))), body) for body in bodies}
        self._chosen = {body: tuple(each for each in line if chosen is None or each in chosen)
                        for body, line in self._lines.items()}  # fmt: skip
        self.depth = max(map(len, self._chosen.values()), default=0)

    def owners(self, depth: int) -> dict[int, int]:
        """Of each body, the chosen one at a depth that it is or lies in."""
        return {body: line[depth] for body, line in self._chosen.items() if len(line) > depth}

    @staticmethod
    def values(owner: dict[int, int], bodies: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return np.array([owner.get(body, 0) for body in bodies.tolist()], np.uint64)

    def moves(self, owner: dict[int, int], fresh: NDArray[np.bool_],
              pairs: set[tuple[int, int]]) -> tuple[dict[int, int], list[int]]:  # fmt: skip
        """Of components and the bodies in them: what lies directly in an object -> the fresh component that it is
        wholly in, and what is in a fresh one only in part."""
        held: dict[int, set[int]] = defaultdict(set)
        for number, body in pairs:
            if number and owner[body] != body:
                line = self._lines[body]
                held[line[line.index(owner[body]) + 1]].add(number)
        within = {child: min(numbers) for child, numbers in sorted(held.items())
                  if len(numbers) == 1 and fresh[min(numbers)]}  # fmt: skip
        straddling = [child for child, numbers in held.items() if len(numbers) > 1 and fresh[list(numbers)].any()]
        return within, sorted(straddling)

    def add(self, old: int, new: int) -> None:
        """A new object, a part of an old one."""
        self._lines[new] = (*self._lines.get(old, (old,))[:-1], new)
        self._chosen[new] = self._chosen.get(old, ())

    def move(self, moved: dict[int, int]) -> None:
        """Some lie in others now, which took the place of those that they lay in."""
        for body, line in self._lines.items():
            for place in range(1, len(line)):
                if line[place] in moved:
                    line = (*line[: place - 1], moved[line[place]], *line[place:])
            self._lines[body] = line


def _fates(found: Components, below: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which components become objects of their own, and which are given away, by their numbers."""
    order = np.lexsort((-found.voxels.astype(np.int64), found.label))
    keeps = np.zeros(found.count + 1, bool)
    keeps[order[np.append(True, np.diff(found.label[order]) != 0)]] = True
    gone = found.voxels < below
    gone[0] = False
    keeps[0] = True
    return ~keeps & ~gone, gone
