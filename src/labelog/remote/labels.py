"""Objects of a volume on a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from labelog import indexing
from labelog.engine.objects import Extent, Label, Labels
from labelog.engine.problems import Problem
from labelog.engine.table import Table
from labelog.engine.values import checked_count, checked_label, checked_text, label_set
from labelog.errors import Invalid, NotFound, Unsupported
from labelog.geometry import Box, Triple, reach
from labelog.progress import Progress
from labelog.remote.problems import box_of

if TYPE_CHECKING:
    from labelog.remote.snapshot import RemoteSnapshot

PAGE = 10_000  # objects of one answer


class RemoteLabel(Label):
    """An object at a revision, as a server tells of it. Get one from `Volume.labels`."""

    def __init__(self, labels: RemoteLabels, told: dict[str, Any]) -> None:
        self._labels: RemoteLabels = labels
        self._told = told
        self.id = int(told["label"])
        self.cls = told["class"]
        self.parent = int(told["parent"])
        self.name = told["name"]
        self.attributes = told["attributes"]

    @cached_property
    def _full(self) -> dict[str, Any]:
        """With what lists leave out."""
        return self._told if "own" in self._told else self._labels.told(self.id)

    @cached_property
    def fragments(self) -> list[int]:
        return list(map(int, self._full["fragments"]))

    @cached_property
    def children(self) -> list[int]:
        return list(map(int, self._full["children"]))

    @cached_property
    def own(self) -> Extent:
        return _extent(self._full["own"])

    @cached_property
    def whole(self) -> Extent:
        return _extent(self._full["whole"])

    @property
    def voxels(self) -> int:
        return int(self._told["voxels"])

    @property
    def box(self) -> Box | None:
        return None if self._told["box"] is None else box_of(self._told["box"])


class RemoteLabels(Labels):
    """The objects of a volume on a server at a revision."""

    def __init__(self, snapshot: RemoteSnapshot) -> None:
        self._snapshot: RemoteSnapshot = snapshot
        self._connection = snapshot.volume.connection

    def table(self) -> AbstractContextManager[Table]:
        raise Unsupported("the label table is on the server; ask for labels")

    def told(self, label: int) -> dict[str, Any]:
        """All that the server says of an object. Raises NotFound."""
        return self._connection.told(f"/labels/{label}", rev=self._snapshot.revision)

    def _told_or_nothing(self, label: int) -> dict[str, Any] | None:
        try:
            return self.told(checked_label(label))
        except NotFound:
            return None

    def __getitem__(self, label: int) -> Label:
        return RemoteLabel(self, self.told(checked_label(label)))

    def __contains__(self, label: object) -> bool:
        try:
            number = checked_label(label)
        except Invalid:
            return False
        return self._told_or_nothing(number) is not None

    def __len__(self) -> int:
        return int(self._connection.told("/labels", limit=1, rev=self._snapshot.revision)["total"])

    def where(self, *, cls: str | int | None = None, parent: int | None = None, name: str | None = None,
              box: Box | tuple[Triple, Triple] | None = None, after: int | None = None,
              limit: int | None = None) -> list[Label]:  # fmt: skip
        bounds = None if box is None else indexing.within(box, self._snapshot.shape)
        if bounds is not None and not bounds.voxels:
            return []
        query = {"class": self._class_name(cls), "parent": None if parent is None else str(checked_label(parent)),
                 "name_is": name, "box": None if bounds is None else spelled(bounds)}  # fmt: skip
        checked_text("the name of a label", name)
        limit = None if limit is None else checked_count("limit", limit, of="objects")
        first = None if after is None else str(checked_label(after))
        return [RemoteLabel(self, told) for told in self._pages(query, first, limit)]

    def _class_name(self, cls: str | int | None) -> str | None:
        if cls is None or isinstance(cls, str):
            return cls
        names = {known.id: known.name for known in self._snapshot.classes.values()}
        return names.get(cls, str(cls))

    def _pages(self, query: dict[str, Any], after: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        while limit is None or limit > 0:
            most = PAGE if limit is None else min(limit, PAGE)
            page = self._connection.told("/labels", limit=most, after=after, rev=self._snapshot.revision, **query)
            yield from page["labels"]
            after, limit = page["next"], None if limit is None else limit - len(page["labels"])
            if after is None:
                return

    def by_class(self) -> dict[str, int]:
        told = self._connection.told("/classes", rev=self._snapshot.revision)
        return {each["name"]: each["objects"] for each in sorted(told["classes"], key=lambda each: each["id"])}

    def children(self, label: int) -> list[int]:
        told = self._told_or_nothing(label)
        return [] if told is None else list(map(int, told["children"]))

    def ancestors(self, label: int) -> list[int]:
        told = self._told_or_nothing(label)
        return [] if told is None else list(map(int, told["ancestors"]))

    def subtree(self, label: int) -> list[int]:
        path = f"/labels/{checked_label(label)}/subtree"
        return list(map(int, self._connection.told(path, rev=self._snapshot.revision)["labels"]))

    def extent(self, labels: list[int]) -> Extent:
        return _together(self.extents(labels).values())

    def extents(self, labels: Iterable[int]) -> dict[int, Extent]:
        return {label: _extent(told["own"]) for label in label_set(labels) if (told := self._told_or_nothing(label))}

    def problems(self, *, region: str | None = None, connectivity: int = 6,
                 progress: Progress | None = None) -> Iterator[Problem]:  # fmt: skip
        reach(connectivity)
        if region is not None:
            self._region(region)
        found = self._connection.job({"do": "problems", "rev": self._snapshot.revision, "region": region,
                                      "connectivity": connectivity}, progress)  # fmt: skip
        return (Problem(each["kind"], int(each["label"]), each["message"]) for each in found["problems"])

    def voxels_in(self, region: str) -> dict[int, int]:
        self._region(region)
        told = self._connection.told("/regions/voxels", region=region, rev=self._snapshot.revision)
        return {int(label): count for label, count in told["voxels"].items()}

    def table_rows(self) -> list[dict[str, Any]]:
        return [label.row() for label in self.where()]


def spelled(box: Box) -> str:
    """A box as addresses have it."""
    return ",".join(f"{a}:{b}" for a, b in zip(*box, strict=True))


def _extent(told: dict[str, Any]) -> Extent:
    box = None if told["box"] is None else box_of(told["box"])
    return Extent(told["voxels"], box, tuple((z, y, x) for z, y, x in told["chunks"]))


def _together(parts: Iterable[Extent]) -> Extent:
    voxels, whole, chunks = 0, None, set[Triple]()
    for part in parts:
        voxels += part.voxels
        chunks.update(part.chunks)
        whole = part.box if whole is None else whole.union(part.box) if part.box else whole
    return Extent(voxels, whole, tuple(sorted(chunks)))
