"""How many voxels each pair of labels has at the same places: the entries of a sparse contingency table.

Two rows are walked together, from one place where either changes to the next:

    a   7 7 7 7 7 9 9 9
    b   1 1 1 2 2 2 2 2        7 with 1: 3 voxels,  7 with 2: 2,  9 with 2: 3

Most pairs of a row are those of the row before. So each has a place, told by its labels, in a table small enough to be
near at hand, and two find room there. When a third one comes, the voxels of the one that was there first are laid aside
as an entry.
"""

from cython cimport overflowcheck
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from labelog.kernels.changes cimport WORDS, mark_changes, trailing_zeros
from labelog.kernels.labels cimport grow
from labelog.kernels.prefetch cimport fetch
from labelog.kernels.runs cimport Runs, run_at

import numpy as np

from labelog.errors import Invalid

cdef extern from *:
    """
    /* A number of which the compiler knows nothing, so that it makes no branch of what depends on it. */
    #if defined(__GNUC__)
    static inline size_t labelog_unknown(size_t n) { __asm__ ("" : "+r" (n)); return n; }
    #else
    static inline size_t labelog_unknown(size_t n) { return n; }
    #endif
    """
    size_t unknown "labelog_unknown"(size_t) noexcept nogil


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
    BLOCK = 2048             # voxels compared at a time, at most 64 times WORDS: near at hand with the next of both
    SMALL = 16384            # entries up to which a table of two palettes is dense
    BITS = 12                # of a place in a table of pairs,
    SLOTS = 8192             # which has two slots: as much as a processor has near at hand


cdef struct Pair:
    uint64_t a
    uint64_t b
    uint64_t voxels          # 0 is a free slot


cdef struct Pairs:
    Pair *at                 # SLOTS of them
    Pair *aside
    size_t n_aside
    size_t room


def overlap_dense(const Left[:, :, :] a, const Right[:, :, :] b):
    """The pairs of two arrays of one shape (z, y, x), of unsigned integers and any strides, in no order.

    Returns three uint64 arrays: the labels of a, those of b, and the voxels of each pair, of which some may be there
    several times.
    """
    cdef Pairs pairs
    cdef Py_ssize_t z, y, x, n
    cdef uint64_t changes_a[WORDS]
    cdef uint64_t changes_b[WORDS]
    memset(&pairs, 0, sizeof(Pairs))
    if a.shape[0] != b.shape[0] or a.shape[1] != b.shape[1] or a.shape[2] != b.shape[2]:
        raise Invalid(f"expected arrays of one shape, found {tuple(a.shape)[:3]} and {tuple(b.shape)[:3]}")
    try:
        with nogil:
            pairs_open(&pairs)
            for z in range(a.shape[0]):
                for y in range(a.shape[1]):
                    x = 0
                    while x < a.shape[2]:
                        n = min(<Py_ssize_t> BLOCK, a.shape[2] - x)
                        mark_changes(&a[z, y, x], sizeof(Left), a.strides[2], n - 1, changes_a)
                        mark_changes(&b[z, y, x], sizeof(Right), b.strides[2], n - 1, changes_b)
                        count_marked(&a[z, y, x], a.strides[2], &b[z, y, x], b.strides[2], n, changes_a, changes_b,
                                     &pairs)
                        x += n
        return listed(&pairs)
    finally:
        pairs_close(&pairs)


