"""What one edit does, as JSON says it: a list of operations, each a call on `labelog.Edit`.

`new` and `split` may give the labels that they make a name, such as "$a"; later operations of the same edit may use
it wherever a label is expected.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field

import labelog
from labelog.engine.fills import Filled
from labelog.engine.shaping import Shaped
from labelog.engine.splitting import Split as Parted
from labelog.indexing import within
from labelog_server.drawings import MOST_VALUES, Brush, Mask, Polygon, Sent, Span
from labelog_server.facts import like
from labelog_server.names import Made, Names, Ref, Voxel
from labelog_server.problems import Problem, plain
from labelog_server.statements import (
    Assign,
    AssignClass,
    Cleave,
    Cls,
    Merge,
    MergeAll,
    New,
    NewClass,
    NewClasses,
    Operation,
    RemoveRegion,
    SetRegion,
)
from labelog_server.wire import Corners, Label


class Drawn(Operation):
    """Voxels as spans, a mask, a polygon or a brush stroke: one of them. Polygons and strokes may reach outside."""

    spans: Annotated[list[Span], Field(max_length=MOST_VALUES)] | Sent | None = Field(
        None, description="rows of z, y, x0, x1 (half-open)", examples=[[[0, 10, 20, 30]]]
    )
    mask: Mask | None = None
    polygon: Polygon | None = None
    brush: Brush | None = None

    def where(self, edit: labelog.Edit, names: Names) -> tuple[Any, Voxel | None]:
        drawn = self.polygon or self.brush
        if sum(each is not None for each in (self.spans, self.mask, self.polygon, self.brush)) != 1:
            raise labelog.Invalid(f"{type(self).__name__.lower()} takes spans or a mask, polygon or brush: one of them")
        if self.mask is not None:
            return self.mask.array(names), self.mask.at
        if drawn is not None:
            return drawn.rows(edit.shape), None
        if isinstance(self.spans, Sent):
            return self.spans.array(names), None
        try:
            return np.array(self.spans, np.int64).reshape(-1, 4), None
        except OverflowError:
            raise labelog.OutOfBounds(f"spans reach beyond 2^63, and the volume is of {edit.shape} voxels") from None


class Paint(Drawn):
    """Give voxels a label."""

    op: Literal["paint"]
    label: Ref
    over: list[Ref] | None = Field(None, description="only where the label is one of these now")

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        where, at = self.where(edit, names)
        edit.paint(names(self.label), where, at, over=_over(self.over, names))


class Block(Operation):
    """Give all voxels of a box a label."""

    op: Literal["box"]
    label: Ref
    box: Corners

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit[within(self.box, edit.shape).slices()] = names(self.label)


class Write(Operation):
    """Write an array of labels to a box; only where they differ, if `change` says so."""

    op: Literal["write"]
    box: Corners
    voxels: Sent
    change: bool = False

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        box = within(self.box, edit.shape)
        array = self.voxels.voxels(box.shape, names)
        if self.change:
            edit.change(box, array)
        else:
            edit[box.slices()] = array


class Expect(Operation):
    """Refuse the edit with 409 if any voxel of a box got another label after `seen`, written here or not."""

    op: Literal["expect"]
    box: Corners

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.expect(self.box)


class Relabel(Operation):
    """Give all voxels of some labels other ones, all at once."""

    op: Literal["relabel"]
    labels: dict[Ref, Ref] = Field(examples=[{"5": "7"}])
    within: Corners | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.relabel({names(old): names(new) for old, new in self.labels.items()}, within=self.within)


class Erase(Operation):
    """Give the voxels of an object to the one that it lies in, or else to the background."""

    op: Literal["erase"]
    label: Ref
    within: Corners | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.erase(names(self.label), within=self.within)


class Split(Drawn):
    """Give a part of an object a label of its own: spans, a mask, or what is nearest to seeds."""

    op: Literal["split"]
    label: Ref
    seeds: list[list[Voxel]] | None = Field(None, description="groups of voxels; the first keeps the label")
    made: Made | None = Field(None, alias="as", description="a name for the first new label")

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        where, at = (None, None) if self.seeds is not None else self.where(edit, names)
        done = edit.split(names(self.label), where, at, seeds=self.seeds)
        if done.labels:
            names.name(self.made, done.labels[0])
        return _split(done)


class Separate(Operation):
    """Make an object of each connected component of one, or of many; the largest keeps the label."""

    op: Literal["separate"]
    label: Ref | None = Field(None, description="the object; all of the class, or all, without it")
    labels: list[Ref] | None = Field(None, description="instead of one, several")
    cls: Cls = None
    below: int = Field(0, ge=0, description="components of fewer voxels are given away")
    connectivity: Literal[6, 18, 26] = 6

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        if self.label is not None and self.labels is not None:
            raise labelog.Invalid("separate takes a label or labels")
        labels = self.labels if self.label is None else [self.label]
        return _split(edit.separate(_over(labels, names), self.connectivity, cls=self.cls, below=self.below))


class Filling(Operation):
    seed: Voxel
    view: str = "instance"
    connectivity: int | None = Field(None, description="6, 18 or 26; in a slice 4 or 8")
    within: Corners | None = None
    axis: Literal[0, 1, 2] | None = Field(None, description="fill in the slice of the seed across this axis")
    limit: int | None = Field(None, ge=1, description="refuse to fill more voxels than this")
    over: list[Ref] | None = Field(None, description="values in the view that may be filled; by default the seed's")
    tolerance: float | None = None
    between: tuple[float, float] | None = None
    rows: bool = Field(False, description="tell which voxels: rows of z, y, x0, x1")

    def limits(self, names: Names) -> Any:
        return {"view": self.view, "connectivity": self.connectivity, "within": self.within, "axis": self.axis,
                "limit": self.limit, "over": _over(self.over, names), "tolerance": self.tolerance,
                "between": self.between, "progress": names.progress}  # fmt: skip

    def told(self, found: Filled) -> Any:
        rows = found.spans if self.rows else None
        if rows is not None and len(rows) > MOST_VALUES // 2:
            raise Problem(413, f"an answer lists {MOST_VALUES // 2} rows; these are {len(rows)}")
        return {"voxels": found.voxels, "box": plain(found.box), "rows": None if rows is None else rows.tolist()}


class Flood(Filling):
    """Give a label to what looks like a voxel and hangs together with it; with a tolerance, by the image too."""

    op: Literal["fill"]
    label: Ref

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return self.told(edit.fill(self.seed, names(self.label), **self.limits(names)))


class FillMask(Filling):
    """Tell what a fill would take, with what the operations before this one do. Nothing is filled."""

    op: Literal["fill_mask"]

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return self.told(edit.fill_mask(self.seed, **self.limits(names)))


class Holes(Operation):
    """Fill what an object encloses."""

    op: Literal["fill_holes"]
    label: Ref
    axis: Literal[0, 1, 2] | None = None
    connectivity: int | None = None
    below: int | None = Field(None, ge=0, description="only holes of fewer voxels")
    over: list[Ref] | None = Field(["0"], description="only where the label is one of these; null is anywhere")
    within: Corners | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        done = edit.fill_holes(names(self.label), axis=self.axis, connectivity=self.connectivity, below=self.below,
                               over=_over(self.over, names), within=self.within)  # fmt: skip
        return _shaped(done)


class Islands(Operation):
    """Give small pieces of an object to the one that it lies in, or else to the background."""

    op: Literal["remove_islands"]
    label: Ref
    below: int = Field(ge=0, description="pieces of fewer voxels; never the largest")
    axis: Literal[0, 1, 2] | None = None
    connectivity: int | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return _shaped(
            edit.remove_islands(names(self.label), below=self.below, axis=self.axis, connectivity=self.connectivity)
        )


class Growth(Operation):
    label: Ref
    distance: float = Field(ge=0)
    unit: str = Field("voxel", description="voxel, nm, um, mm, m or angstrom")
    axis: Literal[0, 1, 2] | None = None
    within: Corners | None = None


class Dilate(Growth):
    """Grow an object by a distance."""

    op: Literal["dilate"]
    over: list[Ref] | None = Field(["0"], description="only where the label is one of these; null is anywhere")

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return _shaped(edit.dilate(names(self.label), self.distance, unit=self.unit, axis=self.axis,
                                   over=_over(self.over, names), within=self.within))  # fmt: skip


class Erode(Growth):
    """Shrink an object by a distance."""

    op: Literal["erode"]

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return _shaped(edit.erode(names(self.label), self.distance, unit=self.unit, axis=self.axis, within=self.within))


class Interpolate(Operation):
    """Fill the slices between those on which an object is drawn."""

    op: Literal["interpolate"]
    label: Ref
    slices: list[int] | None = None
    axis: Literal[0, 1, 2] = 0
    over: list[Ref] | None = Field(["0"], description="only where the label is one of these; null is anywhere")

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return _shaped(edit.interpolate(names(self.label), self.slices, axis=self.axis, over=_over(self.over, names)))


def _over(refs: list[str] | None, names: Names) -> list[int] | None:
    return None if refs is None else [names(ref) for ref in refs]


def _split(done: Parted) -> dict[str, Any]:
    return {"labels": list(map(str, done.labels)), "moved": {str(a): str(b) for a, b in done.moved.items()},
            "straddling": list(map(str, done.straddling)), "removed": done.removed}  # fmt: skip


def _shaped(done: Shaped) -> dict[str, Any]:
    return {"voxels": done.voxels, "box": plain(done.box), "pieces": done.pieces}


AnyOperation = Annotated[
    Paint | Block | Write | Expect | Relabel | Erase | Merge | MergeAll | Cleave | Split | Separate | New | Assign
    | Flood | FillMask | Holes | Islands | Dilate | Erode | Interpolate | NewClass | NewClasses | AssignClass
    | SetRegion | RemoveRegion,
    Field(discriminator="op"),
]  # fmt: skip


class Request(BaseModel):
    """One edit: all of its operations, in order, or none."""

    model_config = like({
        "message": "cell A, slice 10",
        "operations": [
            {"op": "new", "as": "$cell", "class": "cell", "name": "A"},
            {"op": "paint", "label": "$cell", "spans": [[10, 100, 200, 240], [10, 101, 198, 243]], "over": ["0"]},
        ],
    })  # fmt: skip
    operations: list[AnyOperation] = Field(max_length=10_000)
    message: str = Field("", description="why, for the history", max_length=10_000)
    session: str | None = Field(None, description="the window or program, so that undo can be held to it")
    seen: int | None = Field(
        None, description="the revision that was looked at: 409 if a voxel to be written changed since"
    )
    at: int | None = Field(
        None, ge=0, description="the revision as of which operations choose voxels; the newest if left out"
    )
    labels: list[Label] = Field(
        [],
        max_length=100_000,
        description="what a dry run said that was `made`: new objects get these labels, in order",
    )
    dry_run: bool = Field(False, description="answer as if it had been done, and do nothing")
    keep: bool = Field(False, description="of a dry run: keep it for two minutes; `trial` in the answer is its name")
    trial: str | None = Field(
        None, max_length=100, description="of a dry run: go on with one that was kept, which is good once; 410 if it "
        "is not here any more. Then message, session, seen, at and labels are as they were",
    )  # fmt: skip
    returns: Literal["boxes", "runs", "results"] = Field(
        "boxes", alias="return",
        description="runs: also all that was written, and, with `seen`, what was refused; results, of a dry run: only "
        "what each operation gives",
    )  # fmt: skip
