"""Who did what, when and where."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from labelog_server import wire
from labelog_server.access import Reads
from labelog_server.asked import Name, Served
from labelog_server.editing import MOST_ROWS, listed
from labelog_server.facts import HistoryFacts, WholeCommitFacts, answers
from labelog_server.news import event
from labelog_server.routes.voxels import accepted, refuse_many
from labelog_server.wire import FORMATS, PNG

router = APIRouter(prefix="/api/v1", tags=["history"])


@router.get("/volumes/{name}/history", responses=answers(HistoryFacts), dependencies=[Reads])
def get_history(
    volume: Served, author: str | None = None, session: str | None = None, label: wire.Label | None = None,
    box: str | None = None, since: Annotated[int | None, Query(ge=0)] = None,
    until: Annotated[int | None, Query(ge=0, description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:  # fmt: skip
    """Commits, newest first, a page at a time: `next` is the `until` of the page after it, null if there is none."""
    within = None if box is None else wire.box_of(box, volume.shape)
    found = list(volume.history(author, session=session, label=label, box=within, since=since, until=until,
                                limit=limit + 1))  # fmt: skip
    following = found[limit].revision if len(found) > limit else None
    return {"commits": [commit.row() for commit in found[:limit]], "next": following}


@router.get("/volumes/{name}/history/{revision}", responses=answers(WholeCommitFacts), dependencies=[Reads])
def get_commit(name: Name, volume: Served, revision: int) -> dict[str, Any]:
    """One commit: who, when, why, and where it changed which labels."""
    commit = volume.commit(revision)
    told = event(name, volume, revision)
    return commit.row() | {"boxes": told["boxes"], "labels": told["labels"], "said": told["said"]}


@router.get("/volumes/{name}/history/{revision}/runs", dependencies=[Reads])
def get_written(volume: Served, revision: int) -> dict[str, Any]:
    """What a commit wrote: rows of z, y, x0, x1 and a label; of an undo, redo or revert, what it changed."""
    return {"runs": listed(volume.written(revision), MOST_ROWS)}


@router.get("/volumes/{name}/blame", response_class=Response, dependencies=[Reads])
def get_blame(request: Request, volume: Served, box: str | None = None) -> Response:
    """For each voxel of a box the revision of the live edit that wrote it last: uint64 (z, y, x); 0 where none has."""
    bounds = wire.box_of(box, volume.shape)
    refuse_many(request, bounds)
    kind = accepted(request.headers.get("accept", "*/*"), [kind for kind in FORMATS if kind != PNG])
    return Response(wire.encode(volume.blame(bounds), kind, {}), media_type=kind)
