"""`fill`: what hangs together with a voxel gets a label."""

from __future__ import annotations

import argparse

import labelog
from labelog.cli.arguments import (
    Commands,
    add_box,
    add_command,
    add_edit,
    add_view,
    add_volume,
    label,
    natural,
    numbers,
    within,
)
from labelog.cli.printing import counted, print_json, typed
from labelog.cli.progress import progress
from labelog.engine.fills import Filled, Limits


def add(commands: Commands) -> None:
    fill = add_command(
        commands, "fill", run_fill, "give a label to what hangs together with a voxel",
        "From a voxel on, to all that have the same label (in a view: the same class, say)\n"
        "and touch one another, across the whole volume or in one slice. With --tolerance or\n"
        "--between only where the image is alike. --dry-run changes nothing and says what\n"
        "would be filled.",
        "  labelog fill cells.labelog 10,120,230 7 --author ana\n"
        "  labelog fill cells.labelog 10,120,230 7 --axis z --over 0,5 --limit 50000 --dry-run\n"
        "  labelog fill cells.labelog 10,120,230 7 --tolerance 12 --box 8:12,100:300,200:400",
    )  # fmt: skip
    add_volume(fill)
    fill.add_argument("seed", metavar="Z,Y,X", type=numbers, help="the voxel to begin with")
    fill.add_argument("label", metavar="LABEL", type=label, help="what is filled gets this label; 0 is background")
    add_view(fill)
    add_box(fill, "fill only in this box")
    fill.add_argument("--axis", choices=("z", "y", "x"), help="fill only in the slice of the voxel across this axis")
    fill.add_argument("--connectivity", type=int, metavar="N",
                      help="how many neighbours a voxel has: 6, 18 or 26; in a slice 4 or 8")  # fmt: skip
    fill.add_argument("--over", type=labels, metavar="N,N,...", help="fill these labels, not only that of the voxel")
    fill.add_argument("--limit", type=natural, metavar="N", help="refuse (exit code 1) to fill more voxels than this")
    fill.add_argument("--tolerance", type=float, metavar="G", help="only where the image is within G of that voxel")
    fill.add_argument("--between", type=greys, metavar="LOW,HIGH", help="only where the image is from LOW to HIGH")
    fill.add_argument("--dry-run", action="store_true", help="change nothing")
    add_edit(fill)


def greys(text: str) -> tuple[float, float]:
    """Two numbers, "90,130"."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two numbers LOW,HIGH, such as 90,130; found {text!r}") from None
    return low, high


def labels(text: str) -> list[int]:
    """Labels, "0,5"."""
    return [label(part) for part in text.split(",")]


def run_fill(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r" if arguments.dry_run else "r+") as volume:
        limits: Limits = {
            "connectivity": arguments.connectivity, "over": arguments.over, "limit": arguments.limit,
            "axis": None if arguments.axis is None else "zyx".index(arguments.axis),
            "within": None if arguments.box is None else within(volume, arguments.box),
            "tolerance": arguments.tolerance, "between": arguments.between,
        }  # fmt: skip
        view = arguments.view or "instance"
        revision = None
        with progress("filling", "voxels") as update:
            if arguments.dry_run:
                found = volume.view(view).fill_mask(arguments.seed, progress=update, **limits)
            else:
                with volume.edit(arguments.author, arguments.message) as edit:
                    found = edit.fill(arguments.seed, arguments.label, view=view, progress=update, **limits)
                revision = edit.revision
    _report(found, revision, arguments)


def _report(found: Filled, revision: int | None, arguments: argparse.Namespace) -> None:
    if arguments.json:
        box = None if found.box is None else [list(corner) for corner in found.box]
        print_json({"revision": revision, "voxels": found.voxels, "box": box})
        return
    where = f" within {typed(found.box)}" if found.box else ""
    if arguments.dry_run:
        print(f"{counted(found.voxels, 'voxel')}{where} would get label {arguments.label}")
    elif revision is None:
        print(f"nothing was filled: it has label {arguments.label} already")
    else:
        print(f"revision {revision}: {counted(found.voxels, 'voxel')}{where} got label {arguments.label}")
