"""What boxes of components have in common where they lie beside one another.

Each box is labelled by itself. What two of them have at a common face, edge or corner is cut out of both and compared:

    +---+---+      cut(a, (0, 0, 1)) is the last x of a,
    | a#|#b |      cut(b, (0, 0, -1)) the first x of b,
    +---+---+      touching(...) the pairs of components at both sides
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from labelog.kernels.labels cimport Table, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, make

import numpy as np

from labelog.errors import Invalid


def cut(Runs runs, direction):
    """The voxels of a box at its face, edge or corner in a direction, as one plane.

    Parameters
    ----------
    direction : (z, y, x), each -1 (the first voxel along this axis), 1 (the last) or 0 (all of them).

    Returns
    -------
    Runs (1, a, b) with the palette of `runs`: the voxels along the axes that are 0, in the order of the axes. An edge
    along z or y is (1, n, 1) where x is cut, one along x is (1, 1, n).

    The GIL is kept: this takes microseconds, and threads that hand it over so often wait for it longer.
    """
    if len(direction) != 3 or not any(direction) or not all(d in (-1, 0, 1) for d in direction):
        raise Invalid(f"expected a direction of -1, 0 and 1 along z, y, x, not all 0, found {tuple(direction)}")
    (z0, z1), (y0, y1), _ = ((0, 1) if d < 0 else (n - 1, n) if d else (0, n) for d, n in zip(direction, runs.shape))
    if direction[2]:
        return cut_column(runs, z0, z1, y0, y1, direction[2] > 0)
    return cut_rows(runs, z0, z1, y0, y1)


cdef Runs cut_rows(Runs runs, Py_ssize_t z0, Py_ssize_t z1, Py_ssize_t y0, Py_ssize_t y1):
    """Whole rows: those of the planes z0:z1 and the lines y0:y1."""
    cdef Py_ssize_t z, r, m = 0
    cdef uint32_t first
    cdef size_t n = 0
    for z in range(z0, z1):
        n += runs.rows[z * runs.ny + y1] - runs.rows[z * runs.ny + y0]
    cdef uint32_t[::1] rows = np.empty((z1 - z0) * (y1 - y0) + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty(n, np.uint32), picks = np.empty(n, np.uint32)
    n = 0
    for z in range(z0, z1):
        for r in range(z * runs.ny + y0, z * runs.ny + y1):
            first = runs.rows[r]
            rows[m] = <uint32_t> n
            m += 1
            memcpy(&stops[n], &runs.stops[first], (runs.rows[r + 1] - first) * sizeof(uint32_t))
            memcpy(&picks[n], &runs.picks[first], (runs.rows[r + 1] - first) * sizeof(uint32_t))
            n += runs.rows[r + 1] - first
    rows[m] = <uint32_t> n
    return make(1, m, runs.nx, runs.labels, rows, stops, picks)


cdef Runs cut_column(Runs runs, Py_ssize_t z0, Py_ssize_t z1, Py_ssize_t y0, Py_ssize_t y1, bint last):
    """The first or the last voxels of rows: a row for each plane, of runs along y."""
    cdef Py_ssize_t z, y, r
    cdef uint32_t pick
    cdef size_t n = 0
    cdef uint32_t[::1] rows = np.zeros(z1 - z0 + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty((z1 - z0) * (y1 - y0), np.uint32)
    cdef uint32_t[::1] picks = np.empty((z1 - z0) * (y1 - y0), np.uint32)
    for z in range(z0, z1):
        for y in range(y0, y1):
            r = z * runs.ny + y
            pick = runs.picks[runs.rows[r + 1] - 1 if last else runs.rows[r]]
            n -= n > rows[z - z0] and picks[n - 1] == pick
            stops[n] = <uint32_t> (y + 1 - y0)
            picks[n] = pick
            n += 1
        rows[z - z0 + 1] = <uint32_t> n
    return make(1, z1 - z0, y1 - y0, runs.labels, rows,
                np.asarray(stops)[:n].copy(), np.asarray(picks)[:n].copy())


def touching(Runs a, Runs b, labels_a, labels_b, int reach):
    """Which components are one, of two boxes that lie beside one another.

    Parameters
    ----------
    a, b : what was cut out of the two where they meet, of one shape (1, n, m).
    labels_a, labels_b : uint64, the label of each entry of their palettes; 0 is background.
    reach : along how many axes of these planes neighbours may differ, 0 to 2. It is less than that of the voxels by as
        many axes as the boxes lie apart (1 at a face, 2 at an edge, 3 at a corner).

    Returns
    -------
    uint64 (k, 2): pairs of the palettes' entries that touch with one label, none twice, in the order they are met.
    """
    cdef const uint64_t[::1] la = np.ascontiguousarray(labels_a, np.uint64)
    cdef const uint64_t[::1] lb = np.ascontiguousarray(labels_b, np.uint64)
    cdef uint64_t[:, ::1] out
    cdef Table pairs = [NULL, NULL, 0, 0]
    cdef Py_ssize_t r, q
    if not 0 <= reach <= 2:
        raise Invalid(f"expected neighbours that differ along 0, 1 or 2 axes, found {reach}")
    if a.shape != b.shape or a.nz != 1:
        raise Invalid(f"expected two planes of one shape (1, n, m), found {a.shape} and {b.shape}")
    if la.shape[0] != a.labels.shape[0] or lb.shape[0] != b.labels.shape[0]:
        raise Invalid(f"expected {a.labels.shape[0]} and {b.labels.shape[0]} labels, "
                      f"found {la.shape[0]} and {lb.shape[0]}")
    try:
        with nogil:
            table_open(&pairs, 64)
            for r in range(a.ny):
                for q in range(max(0, r - 1) if reach else r, min(a.ny, r + 2) if reach else r + 1):
                    meet(a, b, r, q, &la[0], &lb[0], reach > (r != q), &pairs)
        out = np.empty((pairs.used, 2), np.uint64)
        list_pairs(a, b, &pairs, out)
    finally:
        table_close(&pairs)
    return np.asarray(out)


cdef void list_pairs(Runs a, Runs b, const Table *pairs, uint64_t[:, ::1] out) noexcept nogil:
    cdef size_t i
    cdef uint64_t n = b.labels.shape[0]
    for i in range(pairs.capacity):
        if pairs.slots[i]:
            out[pairs.slots[i] - 1, 0] = a.labels[pairs.keys[i] // n]
            out[pairs.slots[i] - 1, 1] = b.labels[pairs.keys[i] % n]


cdef int meet(Runs a, Runs b, Py_ssize_t r, Py_ssize_t q, const uint64_t *la, const uint64_t *lb, bint widen,
              Table *pairs) except -1 nogil:
    """The pairs of row r of `a` and row q of `b`, which go over the same x: the next is found by what stops first."""
    cdef size_t i = a.rows[r], j = b.rows[q], last = a.rows[r + 1]
    cdef uint32_t x, y
    while i < last:
        x, y = a.stops[i], b.stops[j]
        push(a, b, i, j, la, lb, pairs)
        if widen and x == y and i + 1 < last:
            push(a, b, i, j + 1, la, lb, pairs)
            push(a, b, i + 1, j, la, lb, pairs)
        i += x <= y
        j += y <= x
    return 0


cdef inline int push(Runs a, Runs b, size_t i, size_t j, const uint64_t *la, const uint64_t *lb,
                     Table *pairs) except -1 nogil:
    """The components of two runs, if they have one label: as one number, whose low bits differ from pair to pair."""
    cdef uint32_t p = a.picks[i], q = b.picks[j]
    if la[p] == lb[q] and la[p] != 0:
        table_add(pairs, <uint64_t> p * <uint64_t> b.labels.shape[0] + q)
    return 0
