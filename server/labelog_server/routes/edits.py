"""Edits of one or many operations, and taking them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

import labelog
from labelog.engine.drawing import LabelRows
from labelog_server import names, operations
from labelog_server.access import Annotates, Reviews, Writer
from labelog_server.asked import Key, Limits, Served
from labelog_server.news import event
from labelog_server.problems import Problem, plain, told

router = APIRouter(prefix="/api/v1", tags=["edits"])

MOST_RUNS = 100_000  # that an answer lists


def _called(http: HttpRequest, limits: Limits) -> names.Names:
    """What operations may call by name: arrays that were sent with them, and labels that they make."""
    return names.Names(http.scope.get("parts", {}), limits.max_voxels)


Called = Annotated[names.Names, Depends(_called)]


@router.post("/volumes/{name}/edits", dependencies=[Annotates])
def post_edit(
    name: str, request: operations.Request, volume: Served, author: Writer, called: Called, key: Key = None
) -> dict[str, Any]:
    """Carry out operations as one edit: all of them, or none if one cannot be.

    As multipart/related, the first part is this JSON, and others are arrays that it names by their Content-ID.
    """
    if request.dry_run:
        return _tried(request, volume, author, called)
    with _refused(request), volume.edit(author, request.message, session=request.session, key=key,
                                        seen=request.seen) as edit:  # fmt: skip
        _apply(request, edit, called)
    answer: dict[str, Any] = {
        "revision": edit.revision,
        "voxels": edit.voxels,
        "written": edit.written,
        "labels": called.told(),
    }
    changed = {"boxes": [], "labels": []} if edit.revision is None else event(name, volume, edit.revision)
    answer |= {"boxes": changed["boxes"], "changed": changed["labels"]}
    if request.returns == "runs":
        answer["runs"] = [] if edit.revision is None else runs(volume.written(edit.revision))
    return answer


def _apply(request: operations.Request, edit: labelog.Edit, called: names.Names) -> None:
    for number, operation in enumerate(request.operations):
        try:
            operation.apply(edit, called)
        except labelog.LabelogError as error:
            error.args = (f"operation {number} ({operation.op}): {error}",)
            raise


class _Over(Exception):
    """Ends a trial: what is staged is dropped."""


def _tried(
    request: operations.Request, volume: labelog.Volume, author: str | None, called: names.Names
) -> dict[str, Any]:
    """What the edit would do. No key is used up, and voxels that `seen` would refuse are no error."""
    with suppress(_Over), volume.edit(author, request.message, seen=request.seen) as edit:
        _apply(request, edit, called)
        preview = edit.preview()
        raise _Over
    answer = {"revision": None, "voxels": preview.voxels, "written": preview.written, "labels": called.told(),
            "boxes": [plain(box) for box in preview.boxes], "changed": None}  # fmt: skip
    if request.returns == "runs":
        answer |= {"runs": runs(preview.runs), "refused": runs(preview.refused)}
    return answer


@contextmanager
def _refused(request: operations.Request) -> Iterator[None]:
    """Let a refusal by `seen` say which voxels stood in the way, and what they are now, if runs were asked for."""
    try:
        yield
    except labelog.Conflict as error:
        if request.returns != "runs" or not hasattr(error, "refused"):
            raise
        raise Problem(409, str(error), **told(error), refused=runs(error.refused)) from None


def runs(written: LabelRows) -> list[list[Any]] | None:
    """Rows of z, y, x0, x1 and a label, in JSON; None if there are too many to list."""
    if len(written.rows) > MOST_RUNS:
        return None
    labels = map(str, written.labels.tolist())
    return [[*row, label] for row, label in zip(written.rows.tolist(), labels, strict=True)]


class TakeBack(BaseModel):
    """How an undo or redo is meant."""

    model_config = ConfigDict(extra="forbid")
    session: str | None = Field(None, description="only what was done in this session")
    strict: bool = Field(False, description="refuse with 409 rather than leave any voxel alone")
    message: str = ""


class Revert(TakeBack):
    """What to take out: a revision, or all that an author did."""

    revision: int | None = None
    author: str | None = Field(None, description="vendor-b is also vendor-b/ana")


@router.post("/volumes/{name}/undo", dependencies=[Annotates])
def undo(request: TakeBack, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Take back the newest edit of whoever asks, under later work of others."""
    return volume.undo(author, **request.model_dump(), key=key).row()


@router.post("/volumes/{name}/redo", dependencies=[Annotates])
def redo(request: TakeBack, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Put back what whoever asks undid last."""
    return volume.redo(author, **request.model_dump(), key=key).row()


@router.post("/volumes/{name}/revert", dependencies=[Reviews])
def revert(request: Revert, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Take out any revision, or all of an author's, and keep everyone else's work."""
    return volume.revert(by=author, **request.model_dump(), key=key).row()
