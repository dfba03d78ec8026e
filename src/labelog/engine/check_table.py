"""Verifies the label table: that facts, bodies and occupancy are what the edits make them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby

from labelog.engine.bodies import Pair, Place, edges, regrouped, replayed
from labelog.engine.table import Table
from labelog.errors import LabelogError
from labelog.storage.facts import OWN_IDS, Facts, Occupied, unsigned
from labelog.storage.journal import UNSAID, Fact, Key, Kind, Space
from labelog.storage.sqlite import Reader

Note = Callable[[str], None]


def check_facts(journal: Reader, upto: int, note: Note) -> None:
    """Replay what the live edits said, in order; bodies as the merges make them, at every revision."""
    live: dict[Key, Fact] = {}
    now: dict[Key, Fact] = {}
    for (revision,) in journal.rows("SELECT DISTINCT revision FROM facts WHERE revision <= ? ORDER BY 1", upto):
        record = journal.record(revision)
        facts = journal.facts_by(revision)
        now |= {fact.key: fact for fact in facts}
        if record is not None and record.kind in (Kind.EDIT, Kind.CREATE) and journal.is_live(revision):
            live |= {fact.key: fact for fact in facts}
        _check_bodies(journal, revision, facts, note)
    for key, fact in now.items():
        if fact != live.get(key, Fact(key, UNSAID, 0, None)):
            space, subject, field = key
            note(f"{field} of {space.name.lower()} {subject} is not what the live edits said")
    merges = replayed(edges(now.values()))
    for label, body in _bodies(journal, upto).items():
        if merges.get(label, label) != body:
            note(f"label {label} is not of body {body}")
    try:
        Table(journal, upto).verify(now.values(), conflict=False)
    except LabelogError as error:
        note(str(error))


def _check_bodies(journal: Facts, revision: int, facts: list[Fact], note: Note) -> None:
    changed: dict[Pair, Place | None] = edges(facts)
    expected = regrouped(journal, revision - 1, changed) if changed else {}
    found = {label: journal.body(label, revision) for label in journal.rebodied(revision - 1, revision)}
    if found != expected:
        note(f"the bodies at revision {revision} are not as its merges make them")


def _bodies(journal: Facts, upto: int) -> dict[int, int]:
    return {label: journal.body(label, upto) for label in journal.rebodied(-1, upto)}


def occupancy_by_chunk(journal: Facts, upto: int) -> Iterator[tuple[int, dict[int, list[Occupied]]]]:
    """What is written of occupancy up to a revision: chunk, then revision -> entries."""
    for chunk, entries in groupby(journal.occupied_ever(upto), key=lambda entry: entry.chunk):
        by_revision: dict[int, list[Occupied]] = defaultdict(list)
        for entry in entries:
            by_revision[entry.revision].append(entry)
        yield chunk, dict(by_revision)


def check_numbers(journal: Facts, note: Note) -> None:
    """No label in use will be handed out, and each is found in the chunks that it ever was in."""
    free = journal.next_label()
    used = {subject for subject, _, _ in journal.facts_in(Space.LABEL, 2**62)}
    haunts = set(journal.rows("SELECT label, chunk FROM haunts"))
    counted = set(journal.rows("SELECT DISTINCT label, chunk FROM occupancy"))
    used |= {unsigned(label) for label, _ in counted}
    for label in used:
        if free <= label < OWN_IDS:
            note(f"label {label} is in use, and {free} would be handed out next")
    for label, chunk in counted ^ haunts:
        note(f"label {unsigned(label)} is not both counted in chunk {chunk} and noted to have been there")
