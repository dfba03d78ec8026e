"""Routes that are asked many times a second: what they are asked is read in one step, and answered in the next.

FastAPI reads each parameter of each dependency by itself, and opens scopes in which dependencies may end; that takes
longer than reading a slice. A route of this class is declared and described as any other; its parameters are the
request, a model of the query, parts of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError, create_model
from starlette.types import Receive, Scope, Send

from labelog_server.queries import declared, refuse_unknown


class Quick(APIRoute):
    """A route whose endpoint is `async def endpoint(request, asked, ...)`: a model, and parts of the path.

    Its dependencies are coroutines of the request alone, such as `Reads`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Coroutine[Any, Any, Response]], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        hints = get_type_hints(endpoint, include_extras=True)
        parts: dict[str, Any] = {name: (hints[name], ...) for name in self.param_convertors}
        self._parts = create_model("Path", **parts)
        self._query: type[BaseModel] = hints["asked"].__origin__
        self._declared = declared(self)
        self._checks = [each.dependency for each in self.dependencies if each.dependency is not None]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # which refuses it
            return
        request = Request(scope, receive)
        for check in self._checks:
            await check(request)
        place = _read(self._parts, "path", scope["path_params"])
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        refuse_unknown([name for name, _ in query], self._declared)
        asked = _read(self._query, "query", dict(query))
        response: Response = await self.endpoint(request, asked=asked, **vars(place))
        await response(scope, receive, send)


def _read(model: type[BaseModel], where: str, given: dict[str, Any]) -> BaseModel:
    """Raises RequestValidationError, which says what is wrong and where."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [{**item, "loc": (where, *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from None
