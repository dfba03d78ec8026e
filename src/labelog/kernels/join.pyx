"""Boxes of runs put beside one another as one box, or as a part of it."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from labelog.kernels.labels cimport Table, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, keys_in_order, make, run_at

import numpy as np

from labelog.errors import Invalid

cdef enum:
    UNMET = 0xFFFFFFFF


cdef struct Part:
    const uint32_t *rows
    const uint32_t *stops
    const uint32_t *picks
    const uint64_t *values       # what each entry of its palette stands for
    uint32_t *places             # where that is in the palette of all; UNMET until a run has it


cdef struct Lattice:             # how the parts lie, and what is wanted of them
    Py_ssize_t py, px            # parts along y and x
    Py_ssize_t nz, ny, nx        # voxels of a part
    Py_ssize_t z, y, x           # the first voxel wanted
    Py_ssize_t dz, dy, dx        # voxels wanted


cdef struct Row:                 # a row of the window, in the parts that have it
    Py_ssize_t beside            # the first of those, along x
    Py_ssize_t number            # its own number in each of them
    Py_ssize_t left              # rows of theirs until their end along y, with it


cdef struct Made:
    uint32_t *stops
    uint32_t *picks
    size_t used


def join(parts, counts, values=None, window=None):
    """Boxes of one shape, in C order, as the one box that they are, or a part of it.

    Parameters
    ----------
    parts : Runs, counts[0] * counts[1] * counts[2] of them.
    counts : how many lie beside one another along z, y, x.
    values : for each part, the label that each entry of its palette stands for; the palettes themselves by default.
    window : first voxel and shape of what is wanted, (z, y, x) each; all by default.

    Returns
    -------
    Runs; the palette has the labels that are there, ascending.

    Raises Invalid for parts of several shapes or of another number, for another number of values than a palette has
    entries, for a window that is not within the parts, and for a box too large for runs.
    """
    cdef Lattice lattice
    cdef Py_ssize_t pz, n = len(parts), k, first = 0
    cdef Runs runs
    cdef const uint64_t[::1] labels
    cdef Part *each = NULL
    cdef uint32_t *places = NULL
    cdef Table table = [NULL, NULL, 0, 0]
    pz, lattice.py, lattice.px = counts
    if n < 1 or min(counts) < 1 or pz * lattice.py * lattice.px != n or len({part.shape for part in parts}) != 1:
        raise Invalid(f"expected {' x '.join(map(str, counts))} boxes of one shape, "
                      f"found {n} of {sorted({part.shape for part in parts})}")
    lattice.nz, lattice.ny, lattice.nx = parts[0].shape
    put_window(&lattice, pz, window)
    kept = [part.palette for part in parts] if values is None else [np.ascontiguousarray(v, np.uint64) for v in values]
    sizes = [palette.size for palette in kept]
    if sizes != [part.palette.size for part in parts]:
        raise Invalid(f"expected a value for each entry of the palettes, found {sizes}")
    try:
        each, places = <Part *> malloc(n * sizeof(Part)), <uint32_t *> malloc(max(sum(sizes), 1) * sizeof(uint32_t))
        if each == NULL or places == NULL:
            raise MemoryError(f"no memory for {n} boxes of {sum(sizes)} labels")
        memset(places, 0xFF, sum(sizes) * sizeof(uint32_t))
        table_open(&table, 64)
        for k in range(n):
            runs, labels = parts[k], kept[k]
            each[k] = [&runs.rows[0], &runs.stops[0], &runs.picks[0], &labels[0], places + first]
            first += labels.shape[0]
        return joined(each, &lattice, &table)
    finally:
        table_close(&table)
        free(each)
        free(places)


cdef int put_window(Lattice *l, Py_ssize_t pz, window) except -1:
    """Note what is wanted. Raises Invalid."""
    whole = (pz * l.nz, l.py * l.ny, l.px * l.nx)
    start, shape = ((0, 0, 0), whole) if window is None else window
    if min(start) < 0 or min(shape) < 1 or any(a + size > most for a, size, most in zip(start, shape, whole)):
        raise Invalid(f"a window of {tuple(shape)} at {tuple(start)} is not within {whole}")
    l.z, l.y, l.x = start
    l.dz, l.dy, l.dx = shape
    return 0


cdef Runs joined(Part *parts, const Lattice *l, Table *table):
    """Row after row, each from the parts that lie beside one another along x."""
    cdef Py_ssize_t height = l.dz * l.dy, z, r, _r, k
    cdef Py_ssize_t first = l.x // l.nx, last = (l.x + l.dx - 1) // l.nx
    cdef size_t most = 0, i
    cdef Row row
    cdef Part *part
    cdef Made made = [NULL, NULL, 0]
    with nogil:
        for z in range(l.dz):
            row = first_row(l, z)
            for _r in range(l.dy):
                for k in range(first, last + 1):
                    part = &parts[row.beside + k]
                    most += part.rows[row.number + 1] - part.rows[row.number]
                next_row(l, &row)
    if l.dx > 0xFFFFFFFF or most > 0xFFFFFFFF:
        raise Invalid(f"{most} runs in rows of {l.dx} are too many for one box")
    cdef uint32_t[::1] rows = np.empty(height + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty(most, np.uint32), picks = np.empty(most, np.uint32)
    made.stops, made.picks = &stops[0], &picks[0]
    with nogil:
        for z in range(l.dz):
            row = first_row(l, z)
            for r in range(z * l.dy, (z + 1) * l.dy):
                rows[r] = <uint32_t> made.used
                for k in range(first, last + 1):
                    take(&parts[row.beside + k], row.number, k * l.nx - l.x, l, table, rows[r], &made)
                next_row(l, &row)
        rows[height] = <uint32_t> made.used
    labels = keys_in_order(table)
    order = np.argsort(labels)
    cdef uint32_t[::1] rank = np.empty(labels.size, np.uint32)
    np.asarray(rank)[order] = np.arange(labels.size, dtype=np.uint32)
    with nogil:
        for i in range(made.used):
            picks[i] = rank[picks[i]]
    stops, picks = stops[:made.used], picks[:made.used]
    if most > made.used + made.used // 4:        # much of it was beside the window
        stops, picks = np.array(stops), np.array(picks)
    return make(l.dz, l.dy, l.dx, labels[order], rows, stops, picks)


cdef inline Row first_row(const Lattice *l, Py_ssize_t z) noexcept nogil:
    """The first row of a slice of the window."""
    cdef Py_ssize_t y = l.y % l.ny
    return [((l.z + z) // l.nz * l.py + l.y // l.ny) * l.px, (l.z + z) % l.nz * l.ny + y, l.ny - y]


cdef inline void next_row(const Lattice *l, Row *row) noexcept nogil:
    """The row after it in the slice; after the last of some parts the first of those beside them along y."""
    row.number += 1
    row.left -= 1
    if row.left == 0:
        row.beside += l.px
        row.number -= l.ny
        row.left = l.ny


cdef inline int take(Part *part, Py_ssize_t row, Py_ssize_t left, const Lattice *l, Table *table, size_t begun,
                     Made *made) except -1 nogil:
    """What a row of the window, begun at the run `begun`, has of a part whose first voxel lies at `left` in it.

    Runs of one label that meet become one.
    """
    cdef const uint32_t *stops = part.stops
    cdef const uint32_t *picks = part.picks
    cdef uint32_t *places = part.places
    cdef size_t i = run_at(stops, part.rows[row], part.rows[row + 1], <uint32_t> max(0, -left)), used = made.used
    cdef Py_ssize_t end = min(l.dx, left + l.nx), stop = 0
    cdef uint32_t place, before = UNMET if used == begun else made.picks[used - 1]
    while stop < end:
        stop = min(<Py_ssize_t> stops[i] + left, end)
        place = places[picks[i]]
        if place == UNMET:
            place = places[picks[i]] = <uint32_t> table_add(table, part.values[picks[i]])
        used -= place == before
        made.stops[used], made.picks[used] = <uint32_t> stop, place
        before = place
        used += 1
        i += 1
    made.used = used
    return 0
