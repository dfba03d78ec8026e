"""The label table in SQLite: what edits have said of labels, classes, regions and the image, at every revision.

A fact is a value of a field of a subject. Facts are registers, as voxels are: what counts is what the newest live edit
wrote, and an undo writes anew what comes to light beneath it. So the value at a revision is that of the last row up to
it. From facts and voxels follow, kept as of revisions too: which body each merged label belongs to (by way of its
cluster), and the extents of labels: how many voxels each has in each chunk, and where.

Extents are as deltas and chunks are: a delta comes with those of the labels that it changed, and now and then those of
all labels of a chunk are written down. What holds at a revision is in the newest delta that has the label, or else in
the last whole table before.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import apsw
import numpy as np

from labelog.errors import Invalid
from labelog.geometry import Box, Triple
from labelog.kernels import extents
from labelog.kernels.extents import Extents
from labelog.storage.journal import CLASS, MERGE, PARENT, Fact, Key, Space, Value
from labelog.storage.parcels import BETWEEN, SEEN, between

WRAP = 2**64  # labels from 2^63 up are stored less this: SQLite's integers are signed
OWN_IDS = 2**62  # labels from here on are never handed out

SCHEMA = """
CREATE TABLE facts (space INTEGER, subject INTEGER, field TEXT, revision INTEGER, origin INTEGER NOT NULL,
    step INTEGER NOT NULL, value ANY, PRIMARY KEY (space, subject, field, revision)) STRICT, WITHOUT ROWID;
CREATE INDEX facts_revision ON facts (revision);
CREATE INDEX facts_value ON facts (value, space, field) WHERE value IS NOT NULL;
CREATE TABLE members (label INTEGER, revision INTEGER, cluster INTEGER NOT NULL, first INTEGER, second INTEGER,
    PRIMARY KEY (label, revision)) STRICT, WITHOUT ROWID;
CREATE INDEX members_cluster ON members (cluster);
CREATE INDEX members_merge ON members (first, second) WHERE first IS NOT NULL;
CREATE INDEX members_revision ON members (revision);
CREATE TABLE clusters (cluster INTEGER, revision INTEGER, body INTEGER NOT NULL,
    PRIMARY KEY (cluster, revision)) STRICT, WITHOUT ROWID;
CREATE INDEX clusters_revision ON clusters (revision);
CREATE TABLE extents (chunk INTEGER, revision INTEGER, first INTEGER, data BLOB NOT NULL,
    PRIMARY KEY (chunk, revision, first)) STRICT, WITHOUT ROWID;
CREATE TABLE haunts (label INTEGER, chunk INTEGER, parcel INTEGER,
    PRIMARY KEY (label, chunk, parcel)) STRICT, WITHOUT ROWID;
CREATE INDEX haunts_parcel ON haunts (parcel, chunk) WHERE parcel > 0;
"""

EXTENTS = f"SELECT extents FROM deltas t WHERE {BETWEEN}"
NEWEST = ("revision = (SELECT max(revision) FROM facts WHERE space = 0 AND subject = f.subject AND field = f.field "
          "AND revision <= ?2)")  # fmt: skip
MERGES_OF = f"""
SELECT field, origin, step, {NEWEST} FROM facts f WHERE space = 0 AND subject = ?1
    AND field >= '{MERGE}' AND field < '{MERGE[:-1]};' AND value NOT NULL AND revision <= ?2
