from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelog.kernels.runs import Runs

def cut(runs: Runs, direction: Sequence[int]) -> Runs: ...
def touching(a: Runs, b: Runs, labels_a: ArrayLike, labels_b: ArrayLike, reach: int) -> NDArray[np.uint64]: ...
