"""PLY, binary: surfaces as Blender, MeshLab, trimesh and others read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = """\
ply
format binary_little_endian 1.0
comment {comment}
element vertex {vertices}
property float x
property float y
property float z
element face {faces}
property list uchar uint vertex_indices
end_header
"""

FACE = np.dtype([("corners", "u1"), ("vertices", "<u4", 3)])


def to_ply(vertices: NDArray[Any], faces: NDArray[Any], comment: str) -> bytes:
    """A file's bytes.

    Parameters
    ----------
    vertices : (n, 3), x, y, z.
    faces : (m, 3), the vertices of triangles, counter-clockwise as seen from outside.
    comment : one line of ASCII.
    """
    header = HEADER.format(comment=comment, vertices=len(vertices), faces=len(faces))
    listed = np.empty(len(faces), FACE)
    listed["corners"], listed["vertices"] = 3, faces
    return header.encode("ascii") + vertices.astype("<f4").tobytes() + listed.tobytes()
