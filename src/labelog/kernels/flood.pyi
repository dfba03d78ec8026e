from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def flooded(
    array: NDArray[Any],
    seed: Sequence[int],
    reach: int,
    walkers: int = 1,
    each: Callable[..., Iterable[None]] = map,
    steps: int | None = None,
) -> NDArray[np.uint64]: ...
def write(words: NDArray[np.uint64], out: NDArray[Any], value: Any) -> None: ...
