"""`serve`: volumes over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from labelog.cli.arguments import Commands, above_zero, add_command, positive
from labelog.engine.commit import checked_author
from labelog.errors import Invalid, Unsupported

MB = 2**20
LIMITS = (
    ("--max-body", "MB", positive, 64, "size of a request's body, as sent"),
    ("--max-decoded", "MB", positive, 256, "size of a body once decompressed"),
    ("--max-voxels", "N", positive, 2**27, "voxels that a request reads at once, or sends as arrays and masks"),
    ("--max-memory", "MB", positive, 4096, "memory of all requests together: bodies, masks, arrays, answers"),
    ("--max-requests", "N", positive, 256, "requests that are carried out, or wait for it, at a time"),
    ("--max-connections", "N", positive, 1000, "connections at a time"),
    ("--head-seconds", "S", above_zero, 10, "time for a request's head"),
    ("--body-seconds", "S", above_zero, 30, "time to send a body or take an answer, beside that for its bytes"),
    ("--slowest", "KB", positive, 100, "kilobytes a second that a client has to manage"),
    ("--rate", "N", above_zero, 1000, "requests a second of one token"),
)


def add(commands: Commands) -> None:
    serve = add_command(
        commands, "serve", run_serve, "let programs read and edit volumes over HTTP",
        "Any number of clients at once; other processes may edit the same volumes\n"
        "meanwhile. All routes are described at /docs and in docs/http.md. Without --tokens\n"
        "only programs on this machine reach it, and may do everything; with it, every\n"
        "request needs a token (labelog token). It speaks plain HTTP: towards a network, put\n"
        "a proxy with TLS before it. Ctrl-C ends it, once running requests are answered.",
        "  labelog serve cells.labelog\n"
        "  labelog serve volumes/ --port 8080 --author lab\n"
        "  labelog serve volumes/ --tokens tokens.json --host 0.0.0.0 --host-name lab.example",
    )  # fmt: skip
    serve.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a volume, or a folder of volumes")
    serve.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", type=address,
                       help="where to listen: 127.0.0.1, or with --tokens any address of this machine")  # fmt: skip
    serve.add_argument("--port", metavar="N", default=8000, type=port, help="by default 8000; 0 is any that is free")
    serve.add_argument("--author", metavar="NAME", help="who edits are by that are sent without a name")
    serve.add_argument("--tokens", metavar="FILE", type=Path, help="ask every request for a token of this file")
    serve.add_argument("--host-name", metavar="NAME", action="append", default=[], type=host_name,
                       help="a name, beside localhost, that the server answers to; repeatable")  # fmt: skip
    serve.add_argument("--origin", metavar="URL", action="append", default=[], type=origin,
                       help="pages of this origin, such as http://localhost:3000, may use it; repeatable")  # fmt: skip
    serve.add_argument("--workers", metavar="N", default=1, type=positive,
                       help="processes that serve, by default 1; limits hold for each of them")  # fmt: skip
    limits = serve.add_argument_group(
        "limits", "what a client may ask for; beyond, it is refused and told so. Memory, requests, connections and "
        "rates are counted by each of several workers for itself",
    )  # fmt: skip
    for name, metavar, kind, default, what in LIMITS:
        limits.add_argument(name, metavar=metavar, type=kind, default=default, help=f"{what}; by default {default}")


def address(text: str) -> str:
    """An address to listen on."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as 127.0.0.1") from None


def port(text: str) -> int:
    """A number of a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535; found {text!r}")
    return int(text)


def host_name(text: str) -> str:
    """A name, or an address, as a request's Host has it without its port."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]*::?[0-9A-Fa-f:.]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name such as lab.example, without a port")
    return text


def origin(text: str) -> str:
    """The origin of pages, as browsers spell it."""
    try:
        found = urlsplit(text.lower())
        port = found.port
    except ValueError:
        found, port = urlsplit(""), None
    alone = found.path in ("", "/") and not found.query and not found.fragment and found.username is None
    if found.scheme not in ("http", "https") or not found.hostname or not alone or text.endswith(("?", "#", "@")):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin such as http://localhost:3000, without a path")
    usual = port == {"http": 80, "https": 443}[found.scheme]
    name = found.netloc.removesuffix(f":{port}") if usual else found.netloc.removesuffix(":")
    return f"{found.scheme}://{name}"


def run_serve(arguments: argparse.Namespace) -> None:
    try:
        from labelog_server.serve import serve
        from labelog_server.settings import Settings
        from labelog_server.tokens import Tokens
    except ImportError as error:
        raise Unsupported(f"serving needs the extra 'server': pip install 'labelog[server]' ({error})") from error
    if arguments.tokens is not None and not Tokens(arguments.tokens).all():
        raise Invalid(f"{arguments.tokens} has no token; labelog token add --tokens {arguments.tokens} makes one")
    if arguments.tokens is None and not ipaddress.ip_address(arguments.host).is_loopback:
        raise Invalid(f"{arguments.host} is reached by others: say who may do what, with --tokens")
    if arguments.author is not None:
        checked_author(arguments.author)
    hosts = (*Settings.hosts, *arguments.host_name)
    settings = Settings(
        tuple(arguments.paths), arguments.author, arguments.tokens, hosts, tuple(arguments.origin),
        max_body=int(arguments.max_body * MB), max_decoded=int(arguments.max_decoded * MB),
        max_voxels=arguments.max_voxels, max_memory=int(arguments.max_memory * MB), max_requests=arguments.max_requests,
        max_connections=arguments.max_connections, head_seconds=arguments.head_seconds,
        body_seconds=arguments.body_seconds, slowest=1000 * arguments.slowest, rate=arguments.rate,
        workers=arguments.workers,
    )  # fmt: skip
    serve(settings, arguments.host, arguments.port, sys.stdout)
