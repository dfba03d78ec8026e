from libc.stdint cimport uint32_t, uint64_t


cdef class Spans:
    cdef const uint32_t[::1] starts
    cdef const uint32_t[::1] stops
    cdef const uint64_t[::1] values


cdef class Delta:
    cdef const uint32_t[::1] starts
    cdef const uint32_t[::1] stops
    cdef const uint64_t[::1] olds
    cdef const uint64_t[::1] news


# Spans being made, one after another in ascending order.
cdef struct Pieces:
    uint32_t *start
    uint32_t *stop
    uint64_t *value
    uint64_t *old
    size_t size
    size_t capacity

cdef int push(Pieces *p, uint32_t start, uint32_t stop, uint64_t value, uint64_t old) except -1 nogil
cdef void release(Pieces *p) noexcept nogil
cdef Spans spans_of(Pieces *p)
cdef Delta delta_of(Pieces *p)
