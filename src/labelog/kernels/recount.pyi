from labelog.kernels.extents import Extents
from labelog.kernels.overlaid import Overlaid
from labelog.kernels.spans import Delta

def recounted(delta: Delta, before: Overlaid, after: Overlaid) -> tuple[Extents, list[int]]: ...
