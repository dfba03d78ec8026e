"""Verifies the label table: that facts are what the edits make them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from labelog.engine.table import Table
from labelog.errors import LabelogError
from labelog.storage.commits import Reader
from labelog.storage.facts import Facts, unsigned
from labelog.storage.journal import UNSAID, Fact, Key, Kind
from labelog.storage.parcels import SEEN

Note = Callable[[str], None]


def check_facts(journal: Reader, upto: int, note: Note) -> None:
    """Replay what the live edits said, in order."""
    live: dict[Key, Fact] = {}
    now: dict[Key, Fact] = {}
    for (revision,) in journal.rows("SELECT DISTINCT revision FROM facts WHERE revision <= ? ORDER BY 1", upto):
        record = journal.record(revision)
        facts = journal.facts_by(revision)
        now |= {fact.key: fact for fact in facts}
        if record is not None and record.kind in (Kind.EDIT, Kind.CREATE) and journal.is_live(revision):
            live |= {fact.key: fact for fact in facts}
    for key, fact in now.items():
        if fact != live.get(key, Fact(key, UNSAID, 0, None)):
            space, subject, field = key
            note(f"{field} of {space.name.lower()} {subject} is not what the live edits said")
    try:
        Table(journal, upto).verify(now.values(), conflict=False)
    except LabelogError as error:
        note(str(error))


def haunted(journal: Facts) -> dict[int, set[int]]:
    """Chunk -> the labels that are noted to have been in it."""
    found: dict[int, set[int]] = defaultdict(set)
    for label, chunk in journal.rows(f"SELECT label, chunk FROM haunts WHERE {SEEN}"):
        found[chunk].add(unsigned(label))
    return found
