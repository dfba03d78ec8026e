"""The contingency table of two plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import variation_of_information

import labelog
import oracles
from conftest import examples
from labelog.arrays import boxes
from labelog.errors import Invalid

DTYPES = [bool, "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u4", ">i8"]


def rows(table):
    return [list(row) for row in zip(table.a.tolist(), table.b.tolist(), table.voxels.tolist(), strict=True)]


@st.composite
def arrays(draw, shape, turned):
    """Of few labels, of any layout in memory, its axes turned as those of the other are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    array = rng.integers(0, draw(st.integers(1, 5)), shape)
    array = (-array if dtype.kind == "i" and draw(st.booleans()) else array).astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "backward", "sparse", "broadcast", "read only"]))
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "backward":
        array = array[::-1, ...][..., ::-1]
    elif layout == "sparse":
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif layout == "broadcast" and shape[0]:
        array = np.broadcast_to(array[:1], shape)
    array.flags.writeable = False
    return array.transpose(turned)


@examples(500)
@given(st.data(), st.sampled_from([2**20, 1, 7, 20]), st.integers(1, 2))
def test_as_counted_voxel_by_voxel(data, piece, threads):
    shape = tuple(data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5)))
    turned = data.draw(st.permutations(range(len(shape))))
    a, b = data.draw(arrays(shape, turned)), data.draw(arrays(shape, turned))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "SLAB", piece)
        table = labelog.contingency(a, b, threads=threads)
    assert rows(table) == oracles.contingency(a, b)
    for found, array in ((table.a, a), (table.b, b)):
        assert found.dtype == (np.uint8 if array.dtype == bool else array.dtype.newbyteorder("="))
    assert table.voxels.dtype == np.int64


def test_labels_to_the_highest():
    a = np.array([[0, 2**64 - 1, 2**64 - 1, 2**63]], np.uint64)
    b = np.array([[-(2**63), -1, -1, 2**63 - 1]])
    assert rows(labelog.contingency(a, b)) == [[0, -(2**63), 1], [2**63, 2**63 - 1, 1], [2**64 - 1, -1, 2]]


def test_as_skimage_and_scipy_have_it(data):
    metrics = pytest.importorskip("skimage.metrics")
    h5py = pytest.importorskip("h5py")
    sparse = pytest.importorskip("scipy.sparse")
    with h5py.File(data / "fib25" / "groundtruth.h5") as file:
        labels = file["stack"][:40].astype(np.uint32)
    shifted = np.roll(labels, (1, 3, 5), (0, 1, 2))
    table = labelog.contingency(labels, shifted)
    ours = sparse.coo_array((table.voxels, (table.a, table.b)))
    theirs = metrics.contingency_table(labels, shifted)
    assert ours.shape == theirs.shape
    assert abs(ours.tocsr() - theirs).sum() == 0
    assert table.voxels.sum() == labels.size


def test_checkerboard_and_all_distinct():
    board = np.indices((12, 13, 14)).sum(axis=0) % 2
    distinct = np.arange(board.size).reshape(board.shape)
    assert rows(labelog.contingency(board, 1 - board)) == [[0, 1, 1092], [1, 0, 1092]]
    table = labelog.contingency(distinct, -distinct)
    assert (table.a == np.arange(board.size)).all() and (table.b == -table.a).all() and (table.voxels == 1).all()


def test_refusals():
    for array in (np.zeros(3), np.zeros(3, complex), np.array(3), ["a"]):
        with pytest.raises(Invalid, match="expected integers or bool in 1 to 32 dimensions"):
            labelog.contingency(array, array)
    with pytest.raises(Invalid, match=r"of one shape, found \(3,\) and \(1, 3\)"):
        labelog.contingency(np.zeros(3, int), np.zeros((1, 3), int))
    with pytest.raises(Invalid, match="within= takes a volume"):
        labelog.contingency(np.zeros(3, int), np.zeros(3, int), within=((0, 0, 0), (1, 1, 1)))


def test_how_alike_two_are():
    """Beside scikit-image, and beside a count of all pairs of voxels."""
    rng = np.random.default_rng(3)
    for most, noise in ((2, 0.1), (9, 0.4), (1, 0), (40, 1)):
        a = rng.integers(0, most + 1, (4, 5, 6))
        b = np.where(rng.random(a.shape) < noise, rng.integers(0, 9, a.shape), a + 3)
        found = labelog.contingency(a, b)
        assert found.variation_of_information() == pytest.approx(variation_of_information(a, b), abs=1e-12)
        same_a, same_b = ((x.ravel()[:, None] == x.ravel())[np.triu_indices(a.size, 1)] for x in (a, b))
        both, left, right, total = (same_a & same_b).sum(), same_a.sum(), same_b.sum(), len(same_a)
        expected = left * right / total
        assert found.rand_index() == pytest.approx((both - expected) / ((left + right) / 2 - expected))
        for x, y, iou, *sizes in zip(found.a, found.b, found.iou(), *found.sizes(), strict=True):
            assert sizes == [(a == x).sum(), (b == y).sum()]
            assert iou == ((a == x) & (b == y)).sum() / ((a == x) | (b == y)).sum()


def test_how_alike_without_voxels_or_of_one_label():
    nothing = labelog.contingency(np.zeros(0, int), np.zeros(0, int))
    assert nothing.variation_of_information() == (0, 0) and nothing.rand_index() == 1 and len(nothing.iou()) == 0
    one = labelog.contingency(np.ones(9, int), np.full(9, 4))
    assert one.variation_of_information() == (0, 0) and one.rand_index() == 1
