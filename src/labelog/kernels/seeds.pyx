"""A mask divided among seeds: each voxel goes to the seed that is nearest along ways inside the mask."""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free

from labelog.kernels.labels cimport grow

import numpy as np

from labelog.errors import Invalid


# The voxels at one distance from the seeds, as flat indices.
cdef struct Front:
    int64_t *at
    size_t size
    size_t capacity


def nearest_seed(const uint8_t[:, :, ::1] mask, int32_t[:, :, ::1] seeds):
    """Give each voxel of a mask the number of the seed that reaches it first, through faces, inside the mask.

    All seeds grow at one pace, one voxel at a time (breadth-first, Moore 1959); of those that reach a voxel at the
    same time the lowest number has it.

    Parameters
    ----------
    mask : uint8 (z, y, x), C order; voxels other than 0 are divided.
    seeds : int32, as large; changed in place. The number of the seed, 1 or more, where there is one, 0 elsewhere.

    Afterwards `seeds` is 0 outside the mask, also where a seed was, and in parts of the mask that no seed reaches.

    Raises Invalid for arrays of different shapes and for a negative number; then nothing was changed.
    """
    cdef Py_ssize_t nz = mask.shape[0], ny = mask.shape[1], nx = mask.shape[2]
    cdef int64_t i, n = nz * ny * nx, wrong = -1
    cdef Front front = [NULL, 0, 0], beyond = [NULL, 0, 0]
    cdef const uint8_t *inside
    cdef int32_t *number
    if seeds.shape[0] != nz or seeds.shape[1] != ny or seeds.shape[2] != nx:
        raise Invalid(f"expected seeds of shape {(nz, ny, nx)} as the mask, "
                      f"found {(seeds.shape[0], seeds.shape[1], seeds.shape[2])}")
    if n == 0:
        return
    inside, number = &mask[0, 0, 0], &seeds[0, 0, 0]
    try:
        with nogil:
            for i in range(n):
                if number[i] < 0:
                    wrong = i
                    break
            if wrong < 0:
                for i in range(n):
                    if not inside[i]:
                        number[i] = 0
                    elif number[i]:
                        append(&front, i)
                while front.size:
                    advance(&front, &beyond, inside, number, nz, ny, nx)
                    front, beyond = beyond, front
    finally:
        free(front.at)
        free(beyond.at)
    if wrong >= 0:
        raise Invalid(f"seeds must be 0 or more, found {number[wrong]} at voxel "
                      f"{tuple(map(int, np.unravel_index(wrong, (nz, ny, nx))))}")


cdef int advance(Front *front, Front *beyond, const uint8_t *inside, int32_t *number,
                 Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx) except -1 nogil:
    """Give the voxels one step further to the least of the seeds that reach them.

    A voxel that was reached in this step has a number below 0 until the step is over: only such a one can still go to
    a lower seed.
    """
    cdef size_t k
    cdef int64_t i, plane = ny * nx, in_plane, x
    beyond.size = 0
    for k in range(front.size):
        i = front.at[k]
        in_plane = i % plane
        x = in_plane % nx
        if i >= plane:
            reach(beyond, inside, number, i - plane, number[i])
        if i + plane < nz * plane:
            reach(beyond, inside, number, i + plane, number[i])
        if in_plane >= nx:
            reach(beyond, inside, number, i - nx, number[i])
        if in_plane + nx < plane:
            reach(beyond, inside, number, i + nx, number[i])
        if x:
            reach(beyond, inside, number, i - 1, number[i])
        if x + 1 < nx:
            reach(beyond, inside, number, i + 1, number[i])
    for k in range(beyond.size):
        number[beyond.at[k]] = -number[beyond.at[k]]
    return 0


cdef inline int reach(Front *beyond, const uint8_t *inside, int32_t *number, int64_t i, int32_t seed) except -1 nogil:
    if not inside[i] or number[i] > 0:
        return 0
    if number[i] == 0:
        append(beyond, i)
        number[i] = -seed
    elif number[i] < -seed:
        number[i] = -seed
    return 0


cdef inline int append(Front *front, int64_t i) except -1 nogil:
    if front.size == front.capacity:
        grow(<void **> &front.at, &front.capacity, front.size + 1024, sizeof(int64_t))
    front.at[front.size] = i
    front.size += 1
    return 0
