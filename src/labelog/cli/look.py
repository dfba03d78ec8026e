"""`info`, `show` and `history`: what a volume is, how it looks, and who did what."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import labelog
from labelog.cli.arguments import (
    Commands,
    add_box,
    add_command,
    add_json,
    add_revision,
    add_scale,
    add_view,
    add_volume,
    label,
    moment,
    natural,
    within,
)
from labelog.cli.files import colours_of, viewed
from labelog.cli.printing import by, counted, listed, print_facts, print_json, sized, table, volume_bytes
from labelog.cli.wording import said, some
from labelog.engine.snapshot import Revision
from labelog.engine.volume import Volume
from labelog.errors import OutOfBounds
from labelog.formats import picture
from labelog.formats.colours import colour
from labelog.formats.output import new_file
from labelog.geometry import Box
from labelog.storage.journal import Commit, Kind

AXES = "zyx"
SAID = 2  # things that a commit said of the label table, as shown in a line of the history


def add(commands: Commands) -> None:
    info = add_command(
        commands, "info", run_info, "print a volume's shape, voxel size, revision, classes and size on disk",
        "Reads no voxels, so it is fast for volumes of any size.",
        "  labelog info cells.labelog\n"
        "  labelog info cells.labelog --json | jq .revision",
    )  # fmt: skip
    add_volume(info)
    add_json(info)
    _add_show(commands)
    _add_history(commands)


def _add_show(commands: Commands) -> None:
    show = add_command(
        commands, "show", run_show, "draw a slice, in the terminal or as a PNG",
        "Labels have the colours of the file they came from, others one of their own, the\n"
        "same in every slice and at every revision; --view semantic has the colours of the\n"
        "classes. In a terminal the slice is drawn right there; with -o, or when the output\n"
        "is piped, it is a PNG, a pixel to a voxel.",
        "  labelog show cells.labelog --scale -1            the middle slice, small\n"
        "  labelog show cells.labelog -z 10 --view semantic -o slice.png\n"
        "  labelog show cells.labelog -y 512 --revision 41 --box :,:,0:400",
    )  # fmt: skip
    add_volume(show)
    which = show.add_mutually_exclusive_group()
    for axis in AXES:
        which.add_argument(f"-{axis}", type=natural, metavar="N", help=f"the slice at {axis} = N")
    add_view(show)
    add_scale(show)
    add_box(show, "only this part of the slice")
    add_revision(show)
    show.add_argument("-o", "--output", metavar="PNG", help="write this file ('-' is the standard output)")
    show.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    show.add_argument("--background", metavar="COLOUR", type=colour,
                      help="of label 0, #rrggbb or #rrggbbaa; by default transparent")  # fmt: skip


def _add_history(commands: Commands) -> None:
    history = add_command(
        commands, "history", run_history, "list who did what, newest first",
        "Filters may be combined. VOXELS counts those that got another label; what was said\n"
        "of labels and classes is in brackets after the message (a server does not tell it).\n"
        "'taken out' marks what an undo or a revert took back, and what thereby counts no\n"
        "longer. With --json each commit is one line, a JSON object.",
        "  labelog history cells.labelog --limit 20\n"
        "  labelog history cells.labelog --author vendor-b --since 2025-01-31\n"
        "  labelog history cells.labelog --label 7 --box 10:20,:,: --json | jq .revision",
    )  # fmt: skip
    add_volume(history)
    history.add_argument("--author", metavar="NAME", help="only this author's; vendor-b is also vendor-b/ana")
    history.add_argument("--label", type=label, metavar="N",
                         help="only what gave or took this label, or said something of it")  # fmt: skip
    add_box(history, "only what wrote in this box")
    history.add_argument("--since", type=moment, metavar="WHEN",
                         help="only after this revision, or time such as 2025-01-31 or 2025-01-31T09:30")  # fmt: skip
    history.add_argument("--until", type=moment, metavar="WHEN", help="only up to this revision or time")
    history.add_argument("--limit", type=natural, metavar="N", help="at most so many")
    add_json(history, "print a JSON object on a line for each commit, for scripts")


def run_info(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        facts = _facts(volume)
    if arguments.json:
        print_json(facts)
        return
    disk, dense = facts["bytes_on_disk"], facts["bytes_dense"]
    last = facts["last_commit"]
    rows = [
        ("volume", facts["volume"]),
        ("id", facts["id"]),
        ("shape", f"{by(facts['shape'])} voxels (z, y, x)"),
        ("voxel size", f"{by(facts['voxel_size'])} {facts['unit']}"),
        ("chunks", by(facts["chunks"])),
        ("scales", ", ".join(by(scale["shape"]) for scale in facts["scales"][1:]) or "this one only"),
        ("revision", f"{facts['revision']:,} ({last['kind']} by {last['author']}, {_local(last['time'])})"),
        ("objects", ", ".join(f"{n:,} {cls}" for cls, n in facts["objects"].items() if n) or "none has a class"),
        ("colours", f"{len(facts['colours']):,} labels have one" if facts["colours"] else "none kept"),
    ]
    if disk is not None:
        times = f"{dense / disk:.3g} times as much"
        rows.append(("on disk", f"{sized(disk)}; {sized(dense)} as an array of uint64, {times}"))
    print_facts(rows)


def _facts(volume: Volume) -> dict[str, Any]:
    last = volume.commit(volume.revision)
    return {
        "volume": volume.address,
        "id": volume.id,
        "shape": list(volume.shape),
        "chunks": list(volume.chunks),
        "voxel_size": list(volume.voxel_size),
        "unit": volume.unit,
        "scales": [{"shape": list(s.shape), "voxel_size": list(s.voxel_size)} for s in volume.scales],
        "dtype": volume.dtype.name,
        "revision": last.revision,
        "last_commit": last.row(),
        "objects": volume.labels.by_class(),
        "colours": {str(label): colour for label, colour in volume.colours.items()},
        "bytes_on_disk": volume_bytes(volume.address),
        "bytes_dense": volume.size * volume.dtype.itemsize,
    }


def run_show(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        seen = viewed(volume, arguments)
        colours = colours_of(seen)
        if arguments.background:
            colours[0] = arguments.background
        pixels = picture.colour_slice(_slice(seen, arguments), colours)
    if arguments.output is None and sys.stdout.isatty():
        print(picture.to_terminal(pixels, _columns(pixels)))
    elif arguments.output in (None, "-"):
        _save(pixels, sys.stdout.buffer)
    else:
        target = Path(arguments.output)
        with new_file(target, overwrite=arguments.overwrite) as temporary, open(temporary, "xb") as file:
            _save(pixels, file)
        print(f"{target}: {by(pixels.shape[:2])} pixels")


def _columns(pixels: NDArray[np.uint8]) -> int:
    """How wide the picture is to be, so that all of it is in sight, two pixels to a line."""
    terminal = shutil.get_terminal_size()
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    return max(1, min(terminal.columns, 2 * (terminal.lines - 2) * width // height))


def _slice(labels: Revision, arguments: argparse.Namespace) -> NDArray[Any]:
    """The slice asked for: (y, x), (z, x) or (z, y)."""
    box = within(labels, arguments.box)
    axis = next((axis for axis, name in enumerate(AXES) if getattr(arguments, name) is not None), 0)
    place = getattr(arguments, AXES[axis])
    start, stop = list(box.start), list(box.stop)
    if place is None:
        place = (start[axis] + stop[axis]) // 2
    if not start[axis] <= place < stop[axis]:
        where = f"{AXES[axis]} from {start[axis]} to {stop[axis] - 1}"
        raise OutOfBounds(f"there is no slice {AXES[axis]} = {place}; there is {where}")
    start[axis], stop[axis] = place, place + 1
    return labels.read(Box(tuple(start), tuple(stop))).squeeze(axis)  # type: ignore[arg-type]


def _save(pixels: NDArray[np.uint8], file: Any) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(file, "PNG")


def run_history(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        box = None if arguments.box is None else within(volume, arguments.box)
        commits = volume.history(arguments.author, label=arguments.label, box=box, since=arguments.since,
                                 until=arguments.until, limit=arguments.limit)  # fmt: skip
        if arguments.json:
            for commit in commits:
                print_json(commit.row() | {"said": said(volume, commit.revision, commit.kind)}, indent=None)
            return
        first = next(commits, None)
        if first is None:
            print("labelog: no commit matches", file=sys.stderr)
            return
        for line in table(("REVISION ", "TIME", "AUTHOR", "WHAT", "VOXELS ", "MESSAGE"), _rows(volume, first, commits)):
            print(line)


def _rows(volume: Volume, first: Commit, rest: Iterator[Commit]) -> Iterator[tuple[str, ...]]:
    for commit in chain([first], rest):
        yield _row(commit, said(volume, commit.revision, commit.kind))


def _row(commit: Commit, lines: list[str]) -> tuple[str, ...]:
    what = f"{commit.kind} of {listed(commit.targets, 3)}" if commit.targets else str(commit.kind)
    what += "" if commit.live else " (taken out)"
    notes = [commit.message] if commit.message else []
    notes += [f"[{some(lines, SAID)}]"] if lines else []
    notes += [f"[{counted(commit.left_alone, 'voxel')} left alone]"] if commit.left_alone else []
    voxels = "" if commit.kind is Kind.CREATE else f"{commit.voxels:,}"
    return str(commit.revision), _local(commit.time.isoformat()), commit.author, what, voxels, " ".join(notes)


def _local(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
