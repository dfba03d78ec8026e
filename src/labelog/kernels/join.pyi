from collections.abc import Sequence

from labelog.kernels.runs import Runs

def join(parts: Sequence[Runs], counts: Sequence[int]) -> Runs: ...
