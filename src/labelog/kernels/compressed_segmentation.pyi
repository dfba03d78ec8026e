from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelog.kernels.runs import Runs

def encode(runs: Runs, start: Sequence[int], size: Sequence[int], values: NDArray[np.uint64]) -> bytes: ...
