from collections.abc import Sequence

from labelog.kernels.runs import Runs

def downsample(runs: Runs, factors: Sequence[int], extent: Sequence[int] | None = None) -> Runs: ...
