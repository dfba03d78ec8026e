"""Who is not answered at all: requests under a strange name, with too much of a head, or sent by strange pages.

Any web page can make a browser send requests to 127.0.0.1: under the page's own name, if that is made to resolve
there (then the Host is not one of ours), or across origins (then the Origin is not). A page that may not read the
answer could still post, so that a POST needs a Content-Type, or another header, which plain forms cannot send.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from labelog_server.problems import response

FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data")

LONGEST_HEAD = 2**14  # bytes; h11 counts those only of a head that does not come in one piece

AWAY = ("cross-site", "same-site")
"""What a browser says in Sec-Fetch-Site of a page that this server did not send."""

HEADERS = (b"content-md5",)
"""Headers that a page may not send elsewhere either without asking first: some S3 clients send no Content-Type."""


class Guard:
    """Refuses them before any route sees them."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app, self._hosts, self._origins = app, {host.lower() for host in hosts}, set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := self._refused(scope)):
            status, detail = why
            await response(status, detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > LONGEST_HEAD:
            return 431, f"a request's head has {LONGEST_HEAD} bytes; this one has {size} or more"
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if _name(host) not in self._hosts:
            return 421, f"this server does not answer to the name {host!r}"
        origin = headers.get(b"origin")
        if origin and origin not in self._origins and not same_origin(origin, host):
            return 403, f"pages of {origin} may not use this server; `labelog serve --origin` allows one"
        if not origin and headers.get(b"sec-fetch-site") in AWAY:
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                return 403, "a page elsewhere that writes says which it is: its request has no Origin"
            if headers.get(b"sec-fetch-mode") == "no-cors":  # an image, say; a link that is followed is no such thing
                return 403, 'a page elsewhere that shows this says which it is: <img crossorigin="anonymous" ...>'
        if scope["method"] == "POST":  # the others browsers send elsewhere only after asking
            kind = headers.get(b"content-type", "").split(";")[0].strip().lower()
            empty = headers.get(b"content-length", "0") == "0" and b"transfer-encoding" not in headers
            asked = any(name in HEADERS or name.startswith(b"x-amz-") for name in headers)
            if kind in FORMS or (not kind and not empty and not asked):
                found = f"found {kind}, which plain forms of any page can send" if kind else "none was sent"
                return 415, f"a POST says what it holds: Content-Type: application/json, or XML below /s3; {found}"
        return None


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin is of the host and port that a request was sent to, as its Host says."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


@lru_cache(256)
def _name(host: str) -> str:
    """A Host without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