UNION ALL SELECT subject, origin, step, {NEWEST} FROM facts f INDEXED BY facts_value
    WHERE value = ?1 AND space = 0 AND field = ?3 AND revision <= ?2"""  # ';' comes after ':'
PLACES = f"""
WITH last(whole) AS MATERIALIZED (SELECT coalesce(max(revision), -1) FROM extents WHERE chunk = ?1 AND revision <= ?2)
SELECT 1, t.revision, extents FROM last, deltas t WHERE {between("?1", "whole", "?2")}
UNION ALL SELECT 0, first, data FROM last, extents WHERE chunk = ?1 AND revision = whole AND first <= ?4
AND first >= coalesce((SELECT max(first) FROM extents WHERE chunk = ?1 AND revision = whole AND first <= ?3), ?3)
"""
"""Of a chunk at a revision: the extents that came with deltas since all were written, and what then was written of the
labels between two."""


def _listed(numbers: Iterable[int]) -> str:
    """Numbers for a query to take as a table."""
    return json.dumps(list(numbers))


def signed(label: int) -> int:
    """A label as SQLite keeps it."""
    return label if label < WRAP // 2 else label - WRAP


def unsigned(number: int) -> int:
    """The label that SQLite keeps so."""
    return number % WRAP


PIECE = 64  # labels in one row of a chunk's extents, so that one label is found without reading all


Pieces = list[tuple[int, bytes]]
"""The extents of all labels of a chunk as rows: the first label of each, signed, and bytes."""


class Occupied(NamedTuple):
    """A label's own voxels in a chunk: how many, and within which local bounds."""

    label: int
    chunk: int
    voxels: int
    box: Box


Pair = tuple[int, int]
"""The labels of a merge: as named first and second."""

Place = tuple[int, int]
"""Where a merge stands among others: the revision of the edit that it is from, and its step within it."""


class Member(NamedTuple):
    """A label among others: its cluster (0: it is alone), and the merge at which it ceased to be the id of a body."""

    cluster: int
    yields: Pair | None


ALONE = Member(0, None)


