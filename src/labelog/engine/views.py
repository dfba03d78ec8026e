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
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labelog.engine.table import Table
from labelog.errors import Invalid, NotFound
from labelog.kernels.runs import Runs

PLAIN = ("instance", "fragment", "semantic")
"""Names of views that are there whatever the classes are."""

Tables = Callable[[], AbstractContextManager[Table]]

Resolve = Callable[[Table, int], int]


class LabelMap:
    """Labels as stored -> values of a view, worked out as they are met. Thread safe.

    Parameters
    ----------
    name : of the view.
    tables : opens the label table as the view shall see it.
    dtype : of the values.

    Raises NotFound for a name that is none, Invalid for a dtype that is not an integer's.
    """

    def __init__(self, name: str, tables: Tables, dtype: DTypeLike) -> None:
        self.name = name
        self._tables = tables
        with tables() as table:
            self._resolve = _resolver(name, table)
            self.same = name == "fragment" or (name == "instance" and not (table.merged()))
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "iu" or not self.dtype.isnative:
            raise Invalid(f"a view is of an integer dtype in this machine's byte order, not {self.dtype}")
        self._most = int(np.iinfo(self.dtype).max)
        self._known: dict[int, int] = {0: 0}
        self._kept: dict[int, tuple[weakref.ref[Runs], NDArray[Any]]] = {}

    def values(self, runs: Runs) -> NDArray[Any]:
        """What to write for each entry of a chunk's palette."""
        if self.same and self.dtype == np.uint64:
            return runs.palette
        number = id(runs)
        kept = self._kept.get(number)
        if kept is not None and kept[0]() is runs:
            return kept[1]
        try:
            values = self.of(runs.palette)
        except Invalid:  # of a palette not all need be there
            there = runs.counts() > 0
            values = np.zeros(len(there), self.dtype)
            values[there] = self.of(runs.palette[there])
        self._kept[number] = weakref.ref(runs, lambda _: self._kept.pop(number, None)), values
        return values

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
                    known[label] = self._resolve(table, label)
        return [known[label] for label in labels]


def smallest(name: str, table: Table) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds the values of a view at present: labels may come without the label table
    being changed."""
    return np.min_scalar_type(max(table.classes, default=0) if name == "semantic" else table.highest())


def _resolver(name: str, table: Table) -> Resolve:
    """How a view finds the value of a label."""
    if name in ("fragment", "instance"):
        return lambda table, label: table.body(label)
    if name == "semantic":
        return _semantic
    try:
        chosen = table.kinds(table.class_id(name))
    except NotFound:
        names = ", ".join([*PLAIN, *(known.name for known in table.classes.values())])
        raise NotFound(f"there is no view {name!r}; there are {names}") from None
    return lambda table, label: _nearest(table, label, chosen)


def _semantic(table: Table, label: int) -> int:
    body = table.body(label)
    for each in (body, *table.ancestors(body)):
        cls = table.class_of(each)
        if cls is not None:
            return cls
    return 0


def _nearest(table: Table, label: int, classes: set[int]) -> int:
    body = table.body(label)
    for each in (body, *table.ancestors(body)):
        if table.class_of(each) in classes:
            return each
    return 0
