"""What commits said of the label table, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from labelog.cli.printing import print_json, printable
from labelog.engine.edit import Edit
from labelog.engine.regions import Region
from labelog.engine.volume import Volume
from labelog.remote.connection import is_address
from labelog.storage.journal import ATTRIBUTE, CLASS, LISTED, MERGE, NAME, PARENT, UNSAID, Fact, Kind, Space, Value


def said(volume: Volume, revision: int, kind: Kind) -> list[str]:
    """A line for each thing that a commit said, in the order in which it was said.

    None for revision 0, and none where the volume is a server's, which does not tell it.
    """
    if kind is Kind.CREATE or is_address(volume.address):
        return []
    with volume.store.table(revision) as table:
        facts = table.journal.facts_by(revision)
        facts.sort(key=lambda fact: (fact.origin == UNSAID, fact.origin, fact.step))
        names = {number: known.name for number, known in table.classes.items()} if facts else {}
    lines: dict[str, None] = {}  # in order, each once
    for fact in facts:
        if fact.key.field != LISTED or len(facts) == 1:
            lines[_line(fact, names)] = None
    return list(lines)


def print_said(volume: Volume, edit: Edit, as_json: bool) -> None:
    """Print what an edit said, or its commit as JSON."""
    assert edit.revision is not None
    commit = volume.commit(edit.revision)
    lines = said(volume, commit.revision, commit.kind)
    if as_json:
        print_json(commit.row() | {"said": lines})
    else:
        print(printable(f"revision {commit.revision}{': ' * bool(lines)}{some(lines, 5)}"))


def some(lines: Sequence[str], most: int) -> str:
    """Lines as one, the first few of many."""
    more = f"; and {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def _line(fact: Fact, names: Mapping[int, str]) -> str:
    space, subject, field = fact.key
    if space is Space.LABEL:
        return f"label {subject} {_of_label(field, fact.value, names)}"
    if space is Space.CLASS:
        return f"class {subject} is {names[subject]!r}" if subject in names else f"class {subject} is no more"
    if space is Space.REGION:
        return f"region {field!r} {_of_region(field, fact.value)}"
    return f"the image is {json.loads(str(fact.value))['address']}" if fact.value is not None else "there is no image"


def _of_region(name: str, value: Value) -> str:
    if value is None:
        return "is no more"
    region = Region.from_json(name, str(value))
    return f"is {region.kind}, {region.box}"


def _of_label(field: str, value: Value, names: Mapping[int, str]) -> str:
    there = value is not None
    if field == CLASS:
        return f"is of class {names.get(value, value)}" if isinstance(value, int) else "has no class"
    if field == PARENT:
        return f"lies in {value}" if there else "lies in no other"
    if field == NAME:
        return f"is called {value!r}" if there else "has no name"
    if field.startswith(MERGE):
        return f"is {'' if there else 'not '}merged with {field.removeprefix(MERGE)}"
    if field.startswith(ATTRIBUTE):
        name = field.removeprefix(ATTRIBUTE)
        return f"has {name} = {value}" if there else f"has no {name}"
    return "is there" if there else "is no more"
