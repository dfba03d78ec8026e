from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import examples
from labelog.errors import Invalid
from labelog.kernels.forest import Forest


@examples(1000)
@given(st.integers(1, 30), st.data())
def test_forest(size, data):
    numbers = st.integers(0, size - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers)))
    forest, sets = Forest(size), {i: {i} for i in range(size)}
    for half in (pairs[::2], pairs[1::2]):
        forest.union([a for a, _ in half], [b for _, b in half])
    for a, b in pairs:
        joined = sets[a] | sets[b]
        sets.update(dict.fromkeys(joined, joined))
    assert forest.roots().tolist() == [min(sets[i]) for i in range(size)]
    assert len(forest) == size


def test_a_long_chain_of_unions():
    forest = Forest(10**6)
    backward = np.arange(10**6 - 1)[::-1]
    forest.union(backward, backward + 1)
    assert not forest.roots().any()


def test_refusals():
    forest = Forest(3)
    for a, b in [([0], [3]), ([-1], [0])]:
        with pytest.raises(Invalid, match="expected numbers of 0 to 2"):
            forest.union(a, b)
    with pytest.raises(Invalid, match="as many"):
        forest.union([0, 1], [0])
