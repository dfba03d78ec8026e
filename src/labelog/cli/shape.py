"""`holes`, `islands`, `dilate`, `erode`, `gaps`: the shape of one object, changed."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import labelog
from labelog.cli.arguments import Commands, add_box, add_command, add_edit, add_volume, label, natural, object_label
from labelog.cli.arguments import within as box_typed
from labelog.cli.printing import counted, print_json, typed
from labelog.engine.edit import Edit
from labelog.engine.shaping import Shaped
from labelog.errors import Invalid
from labelog.geometry import Box
from labelog.storage.meta import UNITS

AXES = {"z": 0, "y": 1, "x": 2}
ANY = "any"


def add(commands: Commands) -> None:
    holes = add_command(
        commands, "holes", run_holes, "fill the holes of an object",
        "A hole is what the object, with all that lies in it, encloses: in 3D, or with --axis\n"
        "in each slice. What reaches a face of the volume is none. Only background is painted,\n"
        "unless --over says what else.",
        "  labelog holes cells.labelog 7\n"
        "  labelog holes cells.labelog 7 --axis z --below 100 --author ana\n"
        "  labelog holes cells.labelog 7 --axis z --connectivity 8 --over 0 12",
    )  # fmt: skip
    islands = add_command(
        commands, "islands", run_islands, "remove the small pieces of an object",
        "They go to the object that it lies in, or else to the background; the largest piece\n"
        "stays. What lies in the object keeps its voxels.",
        "  labelog islands cells.labelog 7 --below 50\n"
        "  labelog islands cells.labelog 7 --below 20 --axis z --connectivity 8 --author ana",
    )  # fmt: skip
    dilate = add_command(
        commands, "dilate", run_dilate, "grow an object by a distance",
        "By a ball, exactly: in voxels, or with --unit in lengths, so that voxels of 40 x 10 x\n"
        "10 nm grow by 80 nm as 2 slices up and 8 voxels aside. Only background is painted,\n"
        "unless --over says what else.",
        "  labelog dilate cells.labelog 7 2\n"
        "  labelog dilate cells.labelog 7 80 --unit nm --author ana\n"
        "  labelog dilate cells.labelog 12 1 --axis z --over 7",
    )  # fmt: skip
    erode = add_command(
        commands, "erode", run_erode, "shrink an object by a distance",
        "What it loses goes to the object that it lies in, or else to the background; what\n"
        "lies in it keeps its voxels. An object cut off at a face of the volume keeps the cut.",
        "  labelog erode cells.labelog 7 2\n"
        "  labelog erode cells.labelog 7 80 --unit nm --box 10:20,:,: --author ana",
    )  # fmt: skip
    gaps = add_command(
        commands, "gaps", run_gaps, "fill the slices between those on which an object is drawn",
        "By interpolation of the signed distance to its border. Without --slices all\n"
        "gaps are filled; only background is painted, unless --over says what else.",
        "  labelog gaps cells.labelog 7\n"
        "  labelog gaps cells.labelog 7 --slices 10 15 20 --author ana\n"
        "  labelog gaps cells.labelog 12 --axis x --over 0 7",
    )  # fmt: skip
    for parser in (holes, islands, dilate, erode, gaps):
        add_volume(parser)
        parser.add_argument("label", metavar="LABEL", type=object_label, help="the object")
    for parser in (dilate, erode):
        parser.add_argument("distance", metavar="DISTANCE", type=float, help="how far, from centre to centre of voxels")
        parser.add_argument("--unit", choices=("voxel", *UNITS), default="voxel", help="of the distance")
    holes.add_argument("--below", metavar="VOXELS", type=natural, help="only holes of fewer voxels")
    islands.add_argument("--below", metavar="VOXELS", type=natural, required=True, help="only pieces of fewer voxels")
    for parser in (holes, islands):
        parser.add_argument("--connectivity", metavar="N", type=int,
                            help="neighbours of a voxel of the object: 6 (the default), 18 or 26; in slices 4 (the "
                                 "default) or 8")  # fmt: skip
    for parser in (holes, islands, dilate, erode):
        parser.add_argument("--axis", choices=AXES, help="each slice along this axis by itself")
    gaps.add_argument("--axis", choices=AXES, default="z", help="along which the slices lie; by default z")
    gaps.add_argument("--slices", metavar="N", type=natural, nargs="+",
                      help="those that are drawn, two or more with others between them")  # fmt: skip
    for parser in (holes, dilate, gaps):
        parser.add_argument("--over", metavar="LABEL", type=over, nargs="+", default=[0],
                            help=f"paint only where the label is one of these; by default 0. {ANY!r} is whatever is "
                                 "there")  # fmt: skip
    for parser in (holes, dilate, erode):
        add_box(parser, "change only this part")
    for parser in (holes, islands, dilate, erode, gaps):
        add_edit(parser)


def over(text: str) -> int | None:
    """A label to paint over; None for any."""
    return None if text == ANY else label(text)


def run_holes(arguments: argparse.Namespace) -> None:
    def change(edit: Edit, box: Box | None) -> Shaped:
        return edit.fill_holes(arguments.label, axis=_axis(arguments), connectivity=arguments.connectivity,
                               below=arguments.below, over=_over(arguments), within=box)  # fmt: skip

    _change(arguments, change, lambda done: f"{counted(done.pieces, 'hole')} filled", "no hole is to be filled")


def run_islands(arguments: argparse.Namespace) -> None:
    def change(edit: Edit, _: Box | None) -> Shaped:
        return edit.remove_islands(arguments.label, below=arguments.below, axis=_axis(arguments),
                                   connectivity=arguments.connectivity)  # fmt: skip

    _change(arguments, change, lambda done: f"{counted(done.pieces, 'island')} removed", "no island is that small")


def run_dilate(arguments: argparse.Namespace) -> None:
    def change(edit: Edit, box: Box | None) -> Shaped:
        return edit.dilate(arguments.label, arguments.distance, unit=arguments.unit, axis=_axis(arguments),
                           over=_over(arguments), within=box)  # fmt: skip

    _change(arguments, change, lambda done: "grown", "nothing within reach may be painted")


def run_erode(arguments: argparse.Namespace) -> None:
    def change(edit: Edit, box: Box | None) -> Shaped:
        return edit.erode(arguments.label, arguments.distance, unit=arguments.unit, axis=_axis(arguments), within=box)

    _change(arguments, change, lambda done: "shrunk", "nothing outside is within reach")


def run_gaps(arguments: argparse.Namespace) -> None:
    def change(edit: Edit, _: Box | None) -> Shaped:
        return edit.interpolate(arguments.label, arguments.slices, axis=AXES[arguments.axis], over=_over(arguments))

    _change(arguments, change, lambda done: f"{counted(done.pieces, 'slice')} filled", "no gap is to be filled")


def _axis(arguments: argparse.Namespace) -> int | None:
    return None if arguments.axis is None else AXES[arguments.axis]


def _over(arguments: argparse.Namespace) -> list[int] | None:
    if None in arguments.over and len(arguments.over) > 1:
        raise Invalid(f"--over takes labels, or {ANY!r} alone")
    return None if None in arguments.over else arguments.over


def _change(arguments: argparse.Namespace, change: Callable[[Edit, Box | None], Shaped],
            what: Callable[[Shaped], str], nothing: str) -> None:  # fmt: skip
    """Make the edit, and say what it did."""
    with labelog.open(arguments.volume) as volume:
        chosen = getattr(arguments, "box", None)
        box = None if chosen is None else box_typed(volume, chosen)
        with volume.edit(arguments.author, arguments.message) as edit:
            done = change(edit, box)
            body = volume.labels[arguments.label].id  # while it is there: nothing may be left of it
        if arguments.json:
            commit = {"revision": None, "voxels": 0} if edit.revision is None else (
                volume.commit(edit.revision).row())  # fmt: skip
            print_json(commit | {"label": str(body), "pieces": done.pieces, "box": done.box})
        elif edit.revision is None:
            print(f"object {body} stays as it is: {nothing}")
        else:
            voxels = counted(done.voxels, "voxel")
            left = volume.labels[body].voxels if body in volume.labels else 0
            print(f"revision {edit.revision}: object {body}: {what(done)}, {voxels} in {typed(done.box)}"
                  + ("" if left else "; nothing is left of it"))  # fmt: skip
