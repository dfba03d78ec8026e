from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelog.kernels.runs import Runs
from labelog.kernels.spans import Delta

Bounds = tuple[int, int, int, int, int, int]

def extents(runs: Runs, chosen: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...
def exchanged(delta: Delta, shape: Sequence[int]) -> dict[int, tuple[int, Bounds, int, Bounds]]: ...
