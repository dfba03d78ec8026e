"""Volumes as Zarr v3 over plain HTTP: any Zarr program reads them, and PUT of a chunk is an edit."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from labelog_server.access import Annotates, Reads, Writer
from labelog_server.answers import PACKED, answer, not_modified, refuse_other
from labelog_server.asked import Condition, Stored
from labelog_server.facts import takes
from labelog_server.wire import RAW

router = APIRouter(prefix="/zarr", tags=["zarr"])


@router.get("/{key:path}", response_class=Response, dependencies=[Reads])
def get_object(request: Request, objects: Stored, key: str) -> Response:
    """A group's or an array's metadata, or a chunk."""
    found = objects.get(key)
    refuse_other(request, found.tag)
    headers = {"Cache-Control": PACKED}
    held = not_modified(request, found.tag, headers)
    return held or answer(request, found.body, found.media_type, found.tag, headers)


@router.put("/{key:path}", response_class=Response, dependencies=[Annotates], openapi_extra=takes(RAW))
async def put_object(request: Request, objects: Stored, author: Writer, key: str, if_match: Condition = None,
                     if_none_match: Condition = None) -> Response:  # fmt: skip
    """Write a chunk of `instance/s0`: an edit of the voxels that differ."""
    body = await request.body()
    tag = await run_in_threadpool(objects.put, key, body, author, if_match, if_none_match)
    return Response(status_code=204, headers={"ETag": tag} if tag else None)


@router.delete("/{key:path}", response_class=Response, status_code=204, dependencies=[Annotates])
def delete_object(objects: Stored, author: Writer, key: str, if_match: Condition = None,
                  if_none_match: Condition = None) -> Response:  # fmt: skip
    """Make all voxels of a chunk of `instance/s0` 0."""
    objects.delete(key, author, if_match, if_none_match)
    return Response(status_code=204)
