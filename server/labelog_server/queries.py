"""Queries: a parameter that a route does not declare is refused. Left aside, `?dry_run=true` would be done for real."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute

_DECLARED: dict[str, frozenset[str]] = {}  # by a route's unique id, as it is asked for


def declared(route: APIRoute) -> frozenset[str]:
    """The names of all query parameters of a route, and of what it depends on."""
    fields = get_flat_params(route.dependant)  # those of a model of the query do not say that they are of the query
    return frozenset(field.alias for field in fields if not isinstance(field.field_info, (Path, Header, Cookie)))


def refuse_unknown(given: Iterable[str], known: frozenset[str]) -> None:
    """Raises RequestValidationError, which names what is given and not known, and what there is."""
    if known.issuperset(given):
        return
    there_are = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    what = f"the route has no such parameter; {there_are}"
    raise RequestValidationError([{"loc": ("query", name), "msg": what} for name in given if name not in known])


async def only_declared(request: Request) -> None:
    """A dependency of routes: their queries are all theirs."""
    given = request.query_params
    if not given:
        return
    route: APIRoute = request.scope["route"]
    known = _DECLARED.get(route.unique_id)
    if known is None:
        known = _DECLARED[route.unique_id] = declared(route)
    refuse_unknown(given, known)
