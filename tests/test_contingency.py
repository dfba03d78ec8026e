"""The contingency table of volumes, and the extents of their labels: on runs, beside the dense arrays."""

from __future__ import annotations

import numpy as np
import pytest

import labelog
import oracles
from labelog.errors import Corrupt, Invalid, OutOfBounds
from labelog.geometry import Box

LABELS = np.array([0, 1, 2, 3, 2**40, 2**62, 2**64 - 1], np.uint64)


def rows(table):
    return [list(row) for row in zip(table.a.tolist(), table.b.tolist(), table.voxels.tolist(), strict=True)]


def extents(found):
    """Label -> voxels and corners, as `oracles.extents` has them."""
    assert (found.label.dtype, found.voxels.dtype, found.start.dtype) == (np.uint64, np.int64, np.int64)
    assert (np.diff(found.label) > 0).all()
    return {
        label: (voxels, *found.box(n).start, *found.box(n).stop)
        for n, (label, voxels) in enumerate(zip(found.label.tolist(), found.voxels.tolist(), strict=True))
    }


def expected(array, start=(0, 0, 0)):
    found = oracles.extents(array)
    found.pop(0, None)
    return {
        label: (voxels, *(np.array(corners) + np.array(start * 2)).tolist())
        for label, (voxels, *corners) in found.items()
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two volumes of one shape and different chunks, edited, with objects in one another."""
    folder, rng, shape = tmp_path_factory.mktemp("pair"), np.random.default_rng(5), (9, 20, 33)
    volumes = []
    for name, chunks in (("a", (4, 7, 10)), ("b", (3, 16, 12))):
        array = np.repeat(LABELS[rng.integers(0, 7, shape)], 3, axis=2)[..., : shape[2]]
        volume = labelog.load(folder / f"{name}.labelog", array, chunks=chunks, classes="platelet", threads=2)
        with volume.edit(author="ana") as edit:
            edit.assign(1, cls="cell")
            edit.assign(2, cls="mitochondrion", parent=1)
            edit[2:5, 3:12, 5:30] = 2
            edit.merge(3, [2**40])
        with volume.edit(author="bo") as edit:
            edit.set_region("looked at", "annotated", ((1, 2, 3), (8, 17, 30)))
            edit[0] = 0
        volumes.append(volume)
    yield volumes
    for volume in volumes:
        volume.close()


VIEWS = [{}, {"name": "fragment"}, {"name": "semantic"}, {"name": "cell"}, {"name": "semantic", "unannotated": 200}]


def boxes(shape):
    """All of it, none of it, and boxes that cut chunks."""
    rng = np.random.default_rng(8)
    yield Box((0, 0, 0), shape)
    yield Box((3, 4, 5), (3, 9, 9))
    for _ in range(12):
        start = tuple(int(rng.integers(0, n)) for n in shape)
        yield Box(start, tuple(int(rng.integers(a, n)) + 1 for a, n in zip(start, shape, strict=True)))


@pytest.mark.parametrize("parallel", [1, 2**22])
@pytest.mark.parametrize("left", VIEWS)
def test_two_volumes(pair, left, parallel, monkeypatch):
    monkeypatch.setattr("labelog.engine.store.PARALLEL", parallel)
    a = pair[0].view(**left)
    for right in VIEWS:
        b = pair[1].at(2).view(**right) if "unannotated" not in right else pair[1].view(**right)
        dense = a.read(), b.read()
        for box in boxes(a.shape):
            table = labelog.contingency(a, b, within=box)
            assert rows(table) == oracles.contingency(*(array[box.slices()] for array in dense))
        assert (table.a.dtype, table.b.dtype) == (a.dtype, b.dtype)


def test_a_volume_beside_itself_and_beside_an_array(pair):
    volume = pair[0]
    now, before = volume.read(), volume.at(1).read()
    assert rows(labelog.contingency(volume, volume.at(1))) == oracles.contingency(now, before)
    mask = now[::-1] == 2
    for array in (mask, np.asfortranarray(now[:, ::-1]), now.astype(">u8")):
        assert rows(labelog.contingency(volume, array)) == oracles.contingency(now, np.asarray(array, np.uint64))
        assert rows(labelog.contingency(array, volume)) == oracles.contingency(np.asarray(array, np.uint64), now)
    assert labelog.contingency(volume, mask).b.dtype == np.uint8


@pytest.mark.parametrize("parallel", [1, 2**22])
@pytest.mark.parametrize("many", [2**18, 1, 50])
@pytest.mark.parametrize("view", VIEWS)
def test_extents(pair, view, many, parallel, monkeypatch):
    monkeypatch.setattr("labelog.engine.extents.MANY", many)
    monkeypatch.setattr("labelog.engine.store.PARALLEL", parallel)
    for volume in pair:
        seen = volume.view(**view)
        dense = seen.read()
        assert extents(seen.extents()) == expected(dense)
        for box in boxes(seen.shape):
            assert extents(seen.extents(box)) == expected(dense[box.slices()], box.start)


def test_extents_of_volumes_and_snapshots(pair):
    volume = pair[0]
    assert extents(volume.extents()) == expected(volume.read())
    for revision in range(volume.revision + 1):
        snapshot = volume.at(revision)
        assert extents(snapshot.extents()) == expected(snapshot.read())
    with labelog.create(pair[0].address + ".empty", (4, 5, 6)) as empty:
        assert extents(empty.extents()) == {}
        assert extents(empty.extents(((0, 0, 0), (1, 2, 3)))) == {}
        assert rows(labelog.contingency(empty, np.ones((4, 5, 6), np.uint8))) == [[0, 1, 120]]


def test_whole_volumes_are_counted_without_reading_a_voxel(pair, monkeypatch):
    wanted = expected(pair[0].read())
    monkeypatch.setattr("labelog.engine.store.Store.runs", None)
    assert extents(pair[0].extents()) == wanted


def test_refusals(pair, tmp_path):
    volume = pair[0]
    with pytest.raises(Invalid, match=r"of one shape, found \(9, 20, 33\) and \(9, 20, 32\)"):
        labelog.contingency(volume, np.zeros((9, 20, 32), int))
    with pytest.raises(Invalid, match="3 dimensions beside a volume, found 2"):
        labelog.contingency(volume, np.zeros((9, 20), int))
    array = np.zeros((9, 20, 33), int)
    array[8, 19, 2] = -1
    z, y, x = (n // size * size for n, size in zip((8, 19, 2), volume.chunks, strict=True))
    place = rf"array from \({z}, {y}, {x}\) on: labels must be 0 or more, found -1 in row \({8 - z}, {19 - y}\)"
    with pytest.raises(Invalid, match=place):
        labelog.contingency(volume, array)
    with pytest.raises(Invalid, match="expected integers or bool in 1 to 3 dimensions, found float64"):
        labelog.contingency(volume, array / 2)
    for path in ("b.labelog", tmp_path / "b.labelog"):
        with pytest.raises(Invalid, match=r"found a path: '.*b.labelog'; labelog.open opens it"):
            labelog.contingency(volume, path)
    for threads in ("a", 0, 1.5):
        with pytest.raises(Invalid, match="threads is a whole number from 1 on"):
            labelog.contingency(volume, volume, threads=threads)
    for call in (volume.extents, lambda box: labelog.contingency(volume, volume, within=box)):
        with pytest.raises(OutOfBounds, match="does not lie within"):
            call(((0, 0, 0), (10, 20, 33)))
        with pytest.raises(Invalid, match="expected a Box"):
            call(7)


def test_damage_is_told(tmp_path):
    array = np.random.default_rng(1).integers(0, 3, (4, 40, 40)).astype(np.uint64)
    labelog.load(tmp_path / "v.labelog", array, chunks=(4, 20, 20)).close()
    chunk = next(path for path in sorted((tmp_path / "v.labelog" / "base" / "0" / "c").rglob("*")) if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with labelog.open(tmp_path / "v.labelog") as volume:
        for call in (lambda: volume.extents(((0, 0, 0), (4, 40, 39))), lambda: labelog.contingency(volume, array)):
            with pytest.raises(Corrupt):
                call()
