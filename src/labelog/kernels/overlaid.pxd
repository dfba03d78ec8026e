from labelog.kernels.runs cimport Runs
from labelog.kernels.spans cimport Spans


cdef class Overlaid:
    cdef readonly Runs below
    cdef readonly Spans spans
    cdef readonly Py_ssize_t nbytes
    cdef Runs made                       # both in one, once somebody has asked for it
    cdef object extents                  # of its labels, once they are known: see recount.pyx

    cdef know(self, extents)
