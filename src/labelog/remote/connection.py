"""Requests about one volume to the server that has it: connections kept alive, repeated where that does no harm."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from labelog.errors import Invalid, Unreachable
from labelog.extras import extra
from labelog.progress import Progress, checked_progress
from labelog.remote.problems import error_of

TOKEN = "LABELOG_TOKEN"
"""The environment variable with the token of who gives none: of processes that a volume was pickled to, too."""

TIMEOUT = 60.0  # seconds to wait for a server that says nothing
TRIES = 4
WAIT = 0.1  # seconds before the second try; twice as long before each further one
LONGEST_WAIT = 10.0
BUSY = (429, 502, 503, 504)
POLL = 0.01, 0.5  # seconds between looks at a job: at first, at most

JSON = dict[str, Any]


class Connection:
    """The routes of one volume. Safe for several threads.

    Attributes
    ----------
    address : http://host:port/volumes/name, as people see it in the browser.
    name : of the volume.
    """

    def __init__(self, address: str, token: str | None, timeout: float) -> None:
        self.address, self._root, self.name = parsed(address)
        self._token = checked_token(token or os.environ.get(TOKEN))
        self._timeout = timeout
        self._lock = threading.Lock()
        self._http = extra("httpx", "remote")
        self._pid = 0
        self._client: Any = None
        self.closed = False

    @property
    def client(self) -> Any:
        """Connections are made when first needed, and anew in a process that inherited some by fork."""
        with self._lock:
            if self.closed:
                raise Invalid(f"{self.address} was closed")
            if self._pid != os.getpid():
                limits = self._http.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=15)
                headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
                self._client = self._http.Client(headers=headers, limits=limits, timeout=self._timeout)
                self._pid = os.getpid()
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None and self._pid == os.getpid():
                self._client.close()
            self.closed = True

    # Requests

    def get(self, path: str, *, accept: str = "application/json", **query: Any) -> Any:
        """The answer to GET; arguments that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path, params=given, headers={"Accept": accept})

    def told(self, path: str, **query: Any) -> JSON:
        """The JSON that GET is answered with."""
        return self._json(self.get(path, **query))

    def post(self, path: str, body: JSON | bytes, *, author: str | None = None, key: str | None = None,
             kind: str = "application/json", accept: str = "application/json", **query: Any) -> Any:  # fmt: skip
        """The answer to POST. What may be sent twice has a key, or changes nothing."""
        headers = {"Content-Type": kind, "Accept": accept}
        headers |= {} if author is None else {"Labelog-Author": header_text(author)}
        headers |= {} if key is None else {"Idempotency-Key": quote(key, safe=PLAIN)}
        sent = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self._send("POST", path, headers=headers, params=query, **sent)

    def done(self, path: str, body: JSON | bytes, **more: Any) -> JSON:
        """The JSON that POST is answered with."""
        return self._json(self.post(path, body, **more))

    def _json(self, answer: Any) -> JSON:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable(f"{answer.url}: expected JSON, found {answer.text[:80]!r}")
        return found

    def _send(self, method: str, path: str, *, stream: bool = False, **more: Any) -> Any:
        url, wait = f"{self._root}{path}", WAIT
        for last in range(TRIES - 1, -1, -1):
            try:
                client = self.client
                answer = client.send(client.build_request(method, url, **more), stream=stream)
            except self._http.TransportError as error:
                if not last:
                    raise self._unreachable(error) from error
            except RuntimeError as error:  # closed meanwhile
                raise Invalid(f"{self.address} was closed") from error
            else:
                if answer.status_code not in BUSY or not last:
                    return self._good(answer)
                wait = max(wait, _seconds(answer.headers.get("retry-after")))
                answer.close()
            time.sleep(min(wait, LONGEST_WAIT))
            wait *= 2
        raise AssertionError

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.address}: {error or type(error).__name__}", path=self.address)

    def _good(self, answer: Any) -> Any:
        """The answer, if it is a success; what to do about it is raised otherwise."""
        if answer.is_success:
            return answer
        answer.read()
        if "problem+json" not in answer.headers.get("content-type", ""):
            raise error_of({"detail": f"{answer.url} answered {answer.status_code}, as no labelog does"},
                           answer.status_code)  # fmt: skip
        raise error_of(answer.json(), answer.status_code)

    # What takes long

    def job(self, work: JSON, progress: Progress | None = None) -> Any:
        """Have the server do some long work; its result. What `progress` raises cancels it."""
        checked_progress(progress)
        job = self.done("/jobs", work)["id"]
        wait, most = POLL
        told: JSON = {}
        while told.get("state") not in ("done", "failed", "cancelled"):
            time.sleep(wait if told else 0)
            wait = min(most, wait * 1.5)
            told = self.told(f"/jobs/{job}")
            if progress is not None and told["state"] == "running":
                try:
                    progress(told["done"], told["total"])
                except BaseException:
                    self._send("DELETE", f"/jobs/{job}")
                    raise
        if told["state"] == "failed":
            raise error_of(told["problem"], told["problem"].get("status", 500))
        if told["state"] == "cancelled":
            raise Unreachable(f"{self.address}: the job was cancelled on the server")
        return told["result"]

    @contextmanager
    def events(self, since: int, quiet: float) -> Iterator[Iterator[str]]:
        """The lines of the stream of events after a revision. They end if nothing is said for `quiet` seconds, and if
        the connection breaks: then ask again."""
        timeout = self._http.Timeout(self._timeout, read=quiet)
        answer = self._send("GET", "/events", stream=True, params={"since": since}, timeout=timeout)
        try:
            yield self._lines(answer)
        finally:
            answer.close()

    def _lines(self, answer: Any) -> Iterator[str]:
        try:
            yield from answer.iter_lines()
        except (self._http.TransportError, self._http.StreamError):
            return


def checked_token(token: str | None) -> str | None:
    """A token without the white space around it, which a line of a file has. Raises Invalid, which does not tell it."""
    if token is None:
        return None
    if not isinstance(token, str):
        raise Invalid(f"a token is a text, not {type(token).__name__}")
    token = token.strip()
    wrong = re.search(r"[^!-~]", token)
    if wrong:
        raise Invalid(f"a token is of visible ASCII characters; number {wrong.start() + 1} of this one is not")
    return token or None


def is_address(path: Any) -> bool:
    """Whether this is where a server has a volume, and no path."""
    return isinstance(path, str) and re.match(r"https?://", path, re.IGNORECASE) is not None


def parsed(address: str) -> tuple[str, str, str]:
    """An address as it is written best, that of the volume's routes, and its name. Raises Invalid."""
    try:
        parts = urlsplit(address)
        found = re.fullmatch(r"(.*?)(?:/api/v1)?/volumes/([^/]+)/?", parts.path)
        good = found is not None and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or found is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise Invalid(f"a volume on a server is at http://host:port/volumes/name, or https; found {address!r}")
    root = f"{parts.scheme.lower()}://{parts.netloc}{found[1]}"
    return f"{root}/volumes/{found[2]}", f"{root}/api/v1/volumes/{found[2]}", found[2]


PLAIN = "".join(map(chr, range(33, 127))).replace("%", "")


def header_text(text: str) -> str:
    """A text as a header has it; with other characters than ASCII's as RFC 8187 has it."""
    if not isinstance(text, str):
        raise Invalid(f"a name is a text, not {text!r}")
    return text if re.fullmatch(r"[!-~]([ -~]*[!-~])?", text) else f"UTF-8''{quote(text, safe='')}"


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
