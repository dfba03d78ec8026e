"""The distance of each voxel of a plane to the nearest voxel of a shape, exact.

Along rows first; then along columns, where each voxel contributes a parabola and the lowest one counts (Felzenszwalb
and Huttenlocher, Distance Transforms of Sampled Functions, Theory of Computing 8, 2012).
"""

from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc

from labelog.kernels.runs cimport Runs

import numpy as np

from labelog.errors import Invalid


def squared_distances(Runs plane, spacing):
    """Of each voxel of a plane the squared distance to the nearest voxel that is not 0.

    Parameters
    ----------
    plane : Runs (1, n, m).
    spacing : how far voxels lie apart, along rows' order and within rows: two numbers above 0.

    Returns
    -------
    float64 (n, m): 0 at voxels that are not 0, infinite where there are none.
    """
    cdef Py_ssize_t n = plane.ny, m = plane.nx, y, x
    cdef double step, along
    cdef double *column = NULL
    cdef double *cuts = NULL
    cdef Py_ssize_t *low = NULL
    step, along = spacing
    if plane.nz != 1 or not (0 < step < INFINITY and 0 < along < INFINITY):
        raise Invalid(f"expected one plane and two lengths above 0, found {plane.shape} and {tuple(spacing)}")
    out_array = np.empty((n, m), np.float64)
    cdef double[:, ::1] out = out_array
    try:
        column = <double *> malloc(n * sizeof(double))
        cuts = <double *> malloc((n + 1) * sizeof(double))
        low = <Py_ssize_t *> malloc(n * sizeof(Py_ssize_t))
        if column == NULL or cuts == NULL or low == NULL:
            raise MemoryError(f"no memory for a column of {n} voxels")
        with nogil:
            for y in range(n):
                along_row(plane, y, along, &out[y, 0])
            for x in range(m):
                for y in range(n):
                    column[y] = out[y, x]
                along_column(column, n, step * step, low, cuts, &out[0, x], m)
        return out_array
    finally:
        free(column)
        free(cuts)
        free(low)


cdef void along_row(Runs plane, Py_ssize_t y, double along, double *out) noexcept nogil:
    """Squared distances to the nearest voxel of the same row."""
    cdef size_t i
    cdef Py_ssize_t x, start, stop = 0, before = -1, nx = plane.nx, far
    for i in range(plane.rows[y], plane.rows[y + 1]):
        start, stop = stop, <Py_ssize_t> plane.stops[i]
        if plane.labels[plane.picks[i]] != 0:
            for x in range(start, stop):
                out[x] = 0
            before = stop - 1
            continue
        for x in range(start, stop):                   # between `before` and `stop`; -1 and nx are no voxels
            far = nx
            if before >= 0:
                far = x - before
            if stop < nx:
                far = min(far, stop - x)
            out[x] = INFINITY if far == nx else (far * along) * (far * along)


cdef void along_column(const double *column, Py_ssize_t n, double square, Py_ssize_t *low, double *cuts,
                       double *out, Py_ssize_t step) noexcept nogil:
    """min over v of column[v] + square * (y - v)^2, for each y.

    low[k] are the parabolas of the lower envelope, from left to right; the k-th is lowest from cuts[k] to cuts[k + 1].
    """
    cdef Py_ssize_t k = -1, v, y
    cdef double cut = 0
    for v in range(n):
        if column[v] == INFINITY:
            continue
        while k >= 0:
            cut = 0.5 * (v + low[k] + (column[v] - column[low[k]]) / (square * (v - low[k])))
            if cut > cuts[k]:
                break
            k -= 1
        k += 1
        low[k] = v
        cuts[k] = cut if k else -INFINITY
        cuts[k + 1] = INFINITY
    if k < 0:
        return                                         # all infinite, as they are
    k = 0
    for y in range(n):
        while cuts[k + 1] < y:
            k += 1
        out[y * step] = column[low[k]] + square * (y - low[k]) * (y - low[k])
