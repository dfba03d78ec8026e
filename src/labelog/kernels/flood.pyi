from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def flooded(array: NDArray[Any], seed: Sequence[int], reach: int) -> NDArray[np.uint64]: ...
def write(words: NDArray[np.uint64], out: NDArray[Any], value: Any) -> None: ...
