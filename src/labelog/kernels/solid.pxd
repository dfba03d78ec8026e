from libc.stdint cimport uint32_t

from labelog.kernels.labels cimport Buffer
from labelog.kernels.runs cimport Runs


# A solid being made, row after row: runs of 0 and 1 by turns, whose picks are the label.
cdef int add_interval(Buffer *stops, Buffer *picks, size_t first, uint32_t start, uint32_t stop) except -1 nogil
cdef int end_row(Buffer *stops, Buffer *picks, size_t first, uint32_t nx) except -1 nogil
cdef Runs solid_of(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx, rows, Buffer *stops, Buffer *picks)
