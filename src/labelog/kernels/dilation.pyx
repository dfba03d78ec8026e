"""Dilation of a solid by a ball, row by row.

What a row has after it comes from the rows within the ball's reach, each widened by the ball's chord there:

            dz, dy                  chord                     far (of the row that is made)
    row     -1, 0     ...####...    1        ..######...      where an interval begins, how far the longest one
    row      0, 0     .......###    2        .....#####       that begins there goes; from left to right that is
    row      0, 1     ##........    1        ###.......       their union, and nothing has to be sorted

Exact for any solid that is symmetric, convex and cut by rows in chords, as are balls in voxels of any size.
"""

from libc.stdint cimport int32_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

from labelog.kernels.labels cimport Buffer, reserve
from labelog.kernels.runs cimport Runs, make, taken

import numpy as np

from labelog.errors import Invalid


# The chords of the ball at dz from -high to high and dy from -wide to wide.
cdef struct Ball:
    const int32_t *chord
    Py_ssize_t high
    Py_ssize_t wide


# The intervals of consecutive planes.
cdef struct Rows:
    uint32_t *first          # of each row, and of the one beyond
    uint32_t *start
    uint32_t *stop
    Py_ssize_t *low          # of each plane, the first row that has any, and the one after the last
    Py_ssize_t *high


