"""How many voxels each label of a box has, and where they are."""

from libc.stdint cimport uint32_t, uint64_t

from labelog.kernels.runs cimport Runs

import numpy as np


def extents(Runs runs):
    """Voxels and bounds of each entry of a palette, in one walk over the runs.

    Returns
    -------
    voxels : uint64 (labels,).
    bounds : uint32 (labels, 6): z0, y0, x0, z1, y1, x1, half-open; of an entry without voxels all 0.
    """
    cdef Py_ssize_t n = runs.labels.shape[0], z, y, row
    cdef size_t i, label
    cdef uint32_t start, stop
    voxels_array, bounds_array = np.zeros(n, np.uint64), np.zeros((n, 6), np.uint32)
    cdef uint64_t[::1] voxels = voxels_array
    cdef uint32_t[:, ::1] bounds = bounds_array
    with nogil:
        for z in range(runs.nz):
            for y in range(runs.ny):
                row = z * runs.ny + y
                start = 0
                for i in range(runs.rows[row], runs.rows[row + 1]):
                    stop = runs.stops[i]
                    label = runs.picks[i]
                    if voxels[label] == 0:      # z ascends: the first row sets z0, the last one z1
                        bounds[label, 0] = <uint32_t> z
                        bounds[label, 1] = bounds[label, 4] = <uint32_t> y
                        bounds[label, 2] = start
                    voxels[label] += stop - start
                    bounds[label, 3] = <uint32_t> (z + 1)
                    if y < bounds[label, 1]:
                        bounds[label, 1] = <uint32_t> y
                    if y >= bounds[label, 4]:
                        bounds[label, 4] = <uint32_t> (y + 1)
                    if start < bounds[label, 2]:
                        bounds[label, 2] = start
                    if stop > bounds[label, 5]:
                        bounds[label, 5] = stop
                    start = stop
    return voxels_array, bounds_array
