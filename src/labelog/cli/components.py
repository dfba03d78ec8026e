"""`components`: what hangs together, listed, or made objects."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

import labelog
from labelog.cli.arguments import (
    Commands,
    add_author,
    add_box,
    add_command,
    add_form,
    add_revision,
    add_view,
    add_volume,
    label,
    natural,
    within,
)
from labelog.cli.files import viewed
from labelog.cli.printing import counted, listed, print_json, table, write_csv
from labelog.cli.progress import progress
from labelog.cli.table import known_class
from labelog.cli.wording import some
from labelog.engine.components import COLUMNS, Components
from labelog.engine.edit import Edit
from labelog.engine.splitting import Split
from labelog.engine.volume import Volume

HEADS = ("COMPONENT ", "LABEL ", "VOXELS ", "BOX", "FIRST VOXEL")


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "components", run_components, "list what hangs together, or make objects of it",
        "Voxels that touch and have the same value in the view are one component. With\n"
        "--separate each component of an object becomes an object of its own, of the same\n"
        "class and parent; the largest keeps the label. With --remove components of fewer\n"
        "voxels (dust) go to the object that theirs lies in, or else to the background. Both\n"
        "are one edit, and count what lies in an object with it.",
        "  labelog components cells.labelog --view semantic --cls 'alpha granule' --csv granules.csv\n"
        "  labelog components cells.labelog --cls mitochondrion --separate --remove 20 --author ana\n"
        "  labelog components cells.labelog --labels 7,12 --connectivity 26",
    )  # fmt: skip
    add_volume(parser)
    add_view(parser)
    parser.add_argument("--cls", metavar="CLASS", help="only of this class, or of a kind of it: a name or id")
    parser.add_argument("--labels", metavar="N,N,...", type=labels, help="only of these labels")
    add_box(parser, "only this part; what is outside counts as background")
    parser.add_argument("--connectivity", type=int, choices=(6, 18, 26), default=6,
                        help="how many neighbours a voxel has; by default 6")  # fmt: skip
    parser.add_argument("--at-least", type=natural, metavar="VOXELS", default=0, help="list only those as large")
    add_revision(parser)
    add_form(parser)
    parser.add_argument("--separate", action="store_true", help="make objects of them, instead of a list")
    parser.add_argument("--remove", type=natural, metavar="VOXELS", default=0,
                        help="with --separate: give away those of fewer voxels")  # fmt: skip
    add_author(parser)
    parser.add_argument("--message", metavar="TEXT", default="", help="why, for the history")


def labels(text: str) -> list[int]:
    """Labels, "7,12"."""
    return [label(part) for part in text.split(",")]


def run_components(arguments: argparse.Namespace) -> None:
    _check(arguments)
    if arguments.separate:
        with labelog.open(arguments.volume) as volume:
            _separate(volume, arguments)
        return
    with labelog.open(arguments.volume, "r") as volume:
        seen = viewed(volume, arguments)
        with progress("looking at", "chunks") as update:
            found = seen.components(cls=known_class(volume, arguments.cls), labels=arguments.labels,
                                    within=None if arguments.box is None else within(volume, arguments.box),
                                    connectivity=arguments.connectivity, progress=update)  # fmt: skip
        _list(found, arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Options of the list are not for the edit, and the other way round."""
    of_list = {"--view": arguments.view, "--box": arguments.box, "--at-least": arguments.at_least or None,
               "--revision": arguments.revision, "--csv": arguments.csv}  # fmt: skip
    of_edit = {"--remove": arguments.remove or None, "--author": arguments.author,
               "--message": arguments.message or None}  # fmt: skip
    wrong = [name for name, value in (of_list if arguments.separate else of_edit).items() if value is not None]
    if wrong:
        raise argparse.ArgumentError(None, f"{wrong[0]} is {'not ' if arguments.separate else ''}for --separate")


def _list(found: Components, arguments: argparse.Namespace) -> None:
    numbers = np.flatnonzero(found.voxels >= max(1, arguments.at_least))
    rows = [row for row in found.table_rows() if row["voxels"] >= arguments.at_least]
    if arguments.csv is not None:
        write_csv(rows, COLUMNS, arguments, "component")
    elif arguments.json:
        for row in rows:
            print_json(row | {"label": str(row["label"])}, indent=None)
    elif rows:
        for line in table(HEADS, map(_cells, rows)):
            print(line)
        total = int(found.voxels[numbers].sum())
        objects = len(np.unique(found.label[numbers]))
        print(f"{counted(len(rows), 'component')} of {counted(objects, 'label')}, {counted(total, 'voxel')}")
    else:
        print("labelog: there is no such component", file=sys.stderr)


def _cells(row: dict[str, int]) -> tuple[str, ...]:
    box = ",".join(f"{row[f'{axis}0']}:{row[f'{axis}1']}" for axis in "zyx")
    return str(row["component"]), str(row["label"]), f"{row['voxels']:,}", box, f"{row['z']},{row['y']},{row['x']}"


def _separate(volume: Volume, arguments: argparse.Namespace) -> None:
    with volume.edit(arguments.author, arguments.message) as edit:
        done = edit.separate(arguments.labels, arguments.connectivity, cls=known_class(volume, arguments.cls),
                             below=arguments.remove)  # fmt: skip
    _report(volume, edit, done, arguments)


def _report(volume: Volume, edit: Edit, done: Split, arguments: argparse.Namespace) -> None:
    if arguments.json:
        commit: dict[str, Any] = {"revision": None, "voxels": 0}
        if edit.revision is not None:
            commit = volume.commit(edit.revision).row()
        print_json(commit | {"labels": [*map(str, done.labels)], "removed": done.removed,
                             "moved": {str(child): str(part) for child, part in done.moved.items()},
                             "straddling": [*map(str, done.straddling)]})  # fmt: skip
        return
    if edit.revision is None:
        print("all stays as it is: every object is one component, and large enough")
    else:
        removed = f", {counted(done.removed, 'voxel')} given away" if done.removed else ""
        print(f"revision {edit.revision}: {counted(len(done.labels), 'new object')}{removed}")
        if done.labels:
            print(f"new: {listed(done.labels)}")
    if done.moved:
        print(some([f"{child} lies in {part} now" for child, part in done.moved.items()], 6))
    if done.straddling:
        print(f"in several parts at once, and still where they were: {listed(done.straddling)}")
