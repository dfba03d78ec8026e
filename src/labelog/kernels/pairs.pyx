"""Entries of a sparse contingency table put in order: by a, then by b, those of one pair as one.

Lists in order are merged from both beginnings; a list that is in none is sorted digit by digit, the lowest first
(Knuth, The Art of Computer Programming 3, 5.2.5). Digits that are the same in all entries cost nothing.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset

import numpy as np

from labelog.errors import Invalid

cdef enum:
    BITS = 11                # of a digit: its buckets fit into a processor's nearest memory
    DIGITS = 6               # of a label


cdef struct Pair:
    uint64_t a
    uint64_t b
    uint64_t voxels


def in_order(const uint64_t[::1] a, const uint64_t[::1] b, const uint64_t[::1] voxels):
    """Entries in any order, equal pairs perhaps several times; three uint64 arrays, ascending."""
    cdef uint64_t[:, ::1] room
    cdef Pair *pairs
    cdef Pair *found
    cdef size_t n = a.shape[0], i
    if b.shape[0] != a.shape[0] or voxels.shape[0] != a.shape[0]:
        raise Invalid(f"expected as many labels as counts, found {a.shape[0]}, {b.shape[0]} and {voxels.shape[0]}")
    if is_in_order(a, b):
        return np.asarray(a), np.asarray(b), np.asarray(voxels)
    room = np.empty((2 * n, 3), np.uint64)             # by NumPy, whose large arrays have large pages
    pairs = <Pair *> &room[0, 0]
    with nogil:
        for i in range(n):
            pairs[i].a, pairs[i].b, pairs[i].voxels = a[i], b[i], voxels[i]
        found = sort(pairs, pairs + n, n)
        n = unite(found, n)
    return listed(found, n)


def merged(one, other):
    """Two lists of entries, each ascending, as one."""
    cdef const uint64_t[::1] a = one[0], b = one[1], voxels = one[2]
    cdef const uint64_t[::1] c = other[0], d = other[1], more = other[2]
    cdef size_t i = 0, j = 0, k = 0, n = a.shape[0], m = c.shape[0]
    cdef int side
    if n == 0 or m == 0 or (a[n - 1], b[n - 1]) < (c[0], d[0]):
        return tuple(np.concatenate(columns) for columns in zip(one, other))
    new = tuple(np.empty(n + m, np.uint64) for _ in range(3))
    cdef uint64_t[::1] x = new[0], y = new[1], total = new[2]
    with nogil:
        while i < n and j < m:
            side = (a[i] > c[j]) - (a[i] < c[j])
            if side == 0:
                side = (b[i] > d[j]) - (b[i] < d[j])
            if side <= 0:
                x[k], y[k], total[k] = a[i], b[i], voxels[i] + (more[j] if side == 0 else 0)
                i += 1
                j += side == 0
            else:
                x[k], y[k], total[k] = c[j], d[j], more[j]
                j += 1
            k += 1
        while i < n:
            x[k], y[k], total[k] = a[i], b[i], voxels[i]
            i += 1
            k += 1
        while j < m:
            x[k], y[k], total[k] = c[j], d[j], more[j]
            j += 1
            k += 1
    return tuple(column[:k] for column in new)


cdef bint is_in_order(const uint64_t[::1] a, const uint64_t[::1] b) noexcept nogil:
    """Whether entries ascend, none twice."""
    cdef Py_ssize_t i
    for i in range(1, a.shape[0]):
        if a[i] < a[i - 1] or (a[i] == a[i - 1] and b[i] <= b[i - 1]):
            return False
    return True


cdef Pair *sort(Pair *pairs, Pair *other, size_t n) noexcept nogil:
    """The pairs in order: in the one array or the other."""
    cdef uint64_t differ_a = 0, differ_b = 0
    cdef size_t i
    cdef int digit, side
    cdef Pair *given
    for i in range(1, n):
        differ_a |= pairs[i].a ^ pairs[0].a
        differ_b |= pairs[i].b ^ pairs[0].b
    for side in range(2):
        for digit in range(DIGITS):
            if (differ_a if side else differ_b) >> digit * BITS & ((1 << BITS) - 1):
                deal(pairs, other, n, side, digit * BITS)
                given = pairs
                pairs = other
                other = given
    return pairs


cdef void deal(const Pair *pairs, Pair *out, size_t n, bint by_a, int shift) noexcept nogil:
    """By one digit of a or of b, otherwise as they are."""
    cdef size_t place[1 << BITS]
    cdef size_t i, digit, first = 0, count
    memset(place, 0, sizeof(place))
    for i in range(n):
        place[(pairs[i].a if by_a else pairs[i].b) >> shift & ((1 << BITS) - 1)] += 1
    for digit in range(1 << BITS):
        count = place[digit]
        place[digit] = first
        first += count
    for i in range(n):
        digit = (pairs[i].a if by_a else pairs[i].b) >> shift & ((1 << BITS) - 1)
        out[place[digit]] = pairs[i]
        place[digit] += 1


cdef size_t unite(Pair *pairs, size_t n) noexcept nogil:
    """Neighbours of one pair as one; how many are left."""
    cdef size_t i, k = 0
    for i in range(1, n):
        if pairs[i].a == pairs[k].a and pairs[i].b == pairs[k].b:
            pairs[k].voxels += pairs[i].voxels
        else:
            k += 1
            pairs[k] = pairs[i]
    return k + 1


cdef listed(const Pair *pairs, size_t n):
    new = tuple(np.empty(n, np.uint64) for _ in range(3))
    cdef uint64_t[::1] a = new[0], b = new[1], voxels = new[2]
    cdef size_t i
    with nogil:
        for i in range(n):
            a[i], b[i], voxels[i] = pairs[i].a, pairs[i].b, pairs[i].voxels
    return new
