"""Pages for people: plain HTML that loads nothing from elsewhere and needs no script, but to log in and out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from labelog_server.accept import liked

STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { margin-bottom: 0 } h1 + p { margin-top: 0 } h2 { margin-top: 2rem; font-size: 1.2rem } h3 { font-size: 1rem }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }
th { font-weight: normal; color: #666; white-space: nowrap } code, pre { font-size: .9em; overflow-wrap: anywhere }
pre { background: #f4f4f4; padding: .5rem; overflow-x: auto } figure { margin: 1rem 0 } figcaption { color: #666 }
img { display: block; width: 100%; max-width: 40rem; image-rendering: pixelated; border: 1px solid #ccc }
"""

LOG_IN = """\
document.querySelector("form").addEventListener("submit", async event => {
  event.preventDefault();
  const body = JSON.stringify({token: event.target.token.value.trim()});
  const answer = await fetch("/session", {method: "POST", headers: {"Content-Type": "application/json"}, body});
  if (answer.ok) location.reload();
  else document.querySelector("output").textContent = (await answer.json()).detail;
});
"""

LOG_OUT = """\
document.querySelector("button").addEventListener("click", async () => {
  await fetch("/session", {method: "DELETE"});
  location.reload();
});
"""


def wanted(request: Request) -> bool:
    """Whether the client would rather have a page than JSON: browsers say so of what is typed as an address."""
    return liked(request.headers.get("accept", ""), ("application/json", "text/html")) == "text/html"


def page(title: str, body: str, script: str = "", status: int = 200) -> Response:
    """A page that says in which form it was asked for, and whose scripts are the one that is given."""
    scripts = f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    policy = f"default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src {scripts}; " \
             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"  # fmt: skip
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>' \
           f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{escape(title)}</h1>{body}' \
           + (f"<script>{script}</script>" if script else "")  # fmt: skip
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
               "Cache-Control": "private, no-cache", "Vary": "Accept, Cookie"}  # fmt: skip
    return HTMLResponse(text, status, headers)


def login(why: str) -> Response:
    """What is asked of a person instead of a token in a header."""
    form = '<form><label>Token <input name="token" type="password" size="60" required autofocus></label> ' \
           "<button>Log in</button></form><p><output></output>"  # fmt: skip
    found = page("Log in", f"<p>{escape(why)}</p>{form}", LOG_IN, 401)
    found.headers["WWW-Authenticate"] = "Bearer"
    return found


def link(address: str, text: str) -> str:
    return f'<a href="{escape(address)}">{escape(text)}</a>'


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names, and the HTML of what they are."""
    return "<table>" + "".join(f"<tr><th>{escape(name)}<td>{what}" for name, what in rows) + "</table>"
