"""What a fill may take of a box of runs.

    runs      aaaabbbbbbaaccccaaaa         opened({a, c}, 2:16)
    opened    ..####......######....
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

from labelog.kernels.labels cimport Buffer, reserve
from labelog.kernels.runs cimport Runs, make, taken

import numpy as np

from labelog.errors import Invalid
from labelog.kernels.spans import check_within

cdef const uint64_t[::1] SHUT_OPEN = np.arange(2, dtype=np.uint64)


def opened(Runs runs, chosen, start, size):
    """1 where the label is chosen and the voxel lies in a box, 0 elsewhere: Runs of the same extent.

    Parameters
    ----------
    chosen : bool, one for each entry of the palette.
    start, size : the box, (z, y, x) and (dz, dy, dx), within the runs.
    """
    cdef const uint8_t[::1] take = np.ascontiguousarray(chosen, bool).view(np.uint8)
    cdef Py_ssize_t z0, y0, x0, dz, dy, dx, z, y, r = 0, nx = runs.nx
    cdef Buffer stops = [NULL, 0, 0], picks = [NULL, 0, 0]
    cdef uint32_t[::1] rows = np.zeros(runs.nz * runs.ny + 1, np.uint32)
    (z0, y0, x0), (dz, dy, dx) = start, size
    check_within(runs.shape, start, size)
    if take.shape[0] != runs.labels.shape[0]:
        raise Invalid(f"expected {runs.labels.shape[0]} entries, found {take.shape[0]}")
    try:
        with nogil:
            for z in range(runs.nz):
                for y in range(runs.ny):
                    reserve(&stops, runs.rows[r + 1] - runs.rows[r] + 2)
                    reserve(&picks, runs.rows[r + 1] - runs.rows[r] + 2)
                    if z0 <= z < z0 + dz and y0 <= y < y0 + dy and dx > 0:
                        open_row(runs, r, &take[0], <uint32_t> x0, <uint32_t> (x0 + dx), &stops, &picks)
                    if stops.size == rows[r] or stops.at[stops.size - 1] < nx:
                        append(&stops, &picks, rows[r], <uint32_t> nx, 0)
                    r += 1
                    rows[r] = <uint32_t> stops.size
        return make(runs.nz, runs.ny, nx, SHUT_OPEN, rows, taken(&stops), taken(&picks))
    finally:
        free(stops.at)
        free(picks.at)


cdef inline void open_row(Runs runs, Py_ssize_t r, const uint8_t *take, uint32_t x0, uint32_t x1,
                          Buffer *stops, Buffer *picks) noexcept nogil:
    """The runs of a row within x0:x1, and what is before."""
    cdef size_t i, first = stops.size
    cdef uint32_t stop
    if x0:
        append(stops, picks, first, x0, 0)
    for i in range(runs.rows[r], runs.rows[r + 1]):
        if runs.stops[i] > x0:
            stop = min(runs.stops[i], x1)
            append(stops, picks, first, stop, take[runs.picks[i]] != 0)
            if stop == x1:
                break


cdef inline void append(Buffer *stops, Buffer *picks, size_t first, uint32_t stop, uint32_t pick) noexcept nogil:
    """One more run of a row whose runs begin at `first`, or a longer one; there is room."""
    if stops.size > first and picks.at[picks.size - 1] == pick:
        stops.at[stops.size - 1] = stop
        return
    stops.at[stops.size] = stop
    picks.at[picks.size] = pick
    stops.size += 1
    picks.size += 1
