"""The surface of an object as triangles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelog.engine.snapshot import Revision, Snapshot, View
from labelog.engine.values import checked_count, checked_object
from labelog.engine.volume import Volume
from labelog.errors import Invalid, NotFound
from labelog.extras import extra
from labelog.geometry import Box

LIMIT = 2**24


class Mesh(NamedTuple):
    """A closed surface.

    Attributes
    ----------
    vertices : float32, (n, 3): z, y, x in the volume's unit, from the corner of its first voxel.
    faces : uint32, (m, 3): triangles of vertices, counter-clockwise as seen from outside.
    scale : the number of the scale whose voxels it encloses; 0 is the finest.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    scale: int


def mesh(seen: Any, label: int, *, limit: int = LIMIT) -> Mesh:
    """The surface of an object, or of what has this value in a view.

    It is taken at the finest scale, from that of `seen` on, at which the bounds of the object have at most `limit`
    voxels; details that are smaller than a voxel of that scale are lost.

    Parameters
    ----------
    seen : a volume (as it is now), snapshot or view.
    label : of an object; in the view `semantic` the id of a class, whose bounds are those of the volume.
    limit : how many voxels are looked at; about 5 bytes of memory are needed for each, and more for the mesh.

    An object without voxels there has a mesh without vertices.

    Raises NotFound for a label or class that is not there, Invalid (with `limit`) if it does not fit at the coarsest
    scale, for what is no volume, and for a view with `unannotated`; Unsupported without the extra `meshes`; Corrupt
    (naming the chunk) for damaged bytes.

    Notes
    -----
    Marching cubes, by zmesh: Lorensen, W. E. and Cline, H. E. (1987), Computer Graphics 21, 163-169.
    """
    zmesh = extra("zmesh", "meshes")
    value = checked_object(label)
    level, box = placed(seen, value, limit)
    mesher = zmesh.Mesher(level.voxel_size[::-1])
    mesher.mesh(_mask(level, value, box).T)
    if not mesher.ids():
        return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32), level.number)
    found = mesher.get(1, normals=False, reduction_factor=0, voxel_centered=True)
    corner = (np.array(box.start) - 1) * level.voxel_size
    vertices = (found.vertices[:, ::-1] + corner).astype(np.float32)
    return Mesh(vertices, np.ascontiguousarray(found.faces[:, ::-1]), level.number)  # turned over, as the axes are


def placed(seen: Any, label: int, limit: int = LIMIT) -> tuple[View, Box]:
    """At which scale the surface of an object is taken, and its bounds there, without voxels if it has none.

    Raises as `mesh`.
    """
    revision = seen.at() if isinstance(seen, Volume) else seen
    if not isinstance(revision, Revision) or not revision._is_mapped:
        raise Invalid(f"a mesh is of a volume, snapshot or view, and of labels as they are; not of {revision!r}")
    bounds, limit = _bounds(revision, checked_object(label)), checked_count("limit", limit)
    for level in revision.scales[revision.number :]:
        (z0, y0, x0), (z1, y1, x1), (fz, fy, fx) = *bounds, level.factors
        box = Box((z0 // fz, y0 // fy, x0 // fx), (-(-z1 // fz), -(-y1 // fy), -(-x1 // fx)))
        if box.voxels <= limit:
            return level, box
    raise Invalid(f"label {label} has bounds of {box.voxels} voxels at the coarsest scale, {level.number}; "
                  f"a mesh takes {limit} at most", limit=limit, voxels=box.voxels, box=bounds)  # fmt: skip


def _bounds(seen: Revision, value: int) -> Box:
    """A box, in voxels of the finest scale, that holds all of a value. Raises NotFound."""
    snapshot = seen if isinstance(seen, Snapshot) else seen.snapshot if isinstance(seen, View) else seen.volume.at()
    if seen.name == "semantic":
        if value not in {known.id for known in snapshot.classes.values()}:
            raise NotFound(f"there is no class {value} at revision {seen.revision}")
        return Box((0, 0, 0), seen.volume.shape)
    found = snapshot.labels[value]
    extent = found.own if seen.name in ("instance", "fragment") else found.whole
    return extent.box or Box((0, 0, 0), (0, 0, 0))


def _mask(level: View, value: int, box: Box) -> NDArray[np.uint8]:
    """Where a value is in a box: 1, else 0, as it is in the voxels around the box."""
    z, y, x = box.shape
    mask = np.zeros((z + 2, y + 2, x + 2), np.uint8)
    inside = mask[1:-1, 1:-1, 1:-1]
    for chunk, part in level.grid.touching(box):
        runs, values = level.valued(chunk)
        wanted = (values == value).astype(np.uint8)
        if wanted.any():
            start = part.relative(level.grid.origin(chunk)).start
            runs.fill(inside[part.relative(box.start).slices()], start, wanted)
    return mask
