"""The live set: undo, redo, revert and blame.

One rule: a commit is live unless a live later commit takes it out. Undo takes out its author's newest live action,
redo takes out the undo, revert takes out whatever it names. A voxel has the label that the newest live edit which
wrote it gave it; so taking edits out, or putting them back, is a matter of finding for each voxel that they wrote
who wrote it last among the live ones.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

from labelog.engine.change import Moment, Settled, Work
from labelog.engine.commit import Batch, Draft, Outcome
from labelog.engine.store import Store, layered
from labelog.errors import Conflict, NothingToUndo
from labelog.geometry import Box
from labelog.kernels import spans
from labelog.kernels.runs import Runs
from labelog.kernels.spans import Spans
from labelog.storage.commits import Reader
from labelog.storage.journal import MERGE, PARENT, UNSAID, Fact, Kind, Record, Space

ACTIONS = (Kind.EDIT, Kind.REVERT)
"""What an author does; undo and redo speak of these."""


def undo(batch: Batch, draft: Draft, strict: bool) -> Outcome:
    """Take out the author's newest live action (of the session, if the draft has one)."""
    target = batch.turn.latest(draft.author, draft.session, ACTIONS, live=True)
    if target is None:
        raise NothingToUndo(f"{_who(draft)} has nothing left to undo")
    return take_out(batch, Kind.UNDO, draft, [target], strict)


def redo(batch: Batch, draft: Draft, strict: bool) -> Outcome:
    """Take out the author's newest live undo, unless the author has done something since."""
    target = batch.turn.latest(draft.author, draft.session, (Kind.UNDO,), live=True)
    since = batch.turn.latest(draft.author, draft.session, ACTIONS, live=False)
    if target is None or (since is not None and since > target):
        raise NothingToUndo(f"{_who(draft)} has nothing to redo")
    return take_out(batch, Kind.REDO, draft, [target], strict)


def _who(draft: Draft) -> str:
    return draft.author if draft.session is None else f"{draft.author} (session {draft.session})"


def revert(batch: Batch, draft: Draft, revision: int, strict: bool) -> Outcome:
    """Take out one commit, whoever made it."""
    if not batch.turn.newest:
        raise NothingToUndo("there is nothing to revert: nothing was done yet after revision 0, which made the volume")
    record = batch.turn.record(revision) if 0 < revision <= batch.turn.newest else None
    if record is None or record.kind is Kind.CREATE:
        raise NothingToUndo(f"there is no commit {revision} to revert; they go from 1 to {batch.turn.newest}")
    if not batch.turn.is_live(revision):
        takers = [taker for taker in batch.turn.takers(revision) if batch.turn.is_live(taker)]
        raise NothingToUndo(f"revision {revision} is already taken out, by {', '.join(map(str, takers))}")
    return take_out(batch, Kind.REVERT, draft, [revision], strict)


def revert_author(batch: Batch, draft: Draft, author: str, strict: bool) -> Outcome:
    """Take out all that an author, or anyone below that path, has done; also what they have undone themselves."""
    done = batch.turn.of_author(author, ACTIONS)
    targets = [revision for revision in done if not _reverted(batch, revision)]
    if not targets:
        raise NothingToUndo(f"{author} has made no edit that is not reverted already")
    return take_out(batch, Kind.REVERT, draft, targets, strict)


def _reverted(batch: Batch, revision: int) -> bool:
    takers = [taker for taker in batch.turn.takers(revision) if batch.turn.is_live(taker)]
    records = [batch.turn.record(taker) for taker in takers]
    return any(record is not None and record.kind is Kind.REVERT for record in records)


def take_out(batch: Batch, kind: Kind, draft: Draft, targets: list[int], strict: bool) -> Outcome:
    """Commit that these are taken out, and all that follows from it for the voxels."""
    flips = flipped(batch, targets)
    batch.turn.set_live({record.revision: live for record, live in flips})
    edits = [(record, live) for record, live in flips if record.kind is Kind.EDIT]
    lowest = min((record.revision for record, _ in edits), default=batch.turn.newest + 1)
    chunks: dict[int, dict[int, bool]] = defaultdict(dict)
    for record, live in edits:
        for chunk in record.chunks:
            chunks[chunk][record.revision] = live
    facts, later = settle_facts(batch, [record.revision for record, _ in edits])

    def refuse(voxels: int, box: Box | None) -> None:
        if strict and voxels:
            raise Conflict(
                f"{voxels} of the voxels in question were written again by later edits, within {box}",
                box=box, voxels=voxels,
            )  # fmt: skip
        if strict and later:
            space, subject, field = later.key
            raise Conflict(f"{field} of {space.name.lower()} {subject} was written again by revision {later.origin}",
                           revision=later.origin)  # fmt: skip

    return batch.write(draft, Work(
        kind, dict(sorted(chunks.items())), lambda moment, chunk: settle(moment, chunk, chunks[chunk]), refuse, facts,
        lowest, tuple(targets),
    ))  # fmt: skip


