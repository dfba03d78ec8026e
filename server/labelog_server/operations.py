"""What one edit does, as JSON says it: a list of operations, each a call on `labelog.Edit`.

`new` and `split` may give the labels that they make a name, such as "$a"; later operations of the same edit may use
it wherever a label is expected.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

import labelog
from labelog.geometry import Box
from labelog_server.drawings import MOST_VALUES, Brush, Mask, Polygon, Sent, Span
from labelog_server.names import Made, Names, Ref, Voxel
from labelog_server.wire import Corners


class Operation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        raise NotImplementedError


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
        return np.array(self.spans, np.int64).reshape(-1, 4), None


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
        edit[Box(*self.box).slices()] = names(self.label)


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


class Merge(Operation):
    """Make one object of several; no voxel is written."""

    op: Literal["merge"]
    label: Ref = Field(description="the one that gives the id")
    others: list[Ref] = Field(min_length=1)

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.merge(names(self.label), [names(ref) for ref in self.others])


class Cleave(Operation):
    """Take labels out of the object that they were merged into."""

    op: Literal["cleave"]
    labels: list[Ref] = Field(min_length=1)

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.cleave([names(ref) for ref in self.labels])


class Split(Drawn):
    """Give a part of an object a label of its own: spans, a mask, or what is nearest to seeds."""

    op: Literal["split"]
    label: Ref
    seeds: list[list[Voxel]] | None = Field(None, description="groups of voxels; the first keeps the label")
    made: Made | None = Field(None, alias="as", description="a name for the first new label")

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        where, at = (None, None) if self.seeds is not None else self.where(edit, names)
        done = edit.split(names(self.label), where, at, seeds=self.seeds)
        if done.labels:
            names.name(self.made, done.labels[0])


class Separate(Operation):
    """Make an object of each connected component of one, or of many; the largest keeps the label."""

    op: Literal["separate"]
    label: Ref | None = Field(None, description="the object; all of the class, or all, without it")
    cls: str | None = Field(None, description="the name of a class")
    below: int = Field(0, ge=0, description="components of fewer voxels are given away")
    connectivity: Literal[6, 18, 26] = 6

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        label = None if self.label is None else names(self.label)
        edit.separate(label, self.connectivity, cls=self.cls, below=self.below)


class New(Operation):
    """Set a label aside for a new object, and say what it is."""

    op: Literal["new"]
    made: Made | None = Field(None, alias="as", description="what later operations call it")
    cls: str | None = Field(None, description="the name of its class")
    parent: Ref = "0"
    name: str | None = None
    attributes: dict[str, Any] = {}

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        names.name(self.made, edit.new(self.cls, names(self.parent), self.name, **self.attributes))


class Assign(Operation):
    """Say what an object is. What is not there stays as it is; null takes it away."""

    op: Literal["assign"]
    label: Ref
    cls: str | None = None
    parent: Ref | None = None
    name: str | None = None
    attributes: dict[str, Any] = {}

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        given: dict[str, Any] = {
            field: getattr(self, field) for field in ("cls", "parent", "name") if field in self.model_fields_set
        }
        if given.get("parent") is not None:
            given["parent"] = names(given["parent"])
        edit.assign(names(self.label), **given, **self.attributes)


class Flood(Operation):
    """Give a label to what looks like a voxel and hangs together with it; with a tolerance, by the image too."""

    op: Literal["fill"]
    seed: Voxel
    label: Ref
    view: str = "instance"
    connectivity: int | None = Field(None, description="6, 18 or 26; in a slice 4 or 8")
    within: Corners | None = None
    axis: Literal[0, 1, 2] | None = Field(None, description="fill in the slice of the seed across this axis")
    limit: int | None = Field(None, ge=1, description="refuse to fill more voxels than this")
    over: list[Ref] | None = Field(None, description="values in the view that may be filled; by default the seed's")
    tolerance: float | None = None
    between: tuple[float, float] | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.fill(
            self.seed, names(self.label), view=self.view, connectivity=self.connectivity, within=self.within,
            axis=self.axis, limit=self.limit, over=_over(self.over, names), tolerance=self.tolerance,
            between=self.between, progress=names.progress,
        )  # fmt: skip


class Holes(Operation):
    """Fill what an object encloses."""

    op: Literal["fill_holes"]
    label: Ref
    axis: Literal[0, 1, 2] | None = None
    connectivity: int | None = None
    below: int | None = Field(None, ge=0, description="only holes of fewer voxels")
    over: list[Ref] | None = Field(["0"], description="only where the label is one of these; null is anywhere")
    within: Corners | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.fill_holes(names(self.label), axis=self.axis, connectivity=self.connectivity, below=self.below,
                        over=_over(self.over, names), within=self.within)  # fmt: skip


class Islands(Operation):
    """Give small pieces of an object to the one that it lies in, or else to the background."""

    op: Literal["remove_islands"]
    label: Ref
    below: int = Field(ge=0, description="pieces of fewer voxels; never the largest")
    axis: Literal[0, 1, 2] | None = None
    connectivity: int | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.remove_islands(names(self.label), below=self.below, axis=self.axis, connectivity=self.connectivity)


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

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.dilate(names(self.label), self.distance, unit=self.unit, axis=self.axis, over=_over(self.over, names),
                    within=self.within)  # fmt: skip


class Erode(Growth):
    """Shrink an object by a distance."""

    op: Literal["erode"]

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.erode(names(self.label), self.distance, unit=self.unit, axis=self.axis, within=self.within)


class Interpolate(Operation):
    """Fill the slices between those on which an object is drawn."""

    op: Literal["interpolate"]
    label: Ref
    slices: list[int] | None = None
    axis: Literal[0, 1, 2] = 0
    over: list[Ref] | None = Field(["0"], description="only where the label is one of these; null is anywhere")

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.interpolate(names(self.label), self.slices, axis=self.axis, over=_over(self.over, names))


def _over(refs: list[str] | None, names: Names) -> list[int] | None:
    return None if refs is None else [names(ref) for ref in refs]


AnyOperation = Annotated[
    Paint | Block | Relabel | Erase | Merge | Cleave | Split | Separate | New | Assign | Flood | Holes | Islands
    | Dilate | Erode | Interpolate,
    Field(discriminator="op"),
]  # fmt: skip


class Request(BaseModel):
    """One edit: all of its operations, in order, or none."""

    model_config = ConfigDict(extra="forbid")
    operations: list[AnyOperation] = Field(min_length=1, max_length=10_000)
    message: str = Field("", description="why, for the history", max_length=10_000)
    session: str | None = Field(None, description="the window or program, so that undo can be held to it")
    seen: int | None = Field(
        None, description="the revision that was looked at: 409 if a voxel to be written changed since"
    )
    dry_run: bool = Field(False, description="answer as if it had been done, and do nothing")
    returns: Literal["boxes", "runs"] = Field(
        "boxes", alias="return", description="runs: also all that was written, and, with `seen`, what was refused"
    )
