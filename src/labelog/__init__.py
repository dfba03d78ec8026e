"""labelog keeps 3D label volumes while people and programs edit them.

    volume = labelog.create("cells.labelog", shape=(250, 2000, 2000), voxel_size=(40, 10, 10))
    with volume.edit(author="ana", message="cell 7, slice 10") as edit:
        edit[10, 100:110, 200:210] = 7
    volume.undo(author="ana")

Nouns: a `Volume` is opened, read and edited. An `Edit` stages changes and commits them as one revision, or none; a
`Commit` says what a revision was. A `Snapshot` is a volume at a revision, a `View` a snapshot seen through a label
map. A `Label` is an object, with a `LabelClass`, and a `Region` a part that was looked at. A `Box` is half-open voxel
bounds. Axes are always z, y, x; labels are uint64, 0 is background.
"""

from labelog.arrays import Contingency, brush, connected_components, downsample, flood, flood_fill, polygon
from labelog.engine.check import Report
from labelog.engine.classes import LabelClass, read_classes, write_classes
from labelog.engine.components import Components
from labelog.engine.contingency import contingency
from labelog.engine.edit import Edit
from labelog.engine.extents import Extents
from labelog.engine.mesh import Mesh, mesh
from labelog.engine.objects import Label
from labelog.engine.regions import Region
from labelog.engine.snapshot import Snapshot, View
from labelog.engine.volume import Volume, create, load
from labelog.errors import (
    Conflict,
    Corrupt,
    Denied,
    Exists,
    Invalid,
    LabelogError,
    NotFound,
    NothingToUndo,
    OutOfBounds,
    OutOfSpace,
    ReadOnly,
    Unreachable,
    Unsupported,
)
from labelog.geometry import Box
from labelog.opening import open
from labelog.storage.journal import Commit, Kind

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Commit",
    "Components",
    "Conflict",
    "Contingency",
    "Corrupt",
    "Denied",
    "Edit",
    "Exists",
    "Extents",
    "Invalid",
    "Kind",
    "Label",
    "LabelClass",
    "LabelogError",
    "Mesh",
    "NotFound",
    "NothingToUndo",
    "OutOfBounds",
    "OutOfSpace",
    "ReadOnly",
    "Region",
    "Report",
    "Snapshot",
    "Unreachable",
    "Unsupported",
    "View",
    "Volume",
    "brush",
    "connected_components",
    "contingency",
    "create",
    "downsample",
    "flood",
    "flood_fill",
    "load",
    "mesh",
    "open",
    "polygon",
    "read_classes",
    "write_classes",
]
