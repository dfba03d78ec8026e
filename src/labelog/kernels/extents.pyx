"""How many voxels labels of a box have, and where they are."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from labelog.kernels.labels cimport Table, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, keys_in_order
from labelog.kernels.spans cimport Delta

import numpy as np


def extents(Runs runs, const uint8_t[::1] chosen):
    """Voxels and bounds of some entries of a palette, in one walk over the runs.

    Parameters
    ----------
    chosen : not 0 for each entry of the palette that is to be counted.

    Returns
    -------
    voxels : uint64 (labels,); 0 for entries that were not chosen.
    bounds : uint32 (labels, 6): z0, y0, x0, z1, y1, x1, half-open; of an entry without voxels all 0.
    """
    cdef Py_ssize_t n = runs.labels.shape[0], z, y, row
    cdef size_t i, label
    cdef uint32_t start, stop
    if chosen.shape[0] != n:
        raise ValueError(f"expected a choice for {n} labels, found {chosen.shape[0]}")
    voxels_array, bounds_array = np.zeros(n, np.uint64), np.zeros((n, 6), np.uint32)
    cdef uint64_t[::1] voxels = voxels_array
    cdef uint32_t[:, ::1] bounds = bounds_array
    with nogil:
        for z in range(runs.nz):
            for y in range(runs.ny):
                row = z * runs.ny + y
                for i in range(runs.rows[row], runs.rows[row + 1]):
                    label = runs.picks[i]
                    if not chosen[label]:
                        continue
                    start = runs.stops[i - 1] if i > runs.rows[row] else 0
                    stop = runs.stops[i]
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
    return voxels_array, bounds_array


def exchanged(Delta delta, shape):
    """What labels gain and lose by a delta: a dictionary of label -> (gained, its bounds, lost, its bounds).

    Bounds are (z0, y0, x0, z1, y1, x1), half-open, in a box of `shape` (nz, ny, nx); all 0 of no voxels. Spans that
    keep their label are not counted, nor is label 0.
    """
    cdef Py_ssize_t ny, nx, n = delta.starts.shape[0], i
    cdef Table table = [NULL, NULL, 0, 0]
    cdef Tally *tallies = NULL
    cdef Tally *t
    cdef size_t capacity = 0, k
    cdef int side
    cdef uint64_t label
    _, ny, nx = shape
    found = {}
    try:
        with nogil:
            table_open(&table, 16)
            for i in range(n):
                if delta.olds[i] == delta.news[i]:
                    continue
                for side in range(2):
                    label = delta.olds[i] if side else delta.news[i]
                    if label == 0:
                        continue
                    k = <size_t> table_add(&table, label)
                    if k >= capacity:
                        capacity = grown(&tallies, capacity)
                    t = &tallies[2 * k + side]
                    stretch(t, delta.starts[i], delta.stops[i], ny, nx)
        labels = keys_in_order(&table).tolist()
        for k in range(table.used):
            found[labels[k]] = (*shown(&tallies[2 * k]), *shown(&tallies[2 * k + 1]))
        return found
    finally:
        table_close(&table)
        free(tallies)


cdef struct Tally:
    uint64_t voxels
    uint32_t low[3]
    uint32_t high[3]


cdef size_t grown(Tally **tallies, size_t capacity) except 0 nogil:
    """Room for twice as many labels; the new tallies are 0."""
    cdef size_t wanted = 2 * capacity if capacity else 16
    cdef Tally *moved = <Tally *> realloc(tallies[0], 2 * wanted * sizeof(Tally))
    if moved == NULL:
        with gil:
            raise MemoryError(f"no memory for the counts of {wanted} labels")
    memset(&moved[2 * capacity], 0, 2 * (wanted - capacity) * sizeof(Tally))
    tallies[0] = moved
    return wanted


cdef inline void stretch(Tally *t, uint32_t start, uint32_t stop, Py_ssize_t ny, Py_ssize_t nx) noexcept nogil:
    """Count a span. One that goes on into other rows takes up all of x, and of y if it goes on into other planes."""
    cdef Py_ssize_t row0 = start // nx, row1 = (stop - 1) // nx
    cdef Py_ssize_t z0 = row0 // ny, z1 = row1 // ny
    if row0 == row1:
        widen(t, 2, start - row0 * nx, stop - row0 * nx)
    else:
        widen(t, 2, 0, nx)
    if z0 == z1:
        widen(t, 1, row0 - z0 * ny, row1 - z0 * ny + 1)
    else:
        widen(t, 1, 0, ny)
    widen(t, 0, z0, z1 + 1)
    t.voxels += stop - start


cdef inline void widen(Tally *t, int axis, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    if t.voxels == 0 or low < <Py_ssize_t> t.low[axis]:
        t.low[axis] = <uint32_t> low
    if high > <Py_ssize_t> t.high[axis]:
        t.high[axis] = <uint32_t> high


cdef shown(Tally *t):
    return t.voxels, (t.low[0], t.low[1], t.low[2], t.high[0], t.high[1], t.high[2])
