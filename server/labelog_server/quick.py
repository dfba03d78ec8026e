"""Routes that are asked many times a second: what they are asked is read in one step.

FastAPI reads each parameter of each dependency by itself, which takes longer than reading a slice. A route of this
class is declared and described as any other; its parameters are the request, a model of the query, parts of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError, create_model


class Quick(APIRoute):
    """A route whose endpoint is `async def endpoint(request, asked, ...)`: a model, and parts of the path.

    Its dependencies are coroutines of the request alone, such as `Reads`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        hints = get_type_hints(self.endpoint, include_extras=True)
        query: type[BaseModel] = hints["asked"].__origin__
        parts: dict[str, Any] = {name: (hints[name], ...) for name in self.param_convertors}
        path = create_model("Path", **parts)
        checks = [depends.dependency for depends in self.dependencies if depends.dependency is not None]

        async def handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            place = _read(path, "path", request.path_params)
            asked = _read(query, "query", request.query_params)
            response: Response = await self.endpoint(request, asked=asked, **vars(place))
            return response

        return handle


def _read(model: type[BaseModel], where: str, given: Any) -> BaseModel:
    """Raises RequestValidationError, which says what is wrong and where."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        found = [{**item, "loc": (where, *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from None
