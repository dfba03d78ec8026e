"""What merges have changed that are made or undone, but not committed yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from labelog.storage.facts import Member, Pair, Place


@dataclass
class Moved:
    """Merges made and undone over a revision, and what follows from them. It can be taken back step by step.

    Attributes
    ----------
    merges : those made (with their place) and undone (None).
    members : labels whose cluster or yielding is another.
    names : clusters that have another id, or are new.
    version : another number whenever anything has changed.
    newest, last_cluster : the last place and the highest cluster that were given.
    members_before, merges_before : what was read of labels as of the revision, which never changes.
    """

    merges: dict[Pair, Place | None] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    version: int = 0
    newest: Place = (-1, 0)
    last_cluster: int = 0
    members_before: dict[int, Member] = field(default_factory=dict)
    merges_before: dict[int, dict[Pair, Place | None]] = field(default_factory=dict)
    _near: dict[int, dict[Pair, None]] = field(default_factory=dict)  # label -> those of `merges` that name it
    _within: dict[int, dict[int, None]] = field(default_factory=dict)  # cluster -> those of `members` in it
    _yielded: dict[Pair, int] = field(default_factory=dict)  # merge -> that of `members` which yields at it
    _log: list[tuple[dict[Any, Any], Any, tuple[Any, ...]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.merges)

    def near(self, label: int) -> Iterable[Pair]:
        """The merges made and undone that name a label."""
        return self._near.get(label, ())

    def within(self, cluster: int) -> Iterable[int]:
        """The labels that have changed and are in a cluster."""
        return self._within.get(cluster, ())

    def yielded(self, pair: Pair) -> int | None:
        """The label that has changed and yields at a merge."""
        return self._yielded.get(pair)

    def set_merge(self, pair: Pair, place: Place | None) -> None:
        self._set(self.merges, pair, place)
        for label in pair:
            self._set(self._near.setdefault(label, {}), pair, None)

    def set_member(self, label: int, member: Member) -> None:
        before = self.members.get(label)
        if before is not None and before.cluster != member.cluster:
            self._set(self._within[before.cluster], label)
        if before is not None and before.yields and self._yielded.get(before.yields) == label:
            self._set(self._yielded, before.yields)
        self._set(self.members, label, member)
        self._set(self._within.setdefault(member.cluster, {}), label, None)
        if member.yields:
            self._set(self._yielded, member.yields, label)

    def set_name(self, cluster: int, body: int) -> None:
        self._set(self.names, cluster, body)

    def mark(self) -> int:
        """Where it is now, for `take_back`."""
        return len(self._log)

    def take_back(self, mark: int) -> None:
        """Make it what it was at a mark."""
        while len(self._log) > mark:
            _put(*self._log.pop())
        self.version += 1

    def _set(self, where: dict[Any, Any], key: Any, *value: Any) -> None:
        self._log.append((where, key, (where[key],) if key in where else ()))
        _put(where, key, value)
        self.version += 1


def _put(where: dict[Any, Any], key: Any, value: tuple[Any, ...]) -> None:
    """Set a key to the one value, or remove it if there is none."""
    if value:
        where[key] = value[0]
    else:
        where.pop(key, None)
