"""Labels, parents and colours of the objects that come of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count

import numpy as np

from labelog.formats.picture import own_colours
from labelog.layers.decide import Decision, Object
from labelog.layers.joint import Row, Tally
from labelog.layers.pieces import Owner, Pieces

TOP = 2**64 - 1


def parents(decision: Decision, pieces: Pieces, table: Mapping[Row, Tally]) -> dict[Owner, Owner | None]:
    """What each object lies in: that which has most of those of its voxels that lie in anything."""
    votes: dict[Object, Counter[Owner]] = {}
    for row, tally in table.items():
        path = decision.paths[row]
        for stop in path:
            if isinstance(stop, Object):
                around, found = decision.around(path, stop), votes.setdefault(stop, Counter())
                if isinstance(around, Object):
                    found[around] += tally.voxels
    for given, counted in pieces.votes.items():
        votes[given].update(counted)
    parent: dict[Owner, Owner | None] = {part: made.parent for part, made in pieces.made.items()}
    for given, found in votes.items():
        parent[given] = min(found, key=lambda other: (-found[other], _place(decision, other)), default=None)
    return parent


def _place(decision: Decision, owner: Owner) -> tuple[bool, int, int]:
    """Objects of files come before those made, outer layers first."""
    if isinstance(owner, Object):
        return False, decision.layers.index(owner.layer), owner.id
    return True, owner.rank, owner.root


def labels(decision: Decision, pieces: Pieces, parent: Mapping[Owner, Owner | None]) -> dict[Owner, int]:
    """A label for all that has voxels, or holds what has: that of its file if it is free, or else a new one.

    The outer layers choose first; components come last, in the order of their classes and first voxels.
    """
    there: set[Owner] = {path[-1] for path in decision.paths.values() if path and isinstance(path[-1], Object)}
    for owner in (*there, *pieces.made):
        around = parent[owner]
        while around is not None:
            there.add(around)
            around = parent[around]
    given = [owner for owner in there if isinstance(owner, Object)]
    given.sort(key=lambda one: _place(decision, one))
    first: dict[int, Object] = {}
    for one in given:
        first.setdefault(one.id, one)
    fresh = _fresh({one.id for one in decision.classes})
    chosen: dict[Owner, int] = {one: one.id if first[one.id] == one else next(fresh) for one in given}
    return chosen | dict(zip(pieces.made, fresh, strict=False))


def _fresh(taken: set[int]) -> Iterator[int]:
    """Labels that are not taken: those above all that are, as long as there are any, then the others."""
    yield from range(max(taken, default=0) + 1, TOP + 1)
    yield from (label for label in count(1) if label not in taken)


def colours(label: Mapping[Owner, int], source: Mapping[Object, str]) -> dict[int, str]:
    """The objects' colours in their files; what has none gets one that no other has, so that all can be painted."""
    if not source:
        return {}
    found = {number: source[one] for one, number in label.items() if isinstance(one, Object) and one in source}
    taken = set(found.values())
    for number in label.values():
        if number not in found:
            red, green, blue, _ = own_colours(np.array([number], np.uint64))[0].tolist()
            shade = red << 16 | green << 8 | blue
            while f"#{shade:06x}ff" in taken:
                shade = (shade + 1) % 2**24
            found[number] = f"#{shade:06x}ff"
            taken.add(found[number])
    return dict(sorted(found.items()))
