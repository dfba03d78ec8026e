"""`serve`: volumes over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from pathlib import Path

from labelog.cli.arguments import Commands, add_command, natural
from labelog.errors import Unsupported


def add(commands: Commands) -> None:
    serve = add_command(
        commands, "serve", run_serve, "let programs read and edit volumes over HTTP",
        "Any number of clients at once; other processes may edit the same volumes\n"
        "meanwhile. All routes are described at /docs and in docs/http.md. Only programs on\n"
        "this machine reach it: who can, may do everything. Ctrl-C ends it, once running\n"
        "requests are answered.",
        "  labelog serve cells.labelog\n"
        "  labelog serve volumes/ --port 8080 --author lab",
    )  # fmt: skip
    serve.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a volume, or a folder of volumes")
    serve.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", type=loopback,
                       help="where to listen: 127.0.0.1 or ::1")  # fmt: skip
    serve.add_argument("--port", metavar="N", default=8000, type=natural, help="by default 8000; 0 is any that is free")
    serve.add_argument("--author", metavar="NAME", help="who edits are by that are sent without a name")
    serve.add_argument("--origin", metavar="URL", action="append", default=[],
                       help="pages of this origin, such as http://localhost:3000, may use it; repeatable")  # fmt: skip


def loopback(text: str) -> str:
    """An address that only this machine reaches."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 127.0.0.1") from None
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is reached by others, and there is no way yet to tell who may do "
                                         "what; a tunnel, such as ssh -L, reaches 127.0.0.1")  # fmt: skip
    return str(address)


def run_serve(arguments: argparse.Namespace) -> None:
    try:
        from labelog_server.serve import serve
        from labelog_server.settings import Settings
    except ImportError as error:
        raise Unsupported(f"serving needs the extra 'server': pip install 'labelog[server]' ({error})") from error
    settings = Settings(tuple(arguments.paths), author=arguments.author, origins=tuple(arguments.origin))
    serve(settings, arguments.host, arguments.port, sys.stdout)
