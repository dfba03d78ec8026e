"""`token`: who may do what through a server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from labelog.cli.arguments import Commands, add_json
from labelog.cli.printing import print_json, printable, table
from labelog.errors import Unsupported

if TYPE_CHECKING:
    from labelog_server.tokens import Token, Tokens

DESCRIPTION = """\
Make, list and revoke the tokens that programs and people send to a server.

With a file of tokens, `labelog serve --tokens` asks every request for one: read
(everything that changes nothing), annotate (edit, and undo one's own), review
(take out anybody's work) or admin (make and delete volumes). Edits are by the
token's name. Only hashes are kept: the token itself is printed once. S3 clients,
such as tensorstore, sign requests with a key pair instead (--s3), whose secret the
file has as it is.
"""

EXAMPLES = """\
examples:
  labelog token add vendor-b/ana --role annotate --volume cells --days 90
  labelog token add vendor-b/ana --s3 --volume cells
  labelog token revoke 1f3c9a20
"""


def add(commands: Commands) -> None:
    token = commands.add_parser(
        "token", help="say who may do what through a server", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    actions = token.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("add", help="make a token and print it", allow_abbrev=False)
    new.add_argument("name", metavar="NAME", help="the author of what is done with it, such as vendor-b/ana")
    new.add_argument("--role", choices=("read", "annotate", "review", "admin"), default="annotate",
                     help="what may be done with it; by default annotate")  # fmt: skip
    new.add_argument("--volume", metavar="NAME", action="append", default=[],
                     help="only in this volume; may be repeated; by default in all")  # fmt: skip
    new.add_argument("--days", type=float, metavar="N",
                     help="how long it holds (0.5 is twelve hours); by default for good")  # fmt: skip
    new.add_argument("--s3", action="store_true", help="a key pair for S3 clients: its id, and its secret")
    listed = actions.add_parser("list", help="list all tokens", allow_abbrev=False)
    add_json(listed)
    gone = actions.add_parser("revoke", help="let a token be good for nothing from now on", allow_abbrev=False)
    gone.add_argument("id", metavar="ID", help="as `list` prints it")
    for parser, run in ((new, run_add), (listed, run_list), (gone, run_revoke)):
        parser.add_argument("--tokens", metavar="FILE", type=Path, help="by default ~/.config/labelog/tokens.json")
        parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        parser.set_defaults(run=run)


def _tokens(arguments: argparse.Namespace) -> Tokens:
    try:
        from labelog_server.tokens import Tokens, default_path
    except ImportError as error:
        raise Unsupported(f"tokens need the extra 'server': pip install 'labelog[server]' ({error})") from error
    return Tokens(arguments.tokens or default_path())


def run_add(arguments: argparse.Namespace) -> None:
    wanted = arguments.name, arguments.role, arguments.volume, arguments.days
    if arguments.s3:
        key, secret = _tokens(arguments).add_pair(*wanted)
        print(f"AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}")
        print("Whoever has both may do what the role says; the file of tokens has them too.", file=sys.stderr)
        return
    print(_tokens(arguments).add(*wanted))
    print("It is not shown again. Send it as: Authorization: Bearer ...", file=sys.stderr)


def run_list(arguments: argparse.Namespace) -> None:
    found = _tokens(arguments).all()
    if arguments.json:
        print_json([{"id": token.id, "kind": _kind(token), "name": token.name, "role": token.role,
                     "volumes": list(token.volumes), "made": token.made, "expires": token.expires}
                    for token in found])  # fmt: skip
        return
    rows = ((token.id, _kind(token), token.name, token.role, ", ".join(token.volumes), token.made,
             token.expires or "never") for token in found)  # fmt: skip
    for line in table(("ID", "KIND", "NAME", "ROLE", "VOLUMES", "MADE", "EXPIRES"), rows):
        print(line)


def _kind(token: Token) -> str:
    return "s3" if token.secret else "bearer"


def run_revoke(arguments: argparse.Namespace) -> None:
    gone = _tokens(arguments).revoke(arguments.id)
    print(printable(f"{gone.id} of {gone.name} is revoked"))
