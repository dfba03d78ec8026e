"""Bodies as they are kept, change by change, against the same merges replayed from the beginning."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from labelog.engine.bodies import Bodies, clustered, edges, merge_key, replayed
from labelog.engine.check_bodies import check_bodies
from labelog.engine.moved import Moved
from labelog.engine.table import Staged, Table
from labelog.storage.facts import SCHEMA, Facts
from labelog.storage.journal import LISTED, Fact, Key, Space

LABELS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 2**63, 2**64 - 1])
PAIRS = st.tuples(LABELS, LABELS).filter(lambda pair: pair[0] != pair[1])
PLACES = st.none() | st.tuples(st.integers(0, 20), st.integers(0, 3)) | st.tuples(st.just("now"), st.integers(0, 3))
STEPS = st.lists(st.dictionaries(PAIRS, PLACES, min_size=1, max_size=4), min_size=1, max_size=16)
START = 100  # the first revision: what stands at an older place was made before


def in_order(merges):
    return [pair for place, pair in sorted((place, pair) for pair, place in merges.items() if place is not None)]


def same_bodies(bodies, merges, others=()):
    """Whether they are those that all merges give."""
    expected = oracles.bodies(in_order(merges))
    for label in {*expected, *others}:
        body = expected.get(label, label)
        assert bodies.body(label) == body
        members = {body} | {other for other, found in expected.items() if found == body}
        assert bodies.members(label) == (sorted(members) if label == body else [])


def empty():
    journal = Facts(apsw.Connection(":memory:"))
    list(journal._db.execute(SCHEMA))
    return journal


def said(changed):
    return [Fact(merge_key(*pair), *(place or (-1, 0)), pair[0] if place else None) for pair, place in changed.items()]


def write(journal, revision, changed, moved):
    assert edges(said(changed)) == changed
    journal.add_bodies(revision, *Bodies(journal, revision - 1, moved).changes())
    journal.add_facts(revision, said(changed))


@given(st.dictionaries(PAIRS, PLACES.map(lambda place: place and (START if place[0] == "now" else place[0], place[1]))))
def test_replayed(merges):
    places = [place for place in merges.values() if place is not None]
    if len(set(places)) == len(places):  # an edit has one merge at each step
        bodies, yields = replayed(merges)
        assert bodies == oracles.bodies(in_order(merges))
        assert set(yields) == {label for label, body in bodies.items() if label != body}


@given(STEPS, st.booleans())
def test_what_changes_is_what_all_merges_give(steps, at_once):
    """A place is where a merge stands, and not when it came to: an undo puts one in the middle, or takes it out.

    With `at_once` nothing is committed before the end, as in an edit.
    """
    journal, moved = empty(), Moved()
    merges, all_changed, before, problems = {}, {}, [], []
    for revision, drawn in enumerate(steps, START):
        taken = {place for pair, place in merges.items() if pair not in drawn}
        changed = {}
        for pair, place in drawn.items():
            if place and place[0] == "now":
                place = (revision, place[1])
            changed[pair] = None if place in taken else place
            taken.add(place)
        before.append(dict(merges))
        merges |= changed
        all_changed |= changed
        head = START - 1 if at_once else revision - 1
        named = {label for pair in merges for label in pair}
        Bodies(journal, head, moved).change(changed)
        same_bodies(Bodies(journal, head, moved), merges, named)
        if not at_once:
            write(journal, revision, changed, moved)
            moved = Moved()
            same_bodies(Bodies(journal, revision, Moved()), merges, named)
            for past, known in enumerate(before, START):
                same_bodies(Bodies(journal, past - 1, Moved()), known, named)
    if at_once:
        write(journal, START, all_changed, moved)
    else:
        check_bodies(journal, 2**62, problems.append)
        assert problems == []
    _, yields = replayed(merges)
    assert {label: journal.member(label, 2**62).yields for label in named} == \
           {label: yields.get(label) for label in named}  # fmt: skip


@given(STEPS, STEPS)
def test_what_is_tried_is_taken_back(kept, tried):
    def change(steps, start):
        for revision, drawn in enumerate(steps, start):
            changes = {pair: place and (revision, step) for step, (pair, place) in enumerate(drawn.items())}
            Bodies(journal, 0, moved).change(changes)
            merges.update(changes)

    journal, moved, merges = empty(), Moved(), {}
    change(kept, START)
    mark, before = moved.mark(), dict(merges)
    found = moved.members.copy(), moved.names.copy(), moved.merges.copy()
    change(tried, 2 * START)
    moved.take_back(mark)
    assert (moved.members, moved.names, moved.merges) == found
    same_bodies(Bodies(journal, 0, moved), before, {label for pair in merges for label in pair})


def star(count):
    return {(1, label): (0, label) for label in range(2, count + 1)}


def chain(count):
    return {(label, label + 1): (0, label) for label in range(1, count)}


def reversed_chain(count):
    """Each new label is named first, so that the body is called anew each time."""
    return {(label + 1, label): (0, label) for label in range(1, count)}


def tree(count):
    return {(label // 2, label): (0, label) for label in range(2, count + 1)}


def fan(count):
    """One label is named second each time."""
    return {(label, 1): (0, label) for label in range(2, count + 1)}


@pytest.mark.parametrize("shape", [star, chain, reversed_chain, tree, fan])
def test_a_fragment_costs_the_same_in_a_body_of_any_size(shape):
    """SQLite's steps, and rows to write: a fragment cleaved, that taken back, merges with another fragment undone."""

    def costs(count):
        merges, steps = shape(count), []
        journal = empty()
        listed = [Fact(Key(Space.LABEL, label, LISTED), 0, 0, 1) for label in range(1, count + 2)]
        journal.add_facts(0, listed + said(merges))
        journal.add_bodies(0, *clustered(merges))
        journal._db.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda told: steps.append(
            told["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]))  # fmt: skip
        last, new, some = max(merges, key=merges.get), count + 1, count // 2
        changes = [{last: None}, {last: merges[last]}, {(new, some): (3, 0)}, {(new, some): None},
                   {(some, new): (5, 0)}, {(some, new): None}]  # fmt: skip
        for revision, changed in enumerate(changes, 1):
            staged = Staged()
            steps.clear()
            staged.add(journal, revision - 1, said(changed))
            table = Table(journal, revision - 1, staged)
            table.verify(said(changed), conflict=False)
            members, names = table.bodies.changes()
            if shape is not fan or changed != {last: merges[last]}:  # that walks along the ids that 1 has had
                yield sum(steps), len(members) + len(names)
            write(journal, revision, changed, staged.moved)
        assert [Bodies(journal, revision, Moved()).body(label) for label in (1, count, new)] == \
               [Bodies(journal, 0, Moved()).body(label) for label in (1, count, new)]  # fmt: skip

    for (few, rows), (many, more) in zip(costs(10), costs(3_000), strict=True):
        assert more == rows <= 3
        assert 0 < many <= 2 * few
