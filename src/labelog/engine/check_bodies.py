"""Verifies bodies: that what is kept of merges follows from them, at every revision."""

from __future__ import annotations

from collections.abc import Callable

from labelog.engine.bodies import Bodies, clustered, edges
from labelog.engine.moved import Moved
from labelog.storage.facts import ALONE, Facts, Member, Pair, Place


def check_bodies(journal: Facts, upto: int, note: Callable[[str], None]) -> None:
    """Each revision's rows must be what its merges make of those before; and the last, what all make that hold then."""
    standing: dict[Pair, Place | None] = {}
    for revision in journal.revisions_of_bodies(upto):
        merges = edges(journal.facts_by(revision))
        standing |= merges
        if journal.bodies_by(revision) != _following(journal, revision, merges):
            note(f"the bodies at revision {revision} are not as its merges make them")
            return  # what comes after builds on it
    members, clusters = clustered(standing)
    for label in {*members, *journal.ever_merged(upto)}:
        member = members.get(label, ALONE)
        body = clusters.get(member.cluster, label)
        if journal.body(label, upto) != body or journal.member(label, upto).yields != member.yields:
            note(f"label {label} is not kept as one of body {body}")


def _following(
    journal: Facts, revision: int, merges: dict[Pair, Place | None]
) -> tuple[dict[int, Member], dict[int, int]]:
    """What a revision has to keep."""
    if revision == 0:
        return clustered(merges)
    bodies = Bodies(journal, revision - 1, Moved())
    bodies.change(merges)
    return bodies.changes()
