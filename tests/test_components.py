"""Components of a stored volume, across its chunks, beside those of the dense array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labelog
from conftest import examples
from labelog.engine.components import Components
from labelog.errors import Invalid, NotFound, OutOfBounds
from labelog.geometry import Box, Grid
from labelog.kernels.runs import Runs

CONNECTIVITY = st.sampled_from([6, 18, 26])


def chunk_of(array, grid):
    """A function that gives a chunk's runs, 0 outside the array."""
    padded = np.pad(array, [(0, n * c - s) for n, c, s in zip(grid.counts, grid.chunks, grid.shape, strict=True)])

    def chunk_runs(chunk):
        start = grid.origin(chunk)
        return Runs.from_dense(padded[tuple(slice(a, a + c) for a, c in zip(start, grid.chunks, strict=True))])

    return chunk_runs


def dense(components, grid):
    """The numbers of all voxels of the volume."""
    out = np.zeros(grid.shape, np.uint64)
    for chunk, voxels in grid.touching(Box((0, 0, 0), grid.shape)):
        runs = components.runs(chunk)
        assert Runs(runs.shape, runs.palette, runs.offsets, runs.ends, runs.index) == runs
        out[voxels.slices()] = runs.dense()[voxels.relative(grid.origin(chunk)).slices()]
    return out


def check(components, numbers, labels):
    """Every attribute is what the dense numbers say."""
    assert components.count == numbers.max()
    assert [len(a) for a in (components.label, components.voxels, components.first)] == [components.count + 1] * 3
    assert components.label[0] == components.voxels[0] == 0
    for number in range(1, components.count + 1):
        held = np.argwhere(numbers == number)
        assert (components.first[number] == held[0]).all()
        assert (components.start[number] == held.min(axis=0)).all()
        assert (components.stop[number] == held.max(axis=0) + 1).all()
        assert components.voxels[number] == len(held)
        assert components.label[number] == labels[tuple(held[0])]
        assert components.box(number).voxels >= len(held)


