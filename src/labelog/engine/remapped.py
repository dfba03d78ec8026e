"""Which labels a view shows as something else than before: what a program needs that keeps labels as stored, and draws
them through a map of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelog.engine.table import Table
from labelog.engine.values import checked_revision
from labelog.errors import Invalid

if TYPE_CHECKING:
    from labelog.engine.snapshot import Revision

MOST = 1_000_000
"""Labels of which it may be asked at once."""

BEFORE = -1  # the revision before the first: nothing was said of any label


@dataclass(frozen=True)
class Remapped:
    """Values of a view.

    Attributes
    ----------
    values : label as stored -> its value now.
    whole : whether this is all of the map. Then a label that is not in it has the value that it has when nothing is
        said of any label: itself in the views instance and fragment, 0 in others. If not, others are as they were.
    """

    values: dict[int, int]
    whole: bool


def remapped(seen: Revision, since: int | None) -> Remapped:
    """What is another value than at revision `since`; all of the map, if that is None or classes changed since."""
    store, name = seen.volume.store, seen.name
    by_class = name not in ("instance", "fragment")
    if name == "fragment":
        return Remapped({}, since is None)
    if since is not None and not 0 <= checked_revision(since) <= seen.revision:
        raise Invalid(f"changes since a revision from 0 to {seen.revision} can be told, not since {since}")
    start = BEFORE if since is None else checked_revision(since)
    with store.journal.reading() as journal:
        named = journal.rebodied(start, seen.revision)
        placed = journal.placed(start, seen.revision) if by_class else set()
        if placed is None:
            start = BEFORE
            named = journal.rebodied(start, seen.revision)
            placed = journal.placed_ever(seen.revision)
    labels: set[int] = set()
    for revision in {start, seen.revision}:
        with store.table(revision) as table:
            _gather(table, named | placed, by_class, labels)
    found = sorted(labels)
    now = store.label_map(name, seen.revision, None).each(found)
    if start != BEFORE:
        before = store.label_map(name, start, None).each(found)
    else:
        before = [0] * len(found) if by_class else found
    return Remapped({label: value for label, value, old in zip(found, now, before, strict=True) if value != old},
                    start == BEFORE)  # fmt: skip


def _gather(table: Table, named: Iterable[int], by_class: bool, labels: set[int]) -> None:
    """Add the labels whose value may depend on what was said of some: all of their bodies, and what lies in these."""
    ahead = [table.body(label) for label in named]
    met = set(ahead)
    for body in ahead:
        labels.update(table.members(body))
        if len(labels) > MOST:
            raise Invalid(f"more than {MOST} labels may have changed; ask for the values of those that you show")
        inside = [child for child in table.children(body) if child not in met] if by_class else []
        ahead += inside
        met.update(inside)
