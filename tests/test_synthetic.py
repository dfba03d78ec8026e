"""Synthetic platelets: the same each time and in any slabs, nested as their table says, and like the real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import blake2b

import numpy as np
import pytest

import labelog
from labelog.errors import Invalid
from labelog.synthetic import BODY, CELL, CLASSES, Platelets

SHAPE = (40, 400, 500)


@pytest.fixture(scope="module")
def scene():
    return Platelets(SHAPE, seed=4)


@pytest.fixture(scope="module")
def labels(scene):
    return scene.slab(0, SHAPE[0])


def digest(array):
    return blake2b(np.ascontiguousarray(array)).hexdigest()


def test_the_same_again_and_in_another_process(scene, labels):
    assert digest(Platelets(SHAPE, seed=4).slab(0, SHAPE[0], threads=1)) == digest(labels)
    code = (
        "from labelog.synthetic import Platelets; from hashlib import blake2b\n"
        f"print(blake2b(Platelets({SHAPE}, seed=4).slab(0, {SHAPE[0]})).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ |
                          {"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.strip() == digest(labels)
    assert digest(Platelets(SHAPE, seed=5).slab(0, SHAPE[0])) != digest(labels)


@pytest.mark.parametrize("depth", [1, 7, 16, 1000])
def test_slabs_are_the_whole(labels, depth):
    fresh = Platelets(SHAPE, seed=4)
    slabs = list(fresh.slabs(depth))
    assert [len(slab) for slab in slabs[:-1]] == [depth] * (len(slabs) - 1)
    assert (np.concatenate(slabs) == labels).all()
    assert {label for label, _ in fresh.table()} == set(np.unique(labels).tolist()) - {0}


def test_the_table_is_of_what_there_is(scene, labels):
    assert {label for label, _ in scene.table()} == set(np.unique(labels).tolist()) - {0}
    fresh = Platelets(SHAPE, seed=4)
    first = fresh.slab(0, 3)
    assert {label for label, _ in fresh.table()} == set(np.unique(first).tolist()) - {0}


def test_all_classes_nest(scene, labels):
    table = dict(scene.table())
    assert {row["cls"] for row in table.values()} == set(CLASSES[1:])
    for label, row in table.items():
        outside = {"cell": 0, "dense granule core": BODY}.get(row["cls"], CELL)
        assert scene.cls[row.get("parent", 0)] == outside, label
    assert (scene.cls[labels] == 0).sum() == (labels == 0).sum()


def test_organelles_lie_inside_what_they_lie_in(scene, labels):
    """Around each is nothing but what it lies in, and what that contains: they touch neither background nor others."""
    parent = scene.parent
    for axis in range(3):
        a, b = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        pairs = np.unique(np.stack([a[a != b], b[a != b]]), axis=1).T.astype(np.int64)
        related = (parent[pairs[:, 0]] == pairs[:, 1]) | (parent[pairs[:, 1]] == pairs[:, 0])
        cells = np.isin(scene.cls[pairs], (0, CELL)).all(axis=1)
        assert (related | cells).all()


def test_like_the_real_ones(scene, labels):
    """Shares of classes within a factor of two or so of those in tests/data/platelet; runs about as long."""
    share = np.bincount(scene.cls[labels].ravel(), minlength=7) / labels.size
    assert 0.1 < share[0] < 0.45 and 0.5 < share[CELL] < 0.85
    assert 0.01 < share[2:].sum() < 0.15
    runs = (np.diff(labels, axis=2) != 0).sum() + SHAPE[0] * SHAPE[1]
    assert 20 < labels.size / runs < 120
    assert (labels[1:] == labels[:-1]).mean() > 0.9


def test_as_a_volume(tmp_path):
    scene = Platelets((20, 200, 300), seed=1)
    with labelog.load(tmp_path / "v", scene.slabs(), voxel_size=scene.voxel_size, classes="platelet",
                      table=scene.table()) as volume:  # fmt: skip
        dense = volume.read()
        assert (volume.view("semantic").read() == scene.cls[dense]).all()
        cells = dense.astype(np.int64)
        while (inside := scene.parent[cells] != 0).any():
            cells[inside] = scene.parent[cells[inside]]
        assert (volume.view("cell").read() == cells).all()
        assert len(volume.labels) == len(np.unique(dense)) - 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 2), (3, 1, 200)])
def test_small_shapes(shape):
    assert Platelets(shape, seed=2).slab(0, shape[0]).shape == shape


@pytest.mark.parametrize("arguments", [((0, 1, 1),), ((1, 1),), ((1, 1, 1), -1), ((1, 1, 1), 0, (0, 1, 1)),
                                       ((1, 1, 1), 0, (1, float("inf"), 1))])  # fmt: skip
def test_refusals(arguments):
    with pytest.raises(Invalid, match="expected"):
        Platelets(*arguments)


def test_slices_outside(scene):
    with pytest.raises(Invalid, match="within 0 to 40, found 39 to 41"):
        scene.slab(39, 41)