def settle_facts(batch: Batch, toggled: list[int]) -> tuple[list[Fact], Fact | None]:
    """For each field that these edits wrote, what its newest live writer said, where that is not what it is now; and
    the first that somebody wrote later, if there is one."""
    turn = batch.turn
    settled = []
    later = None
    last = {fact.key: revision for revision in sorted(toggled) for fact in turn.facts_by(revision)}
    for key in sorted(last):
        fact = turn.live_fact(key) or Fact(key, UNSAID, 0, None)
        if fact.origin > last[key]:
            later = later or fact
        if fact != turn.fact(key, turn.newest):
            settled.append(fact)
    return settled, later


def flipped(batch: Batch, targets: list[int]) -> list[tuple[Record, bool]]:
    """The commits that begin (True) or cease to be live when a new one takes out these."""
    turn, named = batch.turn, set(targets)
    flips: dict[int, bool] = {}
    records = []
    heap = [-target for target in named]  # newest first: who takes a commit out is always newer than it
    heapq.heapify(heap)
    seen = set(named)
    while heap:
        revision = -heapq.heappop(heap)
        [(record, was)] = turn.records("revision = ?", revision, newest_first=True, limit=1)
        now = revision not in named and not any(flips.get(t, turn.is_live(t)) for t in turn.takers(revision))
        if now == was:
            continue
        flips[revision] = now
        records.append((record, now))
        for target in record.targets:
            if target not in seen:
                seen.add(target)
                heapq.heappush(heap, -target)
    return records


def settle(moment: Moment, chunk: int, toggled: dict[int, bool]) -> Settled:
    """For each voxel that the toggled edits (revision -> live now) wrote in a chunk, what its newest writer gave it."""
    store, journal = moment.store, moment.journal
    deltas = {revision: store.written(journal, chunk, revision) for revision in toggled}
    whole = layered([delta.new for delta in deltas.values()])
    open_ = whole  # voxels whose newest live writer is not found yet
    hidden = whole  # voxels of which no writer, live or toggled, is found yet
    labels = uppermost = spans.nothing()  # uppermost: voxels that a toggled edit wrote last
    lowest = min(toggled)
    # Below the floor the chunk's edits are live or not as they were then: what it was just before it is what the live
    # edits below it make today.
    floor = min(lowest, moment.start + 1)  # of what is not committed yet nothing can be read
    for revision, live, reached, edit in journal.written(chunk):
        if revision < floor or not (open_ or (hidden and revision >= lowest)):
            break
        if reached is not None:
            floor = min(floor, reached)
        if edit is None or not (live or revision in toggled):
            continue
        made = deltas[revision].new if revision in toggled else store.delta(chunk, revision, edit).new
        above = open_ is hidden and revision not in toggled
        if revision in toggled:
            uppermost = spans.overlay(uppermost, spans.intersect(made, hidden))
        hidden = spans.subtract(hidden, made)
        if above:  # all toggled edits are beneath: what this one wrote stays as it is
            open_ = hidden
        elif toggled.get(revision, True):
            labels = spans.overlay(labels, spans.intersect(made, open_))
            open_ = spans.subtract(open_, made)
    if open_:
        if len(toggled) == 1 and floor == lowest:
            below = deltas[lowest].old
        else:
            below = store.overlaid(chunk, floor - 1).diff(open_).old
        labels = spans.overlay(labels, spans.intersect(below, open_))
    return Settled(labels, spans.subtract(whole, uppermost), whole.voxels)


def blame(store: Store, journal: Reader, chunk: int, voxels: Spans) -> Runs:
    """For each of these voxels of a chunk the revision of its newest live writer, 0 if there is none; 0 elsewhere."""
    found = spans.nothing()
    for revision, data in journal.live_edits(chunk):
        if not voxels:
            break
        made = store.delta(chunk, revision, data).new
        touched = spans.intersect(voxels, made)
        found = spans.overlay(found, Spans(touched.start, touched.stop, [revision] * len(touched)))
        voxels = spans.subtract(voxels, made)
    return spans.apply(Runs.full(store.grid.chunks, 0), found)


def names(journal: Reader, revision: int, label: int) -> bool:
    """Whether a commit said anything of a label, or of another in relation to it."""
    for (space, subject, field), _, _, value in journal.facts_by(revision):
        related = (field == PARENT and value == label) or field == f"{MERGE}{label}"
        if space is Space.LABEL and (subject == label or related):
            return True
    return False


def touches(store: Store, journal: Reader, record: Record, label: int | None, box: Box | None) -> bool:
    """Whether a commit gave or took this label or said something of it, and wrote within this box (each if given)."""
    if label is None and box is None:
        return True
    inside = dict(store.grid.touching(box)) if box is not None else None
    seen_label, seen_box = label is None or names(journal, record.revision, label), box is None
    if seen_label and seen_box:
        return True
    for chunk in record.chunks:
        if inside is not None and chunk not in inside and seen_label:
            continue
        delta = store.written(journal, chunk, record.revision)
        seen_label = seen_label or bool((delta.old.value == label).any() or (delta.new.value == label).any())
        if inside is not None and chunk in inside:
            part = inside[chunk].relative(store.grid.origin(chunk))
            voxels = spans.box_spans(store.grid.chunks, part.start, part.shape, 0)
            seen_box = seen_box or bool(spans.intersect(delta.new, voxels))
        if seen_label and seen_box:
            return True
    return False
