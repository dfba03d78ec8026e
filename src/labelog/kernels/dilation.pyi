from numpy.typing import ArrayLike

from labelog.kernels.runs import Runs

def dilated(solid: Runs, chords: ArrayLike, z0: int, z1: int) -> Runs: ...
