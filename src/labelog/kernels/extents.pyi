import numpy as np
from numpy.typing import NDArray

from labelog.kernels.runs import Runs

def extents(runs: Runs) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...
