"""Logging in from a browser: a token becomes a cookie that no script can read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from labelog_server.access import COOKIE, Sent, found
from labelog_server.facts import like
from labelog_server.problems import Problem
from labelog_server.queries import only_declared
from labelog_server.tokens import Token

router = APIRouter(tags=["session"])

MONTH = 30 * 24 * 3600


class Login(BaseModel):
    """Who a browser is, once and for all."""

    model_config = like({"token": "labelog_..."})
    token: str


@router.post("/session", dependencies=[Depends(only_declared)])
def log_in(login: Login, request: Request, response: Response) -> dict[str, Any]:
    """Take a token, and give it back as a cookie: HttpOnly, and not sent along from other sites."""
    if request.app.state.tokens is None:
        raise Problem(409, "this server asks for no token")
    token = found(request, lambda tokens: tokens.find(login.token))
    if token is None:
        raise Problem(401, "the token is not, or no longer, good", headers={"WWW-Authenticate": "Bearer"})
    response.set_cookie(COOKIE, login.token, max_age=MONTH, httponly=True, samesite="strict",
                        secure=request.url.scheme == "https")  # fmt: skip
    return _facts(token)


@router.get("/session")
def who(token: Sent) -> dict[str, Any]:
    """Who the request is from."""
    if token is None:
        return {"name": None, "role": "admin", "volumes": ["*"], "expires": None}
    return _facts(token)


@router.delete("/session", status_code=204)
def log_out(response: Response) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _facts(token: Token) -> dict[str, Any]:
    return {"name": token.name, "role": token.role, "volumes": list(token.volumes), "expires": token.expires}
