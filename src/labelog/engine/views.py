"""Views as maps over labels: applied to the palette of a chunk, never to its voxels.

fragment        the labels as stored
instance        the bodies that they belong to
semantic        the class of the body, or of the nearest ancestor that has one; 0 if none
a class's name  the nearest body, of self and ancestors, of that class or of a kind of it; 0 if none
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.engine.classes import PLAIN
from labelog.engine.table import Table
from labelog.errors import Invalid, NotFound
from labelog.kernels import components as kernel
from labelog.kernels.runs import Runs
from labelog.storage.journal import CLASS, Space

Tables = Callable[[], AbstractContextManager[Table]]
Value = TypeVar("Value")


class Known(NamedTuple):
    """What a map has worked out: the values of labels, those of bodies, and all on which these depend."""

    values: dict[int, int]
    bodies: dict[int, int]
    asked: set[int]


class _OfRuns(Generic[Value]):
    """What was worked out of runs, for as long as they are there. They are told apart by identity, not by voxels."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Runs], Value]] = {}

    def get(self, runs: Runs) -> Value | None:
        kept = self._kept.get(id(runs))
        return kept[1] if kept is not None and kept[0]() is runs else None

    def keep(self, runs: Runs, value: Value) -> Value:
        number, kept = id(runs), self._kept
        kept[number] = weakref.ref(runs, lambda _: kept.pop(number, None)), value
        return value


class LabelMap:
    """Labels as stored -> values of a view, worked out as they are met. Thread safe.

    Parameters
    ----------
    name : of the view.
    tables : opens the label table as the view shall see it.
    dtype : of the values.
    before : what the map of the same view and dtype knew when the table was another, and is still so.

    Raises NotFound for a name that is none, Invalid for a dtype that is not an integer's.
    """

    def __init__(self, name: str, tables: Tables, dtype: DTypeLike, before: Known | None = None) -> None:
        self.name = name
        self._tables = tables
        with tables() as table:
            self._classes = _classes(name, table)
            self.same = name == "fragment" or (name == "instance" and not (table.merged or table.staged.moved))
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "iu" or not self.dtype.isnative:
            raise Invalid(f"a view is of an integer dtype in this machine's byte order, not {self.dtype}")
        self._as_stored = self.same and self.dtype == np.uint64
        self._most = int(np.iinfo(self.dtype).max)
        self._known, self._bodies, self._asked = before or Known({0: 0}, {0: 0}, set())
        self._kept: _OfRuns[NDArray[Any]] = _OfRuns()
        self._versions: _OfRuns[bytes] = _OfRuns()

    def still_known(self, changed: set[int]) -> Known | None:
        """What it knows that is so too when these labels and bodies have changed; None if that can't be told."""
        known, bodies = dict(self._known), dict(self._bodies)  # before what is asked for them, which is noted first
        if self._classes is not None:  # what lies around a label may be among them
            asked = set(self._asked)
            return Known(known, bodies, asked) if asked.isdisjoint(changed) else None
        for label in changed:
            known.pop(label, None)
        if not changed.isdisjoint(known.values()):
            known = {label: body for label, body in known.items() if body not in changed}
        return Known(known, {0: 0}, set())

    def values(self, runs: Runs) -> NDArray[Any]:
        """What to write for each entry of a chunk's palette."""
        kept = self.at_hand(runs)
        if kept is not None:
            return kept
        try:
            values = self.of(runs.palette)
        except Invalid:  # of a palette not all need be there
            there = runs.counts() > 0
            values = np.zeros(len(there), self.dtype)
            values[there] = self.of(runs.palette[there])
        return self._kept.keep(runs, values)

    def version(self, runs: Runs) -> bytes:
        """The values of the labels that are there, by label: the same of equal voxels, whatever else a palette has, and
        in whatever order."""
        if self.same:
            return b""
        kept = self._versions.get(runs)
        if kept is not None:
            return kept
        there = np.flatnonzero(runs.counts())
        order = there[np.argsort(runs.palette[there])]
        return self._versions.keep(runs, np.ascontiguousarray(self.values(runs)[order]).tobytes())

    def at_hand(self, runs: Runs) -> NDArray[Any] | None:
        """What `values` gives, if it has been worked out."""
        if self._as_stored:
            return runs.palette
        return self._kept.get(runs)

    def of(self, labels: NDArray[np.uint64]) -> NDArray[Any]:
        """The values of some labels, in the view's dtype. Raises Invalid, naming the value, if it does not hold one."""
        values = labels if self.same else np.array(self._look_up(labels.tolist()), np.uint64)
        if values.size and int(values.max()) > self._most:
            raise Invalid(f"view {self.name} has the value {values.max()}, which {self.dtype} does not hold")
        return values.astype(self.dtype)

    def each(self, labels: Iterable[int]) -> list[int]:
        """The values of some labels."""
        return list(labels) if self.same else self._look_up(list(labels))

    def _look_up(self, labels: list[int]) -> list[int]:
        known = self._known
        missing = [label for label in labels if label not in known]
        if missing:
            with self._tables() as table:
                for label in missing:
                    body = table.body(label)
                    self._asked.update((label, body))
                    known[label] = body if self._classes is None else self._of_body(table, body)
        return [known[label] for label in labels]

    def _of_body(self, table: Table, body: int) -> int:
        """The value of a body: its own, or that of the nearest around it that has one."""
        found, path = self._bodies, []
        while body not in found:
            path.append(body)
            cls = table.class_of(body)
            if cls is not None and (self.name == "semantic" or cls in (self._classes or ())):
                found[body] = cls if self.name == "semantic" else body
            else:
                named = table.parent_named(body)
                body = table.body(named)
                self._asked.update((named, body))
                if body in path:
                    raise Invalid(f"label {body} is its own ancestor", label=body)
        for each in path:
            found[each] = found[body]
        return found[body]


def seen_runs(runs: Runs, values: NDArray[Any]) -> Runs:
    """Runs with the values of a view, one for each entry of their palette, as labels."""
    if np.array_equal(values, runs.palette):
        return runs
    return kernel.relabelled(runs, values.astype(np.uint64))


def values_of_class(table: Table, name: str, cls: str | int) -> set[int]:
    """The values that a view has where it shows objects of a class, or of a kind of it."""
    kinds = table.kinds(table.class_id(cls))
    if name == "semantic":
        return kinds
    if name == "fragment":
        raise Invalid("the view fragment shows labels as stored; objects, which have classes, are in the view instance")
    return {label for kind in kinds for label in table.subjects(Space.LABEL, CLASS, kind)}


def smallest(name: str, table: Table) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds the values of a view at present: labels may come without the label table
    being changed."""
    return np.min_scalar_type(max(table.classes, default=0) if name == "semantic" else table.highest())


def _classes(name: str, table: Table) -> set[int] | None:
    """The classes whose objects a view shows; None if that does not depend on classes."""
    if name in ("fragment", "instance"):
        return None
    if name == "semantic":
        return set(table.classes)
    try:
        return table.kinds(table.class_id(name))
    except NotFound:
        names = ", ".join([*PLAIN, *(known.name for known in table.classes.values())])
        raise NotFound(f"there is no view {name!r}; there are {names}") from None
