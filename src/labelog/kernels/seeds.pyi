import numpy as np
from numpy.typing import NDArray

def nearest_seed(mask: NDArray[np.uint8], seeds: NDArray[np.int32]) -> None: ...
