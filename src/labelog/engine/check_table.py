"""Verifies the label table: that facts and bodies are what the edits make them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from labelog.engine.bodies import Pair, Place, edges, regrouped, replayed
from labelog.engine.table import Table
from labelog.errors import LabelogError
from labelog.storage.facts import Facts, unsigned
from labelog.storage.journal import UNSAID, Fact, Key, Kind
from labelog.storage.parcels import SEEN
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


def haunted(journal: Facts) -> dict[int, set[int]]:
    """Chunk -> the labels that are noted to have been in it."""
    found: dict[int, set[int]] = defaultdict(set)
    for label, chunk in journal.rows(f"SELECT label, chunk FROM haunts WHERE {SEEN}"):
        found[chunk].add(unsigned(label))
    return found
