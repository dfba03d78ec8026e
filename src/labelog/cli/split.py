"""`split`: one object made several, by a mask, by seeds, or by its pieces."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

import labelog
from labelog import formats
from labelog.cli.arguments import Commands, add_command, add_edit, add_volume, numbers, object_label
from labelog.cli.printing import by, counted, listed, print_json
from labelog.cli.wording import some
from labelog.engine.edit import Edit
from labelog.engine.splitting import Split
from labelog.engine.volume import Volume
from labelog.errors import Invalid
from labelog.geometry import Triple

CONNECTIVITY = (6, 18, 26)


def add(commands: Commands) -> None:
    split = add_command(
        commands, "split", run_split, "make several objects of one, by a mask, by seeds, or by its pieces",
        "The new objects have its class and its parent; the first part keeps the label. What\n"
        "lies in the object moves along if it is wholly in a new part, and stays if not. A mask\n"
        "is a file of any format that is read: what is not 0 becomes the new object. Seeds are\n"
        "groups of voxels: each voxel of the object goes to the group that is nearest on ways\n"
        "inside the object. Labels that were merged are taken apart by labelog cleave.",
        "  labelog split cells.labelog 7 --components\n"
        "  labelog split cells.labelog 7 --seeds 10,200,200 '10,260,210;12,260,220' --author ana\n"
        "  labelog split cells.labelog 7 --mask part.tif --at 10,0,0 --message 'two cells'",
    )  # fmt: skip
    add_volume(split)
    split.add_argument("label", metavar="LABEL", type=object_label, help="the object")
    how = split.add_mutually_exclusive_group(required=True)
    how.add_argument("--mask", metavar="FILE", help="by a file: not 0 is the new object")
    how.add_argument("--seeds", metavar="Z,Y,X", nargs="+", type=points,
                     help="by two groups of voxels or more, ';' between the voxels of one; the first group keeps the "
                          "label")  # fmt: skip
    how.add_argument("--components", metavar="6|18|26", nargs="?", type=int, const=6, choices=CONNECTIVITY,
                     help="each piece an object, the largest keeps the label; voxels hang together by faces (6, the "
                          "default), edges too (18), corners too (26)")  # fmt: skip
    split.add_argument("--at", metavar="Z,Y,X", type=numbers,
                       help="where the mask's first voxel goes, if the mask is not as large as the volume")  # fmt: skip
    add_edit(split)


def points(text: str) -> list[Triple]:
    """A group of seeds, "10,20,30;11,20,30"."""
    return [numbers(part) for part in text.split(";")]


def run_split(arguments: argparse.Namespace) -> None:
    if arguments.at is not None and arguments.mask is None:
        raise argparse.ArgumentError(None, "--at is for --mask")
    with labelog.open(arguments.volume) as volume:
        with volume.edit(arguments.author, arguments.message) as edit:
            done = _split(volume, edit, arguments)
        _report(volume, edit, done, volume.labels[arguments.label].id, arguments)


def _split(volume: Volume, edit: Edit, arguments: argparse.Namespace) -> Split:
    if arguments.seeds is not None:
        return edit.split(arguments.label, seeds=arguments.seeds)
    if arguments.components is not None:
        return edit.separate(arguments.label, arguments.components)
    return edit.split(arguments.label, *_mask(volume, arguments))


def _mask(volume: Volume, arguments: argparse.Namespace) -> tuple[NDArray[np.bool_], Triple]:
    """The mask, and where it goes."""
    stack = formats.read(arguments.mask)
    if arguments.at is None and stack.shape != volume.shape:
        raise Invalid(f"{arguments.mask} has {by(stack.shape)} voxels and the volume {by(volume.shape)}; --at Z,Y,X "
                      "says where it goes")  # fmt: skip
    return np.concatenate([slab != 0 for slab in stack.slabs()]), arguments.at or (0, 0, 0)


def _report(volume: Volume, edit: Edit, done: Split, body: int, arguments: argparse.Namespace) -> None:
    commit = {"revision": None} if edit.revision is None else volume.commit(edit.revision).row()
    if arguments.json:
        parts = {"label": str(body), "labels": [*map(str, done.labels)],
                 "moved": {str(child): str(part) for child, part in done.moved.items()},
                 "straddling": [*map(str, done.straddling)]}  # fmt: skip
        print_json(commit | parts)
        return
    if edit.revision is not None:
        labels = volume.at(edit.revision).labels
        now = [f"{label} ({counted(labels[label].whole.voxels, 'voxel')})" for label in (body, *done.labels)]
        print(f"revision {edit.revision}: object {body} split; now objects {some(now, 6)}")
    else:
        pieces = "no other piece is an object" if done.straddling else "it is one piece"
        print(f"object {body} stays as it is: {pieces}")
    if done.moved:
        print(some([f"{child} lies in {part} now" for child, part in done.moved.items()], 6))
    if done.straddling:
        print(f"in several parts at once, and still in {body}: {listed(done.straddling)}")
