# Union-find by index: parent[i] <= i, so a root is the smallest index of its set, and no rank is kept.
#
#     index    0 1 2 3 4 5
#     parent   0 1 0 1 2 5        sets  0 2 4 | 1 3 | 5

from libc.stdint cimport int64_t, uint32_t

ctypedef fused Index:
    uint32_t
    int64_t


cdef inline Index root(Index *parent, Index i) noexcept nogil:
    """The root of i; the path there is halved on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


cdef inline void unite(Index *parent, Index i, Index j) noexcept nogil:
    """One set of the two that i and j are in; the lower root is their parent afterwards."""
    cdef Index a, b
    if parent[i] == parent[j]:
        return
    a = root(parent, i)
    b = root(parent, j)
    if b < a:
        a, b = b, a
    parent[b] = a
    parent[i] = a
    parent[j] = a
