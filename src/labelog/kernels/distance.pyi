from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labelog.kernels.runs import Runs

def squared_distances(plane: Runs, spacing: Sequence[float]) -> NDArray[np.float64]: ...
