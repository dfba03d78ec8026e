"""What is wrong with objects, as the classes and common sense have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from labelog.engine.classes import LabelClass
from labelog.engine.components import Components
from labelog.engine.splitting import Extent
from labelog.kernels import components as kernel
from labelog.kernels.runs import Runs
from labelog.progress import Progress

if TYPE_CHECKING:
    from labelog.engine.objects import Label
    from labelog.engine.snapshot import Snapshot


class Problem(NamedTuple):
    """Something about an object that somebody should look at.

    Attributes
    ----------
    kind : `empty` (neither it nor anything in it has voxels), `disconnected` (it and what lies in it are several
        pieces), `unclassified` (it has no class), or `misplaced` (its class may not lie where it lies).
    label : the object.
    message : what was expected, and what was found.
    """

    kind: str
    label: int
    message: str


def problems(snapshot: Snapshot, chosen: list[Label], connectivity: int,
             progress: Progress | None) -> Iterator[Problem]:  # fmt: skip
    """The problems of some objects of a snapshot."""
    pieces = own_pieces(snapshot, connectivity)
    classes = snapshot.classes
    for done, label in enumerate(chosen, 1):
        if label.cls is None:
            yield Problem("unclassified", label.id, "it has no class")
        else:
            yield from misplaced(label, classes, snapshot)
        if not label.whole.voxels:
            yield Problem("empty", label.id, "it has no voxels")
        else:
            count = pieces[label.id]
            if label.children:
                count = whole_pieces(snapshot, label, connectivity)
            if count > 1:
                yield Problem("disconnected", label.id, f"it is {count} pieces")
        if progress:
            progress(done, len(chosen))


def own_pieces(snapshot: Snapshot, connectivity: int) -> Counter[int]:
    """Into how many pieces each object's own voxels fall, in one pass over the volume."""
    store = snapshot.volume.store
    bodies = store.label_map("instance", snapshot.revision, np.dtype(np.uint64))
    with store.journal.reading() as journal:
        chunks = journal.chunks()

    def runs(chunk: int) -> Runs:
        found = store.runs(chunk, snapshot.revision)
        return found if bodies.same else kernel.relabelled(found, bodies.values(found))

    found = Components(runs, store.grid, connectivity=connectivity, chunks=chunks)
    return Counter(found.label[1:].tolist())


def whole_pieces(snapshot: Snapshot, label: Label, connectivity: int) -> int:
    """Into how many pieces an object falls, with what lies in it."""
    store = snapshot.volume.store
    bodies = store.label_map("instance", snapshot.revision, np.dtype(np.uint64))
    chunks = {store.grid.number(index) for index in label.whole.chunks}
    with store.table(snapshot.revision) as table:
        extent = Extent(store, table, label.id, chunks, lambda chunk: store.runs(chunk, snapshot.revision),
                        bodies.values)  # fmt: skip
    return extent.components(connectivity).count


def misplaced(label: Label, classes: dict[str, LabelClass], snapshot: Snapshot) -> Iterator[Problem]:
    """Whether an object's class may not lie in its parent's."""
    assert label.cls is not None
    within = classes[label.cls].within
    if within is None:
        return
    if not label.parent:
        if within:
            yield Problem("misplaced", label.id, f"{_a(label.cls)} lies in {_either(within)}; it lies in nothing")
        return
    with snapshot.volume.store.table(snapshot.revision) as table:
        parent = table.class_of(label.parent)
        allowed = {kind for name in within for kind in table.kinds(table.class_id(name))}
        if parent not in allowed:
            found = "no class" if parent is None else f"class {table.classes[parent].name}"
            where = f"in {_either(within)}" if within else "in no other object"
            yield Problem("misplaced", label.id,
                          f"{_a(label.cls)} lies {where}; it lies in label {label.parent}, of {found}")  # fmt: skip


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(map(_a, names))


def _a(name: str) -> str:
    """A class with its article."""
    return f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"
