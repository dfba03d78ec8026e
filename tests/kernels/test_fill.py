from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LABELS, wide_boxes

from conftest import examples
from labelog.errors import Invalid
from labelog.kernels import fill as kernel
from labelog.kernels.runs import Runs


@st.composite
def chosen_of(draw, runs):
    return np.array(draw(st.lists(st.booleans(), min_size=len(runs.palette), max_size=len(runs.palette))), bool)


@examples(1000)
@given(wide_boxes(), st.data())
def test_opened(array, data):
    runs = Runs.from_dense(array)
    chosen = data.draw(chosen_of(runs))
    start = [data.draw(st.integers(0, n)) for n in array.shape]
    size = [data.draw(st.integers(0, n - a)) for n, a in zip(array.shape, start, strict=True)]
    box = tuple(slice(a, a + d) for a, d in zip(start, size, strict=True))
    wanted = np.zeros(array.shape, np.uint64)
    wanted[box] = np.isin(array, runs.palette[chosen])[box]
    found = kernel.opened(runs, chosen, start, size)
    assert found.palette.tolist() == [0, 1]
    assert Runs(found.shape, found.palette, found.offsets, found.ends, found.index) == Runs.from_dense(wanted)
    assert (found.dense() == wanted).all()


@given(LABELS)
def test_one_voxel(label):
    runs = Runs.full((1, 1, 1), label)
    assert kernel.opened(runs, [True], (0, 0, 0), (1, 1, 1)).dense().item() == 1
    assert kernel.opened(runs, [True], (1, 1, 1), (0, 0, 0)).dense().item() == 0
    assert kernel.opened(runs, [False], (0, 0, 0), (1, 1, 1)).dense().item() == 0


def test_refusals():
    runs = Runs.full((2, 3, 4), 1)
    with pytest.raises(Invalid, match=r"a box of \(2, 3, 4\) at \(0, 0, 1\) is not within \(2, 3, 4\)"):
        kernel.opened(runs, [True], (0, 0, 1), (2, 3, 4))
    with pytest.raises(Invalid, match="expected 1 entries, found 2"):
        kernel.opened(runs, [True, False], (0, 0, 0), (2, 3, 4))
