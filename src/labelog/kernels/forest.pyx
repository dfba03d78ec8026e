"""Forest: which of the numbers 0 to n - 1 are one, by union-find (Tarjan 1975; path halving, van der Weide 1980)."""

from libc.stdint cimport int64_t

from labelog.kernels.forest cimport unite

import numpy as np

from labelog.errors import Invalid


cdef class Forest:
    """Disjoint sets of the numbers 0 to `size` - 1, each alone at first. Not for several threads at once."""

    cdef int64_t[::1] parent

    def __init__(self, size):
        self.parent = np.arange(size, dtype=np.int64)

    def __len__(self):
        return self.parent.shape[0]

    def union(self, a, b):
        """Make one set of the sets of a[i] and b[i], for each i: int64, as many of one as of the other.

        Raises Invalid for a number that is not in the forest; the unions before it are made.
        """
        cdef const int64_t[::1] first = np.ascontiguousarray(a, np.int64)
        cdef const int64_t[::1] second = np.ascontiguousarray(b, np.int64)
        cdef Py_ssize_t i, n = first.shape[0]
        cdef int64_t size = self.parent.shape[0], wrong = -1
        if second.shape[0] != n:
            raise Invalid(f"expected as many numbers on both sides, found {n} and {second.shape[0]}")
        with nogil:
            for i in range(n):
                if not (0 <= first[i] < size and 0 <= second[i] < size):
                    wrong = i
                    break
                unite(&self.parent[0], first[i], second[i])
        if wrong >= 0:
            raise Invalid(f"expected numbers of 0 to {size - 1}, found {first[wrong]} and {second[wrong]}")

    def roots(self):
        """The smallest number in the set of each: int64."""
        cdef Py_ssize_t i
        cdef int64_t[::1] out = np.empty(self.parent.shape[0], np.int64)
        with nogil:
            for i in range(out.shape[0]):
                out[i] = i if self.parent[i] == i else out[self.parent[i]]     # a parent comes before its children
        return np.asarray(out)
