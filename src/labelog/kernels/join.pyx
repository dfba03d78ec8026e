"""Boxes of runs put beside one another as one box."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from labelog.kernels.labels cimport Table, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, keys_in_order, make

import numpy as np

from labelog.errors import Invalid


cdef struct Part:
    const uint32_t *rows
    const uint32_t *stops
    const uint32_t *picks
    uint32_t *palette            # where each of its labels is in the palette of all


def join(parts, counts):
    """Boxes of one shape, in C order, as the one box that they are.

    Parameters
    ----------
    parts : Runs, counts[0] * counts[1] * counts[2] of them.
    counts : how many lie beside one another along z, y, x.

    Raises Invalid for parts of several shapes or of another number, and for a box too large for runs.
    """
    cdef Py_ssize_t pz, py, px, n, k
    cdef size_t most = 0
    cdef Runs runs
    cdef Part *each
    cdef Table table = [NULL, NULL, 0, 0]
    cdef uint32_t[::1] places
    cdef const uint64_t[::1] labels
    pz, py, px = counts
    n = len(parts)
    if n < 1 or min(pz, py, px) < 1 or pz * py * px != n or len({part.shape for part in parts}) != 1:
        raise Invalid(f"expected {pz} x {py} x {px} boxes of one shape, "
                      f"found {n} of {sorted({part.shape for part in parts})}")
    nz, ny, nx = parts[0].shape
    if nx * px > 0xFFFFFFFF or sum(part.ends.shape[0] for part in parts) > 0xFFFFFFFF:
        raise Invalid(f"{n} boxes of {(nz, ny, nx)} are too many for one")
    if n == 1:
        return parts[0]
    each = <Part *> malloc(n * sizeof(Part))
    if each == NULL:
        raise MemoryError(f"no memory for {n} boxes")
    kept = []                    # what the pointers point into
    try:
        table_open(&table, 64)
        for k in range(n):
            runs = parts[k]
            most += runs.stops.shape[0]
            labels = runs.labels
            places = np.empty(labels.shape[0], np.uint32)
            note(&table, labels, places)
            kept.append(places)
            each[k] = [&runs.rows[0], &runs.stops[0], &runs.picks[0], &places[0]]
        return joined(each, pz, py, px, nz, ny, nx, most, keys_in_order(&table))
    finally:
        table_close(&table)
        free(each)


cdef int note(Table *table, const uint64_t[::1] labels, uint32_t[::1] places) except -1 nogil:
    """The places of labels in the palette of all; those that are new to it are added."""
    cdef Py_ssize_t i
    for i in range(labels.shape[0]):
        places[i] = <uint32_t> table_add(table, labels[i])
    return 0


cdef Runs joined(const Part *parts, Py_ssize_t pz, Py_ssize_t py, Py_ssize_t px, Py_ssize_t nz, Py_ssize_t ny,
                 Py_ssize_t nx, size_t most, palette):
    """Row after row, each from the parts that lie beside one another; runs of one label that meet become one."""
    cdef Py_ssize_t height = py * ny, z, y, k, row
    cdef size_t i, used = 0, begun
    cdef uint32_t pick
    cdef const Part *part
    cdef uint32_t[::1] rows = np.empty(pz * nz * height + 1, np.uint32)
    stops_array, picks_array = np.empty(most, np.uint32), np.empty(most, np.uint32)
    cdef uint32_t[::1] stops = stops_array, picks = picks_array
    with nogil:
        for z in range(pz * nz):
            for y in range(height):
                begun = used
                rows[z * height + y] = <uint32_t> begun
                row = (z % nz) * ny + y % ny
                for k in range(px):
                    part = &parts[((z // nz) * py + y // ny) * px + k]
                    for i in range(part.rows[row], part.rows[row + 1]):
                        pick = part.palette[part.picks[i]]
                        if used > begun and picks[used - 1] == pick:
                            used -= 1
                        stops[used] = <uint32_t> (part.stops[i] + k * nx)
                        picks[used] = pick
                        used += 1
        rows[pz * nz * height] = <uint32_t> used
    return make(pz * nz, height, px * nx, palette, rows, stops_array[:used], picks_array[:used])
