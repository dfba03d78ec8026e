"""`classes` and `regions`: the kinds of objects that a volume has, and which parts of it were looked at."""

from __future__ import annotations

import argparse
import sys

import labelog
from labelog.cli.arguments import Commands, OpenBox, add_command, add_edit, add_revision, add_volume, within
from labelog.cli.arguments import box as box_typed
from labelog.cli.printing import print_json, table, typed
from labelog.cli.wording import print_said
from labelog.engine.classes import LabelClass, as_toml, read_classes
from labelog.engine.edit import Edit
from labelog.engine.regions import KINDS
from labelog.engine.volume import Volume


def add(commands: Commands) -> None:
    classes = add_command(
        commands, "classes", run_classes, "list the classes that objects may have; add and rename them",
        "A class has an id (its value in the semantic view), a name and a colour. It may be a\n"
        "kind of another, and may lie only within certain others. --toml prints the classes as\n"
        "a file that --add, labelog create --classes and people can read. A class of an id that\n"
        "is there already is replaced by --add. OBJECTS does not count those of kinds of it.",
        "  labelog classes cells.labelog\n"
        "  labelog classes cells.labelog --add platelet --author lab\n"
        "  labelog classes cells.labelog --rename 'alpha granule' granule",
    )  # fmt: skip
    add_volume(classes)
    what = classes.add_mutually_exclusive_group()
    what.add_argument("--add", metavar="FILE", help="the classes of a TOML file; 'platelet' comes with labelog")
    what.add_argument("--rename", nargs=2, metavar=("OLD", "NEW"), help="call a class something else; its objects stay")
    what.add_argument("--toml", action="store_true", help="print them as a TOML file")
    regions = add_command(
        commands, "regions", run_regions, "list the regions that were looked at; add and remove them",
        "A region is a named box. Kinds: 'annotated' (somebody has labelled all of it), 'gold'\n"
        "(annotated by experts, to learn and qualify on), 'ignore' (not to be used). Outside of\n"
        "annotated and gold ones, 0 is not background but unknown: labelog export --unannotated\n"
        "gives it a value of its own, and so does volume.view(unannotated=...) in Python.",
        "  labelog regions cells.labelog\n"
        "  labelog regions cells.labelog --set train gold 0:16,0:512,0:512 --author lab\n"
        "  labelog regions cells.labelog --remove train",
    )  # fmt: skip
    add_volume(regions)
    what = regions.add_mutually_exclusive_group()
    what.add_argument("--set", nargs=3, metavar=("NAME", "KIND", "BOX"), help="name a part of the volume, or move it")
    what.add_argument("--remove", metavar="NAME", help="forget a region, from this revision on")
    for parser in (classes, regions):
        add_revision(parser)
        add_edit(parser)


def run_classes(arguments: argparse.Namespace) -> None:
    if arguments.add is None and arguments.rename is None:
        _list_classes(arguments)
        return
    entries = read_classes(arguments.add) if arguments.add is not None else []
    with labelog.open(arguments.volume) as volume:
        with _edit(volume, arguments) as edit:
            if entries:
                edit.new_classes(entries)
            else:
                old, new = arguments.rename
                edit.assign_class(old, name=new)
        print_said(volume, edit, arguments.json)


def _list_classes(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        snapshot = volume.at(arguments.revision)
        classes = sorted(snapshot.classes.values(), key=lambda entry: entry.id)
        counts = snapshot.labels.by_class()
    if arguments.toml:
        print(as_toml(classes), end="")
    elif arguments.json:
        for entry in classes:
            print_json(vars(entry) | {"objects": counts[entry.name]}, indent=None)
    elif classes:
        heads = ("ID ", "NAME", "COLOUR", "A KIND OF", "WITHIN", "OBJECTS ")
        for line in table(heads, (_class_row(entry, counts[entry.name]) for entry in classes)):
            print(line)
    if not classes and not arguments.json:
        print("labelog: there are no classes; --add FILE adds some, --add platelet those of the pilot", file=sys.stderr)


def _class_row(entry: LabelClass, objects: int) -> tuple[str, ...]:
    lies = "" if entry.within is None else ", ".join(entry.within) or "no other"
    return str(entry.id), entry.name, entry.colour or "", entry.kind_of or "", lies, f"{objects:,}"


def run_regions(arguments: argparse.Namespace) -> None:
    if arguments.set is None and arguments.remove is None:
        _list_regions(arguments)
        return
    place = None if arguments.set is None else _place(*arguments.set[1:])
    with labelog.open(arguments.volume) as volume:
        with _edit(volume, arguments) as edit:
            if place is None:
                edit.remove_region(arguments.remove)
            else:
                edit.set_region(arguments.set[0], place[0], within(volume, place[1]))
        print_said(volume, edit, arguments.json)


def _place(kind: str, bounds: str) -> tuple[str, OpenBox]:
    """Kind and box as typed after --set."""
    try:
        box = box_typed(bounds)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentError(None, f"--set: {error}") from None
    if kind not in KINDS:
        raise argparse.ArgumentError(None, f"--set: a KIND is one of {', '.join(KINDS)}; found {kind!r}")
    return kind, box


def _list_regions(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        regions = volume.at(arguments.revision).regions
    if arguments.json:
        for name, region in regions.items():
            print_json({"name": name, "kind": region.kind, "voxels": region.voxels, "box": region.box}, indent=None)
    elif regions:
        rows = ((name, region.kind, f"{region.voxels:,}", typed(region.box)) for name, region in regions.items())
        for line in table(("NAME", "KIND", "VOXELS ", "BOX"), rows):
            print(line)
    else:
        print("labelog: there are no regions; --set names one", file=sys.stderr)


def _edit(volume: Volume, arguments: argparse.Namespace) -> Edit:
    if arguments.revision is not None:
        raise argparse.ArgumentError(None, "--revision is for the list: an edit is of what is there now")
    return volume.edit(arguments.author, arguments.message)
