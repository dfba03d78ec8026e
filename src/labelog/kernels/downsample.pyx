"""Labels at half the resolution: of each window of voxels the label that most of them have.

A window is 1 or 2 voxels along each axis, so it has voxels of up to four rows, which are walked side by side:

    row 0    7 7 7 7 7 7 0 0 | 0 9      between two windows in which a run ends all are alike, and one vote
    row 1    7 7 7 7 7 7 7 7 | 7 9      speaks for all of them
             ---------------   ---
    winner       7       7     0, 7 and 9: a vote of its own
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

from labelog.kernels.labels cimport Buffer, reserve
from labelog.kernels.runs cimport Runs, make, taken

import numpy as np

from labelog.errors import Invalid


def downsample(Runs runs, factors, extent=None):
    """The most frequent label of each window; of those that are equally frequent the smallest that is not background.

    Parameters
    ----------
    factors : 1 or 2, how many voxels of z, y, x a window has.
    extent : where the voxels along z, y, x end that count; by default all do. A window that reaches over them, or over
        a far face of odd length, is decided by those it has; one without any is background.

    Returns
    -------
    Runs with the palette of `runs`, each axis as long as there are windows.

    Raises Invalid for other factors, an extent beyond the box, or one within it if the palette has no background.
    """
    cdef Py_ssize_t fz, fy, fx, ez, ey, ex
    fz, fy, fx = factors
    ez, ey, ex = runs.shape if extent is None else extent
    if not all(f in (1, 2) for f in (fz, fy, fx)):
        raise Invalid(f"expected factors of 1 or 2 along z, y, x, found {tuple(factors)}")
    if not (0 <= ez <= runs.nz and 0 <= ey <= runs.ny and 0 <= ex <= runs.nx):
        raise Invalid(f"expected an extent within {runs.shape}, found {(ez, ey, ex)}")
    cdef Py_ssize_t nz = windows(runs.nz, fz), ny = windows(runs.ny, fy), nx = windows(runs.nx, fx)
    cdef Py_ssize_t z, y, z1, y1, row, wide = windows(ex, fx)
    cdef Buffer stops = [NULL, 0, 0], picks = [NULL, 0, 0]
    cdef uint32_t background = background_of(runs)
    if background == runs.labels.shape[0] and (windows(ez, fz), windows(ey, fy), wide) != (nz, ny, nx):
        raise Invalid(f"an extent of {(ez, ey, ex)} leaves windows empty, and the palette has no background for them")
    cdef uint32_t[::1] rows = np.empty(nz * ny + 1, np.uint32)
    cdef Walk walk
    rows[0] = 0
    try:
        with nogil:
            for z in range(nz):
                z1 = min(fz * z + fz, ez)
                for y in range(ny):
                    y1 = min(fy * y + fy, ey)
                    reserve(&stops, nx)
                    reserve(&picks, nx)
                    start(&walk, stops.at + stops.size, picks.at + picks.size)
                    for row in range(4):
                        if fz * z + row // 2 < z1 and row % 2 < y1 - fy * y:
                            join_in(&walk, runs, (fz * z + row // 2) * runs.ny + fy * y + row % 2)
                    if walk.rows:
                        vote_row(&walk, &runs.labels[0], &runs.stops[0], &runs.picks[0], fx, <uint32_t> ex,
                                 <uint32_t> wide)
                    if walk.rows == 0 or wide < nx:
                        emit(&walk, background, <uint32_t> nx)
                    stops.size += walk.size
                    picks.size += walk.size
                    rows[z * ny + y + 1] = <uint32_t> stops.size
        return make(nz, ny, nx, runs.labels, rows, taken(&stops), taken(&picks))
    finally:
        free(stops.at)
        free(picks.at)


cdef struct Walk:
    int rows                 # that take part: 1 to 4, or none
    size_t run[4]            # the one of each row that holds the next window's first voxel
    uint32_t *stops          # where the row that is made is written
    uint32_t *picks
    size_t size


cdef inline Py_ssize_t windows(Py_ssize_t voxels, Py_ssize_t factor) noexcept nogil:
    return (voxels + factor - 1) // factor


cdef uint32_t background_of(Runs runs) except? 0xFFFFFFFF:
    """The place of label 0 in the palette, or the palette's length."""
    found = np.flatnonzero(runs.palette == 0)
    return found[0] if found.size else runs.labels.shape[0]


cdef inline void start(Walk *walk, uint32_t *stops, uint32_t *picks) noexcept nogil:
    walk.rows = 0
    walk.size = 0
    walk.stops = stops
    walk.picks = picks


cdef inline void join_in(Walk *walk, Runs runs, Py_ssize_t row) noexcept nogil:
    walk.run[walk.rows] = runs.rows[row]
    walk.rows += 1


cdef inline void emit(Walk *walk, uint32_t pick, uint32_t stop) noexcept nogil:
    """Windows up to `stop` have this label."""
    if walk.size and walk.picks[walk.size - 1] == pick:
        walk.size -= 1
    walk.stops[walk.size] = stop
    walk.picks[walk.size] = pick
    walk.size += 1


cdef void vote_row(Walk *walk, const uint64_t *labels, const uint32_t *stops, const uint32_t *picks, Py_ssize_t fx,
                   uint32_t ex, uint32_t wide) noexcept nogil:
    """A row of windows: those in which no run ends, up to the next one in which a run does, then that one."""
    cdef uint32_t cast[8]
    cdef uint32_t x = 0, first, nearest
    cdef int k, n = walk.rows
    cdef size_t run
    while x < wide:
        nearest = ex
        for k in range(n):
            cast[k] = picks[walk.run[k]]
            nearest = min(nearest, stops[walk.run[k]])
        first = wide if nearest == ex else nearest // fx
        if first > x:
            emit(walk, winner(cast, n, labels), first)
            x = first
        else:                                   # of two voxels, between which a run ends
            first = 2 * x + 1
            for k in range(n):
                run = walk.run[k]
                cast[n + k] = picks[run + (stops[run] == first)]
            x += 1
            emit(walk, winner(cast, 2 * n, labels), x)
        if x < wide:
            for k in range(n):
                while stops[walk.run[k]] <= x * fx:
                    walk.run[k] += 1


cdef inline uint32_t winner(const uint32_t *cast, int n, const uint64_t *labels) noexcept nogil:
    """The entry of the palette that most of n votes are for."""
    cdef uint32_t one = cast[0], other = one, best
    cdef int i, k, ones = 0, others = 0, count, most = 0
    for i in range(n):
        if cast[i] != one:
            other = cast[i]
    for i in range(n):
        ones += cast[i] == one
        others += cast[i] == other
    if ones == n:
        return one
    if ones + others == n:                      # two labels, as nearly everywhere
        return one if ones > others or (ones == others and ahead(labels[one], labels[other])) else other
    best = one
    for i in range(n):
        count = 0
        for k in range(n):
            count += cast[k] == cast[i]
        if count > most or (count == most and ahead(labels[cast[i]], labels[best])):
            best = cast[i]
            most = count
    return best


cdef inline bint ahead(uint64_t one, uint64_t other) noexcept nogil:
    """Which of two labels is taken where votes are equal: the smaller, but background last."""
    return one != 0 and (other == 0 or one < other)