cdef inline int count_marked(const Left *a, Py_ssize_t step_a, const Right *b, Py_ssize_t step_b, Py_ssize_t n,
                             const uint64_t *changes_a, const uint64_t *changes_b, Pairs *pairs) except -1 nogil:
    """Count each stretch up to a change, and the last one."""
    cdef Py_ssize_t x, at, before = 0
    cdef uint64_t bits
    for x in range(0, n - 1, 64):
        fetch(<const char *> a + (BLOCK + x) * step_a, 64 * sizeof(Left))          # of the next block
        fetch(<const char *> b + (BLOCK + x) * step_b, 64 * sizeof(Right))
        bits = changes_a[x // 64] | changes_b[x // 64]
        while bits:
            at = x + trailing_zeros(bits)
            pairs_add(pairs, value_at(a, at * step_a), value_at(b, at * step_b), at + 1 - before)
            before = at + 1
            bits &= bits - 1
    pairs_add(pairs, value_at(a, (n - 1) * step_a), value_at(b, (n - 1) * step_b), n - before)
    return 0


cdef inline Left value_at(const Left *row, Py_ssize_t offset) noexcept nogil:
    return (<const Left *> (<const char *> row + offset))[0]


def overlap_runs(Runs a, Runs b, start_a, start_b, size):
    """The pairs of two boxes of runs where they lie over one another, in no order.

    Parameters
    ----------
    start_a, start_b : where the common voxels begin in each, z, y, x.
    size : how many they are along z, y, x.

    Returns three uint64 arrays: the palette entries of a, those of b, and the voxels of each pair, of which some may be
    there several times.
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
    memset(&pairs, 0, sizeof(Pairs))
    if entries <= SMALL:
        table = np.zeros(max(1, entries), np.uint64)
        small = &table[0]
    try:
        with nogil:
            if small == NULL:
                pairs_open(&pairs)
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

cdef int pairs_open(Pairs *t) except -1 nogil:
    t.at = <Pair *> calloc(SLOTS, sizeof(Pair))
    if t.at == NULL:
        with gil:
            raise MemoryError(f"no memory for {SLOTS} pairs of labels")
    return 0


cdef void pairs_close(Pairs *t) noexcept nogil:
    free(t.at)
    free(t.aside)


@overflowcheck(False)
cdef inline Pair *place_of(Pairs *t, uint64_t a, uint64_t b) noexcept nogil:
    """The first of its two slots: of a multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4) the highest
    bits, which depend on all others."""
    return t.at + 2 * ((a * 0x9E3779B97F4A7C15U + b * 0xC2B2AE3D27D4EB4FU) >> (64 - BITS))


cdef inline int pairs_add(Pairs *t, uint64_t a, uint64_t b, uint64_t voxels) except -1 nogil:
    cdef Pair *pair = place_of(t, a, b)
    pair += unknown((pair.a != a) | (pair.b != b))          # which of the two is hard to guess, and so no branch
    if pair.a != a or pair.b != b:
        pair = place_of(t, a, b)
        take_place(t, pair, a, b)
    pair.voxels += voxels
    return 0


cdef int take_place(Pairs *t, Pair *pair, uint64_t a, uint64_t b) except -1 nogil:
    """A pair that has none of the two slots gets the first, and the one that was there the second."""
    if pair[1].voxels != 0:
        lay_aside(t, &pair[1])
    pair[1] = pair[0]
    pair.a, pair.b, pair.voxels = a, b, 0
    return 0


cdef int lay_aside(Pairs *t, const Pair *pair) except -1 nogil:
    grow(<void **> &t.aside, &t.room, t.n_aside + 1, sizeof(Pair))
    t.aside[t.n_aside] = pair[0]
    t.n_aside += 1
    return 0


cdef listed(Pairs *t):
    """The pairs of a table: three uint64 arrays."""
    cdef size_t n, total
    with nogil:
        for n in range(SLOTS):
            if t.at[n].voxels != 0:
                lay_aside(t, &t.at[n])
    total = t.n_aside
    cdef uint64_t[::1] a = np.empty(total, np.uint64)
    cdef uint64_t[::1] b = np.empty(total, np.uint64)
    cdef uint64_t[::1] voxels = np.empty(total, np.uint64)
    with nogil:
        for n in range(total):
            a[n], b[n], voxels[n] = t.aside[n].a, t.aside[n].b, t.aside[n].voxels
    return np.asarray(a), np.asarray(b), np.asarray(voxels)
