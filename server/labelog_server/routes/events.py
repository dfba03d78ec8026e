"""Commits as server-sent events, so that clients read again only what changed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

import labelog
from labelog_server.access import Reads, Sent, presented, visible
from labelog_server.asked import Name, Shelf
from labelog_server.news import News, event
from labelog_server.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["events"])

HEARTBEAT = 15.0

Last = Annotated[str | None, Header(alias="Last-Event-ID", description="the last event that was received")]


@router.get("/volumes/{name}/events", response_class=StreamingResponse, dependencies=[Reads])
def volume_events(request: Request, name: Name, shelf: Shelf, last: Last = None,
                  since: Annotated[int | None, Query(ge=0)] = None) -> StreamingResponse:  # fmt: skip
    """Every commit of a volume after a revision (the newest now, if left out), as it is made, and who is there."""
    return _stream(request, shelf, {name: since}, last)


@router.get("/events", response_class=StreamingResponse, dependencies=[Reads])
def all_events(request: Request, shelf: Shelf, token: Sent, last: Last = None,
               volumes: Annotated[str | None, Query(description="names, comma-separated; all if left out")] = None,
               ) -> StreamingResponse:  # fmt: skip
    """Every commit of several volumes, as it is made, in one stream."""
    wanted = shelf.names() if volumes is None else volumes.split(",")
    names = visible(wanted, token)
    if volumes is not None and len(names) < len(wanted):
        raise Problem(403, f"the token is not good for {', '.join(name for name in wanted if name not in names)}")
    return _stream(request, shelf, dict.fromkeys(names), last)


def _stream(request: Request, shelf: Shelf, since: dict[str, int | None], last: str | None) -> StreamingResponse:
    received = _received(last)
    if received and received.keys().isdisjoint(since) and all(revision is None for revision in since.values()):
        raise Problem(422, f"Last-Event-ID is the id of an event of {', '.join(since)}; found {str(last)[:200]!r}")
    wanted = since | {name: revision for name, revision in received.items() if name in since}
    known, gone = {}, {}
    for name, revision in wanted.items():
        try:
            known[name] = shelf[name].at(revision).revision
        except labelog.NotFound:  # before it begins
            if not (received.keys() >= wanted.keys() and len(wanted) > 1):
                raise
            gone[name] = received[name]  # it was there; the stream ended with it
    if wanted and not known:
        raise labelog.NotFound(f"none of the volumes {', '.join(wanted)} is here any more")
    return StreamingResponse(_events(request, shelf, known, gone), media_type="text/event-stream",
                             headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})  # fmt: skip


async def _events(request: Request, shelf: Shelf, known: dict[str, int], gone: dict[str, int]) -> AsyncIterator[str]:
    """Of `gone` nothing is told, but ids name them too, as what is sent back with them is asked of all."""
    if request.scope["sent"].method == "HEAD":
        return  # or a connection that asked for no body would wait for the end of one
    yield f"retry: 1000\nid: {_place(known | gone)}\n: since {_place(known)}\n\n"
    # A volume was deleted, or the token is no longer good: what is left is asked for anew, and the answer says why.
    with suppress(labelog.NotFound, Problem):
        async for text in _told(request, shelf, known, gone):
            yield text


async def _told(request: Request, shelf: Shelf, known: dict[str, int], gone: dict[str, int]) -> AsyncIterator[str]:
    state = request.app.state
    news: News = state.news
    told = known | gone
    async for item in news.all(known, HEARTBEAT):
        presented(request)
        if item is None:
            yield ": still here\n\n"
            continue
        name, revision = item
        if revision is None:  # without an id: it is not to be caught up on
            present = {"volume": name, "present": await run_in_threadpool(state.presence.of, name)}
            yield f"event: presence\ndata: {json.dumps(present)}\n\n"
            continue
        told[name] = revision
        facts = await run_in_threadpool(_event, shelf, name, revision)
        yield f"id: {_place(told)}\nevent: commit\ndata: {json.dumps(facts)}\n\n"


def _event(shelf: Shelf, name: str, revision: int) -> dict[str, Any]:
    return event(name, shelf[name], revision)


def _place(known: dict[str, int]) -> str:
    """How far a stream has come, as an event's id."""
    return ",".join(f"{quote(name, safe='')}={revision}" for name, revision in sorted(known.items()))


def _received(last: str | None) -> dict[str, int]:
    """How far a stream had come, by the id of its last event. Raises Problem 422."""
    if not last:
        return {}
    found = [re.fullmatch(r"([^,=]+)=(\d{1,18})", item) for item in last.split(",")]
    if not all(found):
        raise Problem(422, f"Last-Event-ID is the id of an event, such as cells=41,other=7; found {last[:200]!r}")
    return {unquote(match[1]): int(match[2]) for match in found if match}
