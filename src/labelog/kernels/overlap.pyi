from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelog.geometry import Triple
from labelog.kernels.runs import Runs

Entries = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]

def overlap_dense(a: NDArray[Any], b: NDArray[Any]) -> Entries: ...
def overlap_runs(a: Runs, b: Runs, start_a: Triple, start_b: Triple, size: Triple) -> Pairs: ...
