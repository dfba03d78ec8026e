"""`labels`, `merge`, `cleave`, `assign`: the objects of a volume, and what is known of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import labelog
from labelog.cli.arguments import (
    Commands,
    add_box,
    add_command,
    add_edit,
    add_form,
    add_revision,
    add_volume,
    label,
    object_label,
    within,
)
from labelog.cli.printing import counted, listed, print_facts, print_json, table, typed, write_csv
from labelog.cli.wording import print_said
from labelog.engine.edit import Edit
from labelog.engine.objects import COLUMNS, Extent, Label, Labels, for_json
from labelog.engine.volume import Volume
from labelog.errors import Invalid

HEADS = ("LABEL ", "CLASS", "PARENT ", "NAME", "VOXELS ", "BOX")
FRAGMENTS = 100  # labels as stored that are printed of an object; --json has all
TAKEN = ("label", "cls", "class", "parent", "name")  # what an attribute can't be called


def add(commands: Commands) -> None:
    _add_labels(commands)
    merge = add_command(
        commands, "merge", run_merge, "make one object of several labels",
        "No voxel is written, so it takes the same time for objects of any size. The object\n"
        "has the id of the label named first, with its class, parent and name; what lay in\n"
        "the others lies in it. labelog cleave takes a label out again, labelog undo takes\n"
        "the merge back.",
        "  labelog merge cells.labelog 7 8 9\n"
        "  labelog merge cells.labelog 7 8 --author ana --message 'one process'",
    )  # fmt: skip
    add_volume(merge)
    merge.add_argument("label", metavar="A", type=object_label, help="the label that gives the object its id")
    merge.add_argument("others", metavar="B", type=object_label, nargs="+", help="the labels that belong to it")
    cleave = add_command(
        commands, "cleave", run_cleave, "take labels out of an object that they were merged into",
        "They become an object of their own; the rest stays together. No voxel is written.\n"
        "The labels are those as stored: labelog labels VOLUME 7 lists them as fragments,\n"
        "and labelog show --view fragment draws them.",
        "  labelog cleave cells.labelog 8\n"
        "  labelog cleave cells.labelog 8 9 --author ana --message 'two processes after all'",
    )  # fmt: skip
    add_volume(cleave)
    cleave.add_argument("labels", metavar="B", type=object_label, nargs="+", help="the labels to take out")
    assign = add_command(
        commands, "assign", run_assign, "say what an object is: class, parent, name, attributes",
        "What is not named stays as it is; an empty text takes it away, as does --parent 0.\n"
        "The parent is the object that this one lies in. Classes are those that labelog\n"
        "classes lists.",
        "  labelog assign cells.labelog 7 --cls cell --name A\n"
        "  labelog assign cells.labelog 12 --cls mitochondrion --parent 7 --author ana\n"
        "  labelog assign cells.labelog 7 --name '' --attribute quality=3",
    )  # fmt: skip
    add_volume(assign)
    assign.add_argument("label", metavar="LABEL", type=object_label, help="the object")
    assign.add_argument("--cls", metavar="CLASS", help="its class: a name or id")
    assign.add_argument("--parent", metavar="LABEL", type=label, help="the object that it lies in; 0 for none")
    assign.add_argument("--name", metavar="TEXT", help="any text")
    assign.add_argument("--attribute", metavar="NAME=VALUE", action="append", default=[],
                        help="anything else, a text or JSON; may be given several times")  # fmt: skip
    for parser in (merge, cleave, assign):
        add_edit(parser)


def _add_labels(commands: Commands) -> None:
    labels = add_command(
        commands, "labels", run_labels, "list the objects, or tell all about one",
        "An object is there if it has voxels, or if anything is said of it. VOXELS and BOX\n"
        "are of its own voxels, without those of objects that lie in it; for one LABEL both\n"
        "are printed. Filters may be combined. With --json each object is one line, a JSON\n"
        "object, its labels as texts, since some readers of JSON lose digits of large numbers.",
        "  labelog labels cells.labelog --cls mitochondrion --parent 7\n"
        "  labelog labels cells.labelog 7\n"
        "  labelog labels cells.labelog --csv objects.csv --revision 41",
    )  # fmt: skip
    add_volume(labels)
    labels.add_argument("label", metavar="LABEL", nargs="?", type=object_label, help="all about this one")
    labels.add_argument("--cls", metavar="CLASS", help="only of this class, or of a kind of it: a name or id")
    labels.add_argument("--parent", metavar="LABEL", type=label,
                        help="only what lies directly in this object; 0 for what lies in none")  # fmt: skip
    labels.add_argument("--name", metavar="TEXT", help="only of this name")
    add_box(labels, "only those with own voxels in this part")
    add_revision(labels)
    add_form(labels)


def run_labels(arguments: argparse.Namespace) -> None:
    filters = [name for name in ("cls", "parent", "name", "box", "csv") if getattr(arguments, name) is not None]
    if arguments.label is not None and filters:
        raise argparse.ArgumentError(None, f"--{filters[0]} is for the list, and not for one LABEL")
    with labelog.open(arguments.volume, "r") as volume:
        labels = volume.at(arguments.revision).labels
        if arguments.label is not None:
            _tell(labels, arguments)
            return
        rows = _rows(volume, labels, arguments)
        if arguments.csv is not None:
            write_csv(rows, COLUMNS, arguments, "object")
        elif arguments.json:
            for row in rows:
                print_json(for_json(row), indent=None)
        elif rows:
            for line in table(HEADS, map(_cells, rows)):
                print(line)
        else:
            print("labelog: no object matches" if filters else "labelog: there are no objects", file=sys.stderr)


def _rows(volume: Volume, labels: Labels, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    box = None if arguments.box is None else within(volume, arguments.box)
    chosen = {"cls": known_class(volume, arguments.cls), "parent": arguments.parent, "name": arguments.name,
              "box": box}  # fmt: skip
    if all(value is None for value in chosen.values()):
        return labels.table_rows()
    return [found.row() for found in labels.where(**chosen)]


def known_class(volume: Volume, typed: str | None) -> str | int | None:
    """A class as typed: its name, or else its id."""
    return int(typed) if typed and typed.isdecimal() and typed not in volume.classes else typed


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    corners = [row[name] for name in ("z0", "y0", "x0", "z1", "y1", "x1")]
    box = "" if corners[0] is None else ",".join(f"{a}:{b}" for a, b in zip(corners[:3], corners[3:], strict=True))
    return (str(row["label"]), row["class"] or "", str(row["parent"] or ""), row["name"] or "",
            f"{row['voxels']:,}", box)  # fmt: skip


def _tell(labels: Labels, arguments: argparse.Namespace) -> None:
    """All about one object."""
    found = labels[arguments.label]
    if arguments.json:
        whole = {"voxels": found.whole.voxels, "box": found.whole.box, "chunks": len(found.whole.chunks)}
        related = {"children": [*map(str, found.children)], "fragments": [*map(str, found.fragments)]}
        print_json(for_json(found.row()) | {"whole": whole} | related)
        return
    within = " in ".join(_short(labels[outer]) for outer in labels.ancestors(found.id))
    asked = f" ({arguments.label} is a part of it)" if arguments.label != found.id else ""
    facts = [
        ("label", f"{found.id}{asked}"),
        ("class", found.cls or "none"),
        ("name", found.name or "none"),
        ("lies in", within or "no other"),
        ("own voxels", _place(found.own)),
        ("whole", _place(found.whole)),
        ("children", ", ".join(_short(labels[child]) for child in found.children) or "none"),
        ("fragments", listed(found.fragments, FRAGMENTS)),
    ]
    print_facts(facts + [(name, json.dumps(value)) for name, value in found.attributes.items()])


def _short(found: Label) -> str:
    """An object in a few words: `7 (cell, A)`."""
    words = ", ".join(word for word in (found.cls, found.name) if word)
    return f"{found.id}{f' ({words})' if words else ''}"


def _place(extent: Extent) -> str:
    chunks = counted(len(extent.chunks), "chunk")
    return f"{extent.voxels:,} in {typed(extent.box)}, {chunks}" if extent.voxels else "none"


def _edit(volume: Volume, arguments: argparse.Namespace) -> Edit:
    return volume.edit(arguments.author, arguments.message)


def run_merge(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume) as volume:
        with _edit(volume, arguments) as edit:
            edit.merge(arguments.label, arguments.others)
        what = f"{listed(arguments.others)} merged with {arguments.label}"
        _report(volume, edit, arguments, what, [arguments.label])


def run_cleave(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume) as volume:
        before = volume.labels[arguments.labels[0]]
        with _edit(volume, arguments) as edit:
            edit.cleave(arguments.labels)
        what = f"{listed(arguments.labels)} taken out of {before.id}"
        _report(volume, edit, arguments, what, before.fragments)


def _report(volume: Volume, edit: Edit, arguments: argparse.Namespace, what: str, labels: Iterable[int]) -> None:
    """What a merge or a cleave made of these labels."""
    assert edit.revision is not None
    made = {found.id: found.fragments for found in map(volume.at(edit.revision).labels.__getitem__, labels)}
    if arguments.json:
        objects = {str(body): [str(label) for label in fragments] for body, fragments in made.items()}
        print_json(volume.commit(edit.revision).row() | {"objects": objects})
    else:
        now = " and ".join(_body(body, fragments) for body, fragments in made.items())
        print(f"revision {edit.revision}: {what}; now {now}")


def _body(body: int, fragments: list[int]) -> str:
    return f"object {body}" + (f" (of {listed(fragments)})" if len(fragments) > 1 else "")


def run_assign(arguments: argparse.Namespace) -> None:
    given: dict[str, Any] = dict(_attributes(arguments.attribute))
    with labelog.open(arguments.volume) as volume:
        given |= {"cls": known_class(volume, arguments.cls), "parent": arguments.parent, "name": arguments.name}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            raise argparse.ArgumentError(None, "say something: --cls, --parent, --name or --attribute")
        with _edit(volume, arguments) as edit:
            edit.assign(arguments.label, **{name: None if value == "" else value for name, value in given.items()})
        print_said(volume, edit, arguments.json)


def _attributes(typed: list[str]) -> Iterator[tuple[str, Any]]:
    for text in typed:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise argparse.ArgumentError(None, f"expected NAME=VALUE, such as quality=3; found {text!r}")
        if name in TAKEN:
            raise Invalid(f"an attribute can't be called {name!r}; choose another name")
        try:
            yield name, json.loads(value)
        except ValueError:
            yield name, value
