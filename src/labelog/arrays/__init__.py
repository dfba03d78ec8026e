"""Functions of plain arrays of labels; they need no volume."""

from labelog.arrays.components import connected_components
from labelog.arrays.contingency import Contingency, contingency
from labelog.arrays.downsample import downsample
from labelog.arrays.flood import flood, flood_fill
from labelog.arrays.strokes import brush, polygon

__all__ = [
    "Contingency",
    "brush",
    "connected_components",
    "contingency",
    "downsample",
    "flood",
    "flood_fill",
    "polygon",
]
