from collections.abc import Sequence

from numpy.typing import ArrayLike

from labelog.kernels.runs import Runs

def opened(runs: Runs, chosen: ArrayLike, start: Sequence[int], size: Sequence[int]) -> Runs: ...
