"""How many voxels each pair of labels has at the same places: the entries of a sparse contingency table.

Two rows are walked together, from one place where either changes to the next:

    a   7 7 7 7 7 9 9 9
    b   1 1 1 2 2 2 2 2        7 with 1: 3 voxels,  7 with 2: 2,  9 with 2: 3
"""

from libc.stdint cimport SIZE_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from labelog.kernels.changes cimport BEYOND, bits_of, mark_changes, trailing_zeros
from labelog.kernels.labels cimport grow
from labelog.kernels.runs cimport Runs, run_at

import numpy as np

from labelog.errors import Invalid

ctypedef fused Left:         # labels by their bits; those with a sign are looked at as those without
    uint8_t
    uint16_t
    uint32_t
    uint64_t

ctypedef fused Right:
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef enum:
    BLOCK = 4096             # voxels of a row that are compared at a time
    SMALL = 65536            # entries up to which a table of two palettes is dense
    NEAR = 32768             # slots of a table that a processor has near at hand


cdef struct Pair:
    uint64_t a
    uint64_t b
    uint64_t voxels          # 0 is a free slot


cdef struct Pairs:           # open addressing, power-of-two capacity
    Pair *at
    size_t capacity
    size_t used
    size_t most              # capacity up to which it grows; then its pairs are laid aside, and it begins anew
    Pair *aside
    size_t n_aside
    size_t room


def overlap_dense(const Left[:, :, :] a, const Right[:, :, :] b):
    """The pairs of two arrays of one shape (z, y, x), of unsigned integers and any strides, in no order.

    Returns three uint64 arrays: the labels of a, those of b, and the voxels of each pair. Of arrays with very many
    pairs, some are there several times.
    """
    cdef Pairs pairs
    cdef Py_ssize_t z, y, x, n
    cdef uint8_t changes_a[BLOCK + BEYOND]
    cdef uint8_t changes_b[BLOCK + BEYOND]
    if a.shape[0] != b.shape[0] or a.shape[1] != b.shape[1] or a.shape[2] != b.shape[2]:
        raise Invalid(f"expected arrays of one shape, found {tuple(a.shape)[:3]} and {tuple(b.shape)[:3]}")
    try:
        with nogil:
            pairs_open(&pairs, 1024, NEAR)
            for z in range(a.shape[0]):
                for y in range(a.shape[1]):
                    x = 0
                    while x < a.shape[2]:
                        n = min(<Py_ssize_t> BLOCK, a.shape[2] - x)
                        mark_changes(&a[z, y, x], sizeof(Left), a.strides[2], n, changes_a)
                        mark_changes(&b[z, y, x], sizeof(Right), b.strides[2], n, changes_b)
                        count_marked(&a[z, y, x], a.strides[2], &b[z, y, x], b.strides[2], n, changes_a, changes_b,
                                     &pairs)
                        x += n
        return listed(&pairs)
    finally:
        pairs_close(&pairs)


cdef inline int count_marked(const Left *a, Py_ssize_t step_a, const Right *b, Py_ssize_t step_b, Py_ssize_t n,
                             const uint8_t *changes_a, const uint8_t *changes_b, Pairs *pairs) except -1 nogil:
    """Count each stretch up to a change."""
    cdef Py_ssize_t x, at, before = 0
    cdef uint64_t bits
    for x in range(0, n, 64):
        bits = bits_of(changes_a + x) | bits_of(changes_b + x)
        while bits:
            at = x + trailing_zeros(bits)
            pairs_add(pairs, value_at(a, at * step_a), value_at(b, at * step_b), at + 1 - before)
            before = at + 1
            bits &= bits - 1
    return 0


cdef inline Left value_at(const Left *row, Py_ssize_t offset) noexcept nogil:
    return (<const Left *> (<const char *> row + offset))[0]


def overlap_runs(Runs a, Runs b, start_a, start_b, size):
    """The pairs of two boxes of runs where they lie over one another, in no order.

    Parameters
    ----------
    start_a, start_b : where the common voxels begin in each, z, y, x.
    size : how many they are along z, y, x.

    Returns three uint64 arrays: the palette entries of a, those of b, and the voxels of each pair.
    """
    cdef Pairs pairs
    cdef size_t width = b.labels.shape[0]
    cdef size_t entries = a.labels.shape[0] * width
    cdef uint64_t[::1] table
    cdef uint64_t *small = NULL
    cdef Py_ssize_t za, ya, xa, zb, yb, xb, nz, ny, nx, z, y
    za, ya, xa = start_a
    zb, yb, xb = start_b
    nz, ny, nx = size
    for runs, start in ((a, start_a), (b, start_b)):
        if not all(0 <= first and 0 < n and first + n <= most for first, n, most in zip(start, size, runs.shape)):
            raise Invalid(f"a box of {tuple(size)} at {tuple(start)} is not within {runs.shape}")
    if entries <= SMALL:
        table = np.zeros(max(1, entries), np.uint64)
        small = &table[0]
    try:
        with nogil:
            pairs_open(&pairs, 16 if small else 1024, SIZE_MAX)
            for z in range(nz):
                for y in range(ny):
                    count_rows(a, (za + z) * a.ny + ya + y, xa, b, (zb + z) * b.ny + yb + y, xb, nx,
                               small, width, &pairs)
        if small == NULL:
            return listed(&pairs)
    finally:
        pairs_close(&pairs)
    counts = np.asarray(table)
    met = np.flatnonzero(counts).astype(np.uint64)
    return met // np.uint64(width), met % np.uint64(width), counts[met]


