"""Operations that write no voxels: what an edit says of labels, classes and regions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

import labelog
from labelog_server.drawings import MOST_VALUES, Mask
from labelog_server.names import Made, Names, Ref
from labelog_server.wire import Corners

Cls = Annotated[str | int | None, Field(alias="class", description="a class, by name or id")]


class Operation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        """Stage it; what there is to tell of it, in JSON."""
        raise NotImplementedError


class Merge(Operation):
    """Make one object of several; no voxel is written."""

    op: Literal["merge"]
    label: Ref = Field(description="the one that gives the id")
    others: list[Ref] = Field(min_length=1)

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.merge(names(self.label), [names(ref) for ref in self.others])


class MergeAll(Operation):
    """Many merges at once."""

    op: Literal["merge_all"]
    pairs: list[tuple[Ref, Ref]] = Field(max_length=MOST_VALUES)

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.merge_all((names(first), names(second)) for first, second in self.pairs)


class Cleave(Operation):
    """Take labels out of the object that they were merged into."""

    op: Literal["cleave"]
    labels: list[Ref] = Field(min_length=1)

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.cleave([names(ref) for ref in self.labels])


class New(Operation):
    """Set a label aside for a new object, and say what it is."""

    op: Literal["new"]
    made: Made | None = Field(None, alias="as", description="what later operations call it")
    cls: Cls = None
    parent: Ref = "0"
    name: str | None = None
    attributes: dict[str, Any] = {}

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        label = edit.new(self.cls, names(self.parent), self.name, **self.attributes)
        names.name(self.made, label)
        return str(label)


class Assign(Operation):
    """Say what an object is. What is not there stays as it is; null takes it away."""

    op: Literal["assign"]
    label: Ref
    cls: Cls = None
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


class NewClass(Operation):
    """Add a class."""

    op: Literal["new_class"]
    name: str
    id: int | None = Field(None, description="by default the lowest that is free")
    colour: str | None = None
    kind_of: str | None = None
    within: list[str] | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> Any:
        return edit.new_class(self.name, id=self.id, colour=self.colour, kind_of=self.kind_of, within=self.within)


class Class(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int
    name: str
    colour: str | None = None
    kind_of: str | None = None
    within: list[str] | None = None


class NewClasses(Operation):
    """Add classes; one that is there under the same id is replaced."""

    op: Literal["new_classes"]
    classes: list[Class]

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.new_classes(
            labelog.LabelClass(each.id, each.name, each.colour, each.kind_of,
                               None if each.within is None else tuple(each.within)) for each in self.classes
        )  # fmt: skip


class AssignClass(Operation):
    """Change a class. What is not there stays as it is; null takes it away."""

    op: Literal["assign_class"]
    cls: str | int = Field(alias="class")
    name: str = ""
    colour: str | None = None
    kind_of: str | None = None
    within: list[str] | None = None

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        given = {field: getattr(self, field) for field in self.model_fields_set - {"op", "cls"}}
        edit.assign_class(self.cls, **given)


class SetRegion(Operation):
    """Name a part of the volume, or give another part that name."""

    op: Literal["set_region"]
    name: str
    kind: Literal["annotated", "gold", "ignore"]
    box: Corners
    mask: Mask | None = Field(None, description="of the box, if only a part of it is meant")

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.set_region(self.name, self.kind, self.box, None if self.mask is None else self.mask.array(names))


class RemoveRegion(Operation):
    """Forget a region, from this revision on."""

    op: Literal["remove_region"]
    name: str

    def apply(self, edit: labelog.Edit, names: Names) -> None:
        edit.remove_region(self.name)
