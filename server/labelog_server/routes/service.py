"""How the server itself is."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import JSONResponse

import labelog
from labelog_server.access import Reads, Sent, visible
from labelog_server.asked import Limits, Shelf
from labelog_server.tokens import Token

router = APIRouter(tags=["service"])

GAUGES = {
    "revision": "The newest revision",
    "log_pages": "Pages in the journal's write-ahead log, after the last commit of the worker that answers",
    "unfolded_deltas": "Deltas that the worker that answers has committed, and that are not folded into the base yet",
    "free_bytes": "Free on the disk",
}


@router.get("/healthz")
def healthz(request: Request, shelf: Shelf) -> Response:
    """Whether all of the server works, and, where no token is asked for, which volumes can be written."""
    states: dict[str, str] = {}
    for name in shelf.names():
        try:
            shelf[name].store.journal.refuse_unwritable()
            states[name] = "writable"
        except labelog.ReadOnly:
            states[name] = "read only"
        except labelog.LabelogError as error:
            states[name] = type(error).__name__
    fine = all(state in ("writable", "read only") for state in states.values())
    told = {"volumes": states} if (tokens := request.app.state.tokens) is None else {}
    if tokens is not None:
        try:
            tokens.all()
        except labelog.Corrupt:
            fine = False
    return JSONResponse({"status": "ok" if fine else "failing", **told}, 200 if fine else 503)


@router.get("/metrics", response_class=Response, dependencies=[Reads])
def metrics(request: Request, shelf: Shelf, limits: Limits, token: Sent) -> Response:
    """Counts for Prometheus; of volumes those that the token is for."""
    registry = request.app.state.registry
    if limits.workers > 1:
        MultiProcessCollector(registry := CollectorRegistry())  # type: ignore[no-untyped-call]
    lines = [generate_latest(registry).decode()]
    gauges = _gauges(shelf, token)
    for name, help_text in GAUGES.items():
        lines.append(f"# HELP labelog_{name} {help_text}\n# TYPE labelog_{name} gauge\n")
        lines += [f'labelog_{name}{{volume="{volume}"}} {facts[name]}\n' for volume, facts in gauges.items()]
    return Response("".join(lines), media_type=CONTENT_TYPE_LATEST)


def _gauges(shelf: Shelf, token: Token | None) -> dict[str, dict[str, Any]]:
    found = {}
    for name in visible(shelf.names(), token):
        with suppress(labelog.LabelogError):  # /healthz tells of those
            volume = shelf[name]
            free = shutil.disk_usage(volume.address).free
            found[name] = {"revision": volume.revision, "log_pages": volume.store.journal.log_pages,
                           "unfolded_deltas": volume.store.keeper.unfolded, "free_bytes": free}  # fmt: skip
    return found