class Facts:
    """What can be asked of the label table, on one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    def _get(self, query: str, *values: Any) -> Any:
        """The first row: its only value, a tuple of its values, or None."""
        return self._db.execute(query, values).get

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Any rows at all: for checking the journal as a whole."""
        return self._db.execute(query, values).fetchall()

    # Facts

    def fact(self, key: Key, upto: int) -> Fact | None:
        """What is written of a key as of a revision; its value may be None."""
        row = self._get(
            "SELECT origin, step, value FROM facts WHERE space = ? AND subject = ? AND field = ? AND revision <= ? "
            "ORDER BY revision DESC LIMIT 1", *_stored(key), upto,
        )  # fmt: skip
        return None if row is None else _fact(key, *row)

    def live_fact(self, key: Key) -> Fact | None:
        """What the newest live edit wrote of a key."""
        row = self._get(
            "SELECT f.origin, f.step, f.value FROM facts f JOIN edits e ON e.revision = f.revision "
            "WHERE f.space = ? AND f.subject = ? AND f.field = ? AND f.origin = f.revision AND e.live "
            "ORDER BY f.revision DESC LIMIT 1", *_stored(key),
        )  # fmt: skip
        return None if row is None else _fact(key, *row)

    def facts_of(self, space: Space, subjects: Iterable[int], upto: int) -> dict[int, dict[str, Value]]:
        """All that is known of some subjects as of a revision: subject -> field -> value."""
        found: dict[int, dict[str, Value]] = {}
        rows = self._db.execute(
            "SELECT subject, field, value FROM facts WHERE space = ?2 AND revision <= ?3 AND subject IN "
            "(SELECT value FROM json_each(?1)) ORDER BY subject, field, revision",
            (_listed(_subject(space, subject) for subject in subjects), int(space), upto),
        )
        for subject, field, value in rows:  # the last of each counts
            found.setdefault(_loaded_subject(space, subject), {})[field] = _value(space, field, value)
        return {subject: {field: value for field, value in fields.items() if value is not None}
                for subject, fields in found.items()}  # fmt: skip

    def said_of(self, label: int, upto: int) -> Iterator[str]:
        """The fields of a label that have a value as of a revision, as they are asked for."""
        rows = self._db.execute("SELECT field FROM facts f WHERE space = 0 AND subject = ?1 AND revision <= ?2 "
                                f"AND value NOT NULL AND {NEWEST}", (signed(label), upto))  # fmt: skip
        return (field for (field,) in rows)

    def facts_in(self, space: Space, upto: int) -> Iterator[tuple[int, str, Value]]:
        """All that is known in a space as of a revision: subject, field, value; in that order."""
        last: tuple[Any, ...] | None = None
        query = "SELECT subject, field, value FROM facts WHERE space = ? AND revision <= ? ORDER BY 1, 2, revision"
        for row in self._db.execute(query, (int(space), upto)):
            if last is not None and last[:2] != row[:2]:
                yield from _known(space, *last)
            last = row
        if last is not None:
            yield from _known(space, *last)

    def facts_by(self, revision: int) -> list[Fact]:
        """What one commit wrote, ascending by key."""
        query = "SELECT space, subject, field, origin, step, value FROM facts WHERE revision = ?"
        return sorted(_fact(_loaded(*row[:3]), *row[3:]) for row in self._db.execute(query, (revision,)))

    def last_facts(self, upto: int) -> int:
        """The newest revision up to `upto` that wrote any fact; -1 if none has."""
        return int(self._get("SELECT coalesce(max(revision), -1) FROM facts WHERE revision <= ?", upto))

    def who_say(self, space: Space, field: str, value: Value, upto: int) -> Iterator[int]:
        """The subjects of which a field has this value as of a revision, ascending."""
        rows = self.rows(
            "SELECT DISTINCT subject FROM facts f WHERE value = ?1 AND space = ?2 AND field = ?3 AND revision = "
            "(SELECT max(revision) FROM facts WHERE space = ?2 AND subject = f.subject AND field = ?3 "
            "AND revision <= ?4)", _stored_value(space, field, value), int(space), field, upto,
        )  # fmt: skip
        return iter(sorted(_loaded_subject(space, subject) for (subject,) in rows))

    def class_counts(self, upto: int) -> dict[int, int]:
        """How many bodies have each class, by its id, as of a revision."""
        rows = self.rows(
            "SELECT value, count(*) FROM (SELECT subject, value, max(revision) AS newest FROM facts WHERE space = 0 "
            "AND field = ? AND revision <= ? GROUP BY subject) WHERE newest >= 0 AND value IS NOT NULL "
            "AND (SELECT first FROM members WHERE label = subject AND revision <= ? ORDER BY revision DESC LIMIT 1) "
            "IS NULL GROUP BY value", CLASS, upto, upto,
        )  # fmt: skip
        return dict(rows)

    # Bodies

    def merges_of(self, label: int, upto: int) -> Iterator[tuple[Pair, Place | None]]:
        """The merges that name a label, and their places as of a revision, as they are asked for.

        None comes for each time that one was written which does not hold any more.
        """
        rows = self._db.execute(MERGES_OF, (signed(label), upto, f"{MERGE}{label}"))
        while found := list(islice(rows, 8)):  # few at once, so that those of thousands can be asked for in turns
            for other, origin, step, holds in found:
                pair = (label, unsigned(other)) if isinstance(other, int) else (int(other.removeprefix(MERGE)), label)
                yield pair, (origin, step) if holds else None

    def body(self, label: int, upto: int) -> int:
        """The body that a label belongs to as of a revision: itself, if it is not merged."""
        body = self._get(
            "SELECT (SELECT body FROM clusters WHERE cluster = m.cluster AND revision <= ? ORDER BY revision DESC "
            "LIMIT 1) FROM members m WHERE label = ? AND revision <= ? ORDER BY revision DESC LIMIT 1",
            upto, signed(label), upto,
        )  # fmt: skip
        return label if body is None else unsigned(body)

    def member(self, label: int, upto: int) -> Member:
        """A label among those that it is merged with as of a revision."""
        row = self._get("SELECT cluster, first, second FROM members WHERE label = ? AND revision <= ? "
                        "ORDER BY revision DESC LIMIT 1", signed(label), upto)  # fmt: skip
        return ALONE if row is None else _member(*row)

    def cluster(self, cluster: int, upto: int) -> Iterator[int]:
        """The labels of a cluster as of a revision; found as they are asked for."""
        rows = self._db.execute(
            "SELECT label FROM members m WHERE cluster = ? AND revision = (SELECT max(revision) FROM members "
            "WHERE label = m.label AND revision <= ?)", (cluster, upto),
        )  # fmt: skip
        return (unsigned(label) for (label,) in rows)

    def name_of(self, cluster: int, upto: int) -> int:
        """The body's id that a cluster has as of a revision; 0 if there is no such cluster."""
        query = "SELECT body FROM clusters WHERE cluster = ? AND revision <= ? ORDER BY revision DESC LIMIT 1"
        return unsigned(self._get(query, cluster, upto) or 0)

    def last_cluster(self, upto: int) -> int:
        """The highest number that a cluster had up to a revision; 0 if there were none."""
        query = "SELECT cluster FROM clusters WHERE revision <= ? ORDER BY cluster DESC LIMIT 1"
        return self._get(query, upto) or 0

    def yielded(self, merge: Pair, upto: int) -> Iterator[int]:
        """The label that yields at a merge as of a revision, if one does."""
        first, second = map(signed, merge)
        for (label,) in self.rows("SELECT DISTINCT label FROM members WHERE first = ? AND second = ?", first, second):
            if self.member(unsigned(label), upto).yields == merge:
                yield unsigned(label)

    def merged(self) -> bool:
        """Whether any labels were ever merged."""
        return bool(self._get("SELECT EXISTS (SELECT 1 FROM members)"))

    def rebodied(self, after: int, upto: int) -> set[int]:
        """Labels and bodies, of which each label whose body changed is one or was in one, after < revision <= upto."""
        found = self.rows(
            "SELECT label FROM members WHERE revision > ?1 AND revision <= ?2 UNION "
            "SELECT body FROM clusters WHERE revision > ?1 AND revision <= ?2 UNION "
            "SELECT (SELECT body FROM clusters WHERE cluster = c.cluster AND revision <= ?1 ORDER BY revision DESC "
            "LIMIT 1) FROM clusters c WHERE revision > ?1 AND revision <= ?2", after, upto,
        )  # fmt: skip
        return {unsigned(label) for (label,) in found if label is not None}

    def bodies_by(self, revision: int) -> tuple[dict[int, Member], dict[int, int]]:
        """What one commit wrote: label -> member, cluster -> body."""
        members = self.rows("SELECT label, cluster, first, second FROM members WHERE revision = ?", revision)
        clusters = self.rows("SELECT cluster, body FROM clusters WHERE revision = ?", revision)
        return ({unsigned(label): _member(*row) for label, *row in members},
                {cluster: unsigned(body) for cluster, body in clusters})  # fmt: skip

    def revisions_of_bodies(self, upto: int) -> list[int]:
        """The revisions that wrote facts, or anything that follows from merges; ascending."""
        found = {row for table in ("facts", "members", "clusters")
                 for row in self.rows(f"SELECT DISTINCT revision FROM {table} WHERE revision <= ?", upto)}  # fmt: skip
        return sorted(revision for (revision,) in found)

    def ever_merged(self, upto: int) -> set[int]:
        """The labels that ever were in a cluster."""
        return {unsigned(label) for (label,) in self.rows("SELECT label FROM members WHERE revision <= ?", upto)}

    def placed(self, after: int, upto: int) -> set[int] | None:
        """The labels whose class or parent was said, after < revision <= upto; None if anything was of a class."""
        query = ("SELECT DISTINCT space, subject FROM facts WHERE revision > ? AND revision <= ? "
                 f"AND (space = {int(Space.CLASS)} OR (space = {int(Space.LABEL)} AND field IN (?, ?)))")  # fmt: skip
        rows = self.rows(query, after, upto, CLASS, PARENT)
        return None if any(space == Space.CLASS for space, _ in rows) else {unsigned(label) for _, label in rows}

    def placed_ever(self, upto: int) -> set[int]:
        """The labels whose class or parent was ever said up to a revision."""
        query = "SELECT DISTINCT subject FROM facts WHERE revision <= ? AND space = 0 AND field IN (?, ?)"
        return {unsigned(label) for (label,) in self.rows(query, upto, CLASS, PARENT)}

    # Extents

    def occupied(self, labels: Iterable[int], upto: int) -> Iterator[Occupied]:
        """Where the own voxels of some labels are as of a revision, chunk by chunk, ascending."""
        rows = self.rows("SELECT DISTINCT chunk, label FROM haunts WHERE label IN (SELECT value FROM json_each(?)) "
                         "ORDER BY chunk, label", _listed(map(signed, labels)))  # fmt: skip
        for chunk, group in groupby(rows, itemgetter(0)):
            yield from self._occupied_in(chunk, [label for _, label in group], upto)

    def _occupied_in(self, chunk: int, labels: list[int], upto: int) -> Iterator[Occupied]:
        """The same in one chunk; labels signed, ascending."""
        rows: list[tuple[int, int, bytes]] = self.rows(PLACES, chunk, upto, labels[0], labels[-1])
        newer = [data for since, _, data in sorted(rows, reverse=True) if since]
        whole = sorted((first, data) for since, first, data in rows if not since)
        for label in labels:
            at = bisect_right(whole, label, key=itemgetter(0))
            parts = [*newer, *(data for _, data in whole[max(at - 1, 0) : at])]
            found = next((told for data in parts if (told := extents.look_up(data, unsigned(label)))), None)
            if found is not None and found[0]:
                yield Occupied(unsigned(label), chunk, found[0], Box(found[1][:3], found[1][3:]))

    def labels_after(self, label: int, count: int) -> list[int]:
        """So many of the labels after one that ever had voxels or facts, ascending."""
        query = (
            "SELECT label FROM (SELECT DISTINCT label FROM haunts WHERE label BETWEEN ?1 AND ?2 ORDER BY 1 LIMIT ?3) "
            "UNION SELECT subject FROM (SELECT DISTINCT subject FROM facts WHERE space = 0 AND subject BETWEEN ?1 "
            "AND ?2 ORDER BY 1 LIMIT ?3) ORDER BY 1 LIMIT ?3"
        )
        found: list[int] = []
        for first, last in ((label + 1, WRAP // 2 - 1), (max(label + 1, WRAP // 2), WRAP - 1)):  # as they are stored
            if first <= last:
                rows = self.rows(query, signed(first), signed(last), count - len(found))
                found += [unsigned(number) for (number,) in rows]
        return found

    def haunted(self, label: int) -> list[int]:
        """The chunks that a label was ever in, ascending; those included in which a parcel would put it."""
        query = "SELECT DISTINCT chunk FROM haunts WHERE label = ? ORDER BY chunk"
        return [chunk for (chunk,) in self.rows(query, signed(label))]

    def _last_whole(self, chunk: int, upto: int) -> int:
        """The newest revision up to `upto` for which the extents of all labels of a chunk were written; -1 if none."""
        query = "SELECT coalesce(max(revision), -1) FROM extents WHERE chunk = ? AND revision <= ?"
        return int(self._get(query, chunk, upto))

    def extents(self, chunk: int, upto: int, shape: Triple) -> Extents:
        """Those of all labels of a chunk as of a revision. Raises Corrupt."""
        whole = self._last_whole(chunk, upto)
        rows = self.rows("SELECT data FROM extents WHERE chunk = ? AND revision = ? ORDER BY first", chunk, whole)
        rows += self.rows(f"{EXTENTS} ORDER BY t.revision", chunk, whole, upto)
        return newest([extents.decode(data, shape) for (data,) in rows])

    def all_extents(self, upto: int, shape: Triple) -> Iterator[tuple[int, Extents]]:
        """Chunks, ascending, with the extents of all their labels as of a revision."""
        for chunk in sorted({*self.chunks_of("extents"), *self.chunks_of("deltas")}):
            yield chunk, self.extents(chunk, upto, shape)

    def chunks_of(self, table: str) -> list[int]:
        """The chunks that have rows in a table: by a step from each to the next, not through all rows."""
        rows = self.rows(f"WITH RECURSIVE met(chunk) AS (SELECT min(chunk) FROM {table} UNION ALL SELECT (SELECT "
                         f"min(chunk) FROM {table} WHERE chunk > met.chunk) FROM met WHERE chunk NOT NULL) "
                         "SELECT chunk FROM met WHERE chunk NOT NULL")  # fmt: skip
        return [chunk for (chunk,) in rows]

    def changed_extents(self, chunk: int, revision: int) -> bytes | None:
        """Those that came with a chunk's delta at a revision."""
        data: bytes | None = self._get(EXTENTS, chunk, revision - 1, revision)
        return data

    def pending(self, chunk: int, upto: int) -> int:
        """The bytes of extents that came with deltas up to a revision, since all were written."""
        query = f"SELECT coalesce(sum(length(extents)), 0) FROM ({EXTENTS})"
        return int(self._get(query, chunk, self._last_whole(chunk, upto), upto))

    def next_label(self) -> int:
        """The lowest label that was never set aside, if nobody uses it."""
        return int(self._get("SELECT next FROM volume"))

    def highest(self) -> int:
        """The highest label that ever had voxels or facts; 0 if none has."""
        for first, last in ((-WRAP // 2, -1), (0, WRAP // 2 - 1)):  # the labels from 2^63 up, if there are any
            highest = self._highest(first, last)
            if highest is not None:
                return unsigned(highest)
        return 0

    def _highest(self, first: int, last: int) -> int | None:
        """The highest signed label between two that ever had voxels or facts."""
        found = [
            self._get(
                f"SELECT label FROM haunts WHERE label BETWEEN ? AND ? AND {SEEN} ORDER BY label DESC LIMIT 1",
                first,
                last,
            ),
            self._get("SELECT max(subject) FROM facts WHERE space = 0 AND subject BETWEEN ? AND ?", first, last),
        ]
        return max((label for label in found if label is not None), default=None)

    # Writing (by whose turn it is)

    def _insert(self, into: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT {into} VALUES ({marks})", rows)

    def add_facts(self, revision: int, facts: Iterable[Fact]) -> None:
        self._insert("INTO facts", [
            (*_stored(f.key), revision, f.origin, f.step, _stored_value(f.key.space, f.key.field, f.value))
            for f in facts
        ])  # fmt: skip

    def add_bodies(self, revision: int, members: Mapping[int, Member], clusters: Mapping[int, int]) -> None:
        """Labels and where they are from this revision on; clusters and the bodies that they are."""
        self._insert("INTO members", [
            (signed(label), revision, member.cluster, *(map(signed, member.yields) if member.yields else (None, None)))
            for label, member in members.items()
        ])  # fmt: skip
        self._insert("INTO clusters", [(cluster, revision, signed(body)) for cluster, body in clusters.items()])

    def add_extents(self, chunk: int, revision: int, pieces: Pieces) -> None:
        """Those of all labels of a chunk."""
        self._insert("INTO extents", [(chunk, revision, first, data) for first, data in pieces])

    def add_haunts(self, pairs: Iterable[tuple[int, int]], parcel: int = 0) -> None:
        """Labels and chunks that they are in, perhaps not for the first time; or will be in, with a parcel."""
        self._insert("OR IGNORE INTO haunts", [(signed(label), chunk, parcel) for label, chunk in pairs])

    def add_first_haunts(self, met: Iterable[tuple[int, Iterable[int]]]) -> None:
        """Each chunk with the labels in it, of a journal that has none: sorted, on disk, as the table is."""
        self._db.execute("CREATE TEMP TABLE met (label INTEGER NOT NULL, chunk INTEGER NOT NULL)")
        self._db.executemany("INSERT INTO temp.met VALUES (?, ?)",
                             ((signed(label), chunk) for chunk, labels in met for label in labels))  # fmt: skip
        self._db.execute("INSERT INTO haunts SELECT label, chunk, 0 FROM temp.met ORDER BY label, chunk")
        self._db.execute("DROP TABLE temp.met")

    def take_labels(self, count: int, above: int) -> int:
        """The first of so many labels in a row that nobody else will be given, above all in use and `above`.

        Raises Invalid if none are left.
        """
        used = max(above, self._highest(0, OWN_IDS - 1) or 0)
        first = max(self.next_label(), used + 1)
        if first + count > OWN_IDS:
            raise Invalid(f"label {first - 1} is in use; labels are handed out up to {OWN_IDS - 1}, above all in use")
        self._db.execute("UPDATE volume SET next = ?", (first + count,))
        return first


def _stored(key: Key) -> tuple[int, int, str]:
    return int(key.space), _subject(key.space, key.subject), key.field


def _loaded(space: int, subject: int, field: str) -> Key:
    return Key(Space(space), _loaded_subject(Space(space), subject), field)


def _subject(space: Space, subject: int) -> int:
    return signed(subject) if space is Space.LABEL else subject


def _loaded_subject(space: Space, subject: int) -> int:
    return unsigned(subject) if space is Space.LABEL else subject


def _names_label(space: Space, field: str) -> bool:
    return space is Space.LABEL and (field == PARENT or field.startswith(MERGE))


def _stored_value(space: Space, field: str, value: Value) -> Value:
    return signed(value) if isinstance(value, int) and _names_label(space, field) else value


def _value(space: Space, field: str, value: Value) -> Value:
    return unsigned(value) if isinstance(value, int) and _names_label(space, field) else value


def _fact(key: Key, origin: int, step: int, value: Value) -> Fact:
    return Fact(key, origin, step, _value(key.space, key.field, value))


def _known(space: Space, subject: int, field: str, value: Value) -> Iterator[tuple[int, str, Value]]:
    if value is not None:
        yield _loaded_subject(space, subject), field, _value(space, field, value)


def _member(cluster: int, first: int | None, second: int | None) -> Member:
    return Member(cluster, None if first is None or second is None else (unsigned(first), unsigned(second)))


def newest(parts: list[Extents]) -> Extents:
    """Of each label the last one's extents, without those that are gone."""
    labels = np.concatenate([part.labels for part in parts] or [np.zeros(0, np.uint64)])
    order = np.argsort(labels, kind="stable")
    last = order[np.append(np.diff(labels[order]) != 0, True)[: len(order)]]
    voxels = np.concatenate([part.voxels for part in parts] or [np.zeros(0, np.uint64)])
    bounds = np.concatenate([part.bounds for part in parts] or [np.zeros((0, 6), np.uint32)])
    last = last[voxels[last] != 0]
    return Extents(labels[last], voxels[last], bounds[last])


def pieces(whole: Extents) -> Pieces:
    """The extents of all labels of a chunk as rows, in their order. There is one at least, and none has labels on both
    sides of 2^63."""
    middle = int(np.searchsorted(whole.labels, np.uint64(WRAP // 2)))
    starts = [*range(0, middle, PIECE), *range(middle, len(whole), PIECE)]
    parts = [whole[a:b] for a, b in zip(starts, [*starts[1:], len(whole)], strict=True)] if starts else []
    return sorted((signed(int(part.labels[0])), extents.encode(part)) for part in parts) or [(0, b"")]
