"""Solids: the shape of an object as one box of runs, put together from chunks, turned, and cut into chunks again.

A solid has the label 1 where the object is and 0 elsewhere. Boxes are turned so that slices along any axis are planes:

    axis 0    planes (y, x)     as it is
    axis 1    planes (z, x)     rows change places: `swapped`
    axis 2    planes (z, y)     runs along y instead of x: `transposed`, then `swapped`
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from labelog.kernels.runs cimport Runs, make, run_at
from labelog.kernels.spans cimport Pieces, push, release, spans_of

import numpy as np

from labelog.errors import Invalid


# Together

def gathered(shape, parts, starts):
    """Boxes of runs put together in one box: 1 where any of them is not 0.

    Parameters
    ----------
    shape : (nz, ny, nx) of the box.
    parts : Runs, none over another; of those in one row, that with the lower x comes first.
    starts : where each one's first voxel is in the box, (z, y, x). They may reach over it, and are cut there.

    Raises Invalid if that would be 2^32 runs or more.
    """
    cdef Py_ssize_t nz, ny, nx, r, z, y, x
    cdef Runs part
    nz, ny, nx = shape
    check_shape(nz, ny, nx)
    cdef uint64_t[::1] first = np.zeros(nz * ny + 1, np.uint64)     # where each row's borders begin: there is room
    cdef uint64_t[::1] last = np.empty(nz * ny, np.uint64)          # where they end so far
    for part, (z, y, x) in zip(parts, starts):
        with nogil:
            make_room(part, z, y, nz, ny, &first[1])
    with nogil:
        for r in range(nz * ny):
            last[r] = first[r]
            first[r + 1] += first[r]
    cdef uint32_t[::1] borders = np.empty(first[nz * ny] + 1, np.uint32)
    for part, (z, y, x) in zip(parts, starts):
        with nogil:
            append_borders(part, z, y, x, nz, ny, nx, &first[0], &last[0], &borders[0])
    return bordered(nz, ny, nx, first, last, borders)


cdef int check_shape(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx) except -1:
    if nz < 1 or ny < 1 or nx < 1 or nx > 0xFFFFFFFF:
        raise Invalid(f"the shape of a box must be three numbers of at least 1, not {(nz, ny, nx)}")
    return 0


cdef void make_room(Runs part, Py_ssize_t z0, Py_ssize_t y0, Py_ssize_t nz, Py_ssize_t ny,
                    uint64_t *room) noexcept nogil:
    """Add to the rows of a box how many borders a part has there at most: where each run begins, and at the end."""
    cdef Py_ssize_t z, y, row
    for z in range(max(0, z0), min(nz, z0 + part.nz)):
        for y in range(max(0, y0), min(ny, y0 + part.ny)):
            row = (z - z0) * part.ny + y - y0
            room[z * ny + y] += part.rows[row + 1] - part.rows[row] + 1


cdef void append_borders(Runs part, Py_ssize_t z0, Py_ssize_t y0, Py_ssize_t x0, Py_ssize_t nz, Py_ssize_t ny,
                         Py_ssize_t nx, const uint64_t *first, uint64_t *last, uint32_t *borders) noexcept nogil:
    """Append to the rows of a box where a part begins and ends to be something, by turns."""
    cdef const uint32_t *stops = &part.stops[0]
    cdef const uint32_t *picks = &part.picks[0]
    cdef const uint64_t *labels = &part.labels[0]
    cdef Py_ssize_t z, y, row, begin = max(0, x0), end = min(nx, x0 + part.nx), x
    cdef size_t i, at
    cdef bint inside, was
    if begin >= end:
        return
    for z in range(max(0, z0), min(nz, z0 + part.nz)):
        for y in range(max(0, y0), min(ny, y0 + part.ny)):
            row = (z - z0) * part.ny + y - y0
            at, x = last[z * ny + y], begin
            was = at > first[z * ny + y] and borders[at - 1] == <uint32_t> begin
            at -= was                                  # it goes on where the part before ended
            i = run_at(stops, part.rows[row], part.rows[row + 1], <uint32_t> (begin - x0))
            while x < end:
                inside = labels[picks[i]] != 0
                borders[at] = <uint32_t> x
                at += inside != was
                was = inside
                x = x0 + <Py_ssize_t> stops[i]
                i += 1
            borders[at] = <uint32_t> end
            last[z * ny + y] = at + was


cdef Runs bordered(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx, const uint64_t[::1] first, const uint64_t[::1] last,
                   const uint32_t[::1] borders):
    """The solid whose rows begin and end, by turns, at the borders first:last of each."""
    cdef uint64_t total = 0
    cdef size_t r, i, n = 0, count = nz * ny
    cdef uint32_t pick
    cdef uint32_t[::1] rows = np.zeros(count + 1, np.uint32)
    with nogil:
        for r in range(count):
            total += last[r] - first[r] + 1            # a run ends at each, and at the end; but none at 0, nor twice
            if last[r] > first[r]:
                total -= (borders[first[r]] == 0) + (borders[last[r] - 1] == <uint32_t> nx)
            rows[r + 1] = <uint32_t> total
    if total > 0xFFFFFFFFU:
        raise Invalid("expected a box of fewer than 2^32 runs, found more")
    cdef uint32_t[::1] stops = np.empty(total, np.uint32), picks = np.empty(total, np.uint32)
    with nogil:
        for r in range(count):
            pick = 0
            for i in range(first[r], last[r]):
                if borders[i]:
                    stops[n], picks[n] = borders[i], pick
                    n += 1
                pick ^= 1
            if n < rows[r + 1]:
                stops[n], picks[n] = <uint32_t> nx, 0
                n += 1
    return make(nz, ny, nx, np.array([0, 1], np.uint64), rows, stops, picks)


# Turned

def swapped(Runs runs):
    """The box with z and y exchanged: (ny, nz, nx)."""
    cdef Py_ssize_t z, y, r
    cdef size_t n, size = 0
    cdef uint32_t[::1] rows = np.zeros(runs.rows.shape[0], np.uint32)
    cdef uint32_t[::1] stops = np.empty(runs.stops.shape[0], np.uint32)
    cdef uint32_t[::1] picks = np.empty(runs.stops.shape[0], np.uint32)
    with nogil:
        for y in range(runs.ny):
            for z in range(runs.nz):
                r = z * runs.ny + y
                n = runs.rows[r + 1] - runs.rows[r]
                memcpy(&stops[size], &runs.stops[runs.rows[r]], n * sizeof(uint32_t))
                memcpy(&picks[size], &runs.picks[runs.rows[r]], n * sizeof(uint32_t))
                size += n
                rows[y * runs.nz + z + 1] = <uint32_t> size
    return make(runs.ny, runs.nz, runs.nx, runs.labels, rows, stops, picks)


def transposed(Runs runs):
    """The box with y and x exchanged: (nz, nx, ny).

    A run along y ends where a row differs from the next one; so rows are compared twice, first to count how many runs
    each column has, then to write them. Raises Invalid if there would be 2^32 or more.
    """
    cdef Py_ssize_t nz = runs.nz, ny = runs.ny, nx = runs.nx, z, y, r
    cdef uint64_t total = 0
    cdef uint32_t[::1] rows = np.zeros(nz * nx + 1, np.uint32)
    cdef uint32_t[::1] at = np.zeros(nx, np.uint32)              # of each column: its runs; then, where the next goes
    cdef uint32_t[::1] stops, picks
    with nogil:
        for z in range(nz):
            at[:] = 1
            for y in range(1, ny):
                differing(runs, z * ny + y, &at[0], NULL, NULL, 0)
            for r in range(nx):
                total += at[r]
                rows[z * nx + r + 1] = <uint32_t> total
            if total > 0xFFFFFFFFU:
                with gil:
                    raise Invalid("expected a box of fewer than 2^32 runs, found more")
    stops, picks = np.empty(total, np.uint32), np.empty(total, np.uint32)
    with nogil:
        for z in range(nz):
            for r in range(nx):
                at[r] = rows[z * nx + r]
            for y in range(1, ny):
                differing(runs, z * ny + y, &at[0], &stops[0], &picks[0], <uint32_t> y)
            last_row(runs, z * ny + ny - 1, &at[0], &stops[0], &picks[0])
    return make(nz, nx, ny, runs.labels, rows, stops, picks)


cdef void differing(Runs runs, Py_ssize_t r, uint32_t *at, uint32_t *stops, uint32_t *picks,
                    uint32_t y) noexcept nogil:
    """Where row r, at y, differs from the one before, runs of columns end; they are only counted if `stops` is NULL."""
    cdef size_t i = runs.rows[r], j = runs.rows[r - 1], last = runs.rows[r + 1]
    cdef uint32_t x = 0, stop, a, b
    while i < last:
        a, b = runs.stops[i], runs.stops[j]
        stop = min(a, b)
        if runs.picks[i] != runs.picks[j]:
            while x < stop:
                if stops != NULL:
                    stops[at[x]] = y
                    picks[at[x]] = runs.picks[j]
                at[x] += 1
                x += 1
        x = stop
        i += a == stop
        j += b == stop


cdef void last_row(Runs runs, Py_ssize_t r, const uint32_t *at, uint32_t *stops, uint32_t *picks) noexcept nogil:
    """At the end of the last row all columns' last runs end."""
    cdef size_t i
    cdef uint32_t x = 0
    for i in range(runs.rows[r], runs.rows[r + 1]):
        while x < runs.stops[i]:
            stops[at[x]] = <uint32_t> runs.ny
            picks[at[x]] = runs.picks[i]
            x += 1


