"""The surface of an object: closed, as large as its voxels, and where they are."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

import labelog

pytest.importorskip("zmesh", reason="meshes need the extra meshes")


def enclosed(mesh):
    """The volume that a surface encloses, by the divergence theorem: above 0 if faces look outward."""
    a, b, c = (mesh.vertices.astype(float)[mesh.faces[:, corner]] for corner in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def closed(mesh):
    """Whether each edge has a face on either side, once in each direction."""
    edges = Counter(map(tuple, np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])))
    return all(count == 1 and (b, a) in edges for (a, b), count in edges.items())


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A box, a ball at the volume's corner that is two merged halves, a long thin object, and one voxel."""
    array = np.zeros((40, 60, 70), np.uint64)
    array[2:15, 30:49, 24:52] = 2**64 - 1
    z, y, x = np.indices(array.shape)
    array[z**2 + y**2 + x**2 < 20**2] = 7
    array[(array == 7) & (x < 10)] = 8
    array[35, 55, :] = 9
    array[30, 30, 5] = 10
    path = tmp_path_factory.mktemp("mesh") / "a.labelog"
    with labelog.load(path, array, chunks=(16, 16, 16), voxel_size=(40, 10, 10), classes="platelet") as volume:
        with volume.edit("lab") as edit:
            edit.merge(7, [8])
            edit.assign(7, cls="cell")
            edit.assign(9, cls="mitochondrion", parent=7)
        yield volume


def test_it_encloses_the_object_where_it_is(volume):
    mesh = labelog.mesh(volume, 2**64 - 1)
    assert mesh.vertices.min(axis=0).tolist() == [80, 300, 240]
    assert mesh.vertices.max(axis=0).tolist() == [600, 490, 520]
    assert (mesh.scale, mesh.vertices.dtype, mesh.faces.dtype) == (0, np.float32, np.uint32)
    assert closed(mesh)
    assert enclosed(mesh) == pytest.approx(13 * 19 * 28 * 4000, rel=0.05)  # edges are cut off


def test_what_a_view_shows(volume):
    whole, part = labelog.mesh(volume, 7), labelog.mesh(volume.view("fragment"), 7)
    assert closed(whole) and closed(part)
    assert whole.vertices.min(axis=0).tolist() == [0, 0, 0] and part.vertices.min(axis=0).tolist() == [0, 0, 100]
    assert enclosed(whole) == pytest.approx(4000 * np.count_nonzero(volume[:] == 7), rel=0.02)
    cell = labelog.mesh(volume.view("cell"), 7)
    assert cell.vertices.max() > whole.vertices.max()  # with what lies in it
    semantic = labelog.mesh(volume.view("semantic"), volume.classes["mitochondrion"].id)
    alone = labelog.mesh(volume.at(), 9)
    assert np.array_equal(np.sort(semantic.vertices, axis=0), np.sort(alone.vertices, axis=0))
    assert len(labelog.mesh(volume.at(0), 7).vertices) == len(part.vertices)


def test_a_coarser_scale_where_it_is_large(volume):
    fine, coarse = labelog.mesh(volume, 7), labelog.mesh(volume, 7, limit=5000)
    assert coarse.scale > 0 and len(coarse.faces) < len(fine.faces) / 2
    assert closed(coarse) and enclosed(coarse) == pytest.approx(enclosed(fine), rel=0.1)
    assert labelog.mesh(volume.scale(coarse.scale), 7).faces.shape == coarse.faces.shape
    with pytest.raises(labelog.Invalid, match=r"label 7 has bounds of \d+ voxels at the coarsest scale") as told:
        labelog.mesh(volume, 7, limit=5)
    assert told.value.limit == 5


def test_nothing_there(volume):
    lost = labelog.mesh(volume.scale(1), 10)
    assert lost.scale == 1 and lost.vertices.shape == lost.faces.shape == (0, 3)
    with volume.edit("lab") as edit:
        empty = edit.new(cls="cell")
    assert labelog.mesh(volume, empty).vertices.shape == (0, 3)


def test_what_it_refuses(volume, monkeypatch):
    for seen, label, kind in [
        (volume, 12345, labelog.NotFound), (volume, 0, labelog.Invalid), (volume, "7", labelog.Invalid),
        (volume.view("semantic"), 999, labelog.NotFound), (np.zeros((2, 2, 2)), 7, labelog.Invalid),
        (volume.view("instance", unannotated=99), 7, labelog.Invalid),
    ]:  # fmt: skip
        with pytest.raises(kind):
            labelog.mesh(seen, label)
    monkeypatch.setitem(sys.modules, "zmesh", None)
    with pytest.raises(labelog.Unsupported, match=r'pip install "labelog\[meshes\]"'):
        labelog.mesh(volume, 7)
