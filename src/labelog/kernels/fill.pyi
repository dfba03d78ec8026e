from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from labelog.kernels.runs import Runs

def opened(runs: Runs, chosen: ArrayLike, start: Sequence[int], size: Sequence[int]) -> Runs: ...
def write(runs: Runs, chosen: ArrayLike, out: NDArray[Any], value: Any) -> None: ...
