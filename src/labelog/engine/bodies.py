"""Bodies: labels merged into one object.

A merge is an edge between two labels, the one named first and the one named second; a body is what live edges hold
together. Its id is found by replaying the edges in the order of the edits that made them: of the two bodies that an
edge joins, that of the label named first gives the id.

    merge(1, [2])    1 - 2              body 1
    merge(2, [3])    1 - 2 - 3          body 1, for 2 belongs to 1
    undo the first       2 - 3          bodies 1 and 2
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labelog.storage.facts import Facts
from labelog.storage.journal import MERGE, Fact, Key, Space

Pair = tuple[int, int]
"""The labels of a merge: as named first and second."""

Place = tuple[int, int]
"""Revision of the edit that a merge is from, and its step within it."""


def merge_key(first: int, second: int) -> Key:
    return Key(Space.LABEL, second, f"{MERGE}{first}")


def edges(facts: Iterable[Fact]) -> dict[Pair, Place | None]:
    """The merges among facts: where they stand in the order, or None if they hold no more."""
    found: dict[Pair, Place | None] = {}
    for (space, second, field), origin, step, value in facts:
        if space is Space.LABEL and field.startswith(MERGE):
            found[int(field.removeprefix(MERGE)), second] = None if value is None else (origin, step)
    return found


def replayed(merges: Mapping[Pair, Place | None]) -> dict[int, int]:
    """Each label that is named -> its body."""
    above: dict[int, int] = {}

    def top(label: int) -> int:
        while (next_up := above.setdefault(label, label)) != label:
            above[label] = label = above[next_up]
        return label

    standing = {pair: place for pair, place in merges.items() if place is not None}
    for first, second in sorted(standing, key=standing.__getitem__):
        above[top(second)] = top(first)
    return {label: top(label) for label in list(above)}


def held(journal: Facts, upto: int, labels: Iterable[int]) -> dict[Pair, Place | None]:
    """The merges among the labels of whole bodies as of a revision."""
    return edges(fact for label in labels for _, fact in journal.edges(label, upto))


def regrouped(journal: Facts, upto: int, changed: Mapping[Pair, Place | None]) -> dict[int, int]:
    """The labels whose body differs from that as of a revision once these merges are made or undone.

    Only the bodies that the merges touch are looked at.
    """
    named = {label for pair in changed for label in pair}
    before: dict[int, int] = {}
    for body in {journal.body(label, upto) for label in named}:
        before |= dict.fromkeys(journal.members(body, upto), body)
    after = replayed({**held(journal, upto, before), **changed})
    return {label: after.get(label, label) for label, body in before.items() if after.get(label, label) != body}


def merges_of(bodies: Mapping[int, int]) -> tuple[dict[int, int], list[Pair]]:
    """A table fragment -> body, as segmentation files have it, as new ids of some fragments and merges of all.

    Fragments and bodies have one range of labels here. So a fragment whose id is that of a body which it is not in is
    given an id of its own, above all others. Fragments of body 0 are background: they become 0.
    """
    ids = set(bodies.values())
    free = max({*bodies, *ids}, default=0) + 1
    renamed: dict[int, int] = {}
    merges = []
    for fragment, body in sorted(bodies.items()):
        if not body or not fragment:
            if fragment:
                renamed[fragment] = 0
            continue
        if fragment != body:
            if fragment in ids:
                renamed[fragment] = free
                free += 1
            merges.append((body, renamed.get(fragment, fragment)))
    return renamed, merges
