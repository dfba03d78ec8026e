"""Layers into one volume: the deepest object at each voxel, and the table of what lies in what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.engine.classes import LabelClass
from labelog.errors import Invalid
from labelog.formats.colours import hexadecimal
from labelog.formats.stack import Stack
from labelog.geometry import Triple
from labelog.layers import numbering
from labelog.layers.decide import Decision, Object, Trust
from labelog.layers.disagreements import Finder, Place
from labelog.layers.joint import Joint, Row, Tally
from labelog.layers.nesting import Nesting
from labelog.layers.pieces import Owner, Pieces
from labelog.layers.report import KINDS, Part, Report


@dataclass(frozen=True)
class Combined:
    """One volume made of layers, as `labelog.load` takes it.

    Attributes
    ----------
    shape : (z, y, x).
    classes : those that the table's objects have.
    table : label -> {"cls": name of its class, "parent": label of the object it lies in}, without "parent" at the top.
    colours : label -> "#rrggbbaa", for every label if a layer of objects has colours, else empty.
    report : what the layers disagree about, and what was done.
    voxel_size, unit : of the first layer that says so.
    """

    shape: Triple
    classes: list[LabelClass]
    table: dict[int, dict[str, Any]]
    colours: dict[int, str]
    report: Report
    voxel_size: tuple[float, float, float] | None
    unit: str | None
    _joint: Joint
    _pieces: Pieces
    _label: dict[Owner, int]

    def slabs(self) -> Iterator[NDArray[np.uint64]]:
        """The labels, one more pass over the files: consecutive arrays (n, y, x), uint64."""
        for slab in self._joint.slabs():
            yield self._pieces.labels(slab, self._label)


def combine(
    semantic: Stack | None, objects: Mapping[str, Stack], classes: Iterable[LabelClass], *,
    trust: Trust = "instance", depth: int | None = None,
) -> Combined:  # fmt: skip
    """Reconcile the layers of one volume: a pass over the files to count, and another where components are needed.

    What is in memory is a slab, and something for each object, component and disagreement.

    Parameters
    ----------
    semantic : the id of a class at each voxel, or None.
    objects : class -> labels of its objects, 0 where there is none. "organelle" is the layer of all kinds of
        organelle. An object of a layer that lies deeper, by the classes' `within`, has the voxel.
    classes : see `labelog.engine.classes`.
    trust : "instance": an object's voxels are its own whatever the semantic layer says. "semantic": the semantic
        layer decides the class of each voxel, so that the volume's semantic view equals it.
    depth : slices that are worked on at a time; it changes nothing else.

    Labels are those of the files where these do not collide; layers that lie deeper are renumbered.

    Raises Invalid for layers that differ in shape, for a layer whose name is no class, and for voxels of a class that
    is not among `classes`; and whatever reading the files raises.
    """
    nesting = Nesting(classes)
    names = nesting.in_order(objects)
    joint = Joint(semantic, [(name, objects[name]) for name in names], depth)
    table = joint.count()
    _check_classes(table, nesting)
    decision = Decision(nesting, names, table, trust)
    pieces = Pieces(joint, decision)
    parent = numbering.parents(decision, pieces, table)
    label = numbering.labels(decision, pieces, parent)
    source = {Object(name, id): hexadecimal(shade) for name in names for id, shade in objects[name].colours.items()}
    stacks = {"semantic": semantic, **objects} if semantic else dict(objects)
    report = _report(Finder(decision, label, parent, source), joint, pieces, table, stacks)
    entries = {number: _entry(decision, pieces, owner, parent[owner], label) for owner, number in label.items()}
    sized = next((stack for stack in stacks.values() if stack.voxel_size), None)
    return Combined(
        joint.shape, nesting.classes, dict(sorted(entries.items())), numbering.colours(label, source), report,
        sized.voxel_size if sized else None, sized.unit if sized else None, joint, pieces, label,
    )  # fmt: skip


def _check_classes(table: Mapping[Row, Tally], nesting: Nesting) -> None:
    for row, tally in table.items():
        if row[0] is not None and nesting.name(row[0]) is None:
            raise Invalid(
                f"layer semantic: {row[0]} is the id of no class; the first voxel (z, y, x) that has it is "
                f"{tally.first}; the classes are: {', '.join(f'{c.id} {c.name}' for c in nesting.classes)}",
                voxel=tally.first,
            )


def _entry(
    decision: Decision, pieces: Pieces, owner: Owner, around: Owner | None, label: Mapping[Owner, int]
) -> dict[str, Any]:
    cls = decision.classes[owner] if isinstance(owner, Object) else pieces.made[owner].cls
    return {"cls": cls} if around is None else {"cls": cls, "parent": label[around]}


def _report(
    finder: Finder, joint: Joint, pieces: Pieces, table: Mapping[Row, Tally], stacks: Mapping[str, Stack]
) -> Report:
    decision, label = finder.decision, finder.label
    places = {row: finder.places(row) for row in table}
    slices: Counter[int] = Counter()
    for row, tally in table.items():
        if places[row]:
            slices.update(tally.slices)
    given = Counter(one.layer for one in decision.classes)
    moved: dict[str, dict[int, int]] = {}
    for one, number in label.items():
        if isinstance(one, Object) and one.id != number:
            moved.setdefault(one.layer, {})[one.id] = number
    lost = sorted((one for one in decision.classes if one not in label), key=lambda one: (one.layer, one.id))
    return Report(
        decision.trust, joint.shape, {name: given[name] for name in decision.layers},
        dict(Counter(made.cls for made in pieces.made.values())), finder.all(table, pieces), slices.total(),
        dict(sorted(slices.items())), _parts(finder, pieces, table), moved,
        [f"{one.layer} {one.id}" for one in lost],
        {name: dict(stack.changes) for name, stack in stacks.items() if stack.changes},
        lambda z: _marks(joint, pieces, label, places, z),
    )  # fmt: skip


def _parts(finder: Finder, pieces: Pieces, table: Mapping[Row, Tally]) -> list[Part]:
    """The objects made within objects of layers that lie in others themselves: cores of granules, not granules."""
    decision, label = finder.decision, finder.label
    wholes: Counter[Object] = Counter()
    for row, tally in table.items():
        for stop in decision.paths[row]:
            if isinstance(stop, Object):
                wholes[stop] += tally.voxels
    return [
        Part(label[part], made.cls, made.extent.voxels, label[made.parent], f"{made.parent.layer} {made.parent.id}",
             wholes[made.parent])
        for part, made in pieces.made.items()
        if isinstance(made.parent, Object) and decision.nesting.rank(decision.classes[made.parent])
    ]  # fmt: skip


def _marks(
    joint: Joint, pieces: Pieces, label: Mapping[Owner, int], places: Mapping[Row, list[Place]], z: int
) -> NDArray[np.uint8]:
    slab = next(slab for slab in joint.slabs() if slab.z <= z < slab.z + slab.shape[0])
    rows, which = joint.rows(slab)
    kinds = [1 + list(KINDS).index(places[row][0][0]) if places[row] else 0 for row in rows]
    marks: NDArray[np.uint8] = slab.spread(np.array(kinds, np.uint8)[which])[z - slab.z]
    labels = pieces.labels(slab, label)[z - slab.z]
    edge = np.zeros(marks.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return marks | (edge * np.uint8(128))
