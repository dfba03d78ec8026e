"""Edits of one or many operations, and taking them back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from labelog_server import operations, wire
from labelog_server.access import Annotates, Reviews, Writer
from labelog_server.asked import Called, Key, Served
from labelog_server.editing import carried_out, tried
from labelog_server.facts import CommitFacts, EditFacts, answers, in_parts, like
from labelog_server.routes.voxels import Part, accepted, headers_of, refuse_many
from labelog_server.wire import FORMATS, PNG

router = APIRouter(prefix="/api/v1", tags=["edits"])

Accept = Annotated[str | None, Header()]


@router.post(
    "/volumes/{name}/edits", response_model=dict[str, Any], responses=answers(EditFacts), dependencies=[Annotates],
    openapi_extra=in_parts("Request"),
)  # fmt: skip
def post_edit(
    name: str,
    request: operations.Request,
    volume: Served,
    author: Writer,
    called: Called,
    http: Request,
    key: Key = None,
) -> JSONResponse:  # of a dict FastAPI would make one in another thread again, after looking through it
    """Carry out operations as one edit: all of them, or none if one cannot be.

    As multipart/related, the first part is this JSON, and others are arrays that it names by their Content-ID.
    """
    return JSONResponse(carried_out(name, request, volume, author, called, key, http.app.state.trials))


@router.post("/volumes/{name}/edits/voxels", response_class=Response, dependencies=[Annotates],
             openapi_extra=in_parts("Request"))  # fmt: skip
def post_trial(
    request: operations.Request, volume: Served, author: Writer, called: Called, http: Request,
    accept: Accept = None, box: Part = None, key: Key = None,
) -> Response:  # fmt: skip
    """The labels of a box as they would be after these operations. Nothing is done."""
    bounds = wire.box_of(box, volume.shape)
    refuse_many(http, bounds)
    kind = accepted(accept or "*/*", [kind for kind in FORMATS if kind != PNG])
    trial = tried(request, volume, author, called, key, http.app.state.trials)
    voxels = trial.edit[bounds.slices()]
    headers = {"Cache-Control": "no-store", **headers_of(bounds, voxels.dtype)}
    if trial.trial:
        headers["Labelog-Trial"] = trial.trial
    return Response(wire.encode(voxels, kind, {}), media_type=kind, headers=headers)


class TakeBack(BaseModel):
    """How an undo or redo is meant."""

    model_config = like({"session": "window 3"}, {"strict": True})
    session: str | None = Field(None, description="only what was done in this session")
    strict: bool = Field(False, description="refuse with 409 rather than leave any voxel alone")
    message: str = ""


class Revert(TakeBack):
    """What to take out: a revision, or all that an author did."""

    model_config = like({"revision": 42}, {"author": "vendor-b", "message": "the second delivery replaces it"})
    revision: int | None = None
    author: str | None = Field(None, description="vendor-b is also vendor-b/ana")


@router.post("/volumes/{name}/undo", responses=answers(CommitFacts), dependencies=[Annotates])
def undo(request: TakeBack, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Take back the newest edit of whoever asks, under later work of others."""
    return volume.undo(author, **request.model_dump(), key=key).row()


@router.post("/volumes/{name}/redo", responses=answers(CommitFacts), dependencies=[Annotates])
def redo(request: TakeBack, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Put back what whoever asks undid last."""
    return volume.redo(author, **request.model_dump(), key=key).row()


@router.post("/volumes/{name}/revert", responses=answers(CommitFacts), dependencies=[Reviews])
def revert(request: Revert, volume: Served, author: Writer, key: Key = None) -> dict[str, Any]:
    """Take out any revision, or all of an author's, and keep everyone else's work."""
    return volume.revert(by=author, **request.model_dump(), key=key).row()
