"""`undo`, `redo`, `revert`: what was done, taken back or put back, with everyone else's work kept."""

from __future__ import annotations

import argparse

import labelog
from labelog.cli.arguments import Commands, add_author, add_command, add_json, add_volume, natural
from labelog.cli.printing import counted, listed, print_json, printable
from labelog.cli.wording import said, some
from labelog.engine.volume import Volume
from labelog.storage.journal import Commit


def add(commands: Commands) -> None:
    undo = add_command(
        commands, "undo", run_undo, "take back an author's newest edit",
        "At any depth (again, and the edit before it goes), after any restart, and under\n"
        "later work of others: voxels that a later edit wrote stay as they are, and how\n"
        "many is printed. Exit code 1 if there is nothing to undo.",
        "  labelog undo cells.labelog\n"
        "  labelog undo cells.labelog --author ana --strict\n"
        "  labelog undo cells.labelog --author ana --json",
    )  # fmt: skip
    redo = add_command(
        commands, "redo", run_redo, "put back what an author undid last",
        "At its own place in the order: later edits still lie over it. An author's new edit\n"
        "clears what they could redo. Exit code 1 if there is nothing to redo.",
        "  labelog redo cells.labelog\n"
        "  labelog redo cells.labelog --author ana",
    )  # fmt: skip
    for parser in (undo, redo):
        add_volume(parser)
        add_author(parser, "whose")
        parser.add_argument("--session", metavar="NAME", help="only what was done in this session (window, program)")
        _add_rest(parser)
    revert = add_command(
        commands, "revert", run_revert, "take out one revision, or all that an author did",
        "Anybody's, with everyone else's work kept: voxels that a later edit wrote stay as\n"
        "they are, and how many is printed. An undo or a revert can be reverted too.\n"
        "--author vendor-b also means vendor-b/ana.",
        "  labelog revert cells.labelog 41\n"
        "  labelog revert cells.labelog --author vendor-b --by lee --message 'below quality'\n"
        "  labelog revert cells.labelog 41 --strict --json",
    )  # fmt: skip
    add_volume(revert)
    revert.add_argument("revision", metavar="REVISION", nargs="?", type=natural, help="the revision to take out")
    revert.add_argument("--author", metavar="NAME", help="instead of a revision: all edits of this author")
    revert.add_argument("--by", metavar="NAME", help="who does it, for the history; by default your user name")
    _add_rest(revert)


def _add_rest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--message", metavar="TEXT", default="", help="why, for the history")
    parser.add_argument("--strict", action="store_true", help="refuse (exit code 1) rather than leave any voxel alone")
    add_json(parser)


def run_undo(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume) as volume:
        commit = volume.undo(arguments.author, session=arguments.session, strict=arguments.strict,
                             message=arguments.message)  # fmt: skip
        _report(volume, commit, arguments.json)


def run_redo(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume) as volume:
        commit = volume.redo(arguments.author, session=arguments.session, strict=arguments.strict,
                             message=arguments.message)  # fmt: skip
        _report(volume, commit, arguments.json)


def run_revert(arguments: argparse.Namespace) -> None:
    if (arguments.revision is None) == (arguments.author is None):
        raise argparse.ArgumentError(None, "name a REVISION, or an author with --author")
    with labelog.open(arguments.volume) as volume:
        commit = volume.revert(arguments.revision, author=arguments.author, by=arguments.by, strict=arguments.strict,
                               message=arguments.message)  # fmt: skip
        _report(volume, commit, arguments.json)


def _report(volume: Volume, commit: Commit, as_json: bool) -> None:
    if as_json:
        print_json(commit.row() | {"said": said(volume, commit.revision, commit.kind)})
        return
    what = listed(commit.targets)
    if len(commit.targets) == 1:
        target = volume.commit(commit.targets[0])
        what += f" ({target.kind} by {target.author}{': ' * bool(target.message)}{target.message})"
    print(printable(f"revision {commit.revision}: {commit.kind} of {what}; {counted(commit.voxels, 'voxel')} changed"))
    if lines := said(volume, commit.revision, commit.kind):
        print(printable(f"now {some(lines, 5)}"))
    if commit.left_alone:
        print(f"{counted(commit.left_alone, 'voxel')} left alone, as later edits wrote them")
