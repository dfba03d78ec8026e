"""`check` and `compact`: is a volume as it should be, and is it as small as it could be."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import labelog
from labelog.cli.arguments import Commands, add_command, add_json, add_volume
from labelog.cli.printing import counted, print_json, printable, sized, table, volume_bytes
from labelog.cli.progress import progress
from labelog.engine.check import Report
from labelog.errors import Corrupt


def add(commands: Commands) -> None:
    check = add_command(
        commands, "check", run_check, "read everything and verify it",
        "Verifies checksums, the chain of the history, that all labels follow from one\n"
        "another, and that what is there is what the edits made. Prints one line for each\n"
        "problem. Writes nothing. Exit code: 0 if all is well, 1 if anything is wrong.\n\n"
        "With --objects it is the objects that are looked at, and not the files: which are\n"
        "empty (no voxels), disconnected (several pieces, with what lies in them), unclassified\n"
        "(no class), or misplaced (in an object in which those of their class may not lie).",
        "  labelog check cells.labelog\n"
        "  labelog check cells.labelog --objects --region train\n"
        "  labelog check cells.labelog || mail -s 'damaged volume' me@example.org < /dev/null",
    )  # fmt: skip
    add_volume(check)
    check.add_argument("--objects", action="store_true", help="look at the objects instead")
    check.add_argument("--region", metavar="NAME", help="only objects with voxels in the bounds of this region")
    check.add_argument(
        "--connectivity", metavar="6|18|26", type=int, choices=(6, 18, 26),
        help="what is one piece: by faces (6: the default), edges too (18), corners too (26)",
    )  # fmt: skip
    add_json(check)
    compact = add_command(
        commands, "compact", run_compact, "fold the edits into the stored chunks, for fast reads",
        "Nothing is forgotten: every revision can still be read and undone. It happens\n"
        "in the background too; do it after much editing, before you copy a volume or\n"
        "open its base/ in other programs. Others may go on reading and editing.",
        "  labelog compact cells.labelog\n"
        "  labelog compact cells.labelog --json",
    )  # fmt: skip
    add_volume(compact)
    add_json(compact)


def run_check(arguments: argparse.Namespace) -> int:
    if arguments.objects:
        return _check_objects(arguments)
    for option in ("region", "connectivity"):
        if getattr(arguments, option) is not None:
            raise argparse.ArgumentError(None, f"--{option} is for --objects")
    report = _checked(arguments.volume)
    if arguments.json:
        facts: dict[str, Any] = {"volume": arguments.volume, "ok": report.ok, "problems": report.problems}
        print_json(facts | {"revisions": report.revisions, "chunks": report.chunks, "deltas": report.deltas})
    else:
        for problem in report.problems:
            print(printable(problem))
        seen = ((report.revisions, "revision"), (report.chunks, "chunk"), (report.deltas, "delta"))
        result = "all is well" if report.ok else f"{counted(len(report.problems), 'problem')} found"
        print(f"{', '.join(counted(*what) for what in seen)} verified: {result}")
    return 0 if report.ok else 1


def _check_objects(arguments: argparse.Namespace) -> int:
    """List what is wrong with objects, kind by kind."""
    with labelog.open(arguments.volume, "r") as volume, progress("checking", "objects") as update:
        seen = 0

        def told(done: int, total: int) -> None:
            nonlocal seen
            seen = total
            update(done, total)

        found = volume.labels.problems(region=arguments.region, connectivity=arguments.connectivity or 6, progress=told)
        problems = sorted(found)
    if arguments.json:
        rows = [problem._asdict() | {"label": str(problem.label)} for problem in problems]
        print_json({"volume": arguments.volume, "ok": not problems, "problems": rows, "objects": seen})
    else:
        if problems:
            rows_shown = ((problem.kind, str(problem.label), problem.message) for problem in problems)
            for line in table(("PROBLEM", "LABEL ", "WHAT"), rows_shown):
                print(line)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(each.kind for each in problems).items())
        result = f"{counted(len(problems), 'problem')} found: {kinds}" if problems else "all is well"
        print(f"{counted(seen, 'object')} looked at; {result}")
    return 1 if problems else 0


def _checked(path: str) -> Report:
    try:
        with labelog.open(path, "r") as volume, progress("checking", "chunks") as update:
            return volume.check(update)
    except Corrupt as error:  # too damaged to be opened
        return Report([str(error)])


def run_compact(arguments: argparse.Namespace) -> None:
    before = volume_bytes(arguments.volume)
    with labelog.open(arguments.volume) as volume, progress("compacting", "chunks") as update:
        folded = volume.compact(update)
    after = volume_bytes(arguments.volume)
    if arguments.json:
        print_json({"volume": arguments.volume, "chunks": folded, "bytes_before": before, "bytes_after": after})
    else:
        sizes = "" if before is None or after is None else f"; {sized(after)} on disk, {sized(before)} before"
        print(f"{counted(folded, 'chunk')} folded{sizes}")
