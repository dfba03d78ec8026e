from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from labelog.geometry import Triple
from labelog.kernels.runs import Runs

def join(
    parts: Sequence[Runs],
    counts: Sequence[int],
    values: Sequence[NDArray[Any]] | None = None,
    window: tuple[Triple, Triple] | None = None,
) -> Runs: ...
