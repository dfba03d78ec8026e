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

from labelog.kernels.changes cimport changes_in, changes_in_either, trailing_zeros
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
    AHEAD = 256              # voxels, of which the memory is asked for before they are compared
    SMALL = 16384            # entries up to which a table of two palettes is dense
    BITS = 12                # of a place in a table of pairs,
    SLOTS = 8192             # which has two slots: as much as a processor has near at hand


cdef struct Pair:            # of labels of up to 32 bits: half as much to read and to compare
    uint64_t labels          # that of a, and above it that of b
    uint64_t voxels          # 0 is a free slot


cdef struct WidePair:
    uint64_t a
    uint64_t b
    uint64_t voxels

ctypedef fused Entry:
    Pair
    WidePair


cdef struct Pairs:
    void *at                 # SLOTS entries
    void *aside
    size_t n_aside
    size_t room


def overlap_dense(const Left[:, :, :] a, const Right[:, :, :] b):
    """The pairs of two arrays of one shape (z, y, x), of unsigned integers and any strides, in no order.

    Returns three uint64 arrays: the labels of a, those of b, and the voxels of each pair, of which some may be there
    several times.
    """
    cdef Pairs pairs
    cdef Py_ssize_t z, y
    cdef bint wide = sizeof(Left) + sizeof(Right) > 8
    memset(&pairs, 0, sizeof(Pairs))
    if a.shape[0] != b.shape[0] or a.shape[1] != b.shape[1] or a.shape[2] != b.shape[2]:
        raise Invalid(f"expected arrays of one shape, found {tuple(a.shape)[:3]} and {tuple(b.shape)[:3]}")
    try:
        with nogil:
            pairs_open(&pairs, wide)
            for z in range(a.shape[0]):
                for y in range(a.shape[1] if a.shape[2] else 0):
                    if a.strides[2] == sizeof(Left) and b.strides[2] == sizeof(Right):
                        count_row(&a[z, y, 0], sizeof(Left), &b[z, y, 0], sizeof(Right), a.shape[2], &pairs)
                    else:
                        count_row(&a[z, y, 0], a.strides[2], &b[z, y, 0], b.strides[2], a.shape[2], &pairs)
        return listed(&pairs, wide)
    finally:
        pairs_close(&pairs)


cdef inline int count_row(const Left *a, Py_ssize_t step_a, const Right *b, Py_ssize_t step_b, Py_ssize_t n,
                          Pairs *pairs) except -1 nogil:
    """Count each stretch up to a change, and the last one.

    Where the next 64 voxels change is asked before these are counted, so that a processor that guesses wrongly how many
    stretches there are has that to do meanwhile.
    """
    cdef Py_ssize_t x, at, before = 0
    cdef uint64_t bits, next_bits = changes(a, step_a, b, step_b, 0, n - 1)
    cdef bint wide = sizeof(Left) + sizeof(Right) > 8
    for x in range(0, n - 1, 64):
        fetch(<const char *> a + (x + AHEAD) * step_a, 64 * sizeof(Left))
        fetch(<const char *> b + (x + AHEAD) * step_b, 64 * sizeof(Right))
        bits, next_bits = next_bits, changes(a, step_a, b, step_b, x + 64, n - 1)
        while bits:
            at = x + trailing_zeros(bits)
            pairs_add(pairs, wide, value_at(a, at * step_a), value_at(b, at * step_b), at + 1 - before)
            before = at + 1
            bits &= bits - 1
    return pairs_add(pairs, wide, value_at(a, (n - 1) * step_a), value_at(b, (n - 1) * step_b), n - before)


cdef inline uint64_t changes(const Left *a, Py_ssize_t step_a, const Right *b, Py_ssize_t step_b, Py_ssize_t x,
                             Py_ssize_t n) noexcept nogil:
    """Where one of two rows changes."""
    if sizeof(Left) == sizeof(Right):
        return changes_in_either(a, step_a, b, step_b, sizeof(Left), x, n)
    return changes_in(a, sizeof(Left), step_a, x, n) | changes_in(b, sizeof(Right), step_b, x, n)


cdef inline Left value_at(const Left *row, Py_ssize_t offset) noexcept nogil:
    return (<const Left *> (<const char *> row + offset))[0]


