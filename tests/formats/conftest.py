"""What the tests of the formats share: the sample files, a small volume, and how to take a stack in whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labelog.formats import Stack


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parent.parent / "data"


@pytest.fixture
def volume() -> np.ndarray:
    """Labels (5, 12, 20) of uint16, up to 299, in boxes of 3 x 5 voxels, as real ones come in runs."""
    boxes = np.random.default_rng(0).integers(0, 300, (5, 4, 4), np.uint16)
    return boxes.repeat(3, axis=1).repeat(5, axis=2)


@pytest.fixture(scope="session")
def whole() -> Callable[[Stack], np.ndarray]:
    """The volume behind a stack, once its slabs are seen to keep the contract of Stack."""

    def joined(stack: Stack) -> np.ndarray:
        slabs = list(stack.slabs())
        for slab in slabs:
            assert slab.dtype == stack.dtype and slab.dtype.isnative and slab.dtype.kind in "ui"
            assert slab.shape[1:] == stack.shape[1:] and len(slab) > 0
        result = np.concatenate(slabs)
        assert result.shape == stack.shape
        return result

    return joined
