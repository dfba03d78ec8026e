"""What a native route does not take is refused: parameters that it does not declare, or twice, and bodies of another
type. Left aside, `?dry_run=true` would be done for real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from labelog_server import parts
from labelog_server.problems import Problem

JSON = "application/json"

_DECLARED: dict[str, frozenset[str]] = {}  # by a route's unique id, as it is asked for


def declared(route: APIRoute) -> frozenset[str]:
    """The names of all query parameters of a route, and of what it depends on, as its description has them."""
    described = get_openapi(title="one route", version="0", routes=[route])["paths"]
    operations = (operation for methods in described.values() for operation in methods.values())
    fields = (field for operation in operations for field in operation.get("parameters", ()))
    return frozenset(field["name"] for field in fields if field["in"] == "query")


def refuse_unknown(given: Sequence[str], known: frozenset[str]) -> None:
    """Raises RequestValidationError, which names what is given and not known, and what there is; or given twice."""
    if known.issuperset(given) and len(set(given)) == len(given):
        return
    counts = Counter(given)
    there_are = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    wrong = [{"loc": ("query", name), "msg": f"the route has no such parameter; {there_are}"}
             for name in counts if name not in known]  # fmt: skip
    wrong += [{"loc": ("query", name), "msg": f"it is there {count} times; say it once"}
              for name, count in counts.items() if name in known and count > 1]  # fmt: skip
    raise RequestValidationError(wrong)


def refuse_other_types(request: Request, route: APIRoute) -> None:
    """Raises Problem 415 for a body of a route that takes JSON, if it is no JSON."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if route.body_field is None or kind == JSON or kind.endswith("+json"):
        return
    if kind or request.scope["sent"].body:
        found = f"found {kind}" if kind else "none was sent"
        raise Problem(415, f"expected Content-Type: {JSON}, or {parts.TYPE} with that as its first part; {found}")


async def only_declared(request: Request) -> None:
    """A dependency of routes: what they are sent is all theirs. Who may not ask at all is told that first."""
    route: APIRoute = request.scope["route"]
    try:
        if request.query_params:
            known = _DECLARED.get(route.unique_id)
            if known is None:
                known = _DECLARED[route.unique_id] = declared(route)
            refuse_unknown([name for name, _ in request.query_params.multi_items()], known)
        refuse_other_types(request, route)
        match, none_match = request.headers.get("if-match", "*"), request.headers.get("if-none-match")
        if request.method in ("POST", "DELETE") and (match != "*" or none_match == "*"):
            raise Problem(412, "what is sent a POST or DELETE has no ETag; an edit says `seen`, the revision looked at")
    except (RequestValidationError, Problem):
        for each in route.dependencies:
            if each.dependency not in (None, only_declared):
                await each.dependency(request)
        raise
