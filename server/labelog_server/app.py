"""The application, wired: middleware outermost first, then routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

import labelog
from labelog_server import access, problems
from labelog_server.board import Board
from labelog_server.bodies import Bodies
from labelog_server.callers import Callers
from labelog_server.catalog import Catalog
from labelog_server.commits import timed
from labelog_server.guard import Guard
from labelog_server.jobs import Jobs
from labelog_server.memory import Memory
from labelog_server.mesher import Mesher
from labelog_server.news import News
from labelog_server.patience import END_STREAMS
from labelog_server.places import Places
from labelog_server.presence import Presence
from labelog_server.queries import only_declared
from labelog_server.quick import Quick
from labelog_server.requests import Requests
from labelog_server.routes import TOPICS, voxels
from labelog_server.s3_errors import S3Errors
from labelog_server.settings import Settings
from labelog_server.tokens import Tokens
from labelog_server.trials import Trials

EXPOSED = ["ETag", "Content-Range", "Location", "Labelog-Revision", "Labelog-Box", "Labelog-Shape", "Labelog-Dtype",
           "Labelog-Trial", "Retry-After"]  # fmt: skip
TAKEN = ["Authorization", "Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "If-Range", "Range",
         "Idempotency-Key", "Labelog-Author", "Last-Event-ID"]  # fmt: skip

DESCRIPTION = """\
Label volumes, read and edited by any number of clients at once. Axes are z, y, x. Labels are decimal strings.
Whatever fails is answered with problem details (RFC 9457).
"""


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application that serves some volumes. Raises NotFound for a path that is neither volume nor folder."""
    catalog = Catalog(settings.paths, settings.cache_bytes)
    board = Board(settings.shared)
    news = News(catalog, present := Presence(board))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with news:
            yield {END_STREAMS: news.end}
        app.state.jobs.close()
        app.state.mesher.close()
        catalog.close()
        board.close()

    app = FastAPI(title="labelog", version=labelog.__version__, description=DESCRIPTION, lifespan=life,
                  responses=problems.ANSWERS, docs_url=None, redoc_url=None)  # fmt: skip
    app.state.settings, app.state.catalog, app.state.news = settings, catalog, news
    app.state.presence, app.state.jobs, app.state.mesher = present, Jobs(board, settings.folders), Mesher()
    app.state.trials = Trials()
    app.state.tokens = None if settings.tokens is None else Tokens(settings.tokens, problems.log.error)
    app.state.registry = registry = CollectorRegistry()
    catalog.timed = timed(registry)
    problems.install(app)
    access.install(app)
    voxels.add_quick(app.router)
    app.router.routes.sort(key=lambda route: not isinstance(route, Quick))  # what is asked most is looked at first
    for topic in TOPICS:
        native = topic.router.prefix == "/api/v1"  # clients of others' protocols may add what these allow
        app.include_router(topic.router, dependencies=[Depends(only_declared)] if native else [])
    app.add_middleware(Places, settings.max_requests)
    app.add_middleware(Bodies, settings)
    app.add_middleware(Memory, settings.max_memory)
    if settings.tokens is not None:
        app.add_middleware(Callers, settings.rate)
    if settings.origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=["*"], allow_headers=TAKEN,
                           expose_headers=EXPOSED)  # fmt: skip
    app.add_middleware(Guard, settings.hosts, settings.origins)
    app.add_middleware(S3Errors)
    app.add_middleware(Requests, registry)
    return app
