"""Small boxes of labels: few labels so that runs form, some of them enormous."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelog.kernels import spans as kernel

LABELS = st.sampled_from([0, 1, 2, 3, 2**32, 2**63, 2**64 - 1])
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 12))


def boxes(shape=SHAPES, dtype=np.uint64, elements=LABELS):
    return hnp.arrays(dtype, shape, elements=elements)


@st.composite
def wide_boxes(draw):
    """Boxes of runs of many lengths, in rows of up to 480 voxels."""
    array = draw(boxes())
    return np.repeat(array, draw(hnp.arrays(int, array.shape[2], elements=st.integers(1, 40))), axis=2)


@st.composite
def patches(draw, shape):
    """Spans in a chunk of this shape, made in one of the ways in which an edit makes them."""
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    size = tuple(draw(st.integers(0, n - a)) for n, a in zip(shape, start, strict=True))
    way = draw(st.sampled_from(["box", "mask", "array"]))
    if way == "box":
        return kernel.box_spans(shape, start, size, draw(LABELS))
    if way == "mask":
        mask = draw(hnp.arrays(np.uint8, size, elements=st.integers(0, 1)))
        return kernel.mask_spans(shape, start, mask, draw(LABELS))
    return kernel.array_spans(shape, start, draw(boxes(size)))
