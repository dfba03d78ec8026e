"""Views as maps over labels as stored, so that a merge recolours what a client has, and no voxel is sent again."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import JSONResponse

from labelog.engine.snapshot import View
from labelog_server import wire
from labelog_server.access import Reads
from labelog_server.answers import CHANGES, STAYS, etag, not_modified, refuse_other
from labelog_server.asked import Seen, Served
from labelog_server.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["views"])

Part = Annotated[str | None, Query(description="a box: z0:z1,y0:y1,x0:x1")]


@router.get("/volumes/{name}/views", dependencies=[Reads])
def get_view(seen: Seen) -> dict[str, Any]:
    """What a view is: the dtype of its values, its voxels along z, y and x, the colours that are known."""
    return {"view": seen.name, "revision": seen.revision, "dtype": seen.dtype.name, "shape": seen.shape,
            "colours": {str(value): shade for value, shade in seen.colours.items()}}  # fmt: skip


@router.get("/volumes/{name}/version", dependencies=[Reads])
def get_version(seen: Seen, box: Part = None) -> dict[str, Any]:
    """48 hex digits that are the same at two revisions only if all values of a box are."""
    return {"revision": seen.revision, "version": seen.version(wire.box_of(box, seen.shape)).hex()}


@router.get("/volumes/{name}/extents", dependencies=[Reads])
def get_extents(seen: Seen, box: Part = None) -> dict[str, Any]:
    """How many voxels each value but 0 has in a box, and their bounds: [value, voxels, start, stop] each."""
    found = seen.extents(wire.box_of(box, seen.shape))
    columns = map(str, found.label.tolist()), found.voxels.tolist(), found.start.tolist(), found.stop.tolist()
    return {"revision": seen.revision, "extents": list(zip(*columns, strict=True))}


@router.get("/volumes/{name}/views/{view}/map", response_class=JSONResponse, dependencies=[Reads])
def get_map(
    request: Request, volume: Served,
    view: Annotated[str, Path(description="instance, fragment, semantic, or the name of a class")],
    rev: Annotated[int | None, Query(ge=0, description="the revision; the newest if left out")] = None,
    since: Annotated[int | None, Query(ge=0, description="the revision that the client knows the map of")] = None,
    labels: Annotated[str | None, Query(description="only of these, comma-separated", examples=["7,8"])] = None,
) -> Response:  # fmt: skip
    """What labels as stored (view=fragment) are in a view, with colours: all of it, what changed since, or of some.

    If `whole`, forget what was known: labels that are not in `values` are themselves (instance, fragment) or 0.
    """
    if since is not None and labels is not None:
        raise Problem(422, "a map is asked for since a revision, or of some labels, not both")
    seen = volume.at(rev).view(view, dtype=np.uint64)
    tag = etag(f"{volume.id[:8]} {volume.store.said(seen.revision)}".encode())  # of all revisions with one label table
    headers = {"Cache-Control": CHANGES if rev is None else STAYS, "Labelog-Revision": str(seen.revision)}
    refuse_other(request, tag)
    held = not_modified(request, tag, headers)
    return held or JSONResponse(_told(seen, since, labels), headers=headers | {"ETag": tag})


def _told(seen: View, since: int | None, labels: str | None) -> dict[str, Any]:
    whole = False
    if labels is None:
        values, whole = (found := seen.remapped(since)).values, found.whole
    else:
        chosen = _chosen(labels)
        values = dict(zip(chosen, seen.values(np.array(chosen, np.uint64)).tolist(), strict=True))
    shown = {*values.values(), *(seen.colours if whole else ())}
    return {
        "view": seen.name, "revision": seen.revision, "since": since, "whole": whole,
        "values": {str(label): str(value) for label, value in values.items()},
        "colours": {str(value): shade for value, shade in wire.shades(shown, seen.colours).items()},
    }  # fmt: skip


def _chosen(text: str) -> list[int]:
    return [wire.label(item.strip()) for item in text.split(",")]
