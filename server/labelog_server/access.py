"""What a route asks of whoever sends a request: a role, and whose edits they are.

Without a file of tokens everybody who reaches the server, on this machine only, may do everything, and says who they
are. With one, a token says both: as `Authorization: Bearer ...`, or in the cookie that `POST /session` gives to a
browser. S3 clients sign their requests instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import Depends, FastAPI, Header, Request

from labelog.engine.commit import checked_author
from labelog.engine.load import user
from labelog.errors import Corrupt
from labelog_server import signature
from labelog_server.guard import same_origin
from labelog_server.problems import Problem
from labelog_server.s3_errors import ROOT, is_below
from labelog_server.settings import Settings
from labelog_server.tokens import Role, Token, Tokens

COOKIE = "labelog_token"
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token, as `labelog token add` prints it"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "a token that POST /session was sent"},
}
SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"cookie": []}]
"""What a request may show, as OpenAPI says it: nothing, to a server on this machine only that asks for no tokens."""

Author = Annotated[
    str | None,
    Header(
        alias="Labelog-Author",
        description="who does it, such as vendor-b/ana; other letters than ASCII's as UTF-8''%D0%BE",
    ),
]


def found(request: Request, find: Callable[[Tokens], Token | None]) -> Token | None:
    """A token of the file. Raises Problem 503 while that cannot be used: nobody is let in by what it said before."""
    try:
        return find(request.app.state.tokens)
    except Corrupt:
        raise Problem(503, "the server cannot use its file of tokens now; its log says why",
                      headers={"Retry-After": "10"}) from None  # fmt: skip


def presented(request: Request) -> Token | None:
    """The token of a request; None where none is asked for. Raises Problem 401 or 503."""
    if request.app.state.tokens is None:
        return None
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme == signature.ALGORITHM:
        return signer(request)
    text = text.strip() if scheme.lower() == "bearer" else _cookie(request)
    token = found(request, lambda tokens: tokens.find(text))
    if token is None:
        what = "the token is not, or no longer, good" if text else "this server asks for a token"
        raise Problem(401, f"{what}; send it as Authorization: Bearer ...", headers={"WWW-Authenticate": "Bearer"})
    return token


def _cookie(request: Request) -> str:
    """The token of a browser that has logged in. Raises Problem 403 if a page of another origin would write with it:
    such pages send a token of their own, if they may use the server at all."""
    text = request.cookies.get(COOKIE, "")
    origin = request.headers.get("origin")
    if text and origin and request.method not in ("GET", "HEAD") and not same_origin(origin, request.headers["host"]):
        raise Problem(403, f"who has logged in here writes from pages of this server, not of {origin}; others send "
                      "Authorization: Bearer ...")  # fmt: skip
    return text


def signer(request: Request) -> Token:
    """Whose key pair a request is signed with. Raises Problem 400, 403 or 503."""
    if not is_below(request.url.path):
        raise Problem(403, f"signed requests are taken below {ROOT} only; send a token as Authorization: Bearer ...")
    claim = signature.Claim.of(request.headers["authorization"])
    token = found(request, lambda tokens: tokens.key_pair(claim.key))
    if token is None or token.secret is None:
        raise Problem(403, f"the key {claim.key} is not, or no longer, good", code="InvalidAccessKeyId")
    scope = request.scope
    method = scope["sent"].method if "sent" in scope else scope["method"]  # GET by now, if it was HEAD
    signature.verify(claim, token.secret, method, scope["raw_path"], scope["query_string"], scope["headers"],
                     datetime.now(UTC))  # fmt: skip
    return token


def may(role: Role) -> Callable[..., Awaitable[None]]:
    """A dependency: whoever sends the request has this role in the volume that it is about."""

    async def check(request: Request) -> None:
        token = presented(request)
        volume = request.path_params.get("name") or request.path_params.get("key", "").split("/")[0] or None
        if token is not None and not (token.level >= role and token.good_for(volume)):
            where = "" if volume is None else f" in {volume}"
            has = f"{token.role} in {', '.join(token.volumes)}"
            raise Problem(403, f"this takes the role {role.name.lower()}{where}; the token of {token.name} has {has}")

    check.role = role  # type: ignore[attr-defined]
    return check


Reads, Annotates, Reviews, Administers = (Depends(may(role)) for role in Role)


async def writer(request: Request, author: Author = None) -> str:
    """Whose an edit is: the token's, or of somebody below that name; without tokens as the request says, else as the
    server was told, else the operating system's user."""
    settings: Settings = request.app.state.settings
    token = presented(request)
    author = None if author is None else _spelled(author)
    if token is None:
        return author or user(settings.author)
    if author is not None and author != token.name and not author.startswith(token.name + "/"):
        raise Problem(403, f"edits with this token are by {token.name}, or by {token.name}/..., not by {author}")
    return author or token.name


def _spelled(author: str) -> str:
    """The name that the header Labelog-Author says. Raises Problem 422, and Invalid for what is no author."""
    name, encoded = author.removeprefix("UTF-8''"), author.startswith("UTF-8''")
    try:
        name = unquote_to_bytes(name).decode() if encoded else name.encode("ascii").decode()
    except UnicodeError:
        raise Problem(422, "Labelog-Author is ASCII, or UTF-8'' and the bytes of UTF-8, percent-encoded; found "
                      f"{author!r}") from None  # fmt: skip
    return checked_author(name) if name else ""


async def sender(request: Request) -> Token | None:
    return presented(request)


Sent = Annotated[Token | None, Depends(sender)]
Writer = Annotated[str, Depends(writer)]


def visible(names: Iterable[str], token: Token | None) -> list[str]:
    """Those of the volumes that a token is good for; all where none is asked for."""
    return [name for name in names if token is None or token.good_for(name)]


def install(app: FastAPI) -> None:
    """Let the description say how a token is sent."""
    described = app.openapi

    def with_security() -> dict[str, Any]:
        found = described()
        found["components"]["securitySchemes"], found["security"] = SCHEMES, SECURITY
        return found

    app.openapi = with_security  # type: ignore[method-assign]
