"""Errors as answers: one table from labelog's kinds to statuses, and problem details (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import PurePath
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

import labelog
from labelog.geometry import Box
from labelog_server import pages

log = logging.getLogger("labelog.http")

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[type[labelog.LabelogError], int] = {
    labelog.Invalid: 422,
    labelog.NotFound: 404,
    labelog.Exists: 409,
    labelog.Conflict: 409,
    labelog.NothingToUndo: 409,
    labelog.Unsupported: 501,
    labelog.ReadOnly: 403,
    labelog.Corrupt: 500,
    labelog.OutOfSpace: 507,
}
"""The status of each kind of error; of a kind that is also another one, the first in this order."""

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")

FACTS = ("box", "voxels", "revision", "label", "key", "chunk", "limit")
"""Attributes of errors that an answer repeats. Paths are not among them: they are the server's own affair."""


SCHEMA = {
    "type": "object",
    "description": "Problem details (RFC 9457). There may be facts beside these: box, voxels, revision, label, errors",
    "properties": {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}},
    "required": ["title", "status", "detail"],
}
ANSWER: dict[str, Any] = {
    "description": "what is wrong",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
ANSWERS: dict[int | str, dict[str, Any]] = {"4XX": ANSWER, "5XX": ANSWER}
"""What every route may answer, as OpenAPI says it."""


class Problem(Exception):
    """An answer that is no success, with what the client may want to know."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.facts = status, detail, headers, facts


def status_of(error: labelog.LabelogError | Problem) -> int:
    if isinstance(error, Problem):
        return error.status
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


def said(error: labelog.LabelogError | Problem, folders: Iterable[str]) -> str:
    """What an error says: of files their names, and not in which of these folders, or others, they lie."""
    text = str(error)
    named = getattr(error, "path", None), getattr(error.__cause__, "filename", None)
    for path in filter(None, named):
        text = text.replace(str(path), PurePath(str(path)).name)
    for folder in folders:
        text = re.sub(rf"(?<![\w./-]){re.escape(folder)}/", "", text)
    return text


def told(error: labelog.LabelogError) -> dict[str, Any]:
    """The facts of an error, as JSON has them."""
    return {name: plain(getattr(error, name)) for name in FACTS if getattr(error, name, None) is not None}


def plain(value: Any) -> Any:
    """A value as JSON has it: labels as decimal strings are made where it is known that they are labels."""
    if isinstance(value, Box):
        return [list(value.start), list(value.stop)]
    return list(value) if isinstance(value, tuple) else value


def details(status: int, detail: str, kind: str | None = None, **facts: Any) -> dict[str, Any]:
    """A problem in JSON."""
    return {"title": kind or HTTPStatus(status).phrase, "status": status, "detail": detail, **facts}


def response(status: int, detail: str, kind: str | None = None, headers: dict[str, str] | None = None,
             **facts: Any) -> Response:  # fmt: skip
    """A problem as an answer."""
    return Response(json.dumps(details(status, detail, kind, **facts)), status, headers, MEDIA_TYPE)


def of_problem(problem: Problem, folders: Iterable[str] = ()) -> Response:
    return response(problem.status, said(problem, folders), headers=problem.headers, **problem.facts)


def of_error(error: labelog.LabelogError, folders: Iterable[str]) -> Response:
    facts = told(error)
    if "label" in facts:
        facts["label"] = str(facts["label"])
    return response(status_of(error), said(error, folders), type(error).__name__, **facts)


def unread_field(item: dict[str, Any]) -> dict[str, str]:
    """Where in a request something cannot be read, what was expected there, and what is there."""
    at, kind, what, value = item["loc"], item.get("type"), item["msg"], item.get("input")
    if kind == "json_invalid":
        return {"at": str(at[0]), "what": f"it is no JSON: {item['ctx']['error']} at character {at[1]}"}
    if kind == "extra_forbidden":
        what = "there is no such field here"
    elif kind == "value_error":  # one of ours, which says what was found
        what = str(item["ctx"]["error"])
    elif kind not in (None, "missing", "union_tag_invalid", "union_tag_not_found"):
        what = f"{what[0].lower()}{what[1:]}; found {briefly(value)}"
    return {"at": ".".join(str(part) for part in at if "[" not in str(part)), "what": what}


def briefly(value: Any) -> str:
    """A value of JSON in a few words."""
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else f"{text[:80]}..."


def methods_of(request: Request) -> list[str]:
    """What can be asked at a path. The error knows only the first of the routes that are there."""
    asked = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    scopes = ({**asked, "method": method, "path_params": {}, "headers": []} for method in METHODS)
    found = [scope["method"] for scope in scopes
             if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)]  # fmt: skip
    return [*found, "HEAD"] if "GET" in found else found


def install(app: FastAPI) -> None:
    """Let whatever is raised end as a problem, and the description say what that is."""
    described = app.openapi

    def with_problems() -> dict[str, Any]:
        found = described()
        found["components"]["schemas"]["Problem"] = SCHEMA
        return found

    app.openapi = with_problems  # type: ignore[method-assign]

    @app.exception_handler(labelog.LabelogError)
    async def engine(request: Request, error: labelog.LabelogError) -> Response:
        if status_of(error) >= 500:
            log.error("%s: %s", type(error).__name__, error)
        return of_error(error, request.app.state.settings.folders)

    @app.exception_handler(Problem)
    async def ours(request: Request, error: Problem) -> Response:
        if error.status == 401 and pages.wanted(request):
            return pages.login(error.detail.partition(";")[0])
        return of_problem(error, request.app.state.settings.folders)

    @app.exception_handler(RequestValidationError)
    async def unread(_: Request, error: RequestValidationError) -> Response:
        found = list(map(unread_field, error.errors()))
        first = found[0] if found else {"at": "request", "what": "it cannot be read"}
        return response(422, f"{first['at']}: {first['what']}", "Invalid", errors=found)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        detail, headers = str(error.detail), dict(error.headers or {})
        if error.status_code == 404:
            detail = f"there is nothing at {request.url.path}; /docs has all routes"
        if error.status_code == 405:
            headers["Allow"] = ", ".join(methods_of(request))
            detail = f"{request.url.path} takes {headers['Allow']}"
        return response(error.status_code, detail, headers=headers)


def unforeseen(method: str, path: str, error: Exception) -> Response:
    """The answer to a request that met an error of the server's own, which the log has in full."""
    log.exception("%s %s", method, path, exc_info=error)
    return response(500, "an error of the server's own; its log has more")