def reshaped(Runs runs, Py_ssize_t nz, Py_ssize_t ny):
    """The same rows in the same order as a box of nz planes of ny rows each."""
    if nz < 1 or ny < 1 or nz * ny != runs.nz * runs.ny:
        raise Invalid(f"the rows of a box {runs.shape} are no {nz} planes of {ny} rows")
    return make(nz, ny, runs.nx, runs.labels, runs.rows, runs.stops, runs.picks)


# Apart

def cropped(Runs runs, start, size):
    """The box of `size` (dz, dy, dx) at `start` (z, y, x), with the same palette."""
    cdef Py_ssize_t z0, y0, x0, dz, dy, dx, z, y, r, n = 0
    cdef size_t i, m = 0
    cdef uint32_t stop
    (z0, y0, x0), (dz, dy, dx) = start, size
    if min(z0, y0, x0) < 0 or min(dz, dy, dx) < 1 or z0 + dz > runs.nz or y0 + dy > runs.ny or x0 + dx > runs.nx:
        raise Invalid(f"a box of {tuple(size)} at {tuple(start)} is not within {runs.shape}")
    for z in range(z0, z0 + dz):
        m += runs.rows[z * runs.ny + y0 + dy] - runs.rows[z * runs.ny + y0]
    cdef uint32_t[::1] rows = np.zeros(dz * dy + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty(m, np.uint32), picks = np.empty(m, np.uint32)
    m = 0
    with nogil:
        for z in range(z0, z0 + dz):
            for y in range(y0, y0 + dy):
                r = z * runs.ny + y
                i = run_at(&runs.stops[0], runs.rows[r], runs.rows[r + 1], <uint32_t> x0)
                stop = 0
                while stop < dx:
                    stop = <uint32_t> min(dx, <Py_ssize_t> runs.stops[i] - x0)
                    stops[m], picks[m] = stop, runs.picks[i]
                    m += 1
                    i += 1
                n += 1
                rows[n] = <uint32_t> m
    return make(dz, dy, dx, runs.labels, rows, np.asarray(stops)[:m].copy(), np.asarray(picks)[:m].copy())


def bounds(Runs runs, chosen):
    """Where the voxels of some labels lie: int64, their least z, y, x and the greatest, plus one; None without any.

    Parameters
    ----------
    chosen : bool, one for each entry of the palette.
    """
    cdef const uint8_t[::1] take = entries(runs, chosen)
    cdef Py_ssize_t z, y, r = 0
    cdef size_t i, j
    cdef int64_t[6] out = [runs.nz, runs.ny, runs.nx, 0, 0, 0]
    with nogil:
        for z in range(runs.nz):
            for y in range(runs.ny):
                i, j = runs.rows[r], runs.rows[r + 1]          # the first run of the row that is taken; after the last
                while i < j and not take[runs.picks[i]]:
                    i += 1
                while i < j and not take[runs.picks[j - 1]]:
                    j -= 1
                if i < j:
                    out[0], out[3] = min(out[0], z), z + 1
                    out[1], out[4] = min(out[1], y), max(out[4], y + 1)
                    out[2] = min(out[2], runs.stops[i - 1] if i > runs.rows[r] else 0)
                    out[5] = max(out[5], runs.stops[j - 1])
                r += 1
    return np.array(out) if out[3] else None


cdef const uint8_t[::1] entries(Runs runs, chosen):
    """What is chosen of a palette, checked."""
    cdef const uint8_t[::1] take = np.ascontiguousarray(chosen, bool).view(np.uint8)
    if take.shape[0] != runs.labels.shape[0]:
        raise Invalid(f"expected {runs.labels.shape[0]} entries, found {take.shape[0]}")
    return take


def spans_in(Runs runs, chosen, start, shape):
    """What a chunk has of these runs.

    Parameters
    ----------
    chosen : which labels are taken: bool, one for each entry of the palette.
    start : where the chunk's first voxel is in these runs (z, y, x); it may lie outside.
    shape : of the chunk.

    Returns
    -------
    Spans in the chunk, with their labels.
    """
    cdef Py_ssize_t z0, y0, x0, cz, cy, cx, z, y, r, base, first, stop
    cdef size_t i
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    cdef const uint8_t[::1] take = entries(runs, chosen)
    (z0, y0, x0), (cz, cy, cx) = start, shape
    if min(cz, cy, cx) < 1 or cz * cy * cx > 0xFFFFFFFF:
        raise Invalid(f"a chunk may have 1 to 2^32 - 1 voxels, not {tuple(shape)}")
    try:
        with nogil:
            for z in range(max(0, z0), min(runs.nz, z0 + cz)):
                for y in range(max(0, y0), min(runs.ny, y0 + cy)):
                    r = z * runs.ny + y
                    base = ((z - z0) * cy + y - y0) * cx
                    first = max(0, x0)
                    if first >= min(runs.nx, x0 + cx):
                        break
                    i = run_at(&runs.stops[0], runs.rows[r], runs.rows[r + 1], <uint32_t> first)
                    while first < min(runs.nx, x0 + cx):
                        stop = min(<Py_ssize_t> runs.stops[i], x0 + cx)
                        if take[runs.picks[i]]:
                            push(&pieces, <uint32_t> (base + first - x0), <uint32_t> (base + stop - x0),
                                 runs.labels[runs.picks[i]], 0)
                        first = stop
                        i += 1
        return spans_of(&pieces)
    finally:
        release(&pieces)
