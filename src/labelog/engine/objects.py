"""Labels as objects: what is known of them at a revision, and how they lie in one another."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property
from heapq import merge
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from labelog import indexing
from labelog.engine.problems import Problem, problems
from labelog.engine.regions import Region
from labelog.engine.table import Table, attributes
from labelog.engine.values import checked_count, checked_label, checked_text, label_set
from labelog.errors import Invalid, NotFound, Unsupported
from labelog.geometry import Box, Triple, reach
from labelog.kernels.overlap import overlap_runs
from labelog.kernels.runs import Runs
from labelog.progress import Progress, checked_progress
from labelog.storage.facts import Occupied
from labelog.storage.journal import CLASS, NAME, PARENT, Space, Value

if TYPE_CHECKING:
    from labelog.engine.snapshot import Snapshot

TOGETHER = 1000  # objects of a list whose voxels are looked up together
COLUMNS = ("label", "class", "parent", "name", "voxels", "z0", "y0", "x0", "z1", "y1", "x1", "attributes")


class Extent(NamedTuple):
    """Where voxels are: how many, their bounds (None without voxels), and the chunks that they lie in."""

    voxels: int
    box: Box | None
    chunks: tuple[Triple, ...]


class Label:
    """An object at a revision. Get one from `Volume.labels` or `Snapshot.labels`.

    Attributes
    ----------
    id : the label; that of the body, if it is merged with others.
    cls : the name of its class, or None.
    parent : the label of the object that it lies in, 0 if none.
    name : as given, or None.
    attributes : what else is known of it: name -> anything that JSON can say.
    """

    def __init__(self, labels: Labels, table: Table, body: int, said: Mapping[str, Value],
                 group: Mapping[int, Extent] | None = None) -> None:  # fmt: skip
        cls, parent, name = (said.get(field) for field in (CLASS, PARENT, NAME))
        self._labels = labels
        self._group = group
        self.id = body
        self.cls = table.classes[cls].name if isinstance(cls, int) else None
        self.parent = table.body(parent) if isinstance(parent, int) else 0
        self.name = None if name is None else str(name)
        self.attributes = attributes(said)

    @cached_property
    def fragments(self) -> list[int]:
        """The labels, as stored, that make it up; ascending."""
        with self._labels.table() as table:
            return table.members(self.id)

    @cached_property
    def children(self) -> list[int]:
        """The labels of the objects that lie in it, directly; ascending."""
        return self._labels.children(self.id)

    @cached_property
    def own(self) -> Extent:
        """The voxels that are its own, and not those of objects in it."""
        return self._labels.extent([self.id]) if self._group is None else self._group[self.id]

    @cached_property
    def whole(self) -> Extent:
        """Its voxels with those of all objects in it, at any depth."""
        return self._labels.extent(self._labels.subtree(self.id))

    @property
    def voxels(self) -> int:
        """How many voxels are its own."""
        return self.own.voxels

    @property
    def box(self) -> Box | None:
        """The bounds of its own voxels; None if it has none."""
        return self.own.box

    @property
    def chunks(self) -> tuple[Triple, ...]:
        """The chunks that its own voxels lie in, as places in the grid."""
        return self.own.chunks

    def __repr__(self) -> str:
        parts = [str(self.id), *(text for text in (self.cls, self.name and repr(self.name)) if text)]
        return f"<Label {', '.join(parts)}{f', in {self.parent}' if self.parent else ''}>"

    def row(self) -> dict[str, Any]:
        """It as a row of a table: see `COLUMNS`."""
        corners = (*self.box.start, *self.box.stop) if self.box else (None,) * 6
        facts = (self.id, self.cls, self.parent, self.name, self.voxels, *corners, self.attributes)
        return dict(zip(COLUMNS, facts, strict=True))


class _Group(Mapping[int, Extent]):
    """The own voxels of objects that were found together: when those of one are asked for, those of all are."""

    def __init__(self, labels: Labels, bodies: list[int]) -> None:
        self._labels = labels
        self._bodies = bodies

    @cached_property
    def _extents(self) -> dict[int, Extent]:
        return self._labels.extents(self._bodies)

    def __getitem__(self, body: int) -> Extent:
        return self._extents[body]

    def __iter__(self) -> Iterator[int]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)


class Labels:
    """The objects of a volume at a revision: `labels[7]`, `7 in labels`, `for label in labels`.

    An object is there if it has voxels, or if anything is said of it. One that was merged into another is found under
    both labels.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._store = snapshot.volume.store

    def table(self) -> AbstractContextManager[Table]:
        """The label table, for a few questions."""
        return self._store.table(self._snapshot.revision)

    def __getitem__(self, label: int) -> Label:
        number = checked_label(label)
        with self.table() as table:
            said = table.fields(Space.LABEL, number)
            if not self._there(table, number, said):
                raise NotFound(f"there is no label {number} at revision {self._snapshot.revision}", label=number)
            body = table.body(number)
            return Label(self, table, body, said if body == number else table.fields(Space.LABEL, body))

    def __contains__(self, label: object) -> bool:
        try:
            number = checked_label(label)
        except Invalid:
            return False
        with self.table() as table:
            return self._there(table, number, table.fields(Space.LABEL, number))

    def _there(self, table: Table, label: int, said: Mapping[str, Value]) -> bool:
        return bool(label) and (bool(said) or any(table.journal.occupied([label], table.revision)))

    def __iter__(self) -> Iterator[Label]:
        return iter(self.where())

    def __len__(self) -> int:
        with self.table() as table:
            return len(self._all(table))

    def _all(self, table: Table) -> list[int]:
        """All bodies, ascending."""
        found = {subject for subject, _, _ in table.known(Space.LABEL)}
        for _, part in table.journal.all_extents(table.revision, self._store.grid.chunks):
            found.update(part.labels.tolist())
        return sorted({table.body(label) for label in found} if table.merged else found)

    def where(self, *, cls: str | int | None = None, parent: int | None = None, name: str | None = None,
              box: Box | tuple[Triple, Triple] | None = None, after: int | None = None,
              limit: int | None = None) -> list[Label]:  # fmt: skip
        """The objects that all of this holds for, ascending by label.

        Parameters
        ----------
        cls : of this class, by name or id, or of a kind of it.
        parent : directly within this object; 0 for those that lie in none.
        name : of this name.
        box : with own voxels in this box.
        after, limit : those after this label only, and no more than so many: a page at a time.
        """
        first = -1 if after is None else checked_label(after)
        limit = None if limit is None else checked_count("limit", limit, of="objects")
        checked_text("the name of a label", name)
        with self.table() as table:
            sets: list[set[int]] = []
            if cls is not None:
                kinds = table.kinds(table.class_id(cls))
                sets.append({label for kind in kinds for label in table.subjects(Space.LABEL, CLASS, kind)})
            if parent:
                sets.append(set(table.children(table.body(checked_label(parent)))))
            if name is not None:
                sets.append(set(table.subjects(Space.LABEL, NAME, name)))
            if box is not None:
                sets.append(self._in(indexing.within(box, self._snapshot.shape)))
            if sets or limit is None:
                found = iter(sorted(set.intersection(*sets)) if sets else self._all(table))
            else:
                found = self._from(table, max(first, 0))
            bodies = (label for label in found if label > first and (not table.merged or table.body(label) == label))
            objects, size = list[Label](), TOGETHER if limit is None else min(limit, TOGETHER)
            while (limit is None or len(objects) < limit) and (some := list(islice(bodies, size))):
                said = table.fields_of(Space.LABEL, some)
                group = _Group(self, some)
                more = (Label(self, table, body, said[body], group) for body in some)
                objects += (label for label in more if not (parent == 0 and label.parent))
            return objects[:limit]

    def _from(self, table: Table, after: int) -> Iterator[int]:
        """The labels after one that are there, as they are asked for; of bodies also their members."""
        while some := table.journal.labels_after(after, TOGETHER):
            after = some[-1]
            of = {label: table.members(label) for label in some} if table.merged else {label: [label] for label in some}
            said = table.fields_of(Space.LABEL, some)
            members = {member for each in of.values() for member in each}
            occupied = {part.label for part in table.journal.occupied(members, table.revision)}
            yield from (label for label in some if said[label] or not occupied.isdisjoint(of[label]))

    def described(self, most: int, cls: str | int | None = None) -> list[Label]:
        """At most so many of the objects of which anything is said; of a class or kinds of it, if one is named.

        Ascending by label. Costs no more than that, however many objects there are.
        """
        most = min(checked_count("most", most, of="objects"), sys.maxsize)
        with self.table() as table:
            if cls is None:
                facts = table.journal.facts_in(Space.LABEL, table.revision)
                known = (label for label, _ in groupby(label for label, _, value in facts if value is not None))
            else:
                kinds = table.kinds(table.class_id(cls))
                known = merge(*(table.subjects(Space.LABEL, CLASS, kind) for kind in kinds))
            bodies = (label for label in known if not table.merged or table.body(label) == label)
            said = table.fields_of(Space.LABEL, sorted(islice(bodies, most)))
            return [Label(self, table, body, fields) for body, fields in said.items()]

    def by_class(self) -> dict[str, int]:
        """How many objects each class has: its name -> objects of it, those of its kinds not included."""
        with self.table() as table:
            counts = table.journal.class_counts(table.revision)
            return {known.name: counts.get(number, 0) for number, known in sorted(table.classes.items())}

    def _in(self, box: Box) -> set[int]:
        """The bodies with own voxels in a box."""
        return set(self._snapshot.extents(box).label.tolist())

    def children(self, label: int) -> list[int]:
        """The labels of the objects that lie in one, directly; ascending."""
        with self.table() as table:
            return table.children(table.body(checked_label(label)))

    def ancestors(self, label: int) -> list[int]:
        """The labels of the objects that one lies in, from the nearest outward."""
        with self.table() as table:
            return list(table.ancestors(table.body(checked_label(label))))

    def subtree(self, label: int) -> list[int]:
        """The labels of an object and of all that lie in it, at any depth: what `over=` takes to keep a part inside."""
        with self.table() as table:
            return table.subtree(table.body(checked_label(label)))

    def extent(self, labels: list[int]) -> Extent:
        """Where the own voxels of some objects are, together."""
        bodies = label_set(labels)
        with self.table() as table:
            members = [label for body in bodies for label in table.members(body)]
            return extent(self._store.grid, table.journal.occupied(members, table.revision))

    def extents(self, labels: Iterable[int]) -> dict[int, Extent]:
        """Where the own voxels of each of some objects are."""
        wanted = label_set(labels)
        with self.table() as table:
            bodies = {label: body for body in wanted for label in table.members(body)}
            parts: dict[int, list[Occupied]] = {body: [] for body in bodies.values()}
            for part in table.journal.occupied(bodies, table.revision):
                parts[bodies[part.label]].append(part)
        return {body: extent(self._store.grid, found) for body, found in parts.items()}

    def problems(self, *, region: str | None = None, connectivity: int = 6,
                 progress: Progress | None = None) -> Iterator[Problem]:  # fmt: skip
        """Objects that are empty, disconnected, without class, or whose class may not lie in that of their parent.

        Parameters
        ----------
        region : only objects with own voxels in the bounds of this region.
        connectivity : 6, 18 or 26, for what is one piece.
        progress : called with objects looked at, objects in all.

        They are found as they are asked for. Raises NotFound for a region that is not there, Invalid for another
        connectivity.
        """
        reach(connectivity)
        checked_progress(progress)
        box = None if region is None else self._region(region).box
        return problems(self._snapshot, self.where(box=box), connectivity, progress)

    def voxels_in(self, region: str) -> dict[int, int]:
        """How many own voxels each object has in a region: label -> voxels, ascending by label; background is 0.

        Raises NotFound for a region that is not there.
        """
        known, grid = self._region(region), self._store.grid
        counts: Counter[int] = Counter()
        for chunk, part in grid.touching(known.box):
            runs, bodies = self._snapshot.valued(chunk)
            mask = Runs.from_dense(np.broadcast_to(known.part(part)[1], part.shape).view(np.uint8))
            entry, chosen, voxels = overlap_runs(
                runs, mask, part.relative(grid.origin(chunk)).start, (0, 0, 0), part.shape
            )
            inside = mask.palette[chosen] == 1
            for body, count in zip(bodies[entry[inside]].tolist(), voxels[inside].tolist(), strict=True):
                counts[body] += count
        return dict(sorted(counts.items()))

    def _region(self, name: str) -> Region:
        regions = self._snapshot.regions
        if not isinstance(name, str) or name not in regions:
            raise NotFound(f"there is no region {name!r}; there are: {', '.join(regions) or 'none'}")
        return regions[name]

    def table_rows(self) -> list[dict[str, Any]]:
        """All objects as rows: see `COLUMNS`."""
        with self.table() as table:
            said: dict[int, dict[str, Value]] = {}
            for subject, name, value in table.known(Space.LABEL):
                said.setdefault(subject, {})[name] = value
            bodies = cache(table.body) if table.merged else int
            parts: dict[int, list[Occupied]] = {}
            for chunk, found in table.journal.all_extents(table.revision, self._store.grid.chunks):
                for label, voxels, box in zip(found.labels.tolist(), found.voxels.tolist(), found.bounds.tolist(),
                                              strict=True):  # fmt: skip
                    part = Occupied(label, chunk, voxels, Box(tuple(box[:3]), tuple(box[3:])))
                    parts.setdefault(bodies(label), []).append(part)
            rows = []
            for body in sorted({*parts, *map(bodies, said)}):
                label = Label(self, table, body, said.get(body, {}))
                label.own = extent(self._store.grid, parts.get(body, []))
                rows.append(label.row())
        return rows

    def to_csv(self) -> str:
        """The table of all objects as CSV, a header first."""
        return as_csv(self.table_rows())

    def to_json(self) -> str:
        """The table of all objects as JSON: a list; labels are numbers in decimal strings, as they may exceed 2^53."""
        return json.dumps([for_json(row) for row in self.table_rows()], indent=2)

    def to_arrow(self) -> Any:
        """The table of all objects as a `pyarrow.Table`. Raises Unsupported without the extra `arrow`."""
        try:
            import pyarrow
        except ImportError as error:
            raise Unsupported("Arrow tables need the extra 'arrow': pip install 'labelog[arrow]'") from error
        rows = [row | {"attributes": json.dumps(row["attributes"])} for row in self.table_rows()]
        kinds = {"label": pyarrow.uint64(), "parent": pyarrow.uint64(), "voxels": pyarrow.uint64()}
        kinds |= dict.fromkeys(("class", "name", "attributes"), pyarrow.string())
        schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in COLUMNS])
        return pyarrow.Table.from_pylist(rows, schema=schema)

    def to_pandas(self) -> Any:
        """The table of all objects as a `pandas.DataFrame`. Raises Unsupported without the extra `pandas`."""
        try:
            import pandas
        except ImportError as error:
            raise Unsupported("data frames need the extra 'pandas': pip install 'labelog[pandas]'") from error
        frame = pandas.DataFrame(self.table_rows(), columns=list(COLUMNS))
        return frame.astype({"label": "uint64", "parent": "uint64", "voxels": "uint64"})

    def __repr__(self) -> str:
        return f"<Labels of {self._snapshot!r}>"


def as_csv(rows: Iterable[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows of a table as CSV, a header first; of objects by default."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}
                     for row in rows)  # fmt: skip
    return out.getvalue()


def for_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose labels are decimal strings, as they may exceed what readers of JSON can count."""
    return row | {"label": str(row["label"]), "parent": str(row["parent"])}


def extent(grid: Any, parts: Iterable[Occupied]) -> Extent:
    """Voxels, bounds and chunks of parts in chunks."""
    whole: Box | None = None
    voxels, chunks = 0, set()
    for part in parts:
        box = part.box.shift(grid.origin(part.chunk))
        whole = box if whole is None else whole.union(box)
        voxels += part.voxels
        chunks.add(part.chunk)
    return Extent(voxels, whole, tuple(grid.index(chunk) for chunk in sorted(chunks)))
