"""Bodies as they are kept, change by change, against the same merges replayed from the beginning."""

from __future__ import annotations

import apsw
from hypothesis import given
from hypothesis import strategies as st

import oracles
from labelog.engine.bodies import edges, merge_key, regrouped, replayed
from labelog.storage.facts import SCHEMA, Facts
from labelog.storage.journal import Fact

LABELS = st.sampled_from([1, 2, 3, 4, 5, 6, 2**63, 2**64 - 1])
PAIRS = st.tuples(LABELS, LABELS).filter(lambda pair: pair[0] != pair[1])
PLACES = st.none() | st.tuples(st.integers(0, 20), st.integers(0, 3))
STEPS = st.lists(st.dictionaries(PAIRS, PLACES, min_size=1, max_size=4), min_size=1, max_size=12)


def in_order(merges):
    return [pair for place, pair in sorted((place, pair) for pair, place in merges.items() if place is not None)]


@given(st.dictionaries(PAIRS, PLACES))
def test_replayed(merges):
    places = [place for place in merges.values() if place is not None]
    if len(set(places)) == len(places):  # an edit has one merge at each step
        assert replayed(merges) == oracles.bodies(in_order(merges))


@given(STEPS)
def test_what_is_regrouped_is_what_all_merges_give(steps):
    """A place is where a merge stands, and not when it came to: an undo puts one in the middle, or takes it out."""
    journal = Facts(apsw.Connection(":memory:"))
    list(journal._db.execute(SCHEMA))
    merges = {}
    for revision, drawn in enumerate(steps):
        taken = {place for pair, place in merges.items() if pair not in drawn}
        changed = {}
        for pair, place in drawn.items():
            changed[pair] = None if place in taken else place
            taken.add(place)
        before = oracles.bodies(in_order(merges))
        merges |= changed
        after = oracles.bodies(in_order(merges))
        expected = {label: after.get(label, label) for label in {*before, *after}
                    if after.get(label, label) != before.get(label, label)}  # fmt: skip
        found = regrouped(journal, revision - 1, changed)
        assert found == expected
        facts = [Fact(merge_key(*pair), *(place or (-1, 0)), pair[0] if place else None)
                 for pair, place in changed.items()]  # fmt: skip
        assert edges(facts) == changed
        journal.add_facts(revision, facts)
        journal.add_bodies(revision, found)
        for label in {*before, *after}:
            body = after.get(label, label)
            assert journal.body(label, revision) == body
            assert journal.members(body, revision) == sorted({body} | {o for o, b in after.items() if b == body})
            assert journal.body(label, revision - 1) == before.get(label, label), "the past has changed"