def overlap_runs(Runs a, Runs b, start_a, start_b, size):
    """The pairs of two boxes of runs where they lie over one another, in no order.

    Parameters
    ----------
    start_a, start_b : where the common voxels begin in each, z, y, x.
    size : how many they are along z, y, x.

    Returns three arrays: the palette entries of a, those of b (int64), and the voxels of each pair (uint64), of which
    some may be there several times.
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
                pairs_open(&pairs, False)
            for z in range(nz):
                for y in range(ny):
                    count_rows(a, (za + z) * a.ny + ya + y, xa, b, (zb + z) * b.ny + yb + y, xb, nx,
                               small, width, &pairs)
        if small == NULL:
            found_a, found_b, voxels = listed(&pairs, False)
            return found_a.view(np.int64), found_b.view(np.int64), voxels
    finally:
        pairs_close(&pairs)
    counts = np.asarray(table)
    met = np.flatnonzero(counts != 0)          # of bool: of numbers it takes five times as long
    return *np.divmod(met, width), counts[met]


cdef inline int count_rows(Runs a, Py_ssize_t row_a, Py_ssize_t xa, Runs b, Py_ssize_t row_b, Py_ssize_t xb,
                           Py_ssize_t nx, uint64_t *small, size_t width, Pairs *pairs) except -1 nogil:
    """`nx` voxels of two rows, from what stops first to what stops next."""
    cdef const uint32_t *stops_a = &a.stops[0]
    cdef const uint32_t *stops_b = &b.stops[0]
    cdef const uint32_t *picks_a = &a.picks[0]
    cdef const uint32_t *picks_b = &b.picks[0]
    cdef size_t i = run_at(stops_a, a.rows[row_a], a.rows[row_a + 1], <uint32_t> xa)
    cdef size_t j = run_at(stops_b, b.rows[row_b], b.rows[row_b + 1], <uint32_t> xb)
    cdef Py_ssize_t before = 0, stop_a = stops_a[i] - xa, stop_b = stops_b[j] - xb, stop = min(stop_a, stop_b)
    while stop < nx:
        count(small, width, pairs, picks_a[i], picks_b[j], stop - before)
        before = stop
        i += stop_a <= stop_b
        j += stop_b <= stop_a
        stop_a, stop_b = stops_a[i] - xa, stops_b[j] - xb
        stop = min(stop_a, stop_b)
    return count(small, width, pairs, picks_a[i], picks_b[j], nx - before)


cdef inline int count(uint64_t *small, size_t width, Pairs *pairs, uint32_t a, uint32_t b,
                      uint64_t voxels) except -1 nogil:
    """Into the dense table of two palettes if there is one, of a row for each entry of the first."""
    if small == NULL:
        return pairs_add(pairs, False, a, b, voxels)
    small[a * width + b] += voxels
    return 0


# The table of pairs

cdef int pairs_open(Pairs *t, bint wide) except -1 nogil:
    t.at = calloc(SLOTS, sizeof(WidePair) if wide else sizeof(Pair))
    if t.at == NULL:
        with gil:
            raise MemoryError(f"no memory for {SLOTS} pairs of labels")
    return 0


cdef void pairs_close(Pairs *t) noexcept nogil:
    free(t.at)
    free(t.aside)


cdef inline int pairs_add(Pairs *t, bint wide, uint64_t a, uint64_t b, uint64_t voxels) except -1 nogil:
    if wide:
        return entry_add(t, <WidePair *> t.at, a, b, voxels)
    return entry_add(t, <Pair *> t.at, a, b, voxels)


cdef inline int entry_add(Pairs *t, Entry *slots, uint64_t a, uint64_t b, uint64_t voxels) except -1 nogil:
    cdef Entry *entry = slots + first_slot(slots, a, b)
    entry += unknown(is_another(entry, a, b))          # which of the two is hard to guess, and so no branch
    if is_another(entry, a, b):
        entry = slots + first_slot(slots, a, b)
        take_place(t, entry, a, b)
    entry.voxels += voxels
    return 0


@overflowcheck(False)
cdef inline size_t first_slot(const Entry *slots, uint64_t a, uint64_t b) noexcept nogil:
    """Of the two of a pair: of a multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4) the highest bits,
    which depend on all others."""
    cdef uint64_t mixed
    if Entry is Pair:
        mixed = paired(a, b) * 0x9E3779B97F4A7C15U
    else:
        mixed = a * 0x9E3779B97F4A7C15U + b * 0xC2B2AE3D27D4EB4FU
    return 2 * (mixed >> (64 - BITS))


cdef inline uint64_t paired(uint64_t a, uint64_t b) noexcept nogil:
    """Two labels of up to 32 bits as one number."""
    return b << 32 | a


cdef inline bint is_another(const Entry *entry, uint64_t a, uint64_t b) noexcept nogil:
    if Entry is Pair:
        return entry.labels != paired(a, b)
    else:
        return (entry.a != a) | (entry.b != b)


cdef int take_place(Pairs *t, Entry *entry, uint64_t a, uint64_t b) except -1 nogil:
    """A pair that has none of the two slots gets the first, and the one that was there the second."""
    if entry[1].voxels != 0:
        lay_aside(t, &entry[1])
    entry[1] = entry[0]
    entry.voxels = 0
    if Entry is Pair:
        entry.labels = paired(a, b)
    else:
        entry.a, entry.b = a, b
    return 0


cdef int lay_aside(Pairs *t, const Entry *entry) except -1 nogil:
    grow(&t.aside, &t.room, t.n_aside + 1, sizeof(Entry))
    (<Entry *> t.aside)[t.n_aside] = entry[0]
    t.n_aside += 1
    return 0


cdef listed(Pairs *t, bint wide):
    """The pairs of a table: three uint64 arrays."""
    return entries(t, <WidePair *> t.at) if wide else entries(t, <Pair *> t.at)


cdef entries(Pairs *t, const Entry *slots):
    cdef const Entry *found
    cdef size_t n
    with nogil:
        for n in range(SLOTS):
            if slots[n].voxels != 0:
                lay_aside(t, &slots[n])
    found = <const Entry *> t.aside
    cdef uint64_t[::1] a = np.empty(t.n_aside, np.uint64)
    cdef uint64_t[::1] b = np.empty(t.n_aside, np.uint64)
    cdef uint64_t[::1] voxels = np.empty(t.n_aside, np.uint64)
    with nogil:
        for n in range(t.n_aside):
            if Entry is Pair:
                a[n], b[n] = found[n].labels & 0xFFFFFFFFU, found[n].labels >> 32
            else:
                a[n], b[n] = found[n].a, found[n].b
            voxels[n] = found[n].voxels
    return np.asarray(a), np.asarray(b), np.asarray(voxels)
