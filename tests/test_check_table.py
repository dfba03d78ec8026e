"""`check` recomputes all that is derived from facts and voxels: whoever changes a row by hand is found out."""

from __future__ import annotations

import re

import numpy as np
import pytest

import labelog
from labelog.storage import connections
from labelog.storage.facts import signed


@pytest.fixture
def path(tmp_path):
    """Revision 2 merges 1, 2 and 3, revision 3 paints a second chunk, revision 4 erases 5, revision 5 undoes that."""
    labels = np.zeros((2, 8, 16), np.uint64)
    labels[0, :5, 0] = [1, 2, 3, 4, 5]
    with labelog.load(tmp_path / "v.labelog", labels, chunks=(2, 8, 8)) as volume:
        with volume.edit("ana") as edit:
            edit.assign(4, name="four", parent=1)
        with volume.edit("ana") as edit:
            edit.merge_all([(1, 2), (2, 3)])
        with volume.edit("ana") as edit:
            edit[1, 7, 9:12] = 4
        with volume.edit("ana") as edit:
            edit.erase(5)
            edit.assign(4, name="IV")
        volume.undo("ana")
        assert volume.check().ok
    return tmp_path / "v.labelog"


def tamper(path, sql, *values):
    """Change a database, page checksums and all, as somebody with a tool for it would."""
    connection = connections.create(path / "journal.sqlite")
    before = connection.total_changes()
    connection.execute(sql, values)
    assert connection.total_changes() > before, "nothing was there to change"
    connection.close()


def problems(path):
    with labelog.open(path, "r") as volume:
        return volume.check().problems


HASH = "revision {} is not as it was committed: its hash does not hold"
COUNT = r"chunk \(0, 0, {}\).*: the labels counted in it at revision {} are not those that are there"
NOT_SAID = "name of label 4 is not what the live edits said"
BODIES = "bodies at revision {} are not as its merges make them"
STRAY = "rows of {} belong to no commit that can have made them \\({}\\)"


@pytest.mark.parametrize(
    ("sql", "values", "found"),
    [
        ("UPDATE facts SET value = ? WHERE field = 'name' AND revision = 1", ["fore"], HASH.format(1)),
        ("UPDATE facts SET value = ? WHERE field = 'parent'", [signed(2)], HASH.format(1)),
        ("UPDATE facts SET step = 7 WHERE field = 'merge:2'", [], HASH.format(2)),
        ("UPDATE facts SET origin = 4 WHERE field = 'name' AND revision = 5", [], HASH.format(5)),
        ("DELETE FROM facts WHERE field = 'merge:1'", [], HASH.format(2)),
        ("DELETE FROM facts WHERE field = 'name' AND revision = 5", [], NOT_SAID),
        ("INSERT INTO facts VALUES (0, ?, 'name', 3, 3, 0, 'x')", [signed(5)], HASH.format(3)),
        ("INSERT INTO facts VALUES (0, ?, 'name', 9, 9, 0, 'x')", [signed(5)], STRAY.format("facts", 9)),
        ("UPDATE members SET cluster = 7 WHERE label = ?", [signed(3)], BODIES.format(2)),
        ("UPDATE members SET first = ? WHERE label = ?", [signed(1), signed(3)], BODIES.format(2)),
        ("DELETE FROM members WHERE label = ?", [signed(3)], BODIES.format(2)),
        ("INSERT INTO members VALUES (?, 2, 1, ?, ?)", [signed(4), signed(1), signed(4)], BODIES.format(2)),
        ("INSERT INTO members VALUES (?, 2, 5, NULL, NULL)", [signed(4)], BODIES.format(2)),
        ("INSERT INTO members VALUES (?, 3, 0, NULL, NULL)", [signed(3)], STRAY.format("members", 3)),
        ("INSERT INTO members VALUES (?, 9, 0, NULL, NULL)", [signed(3)], STRAY.format("members", 9)),
        ("UPDATE clusters SET body = ?", [signed(2)], BODIES.format(2)),
        ("DELETE FROM clusters", [], BODIES.format(2)),
        ("INSERT INTO clusters VALUES (5, 2, ?)", [signed(4)], BODIES.format(2)),
        ("INSERT INTO clusters VALUES (1, 9, ?)", [signed(1)], STRAY.format("clusters", 9)),
        ("UPDATE extents SET data = x'01'", [], COUNT.format(0, 0)),
        ("UPDATE extents SET data = (SELECT extents FROM deltas WHERE revision = 3)", [], COUNT.format(0, 0)),
        ("UPDATE extents SET first = 9 WHERE chunk = 0", [], COUNT.format(0, 0)),
        ("DELETE FROM extents WHERE chunk = 0", [], COUNT.format(0, 0)),
        ("INSERT INTO extents VALUES (0, 0, 9, x'')", [], COUNT.format(0, 0)),
        ("INSERT INTO extents SELECT 0, 5, first, data FROM extents WHERE chunk = 0", [], None),
        ("INSERT INTO extents SELECT 0, 4, first, data FROM extents WHERE chunk = 0", [], COUNT.format(0, 4)),
        ("INSERT INTO extents SELECT 0, 3, first, data FROM extents WHERE chunk = 0", [], COUNT.format(0, 3)),
        ("INSERT INTO extents SELECT 7, 3, first, data FROM extents WHERE chunk = 0", [],
         r"chunk \(.*\) of .*: labels counted in it, which was never written"),
        ("INSERT INTO extents SELECT 0, 9, first, data FROM extents WHERE chunk = 0", [], STRAY.format("extents", 9)),
        ("UPDATE deltas SET extents = x'' WHERE revision = 4", [], COUNT.format(0, 4)),
        ("UPDATE deltas SET extents = (SELECT extents FROM deltas WHERE revision = 4) WHERE revision = 5", [],
         COUNT.format(0, 5)),
        ("DELETE FROM haunts WHERE label = ?", [signed(5)], "chunk .*noted to have been in it are not"),
        ("INSERT INTO haunts VALUES (?, 1, 0)", [signed(5)], "chunk .*noted to have been in it are not"),
        ("INSERT INTO haunts VALUES (?, 7, 0)", [signed(5)], "noted to have been in it, which was never"),
        ("INSERT INTO haunts VALUES (?, 7, 3)", [signed(5)], None),
        ("INSERT INTO parcels VALUES (1, 99)", [], STRAY.format("parcels", 99)),
        ("UPDATE deltas SET parcel = 1 WHERE revision = 4", [], "revision 4 is not as it was committed"),
        ("INSERT INTO deltas SELECT chunk, 3, 1, 0, x'', x'' FROM deltas WHERE revision = 4", [], None),
        ("INSERT INTO deltas SELECT 7, 99, 0, 0, x'', x'' FROM deltas WHERE revision = 4", [],
         r"chunk \(.*\) of .*: a delta of it belongs to no commit \(99\)"),
        ("UPDATE edits SET live = 1 WHERE revision = 4", [], NOT_SAID),
    ],
)  # fmt: skip
def test_a_changed_row_is_found(path, sql, values, found):
    tamper(path, sql, *values)
    said = problems(path)
    assert any(re.search(found, problem) for problem in said) if found else not said, said


def test_next_may_be_anything(path):
    """What is in use is not handed out, whatever it says."""
    given = []
    for number in 1, 5, 1_000_000:
        tamper(path, "UPDATE volume SET next = ?", number)
        assert problems(path) == []
        with labelog.open(path) as volume, volume.edit("ana") as edit:
            given.append(edit.new())
    assert given == [6, 7, 1_000_000]