def dilated(Runs solid, chords, Py_ssize_t z0, Py_ssize_t z1):
    """Some planes of a solid after its dilation.

    Parameters
    ----------
    solid : not 0 where it is solid.
    chords : int32 (2 * a + 1, 2 * b + 1): half the length of the ball's chord along x, without the middle, at dz from
        -a to a and dy from -b to b; -1 where it has none. So [[0]] is one voxel, and changes nothing.
    z0, z1 : the planes, half-open.

    Returns
    -------
    Runs (z1 - z0, ny, nx): 1 where a voxel of the solid is within the ball around it, 0 elsewhere.
    """
    chords = np.asarray(chords)
    if chords.ndim != 2 or chords.shape[0] % 2 == 0 or chords.shape[1] % 2 == 0:
        raise Invalid(f"expected chords at dz and dy from -a to a and -b to b, found an array of shape {chords.shape}")
    if not 0 <= z0 < z1 <= solid.nz:
        raise Invalid(f"expected planes of 0:{solid.nz}, found {z0}:{z1}")
    cdef const int32_t[:, ::1] chord = np.ascontiguousarray(np.minimum(chords, solid.nx), np.int32)
    cdef Ball ball = [&chord[0, 0], chord.shape[0] // 2, chord.shape[1] // 2]
    cdef Py_ssize_t first = max(0, z0 - ball.high), last = min(solid.nz, z1 + ball.high), z, y
    cdef Rows rows = [NULL, NULL, NULL, NULL, NULL]
    cdef uint32_t *far = NULL
    cdef Buffer stops = [NULL, 0, 0], picks = [NULL, 0, 0]
    cdef uint32_t[::1] offsets = np.zeros((z1 - z0) * solid.ny + 1, np.uint32)
    try:
        far = <uint32_t *> calloc(solid.nx, sizeof(uint32_t))
        if far == NULL:
            raise MemoryError(f"no memory for a row of {solid.nx} voxels")
        with nogil:
            open_rows(&rows, solid, first, last)
            for z in range(z0, z1):
                for y in range(solid.ny):
                    make_row(&rows, &ball, z - first, y, last - first, solid.ny, <uint32_t> solid.nx, far, &stops,
                             &picks)
                    offsets[(z - z0) * solid.ny + y + 1] = <uint32_t> stops.size
        return make(z1 - z0, solid.ny, solid.nx, np.array([0, 1], np.uint64), offsets, taken(&stops), taken(&picks))
    finally:
        free(far)
        free(rows.first)
        free(rows.start)
        free(rows.stop)
        free(rows.low)
        free(rows.high)
        free(stops.at)
        free(picks.at)


cdef int open_rows(Rows *rows, Runs solid, Py_ssize_t first, Py_ssize_t last) except -1 nogil:
    """The intervals of planes first:last."""
    cdef Py_ssize_t begin = first * solid.ny, count = (last - first) * solid.ny, r
    cdef size_t i, n = solid.rows[begin + count] - solid.rows[begin]
    cdef Py_ssize_t z
    cdef uint32_t size = 0
    rows.first = <uint32_t *> malloc((count + 1) * sizeof(uint32_t))
    rows.start = <uint32_t *> malloc(n * sizeof(uint32_t))
    rows.stop = <uint32_t *> malloc(n * sizeof(uint32_t))
    rows.low = <Py_ssize_t *> malloc((last - first) * sizeof(Py_ssize_t))
    rows.high = <Py_ssize_t *> malloc((last - first) * sizeof(Py_ssize_t))
    if rows.first == NULL or rows.start == NULL or rows.stop == NULL or rows.low == NULL or rows.high == NULL:
        with gil:
            raise MemoryError(f"no memory for {n} runs")
    for z in range(last - first):
        rows.low[z], rows.high[z] = solid.ny, 0
        for r in range(z * solid.ny, (z + 1) * solid.ny):
            rows.first[r] = size
            for i in range(solid.rows[begin + r], solid.rows[begin + r + 1]):
                if solid.labels[solid.picks[i]] != 0:
                    rows.start[size] = solid.stops[i - 1] if i > solid.rows[begin + r] else 0
                    rows.stop[size] = solid.stops[i]
                    size += 1
            if size > rows.first[r]:
                rows.low[z] = min(rows.low[z], r - z * solid.ny)
                rows.high[z] = r - z * solid.ny + 1
    rows.first[count] = size
    return 0


cdef int make_row(const Rows *rows, const Ball *ball, Py_ssize_t z, Py_ssize_t y, Py_ssize_t nz, Py_ssize_t ny,
                  uint32_t nx, uint32_t *far, Buffer *stops, Buffer *picks) except -1 nogil:
    """Append row (z, y) of the dilation. `far` is all 0, before and after."""
    cdef Py_ssize_t away, from_z, from_y
    cdef const int32_t *chord
    cdef size_t i, begin = stops.size
    cdef uint32_t c, a, b, lo = nx, hi = 0, goes = 0, start = 0, x
    for away in range(2 * ball.high + 1):              # the planes z, z - 1, z + 1, z - 2, ...
        from_z = z + (away // 2 if away % 2 == 0 else -(away + 1) // 2)
        if not 0 <= from_z < nz or far[0] == nx:       # a row that is full stays so
            continue
        chord = ball.chord + (from_z - z + ball.high) * (2 * ball.wide + 1) + ball.wide - y
        for from_y in range(max(y - ball.wide, rows.low[from_z]), min(y + ball.wide + 1, rows.high[from_z])):
            if chord[from_y] < 0:
                continue
            c = <uint32_t> chord[from_y]
            for i in range(rows.first[from_z * ny + from_y], rows.first[from_z * ny + from_y + 1]):
                a = rows.start[i] - c if rows.start[i] > c else 0
                b = rows.stop[i] + c if rows.stop[i] < nx - c else nx
                far[a] = max(far[a], b)
                lo, hi = min(lo, a), max(hi, a)
    for x in range(lo, hi + 1 if lo < nx else lo):
        if far[x] > goes:
            if x > goes:
                if goes:
                    add_interval(stops, picks, begin, start, goes)
                start = x
            goes = far[x]
        far[x] = 0
    if goes:
        add_interval(stops, picks, begin, start, goes)
    return end_row(stops, picks, begin, nx)


cdef int add_interval(Buffer *stops, Buffer *picks, size_t first, uint32_t start, uint32_t stop) except -1 nogil:
    """Append start:stop to a row whose runs begin at `first`; it begins at the end of the one before, or after it."""
    cdef uint32_t before = 0
    if stops.size > first:
        before = stops.at[stops.size - 1]
        if before == start:
            stops.at[stops.size - 1] = stop
            return 0
    reserve(stops, 2)
    reserve(picks, 2)
    if start > before:
        stops.at[stops.size], picks.at[picks.size] = start, 0
        stops.size += 1
        picks.size += 1
    stops.at[stops.size], picks.at[picks.size] = stop, 1
    stops.size += 1
    picks.size += 1
    return 0


cdef int end_row(Buffer *stops, Buffer *picks, size_t first, uint32_t nx) except -1 nogil:
    """Append what is left of a row: 0."""
    if stops.size > first and stops.at[stops.size - 1] == nx:
        return 0
    reserve(stops, 1)
    reserve(picks, 1)
    stops.at[stops.size], picks.at[picks.size] = nx, 0
    stops.size += 1
    picks.size += 1
    if stops.size > 0xFFFFFFFFU:
        with gil:
            raise Invalid("expected a box of fewer than 2^32 runs, found more")
    return 0