cdef inline int count_rows(Runs a, Py_ssize_t row_a, Py_ssize_t xa, Runs b, Py_ssize_t row_b, Py_ssize_t xb,
                           Py_ssize_t nx, uint64_t *small, size_t width, Pairs *pairs) except -1 nogil:
    """`nx` voxels of two rows, from what stops first to what stops next."""
    cdef const uint32_t *stops_a = &a.stops[0]
    cdef const uint32_t *stops_b = &b.stops[0]
    cdef size_t i = run_at(stops_a, a.rows[row_a], a.rows[row_a + 1], <uint32_t> xa)
    cdef size_t j = run_at(stops_b, b.rows[row_b], b.rows[row_b + 1], <uint32_t> xb)
    cdef Py_ssize_t x = 0, stop_a, stop_b, stop
    while x < nx:
        stop_a, stop_b = <Py_ssize_t> stops_a[i] - xa, <Py_ssize_t> stops_b[j] - xb
        stop = min(min(stop_a, stop_b), nx)
        if small != NULL:
            small[a.picks[i] * width + b.picks[j]] += <uint64_t> (stop - x)
        else:
            pairs_add(pairs, a.picks[i], b.picks[j], <uint64_t> (stop - x))
        x = stop
        i += stop_a == stop
        j += stop_b == stop
    return 0


# The table of pairs

cdef int pairs_open(Pairs *t, size_t capacity, size_t most) except -1 nogil:
    memset(t, 0, sizeof(Pairs))
    t.most = most
    t.at = <Pair *> calloc(capacity, sizeof(Pair))
    if t.at == NULL:
        with gil:
            raise MemoryError(f"no memory for {capacity} pairs of labels")
    t.capacity = capacity
    return 0


cdef void pairs_close(Pairs *t) noexcept nogil:
    free(t.at)
    free(t.aside)


cdef inline Pair *pairs_slot(Pairs *t, uint64_t a, uint64_t b) noexcept nogil:
    """Where the pair is, or would go."""
    cdef uint64_t h = (a ^ (a >> 32)) & 0xFFFFFFFFU
    h = (((h * 0x9E3779B1U) & 0xFFFFFFFFU) + ((b ^ (b >> 32)) & 0xFFFFFFFFU)) & 0xFFFFFFFFU
    h = ((h ^ (h >> 15)) * 0x85EBCA77U) & 0xFFFFFFFFU
    cdef size_t mask = t.capacity - 1
    cdef size_t i = <size_t> (h ^ (h >> 13)) & mask
    while t.at[i].voxels != 0 and (t.at[i].a != a or t.at[i].b != b):
        i = (i + 1) & mask
    return &t.at[i]


cdef inline int pairs_add(Pairs *t, uint64_t a, uint64_t b, uint64_t voxels) except -1 nogil:
    cdef Pair *pair = pairs_slot(t, a, b)
    if pair.voxels == 0:
        if 2 * (t.used + 1) > t.capacity:
            if t.capacity < t.most:
                pairs_grow(t)
            else:
                pairs_lay_aside(t)
            pair = pairs_slot(t, a, b)
        t.used += 1
        pair.a, pair.b = a, b
    pair.voxels += voxels
    return 0


cdef int pairs_grow(Pairs *t) except -1 nogil:
    cdef Pairs bigger
    cdef size_t i
    pairs_open(&bigger, 2 * t.capacity, t.most)
    for i in range(t.capacity):
        if t.at[i].voxels != 0:
            pairs_slot(&bigger, t.at[i].a, t.at[i].b)[0] = t.at[i]
    free(t.at)
    t.at, t.capacity = bigger.at, bigger.capacity
    return 0


cdef int pairs_lay_aside(Pairs *t) except -1 nogil:
    cdef size_t i, n = t.n_aside
    grow(<void **> &t.aside, &t.room, n + t.used, sizeof(Pair))
    for i in range(t.capacity):
        t.aside[n] = t.at[i]
        n += t.at[i].voxels != 0
        if n == t.n_aside + t.used:
            break
    t.n_aside, t.used = n, 0
    memset(t.at, 0, t.capacity * sizeof(Pair))
    return 0


cdef listed(Pairs *t):
    """The pairs of a table: three uint64 arrays."""
    cdef size_t n, total
    with nogil:
        pairs_lay_aside(t)
    total = t.n_aside
    cdef uint64_t[::1] a = np.empty(total, np.uint64)
    cdef uint64_t[::1] b = np.empty(total, np.uint64)
    cdef uint64_t[::1] voxels = np.empty(total, np.uint64)
    with nogil:
        for n in range(total):
            a[n], b[n], voxels[n] = t.aside[n].a, t.aside[n].b, t.aside[n].voxels
    return np.asarray(a), np.asarray(b), np.asarray(voxels)
