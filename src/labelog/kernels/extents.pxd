from libc.stdint cimport uint32_t, uint64_t

from labelog.kernels.labels cimport Table
from labelog.kernels.runs cimport Runs
from labelog.kernels.spans cimport Delta


cdef class Extents:
    cdef readonly object labels, voxels, bounds


cdef struct Tally:
    uint64_t voxels
    uint32_t low[3]
    uint32_t high[3]

# Count the runs of the palette's entries that have a place (from 1) in `tallies`, within a box.
cdef void walk(Runs runs, const uint32_t *place, Tally *tallies, const uint32_t *low,
               const uint32_t *high) noexcept nogil

# Note the labels but 0 that lost or gained voxels by a delta.
cdef int note_changed(Table *table, Delta delta) except -1 nogil
