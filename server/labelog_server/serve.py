"""Running the server: uvicorn, until it is interrupted."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
from functools import partial
from typing import Any, TextIO, cast

import uvicorn

from labelog.errors import Exists
from labelog_server.app import create_app
from labelog_server.patience import Patient
from labelog_server.settings import Settings


def serve(settings: Settings, host: str, port: int, out: TextIO) -> None:
    """Serve until Ctrl-C; requests that are running then are answered first.

    Says where on `out`, and writes a line of JSON for each request to stderr. Raises Exists if something listens there.
    """
    app = create_app(settings)
    listener = _listening(host, port)
    port = listener.getsockname()[1]
    _log_to_stderr()
    names = app.state.catalog.names()
    shown = f"[{host}]" if ":" in host else host
    print(
        f"serving {', '.join(names) or 'no volume yet'} at http://{shown}:{port} (Ctrl-C ends it)", file=out, flush=True
    )
    config = uvicorn.Config(app, access_log=False, log_level="warning", timeout_graceful_shutdown=30,
                            timeout_keep_alive=20, server_header=False, ws="none",
                            http=cast(Any, partial(Patient, settings)))  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more when all is over
        uvicorn.Server(config).run([listener])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(
        family, proto=socket.IPPROTO_TCP
    )  # named: else asyncio sets no TCP_NODELAY, 40 ms an answer
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Exists(f"something else listens on port {port} already; --port names another") from error
        raise
    return listener


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("labelog.requests", "labelog.http"):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger("labelog.requests").setLevel(logging.INFO)
