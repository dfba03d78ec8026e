import numpy as np
from numpy.typing import NDArray

from labelog.kernels.overlap import Entries

def in_order(a: NDArray[np.uint64], b: NDArray[np.uint64], voxels: NDArray[np.uint64]) -> Entries: ...
def merged(one: Entries, other: Entries) -> Entries: ...
