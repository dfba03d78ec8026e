from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.distance import squared_distances
from labelog.kernels.runs import Runs

LENGTHS = st.sampled_from([1, 0.25, 3, 40, 10])
PLANES = hnp.arrays(np.uint64, st.tuples(st.just(1), st.integers(1, 12), st.integers(1, 12)),
                    elements=st.sampled_from([0, 0, 0, 0, 1, 2**64 - 1]))  # fmt: skip


@examples(1000)
@given(PLANES, st.tuples(LENGTHS, LENGTHS))
def test_distances(plane, spacing):
    found = squared_distances(Runs.from_dense(plane), spacing)
    expected = oracles.squared_distances(plane[0] != 0, spacing)
    assert found.shape == plane.shape[1:]
    assert np.allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("density", [0.0005, 0.02, 0.5, 0.99])
def test_beside_scipy(density):
    ndimage = pytest.importorskip("scipy.ndimage")
    plane = np.random.default_rng(1).random((1, 150, 230)) < density
    expected = ndimage.distance_transform_edt(~plane[0], sampling=(3.5, 4))
    found = squared_distances(Runs.from_dense(plane.astype(np.uint8)), (3.5, 4))
    assert np.allclose(np.sqrt(found), expected)


def test_refusals():
    for runs, spacing in ((Runs.full((2, 1, 1), 0), (1, 1)), (Runs.full((1, 1, 1), 0), (0, 1)),
                          (Runs.full((1, 1, 1), 0), (1, float("nan")))):  # fmt: skip
        with pytest.raises(Invalid, match="one plane and two lengths"):
            squared_distances(runs, spacing)
