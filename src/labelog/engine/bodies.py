"""Bodies: labels merged into one object.

A merge is an edge between two labels, the one named first and the one named second; a body is what live edges hold
together. Its id is found by replaying the edges in the order of the edits that made them: of the two bodies that an
edge joins, that of the label named first gives the id, and the other's id *yields* at this edge.

    merge(1, [2])    1 - 2              body 1; 2 yields
    merge(2, [3])    1 - 2 - 3          body 1, for 2 belongs to 1; 3 yields
    undo the first       2 - 3          bodies 1 and 2; 3 yields

So each label is the id of its body, or yields at one edge; the edges at which labels yield hold the body together, and
any others are superfluous. Each label is in a *cluster*, which has a number and the body's id. What changes costs the
smaller side: of two bodies that are joined, the labels of the smaller one change their cluster; of two parts that come
apart, which walks in step with each other have found, those of the smaller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from labelog.engine.moved import Moved
from labelog.storage.facts import Facts, Member, Pair, Place
from labelog.storage.journal import MERGE, Fact, Key, Space


def merge_key(first: int, second: int) -> Key:
    return Key(Space.LABEL, second, f"{MERGE}{first}")


def edges(facts: Iterable[Fact]) -> dict[Pair, Place | None]:
    """The merges among facts: where they stand in the order, or None if they hold no more."""
    found: dict[Pair, Place | None] = {}
    for (space, second, field), origin, step, value in facts:
        if space is Space.LABEL and field.startswith(MERGE):
            found[int(field.removeprefix(MERGE)), second] = None if value is None else (origin, step)
    return found


def replayed(merges: Mapping[Pair, Place | None]) -> tuple[dict[int, int], dict[int, Pair]]:
    """Each label that is named -> its body, and each that yields -> the merge at which it does."""
    above: dict[int, int] = {}
    yields: dict[int, Pair] = {}

    def top(label: int) -> int:
        while (next_up := above.setdefault(label, label)) != label:
            above[label] = label = above[next_up]
        return label

    standing = {pair: place for pair, place in merges.items() if place is not None}
    for first, second in sorted(standing, key=standing.__getitem__):
        body, other = top(first), top(second)
        if body != other:
            above[other] = body
            yields[other] = first, second
    return {label: top(label) for label in list(above)}, yields


def clustered(merges: Mapping[Pair, Place | None]) -> tuple[dict[int, Member], dict[int, int]]:
    """What is kept of these merges if there are no others: label -> member, cluster -> body."""
    bodies, yields = replayed(merges)
    numbers: dict[int, int] = {}
    members = {label: Member(numbers.setdefault(body, len(numbers) + 1), yields.get(label))
               for label, body in bodies.items()}  # fmt: skip
    return members, {number: body for body, number in numbers.items()}


@dataclass
class Part:
    """What holds together, of several labels that were asked for.

    Attributes
    ----------
    ends : those of them that are in it.
    labels : all that is in it, as far as it was walked.
    walks : that are not at their end yet: if none, `labels` is all of it.
    """

    ends: list[int]
    labels: set[int]
    walks: int = 1


class Bodies:
    """Bodies as of a revision, with merges made and undone over them."""

    def __init__(self, journal: Facts, revision: int, moved: Moved) -> None:
        self._journal = journal
        self._revision = revision
        self._moved = moved

    # What is

    def body(self, label: int) -> int:
        """The body that a label belongs to: itself, if it is not merged."""
        if not self._moved:
            return self._journal.body(label, self._revision)
        cluster = self._member(label).cluster
        return self._name(cluster) if cluster else label

    def members(self, body: int) -> list[int]:
        """The labels that make up a body, ascending; none if it is a part of another."""
        member = self._member(body)
        if member.yields:
            return []
        return sorted(self._labels(member.cluster)) if member.cluster else [body]

    def merges_of(self, label: int) -> Iterator[Pair]:
        """The merges that name a label."""
        moved = self._moved.merges
        yield from (pair for pair in self._moved.near(label) if moved[pair])
        yield from (pair for pair, place in self._merges_before(label) if place and pair not in moved)

    def parted(self, ends: Iterable[int], without: Collection[int] = ()) -> list[Part]:
        """Some labels by what still holds together without others.

        All are walked from in step until only one part is not at its end, so it costs what the others have.
        """
        found = {end: Part([end], {end}) for end in ends}
        walks = deque((end, ahead := [end], self._walk(ahead)) for end in found)
        left = len(walks)  # parts that are not at their end
        while left > 1:
            end, ahead, walk = walks.popleft()
            part, other = found[end], next(walk, None)
            if other is None:
                part.walks -= 1
                left -= not part.walks
                continue
            walks.append((end, ahead, walk))
            if not other or other in without:
                continue
            if other not in found:
                found[other] = part
                part.labels.add(other)
                ahead.append(other)
            elif found[other] is not part:
                left -= 1
                _unite(found, part, found[other])
        return list({id(part): part for part in found.values()}.values())

    def cleaving(self, body: int, labels: Collection[int]) -> dict[Pair, bool]:
        """The merges to undo (False) and to make (True), for some labels of a body to be one, and the others another.

        Of what would come apart the body's id is named first, or else the lowest of the labels concerned.
        """
        merges = {pair for label in labels for pair in self.merges_of(label)}
        cut = sorted(pair for pair in merges if not (pair[0] in labels and pair[1] in labels))
        if not cut:
            return {}
        groups, _ = replayed(dict.fromkeys(merges.difference(cut), (0, 0)))
        mine: dict[int, int] = {}
        for label in sorted(labels, key=lambda label: (label != body, label)):
            mine.setdefault(groups.get(label, label), label)
        parts = self.parted({label for pair in cut for label in pair}.difference(labels), labels)
        home = next((part for part in parts if body in part.labels), next(part for part in parts if part.walks))
        rest = [body if part is home and body not in labels else min(part.ends) for part in parts]
        changes = dict.fromkeys(cut, False)
        for first, *others in (mine.values(), sorted(rest, key=lambda label: (label != body, label))):
            changes |= {(first, other): True for other in others}
        return changes

    def changes(self) -> tuple[dict[int, Member], dict[int, int]]:
        """What is to be kept of the merges made and undone: label -> member, cluster -> body."""
        members = {label: member for label, member in self._moved.members.items()
                   if member != self._member_before(label)}  # fmt: skip
        names = {cluster: body for cluster, body in self._moved.names.items()
                 if body != self._journal.name_of(cluster, self._revision)
                 and next(self._labels(cluster), None)}  # fmt: skip
        return members, names

    def _walk(self, ahead: list[int]) -> Iterator[int]:
        """The labels that those ahead are merged with, which may be put ahead then; 0 for a step that leads to none."""
        moved = self._moved.merges
        for label in ahead:
            for pair in self._moved.near(label):
                yield _other(pair, label) if moved[pair] else 0
            for pair, place in self._merges_before(label):
                yield _other(pair, label) if place and pair not in moved else 0

    def _place(self, pair: Pair) -> Place | None:
        """Where a merge stands; None if it does not hold."""
        if pair in self._moved.merges:
            return self._moved.merges[pair]
        for label in pair:
            if label in self._moved.merges_before:
                return self._moved.merges_before[label].get(pair)
        fact = self._journal.fact(merge_key(*pair), self._revision)
        return None if fact is None or fact.value is None else (fact.origin, fact.step)

    def _stands(self, pair: Pair) -> Place:
        """Where a merge stands that holds."""
        place = self._place(pair)
        assert place is not None, pair
        return place

    def _member(self, label: int) -> Member:
        return self._moved.members.get(label) or self._member_before(label)

    def _member_before(self, label: int) -> Member:
        found = self._moved.members_before.get(label)
        if found is None:
            found = self._moved.members_before[label] = self._journal.member(label, self._revision)
        return found

    def _merges_before(self, label: int) -> Iterator[tuple[Pair, Place | None]]:
        """The merges that ever named a label and their places, as they are asked for, which may be not to the end."""
        found = self._moved.merges_before.get(label)
        if found is not None:
            yield from found.items()
            return
        found = {}
        for pair, place in self._journal.merges_of(label, self._revision):
            found[pair] = place or found.get(pair)
            yield pair, place
        self._moved.merges_before[label] = found

    def _name(self, cluster: int) -> int:
        return self._moved.names.get(cluster) or self._journal.name_of(cluster, self._revision)

    def _labels(self, cluster: int) -> Iterator[int]:
        """The labels of a cluster, as they are asked for."""
        moved = self._moved.members
        yield from self._moved.within(cluster)
        yield from (label for label in self._journal.cluster(cluster, self._revision) if label not in moved)

    def _who_yields(self, pair: Pair) -> int | None:
        """The label that yields at a merge; None if it is superfluous."""
        if self._member(pair[1]).yields == pair:  # as a rule
            return pair[1]
        moved = self._moved.members
        known = (label for label in self._journal.yielded(pair, self._revision) if label not in moved)
        return self._moved.yielded(pair) or next(known, None)

    def _top(self, label: int, place: Place) -> int:
        """The body that a label belonged to just before a place in the order."""
        while (pair := self._member(label).yields) and self._stands(pair) < place:
            label = pair[0]
        return label

    # What changes

    def change(self, merges: Mapping[Pair, Place | None]) -> None:
        """Make and undo merges. One that is made may come to stand anywhere in the order."""
        undone = {pair: self._who_yields(pair) for pair in merges if self._place(pair) is not None}
        for pair in sorted(undone, key=lambda pair: (undone[pair] is not None, pair)):  # first what is superfluous
            self._undo(pair)
        made = {pair: place for pair, place in merges.items() if place is not None}
        for pair in sorted(made, key=made.__getitem__):
            self._make(pair, made[pair])

    def _make(self, pair: Pair, place: Place) -> None:
        first, second = pair
        one, other = self.body(first), self.body(second)
        newest = place[0] > self._revision and place > self._moved.newest
        self._moved.newest = max(place, self._moved.newest)
        self._moved.set_merge(pair, place)
        if one == other:
            if not newest and self._top(first, place) != self._top(second, place):
                self._replay(first)  # it comes before one of those that held the two together
            return
        if newest:
            self._yield(other, pair)
        else:
            self._settle([pair])
        self._join(one, other)

    def _join(self, one: int, other: int) -> None:
        """Make one cluster of those of two bodies, of which one has yielded to the other."""
        mine, others = self._member(one).cluster, self._member(other).cluster
        if mine and others:
            cluster, labels = self._larger(mine, others)
        else:
            cluster = mine or others or self._new_cluster()
            labels = [label for label, known in ((one, mine), (other, others)) if not known]
        for label in labels:
            self._put(label, cluster)
        self._call(cluster, other if self._member(one).yields else one)

    def _larger(self, one: int, other: int) -> tuple[int, list[int]]:
        """The larger of two clusters, and the labels of the smaller."""
        found: dict[int, list[int]] = {one: [], other: []}
        walks = self._labels(one), self._labels(other)
        while True:
            for walk, cluster, rest in zip(walks, (one, other), (other, one), strict=True):
                label = next(walk, None)
                if label is None:
                    return rest, found[cluster]
                found[cluster].append(label)

    def _undo(self, pair: Pair) -> None:
        label = self._who_yields(pair)
        self._moved.set_merge(pair, None)
        if label is None:
            return
        parts = self.parted(pair)
        if len(parts) == 1:
            self._replay(label)  # something else still holds together what it did
            return
        self._yield(label, None)
        part, rest = sorted(parts, key=lambda part: (part.walks, len(part.labels)))
        self._part(part.labels, rest.ends[0], {label})

    def _part(self, part: set[int], rest: int, free: set[int]) -> None:
        """A part of a cluster goes; `rest` is a label that stays. A merge of either has to find who yields at it, if
        that was a label of the other, which is free then."""
        merges = {pair for label in part for pair in self.merges_of(label)}
        yields = {pair: label for label in part if (pair := self._member(label).yields)}
        open_ = {pair: label for pair, label in yields.items() if pair not in merges}
        open_ |= {pair: label for pair in merges - set(yields) if (label := self._who_yields(pair)) is not None}
        free = free.union(open_.values())
        for label in free:
            self._yield(label, None)
        self._settle(open_)
        new = self._new_cluster() if len(part) > 1 else 0
        for label in part:
            self._put(label, new)
            if new and not self._member(label).yields:
                self._call(new, label)
        for label in free - part:
            if not self._member(label).yields:
                self._call(self._member(rest).cluster, label)

    def _settle(self, merges: Iterable[Pair]) -> None:
        """Find who yields at these merges, at which nobody does yet."""
        open_ = [(self._stands(pair), pair) for pair in merges]
        heapify(open_)
        while open_:
            place, pair = heappop(open_)
            label = self._top(pair[1], place)
            later = self._member(label).yields
            if later:  # it does not get as far as that
                heappush(open_, (self._stands(later), later))
            self._yield(label, pair)

    def _replay(self, label: int) -> None:
        """Find who yields in the whole body that a label is in."""
        cluster = self._member(label).cluster
        labels = list(self._labels(cluster))
        bodies, yields = replayed({pair: self._place(pair) for each in labels for pair in self.merges_of(each)})
        for each in labels:
            self._yield(each, yields.get(each))
        self._call(cluster, bodies[label])

    def _yield(self, label: int, pair: Pair | None) -> None:
        member = self._member(label)
        if member.yields != pair:
            self._moved.set_member(label, Member(member.cluster, pair))

    def _put(self, label: int, cluster: int) -> None:
        member = self._member(label)
        if member.cluster != cluster:
            self._moved.set_member(label, Member(cluster, member.yields))

    def _call(self, cluster: int, body: int) -> None:
        if self._name(cluster) != body:
            self._moved.set_name(cluster, body)

    def _new_cluster(self) -> int:
        self._moved.last_cluster = max(self._moved.last_cluster, self._journal.last_cluster(self._revision)) + 1
        return self._moved.last_cluster


def _other(pair: Pair, label: int) -> int:
    return pair[1] if pair[0] == label else pair[0]


def _unite(found: dict[int, Part], one: Part, other: Part) -> None:
    """Two parts turn out to be one."""
    small, large = sorted((one, other), key=lambda part: len(part.labels))
    found |= dict.fromkeys(small.labels, large)
    large.labels |= small.labels
    large.ends += small.ends
    large.walks += small.walks


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
