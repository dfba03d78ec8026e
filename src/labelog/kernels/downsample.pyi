from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from labelog.kernels.runs import Runs

def downsample(runs: Runs, factors: Sequence[int], extent: Sequence[int] | None = None) -> Runs: ...
def downsample_dense(array: NDArray[Any], factors: Sequence[int], out: NDArray[Any]) -> None: ...