@st.composite
def volumes(draw):
    shape = tuple(draw(st.integers(1, 8)) for _ in range(3))
    grid = Grid.of(shape, tuple(draw(st.integers(1, 5)) for _ in range(3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = np.array([0, 1, 2**64 - 1, 7], np.uint64)
    return few[rng.integers(0, draw(st.integers(2, 4)), shape)], grid


@examples(300)
@given(volumes(), CONNECTIVITY)
def test_as_the_dense_array(volume, connectivity):
    array, grid = volume
    components = Components(chunk_of(array, grid), grid, connectivity=connectivity)
    numbers = labelog.connected_components(array, connectivity)
    assert (dense(components, grid) == numbers).all()
    check(components, numbers, array)


@examples(300)
@given(volumes(), CONNECTIVITY, st.data())
def test_a_box_some_labels_some_chunks(volume, connectivity, data):
    array, grid = volume
    start = tuple(data.draw(st.integers(0, n)) for n in grid.shape)
    box = Box(start, tuple(data.draw(st.integers(a, n)) for a, n in zip(start, grid.shape, strict=True)))
    labels = data.draw(st.none() | st.lists(st.sampled_from([0, 1, 7, 2**64 - 1, 99])))
    total = int(np.prod(grid.counts))
    chunks = data.draw(st.none() | st.lists(st.integers(0, total - 1)))
    seen = np.zeros(grid.shape, bool)
    for chunk in range(total) if chunks is None else chunks:
        seen[grid.box(chunk).slices()] = True
    wanted = np.zeros_like(array)
    wanted[box.slices()] = array[box.slices()]
    if labels is not None:
        seen &= np.isin(array, np.array(labels, np.uint64))
    wanted[~seen] = 0
    asked = []

    def chunk_runs(chunk):
        asked.append(chunk)
        return chunk_of(array, grid)(chunk)

    components = Components(chunk_runs, grid, box, labels=labels, connectivity=connectivity, chunks=chunks)
    assert chunks is None or set(asked) <= set(chunks)
    numbers = labelog.connected_components(wanted, connectivity)
    assert (dense(components, grid) == numbers).all()
    check(components, numbers, wanted)


@pytest.fixture
def volume(tmp_path, data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(data / "fib25" / "groundtruth.h5") as file:
        labels = file["stack"][:40].astype(np.uint64)
    with labelog.load(tmp_path / "v.labelog", labels, chunks=(16, 50, 70)) as volume:
        with volume.edit(author="ana") as edit:
            edit[:, 100, :] = 0
            edit[20, :, 90] = 0
        yield volume


@pytest.mark.parametrize("kept", [0, 2**26])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_a_volume_on_disk(volume, connectivity, kept, monkeypatch):
    monkeypatch.setattr("labelog.engine.components.KEPT", kept)
    store, revision = volume.store, volume.revision
    wanted = labelog.connected_components(volume.read(), connectivity)
    with ThreadPoolExecutor(2) as pool:
        components = Components(lambda chunk: store.runs(chunk, revision), store.grid,
                                connectivity=connectivity, pool=pool)  # fmt: skip
    assert (dense(components, store.grid) == wanted).all()
    assert (components.voxels[1:] == np.bincount(wanted.ravel())[1:]).all()


def test_one_object(volume):
    store, revision = volume.store, volume.revision
    array = volume.read()
    label = int(np.bincount(array[array > 0].astype(np.int64)).argmax())
    components = Components(lambda chunk: store.runs(chunk, revision), store.grid, labels=[label])
    assert (dense(components, store.grid) == labelog.connected_components(array == label)).all()
    assert set(components.label[1:].tolist()) == {label}


def test_errors_come_through():
    grid = Grid.of((4, 4, 4), (2, 2, 2))
    zeros = Runs.full((2, 2, 2), 0)
    with pytest.raises(Invalid, match="connectivity in 3 dimensions must be 6 or 18 or 26, not 8"):
        Components(lambda chunk: zeros, grid, connectivity=8)
    assert Components(lambda chunk: zeros, grid).count == 0
    assert Components(lambda chunk: zeros, grid, chunks=[]).count == 0

    def broken(chunk):
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        Components(broken, grid, pool=pool)


@pytest.fixture
def objects(tmp_path):
    """A cell with mitochondria, merged fragments, and a region that was looked at."""
    array = np.random.default_rng(4).choice(np.array([0, 1, 2, 5, 2**64 - 1], np.uint64), (7, 15, 19))
    with labelog.load(tmp_path / "v.labelog", array, chunks=(3, 8, 9), classes="platelet", threads=2) as volume:
        with volume.edit(author="ana") as edit:
            edit.assign(1, cls="cell")
            edit.assign(2, cls="mitochondrion", parent=1)
            edit.merge(5, [2**64 - 1])
            edit.set_region("seen", "annotated", ((0, 0, 0), (7, 15, 12)))
        yield volume


@pytest.mark.parametrize("parallel", [1, 2**22])
@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("view", [{}, {"name": "fragment"}, {"name": "semantic"}, {"name": "cell"},
                                  {"name": "semantic", "unannotated": 200}])  # fmt: skip
def test_of_a_view(objects, view, connectivity, parallel, monkeypatch):
    monkeypatch.setattr("labelog.engine.store.PARALLEL", parallel)
    seen = objects.view(**view)
    array = seen.read().astype(np.uint64)
    found = seen.components(connectivity=connectivity)
    numbers = labelog.connected_components(array, connectivity)
    assert (found.read() == numbers).all() and found.dtype == numbers.dtype
    check(found, numbers, array)
    box = Box((1, 3, 2), (6, 14, 15))
    within = np.zeros_like(array)
    within[box.slices()] = array[box.slices()]
    found = seen.components(within=box, connectivity=connectivity)
    numbers = labelog.connected_components(within, connectivity)
    assert (found.read() == numbers).all()
    check(found, numbers, within)


def test_of_a_class_and_of_some_labels(objects):
    semantic, instance = objects.view("semantic"), objects.view()
    kinds = {known.name: known.id for known in objects.classes.values()}

    def pieces(chosen):
        return labelog.connected_components(chosen.astype(np.uint8))

    for cls in ("mitochondrion", kinds["mitochondrion"]):
        assert (objects.components("semantic", cls=cls)[...] == pieces(semantic[...] == kinds["mitochondrion"])).all()
        assert (objects.components(cls=cls)[...] == pieces(instance[...] == 2)).all()
    both = objects.components("semantic", cls="organelle")[...]
    assert (both == pieces(semantic[...] == kinds["mitochondrion"])).all()
    assert (objects.components(labels=5)[...] == pieces(instance[...] == 5)).all()
    assert (objects.components("fragment", labels=[5])[...] == pieces(objects.view("fragment")[...] == 5)).all()
    assert objects.components(labels=[1, 5], cls="mitochondrion").count == 0
    assert objects.components("cell", labels=[]).count == 0


def test_components_are_read_as_an_array_and_as_a_table(objects):
    found = objects.components()
    numbers = labelog.connected_components(objects.read())
    assert found.shape == objects.shape and len(found) == 7
    assert (found[3, ::2, 4:9] == numbers[3, ::2, 4:9]).all()
    points = tuple(np.random.default_rng(6).integers(0, n, 40) for n in found.shape)
    assert (found[points] == numbers[points]).all()
    assert found[6, 14, 18] == numbers[6, 14, 18]
    rows = found.table_rows()
    assert [row["component"] for row in rows] == list(range(1, found.count + 1))
    for row in rows[::7]:
        number = row["component"]
        assert (row["z"], row["y"], row["x"]) == tuple(found.first[number])
        assert (row["label"], row["voxels"]) == (found.label[number], (numbers == number).sum())
        assert Box((row["z0"], row["y0"], row["x0"]), (row["z1"], row["y1"], row["x1"])) == found.box(number)


def test_components_of_a_view_are_pinned(objects):
    before = objects.components()
    numbers = before[...]
    with objects.edit(author="bo") as edit:
        edit[...] = 9
    assert (before[...] == numbers).all()
    assert objects.components().count == 1
    assert (objects.at(1).components()[...] == numbers).all()


def test_refusals_of_a_view(objects):
    with pytest.raises(Invalid, match="must be 6 or 18 or 26, not 8"):
        objects.components(connectivity=8)
    with pytest.raises(NotFound, match="there is no class 'nothing'"):
        objects.components(cls="nothing")
    with pytest.raises(NotFound, match="there is no view 'nothing'"):
        objects.components("nothing")
    with pytest.raises(Invalid, match="objects, which have classes, are in the view instance"):
        objects.components("fragment", cls="cell")
    with pytest.raises(Invalid, match="a label is from 0"):
        objects.components(labels=[-1])
    with pytest.raises(OutOfBounds, match="does not lie within"):
        objects.components(within=((0, 0, 0), (8, 1, 1)))
