from libc.stdint cimport uint32_t, uint64_t

from labelog.kernels.labels cimport Buffer, Table


cdef class Runs:
    cdef object __weakref__
    cdef readonly Py_ssize_t nz, ny, nx
    cdef const uint64_t[::1] labels      # the palette
    cdef const uint32_t[::1] rows        # rows[r]:rows[r + 1] are the runs of row r = z * ny + y
    cdef const uint32_t[::1] stops       # where each run ends in its row, ascending, the last one nx
    cdef const uint32_t[::1] picks       # its index into the palette
    cdef readonly Py_ssize_t nbytes
    cdef public object extents           # of its labels, once they are known: see recount.pyx

    cdef int _weigh(self) except -1
    cdef int _verify_rows(self, Py_ssize_t n_rows) except -1 nogil


cdef Runs make(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx,
               const uint64_t[::1] labels, const uint32_t[::1] rows, const uint32_t[::1] stops,
               const uint32_t[::1] picks)


cdef inline size_t run_at(const uint32_t *stops, size_t first, size_t last, uint32_t x) noexcept nogil:
    """The run among first:last, the runs of a row, that holds x: by halves, without a branch on what is compared."""
    cdef size_t n = last - first, half
    if x == 0:
        return first
    while n > 1:
        half = n // 2
        first += half * (stops[first + half - 1] <= x)
        n -= half
    return first


cdef keys_in_order(Table *table)

cdef taken(Buffer *buffer)
