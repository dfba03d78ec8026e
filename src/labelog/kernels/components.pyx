"""Connected components of equal labels, on runs.

Two voxels touch if they differ by at most one along each axis, and along no more than `reach` axes:

    reach    1    2    3
    1D       2                  neighbours of a voxel
    2D       4    8
    3D       6   18   26

Rows are walked against those before them, and runs that touch with the same label become one set (the two passes with
union-find of Rosenfeld and Pfaltz 1966, on runs instead of voxels). Components are numbered from 1 in the order of
their first voxels; 0 is background and stays 0.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from labelog.kernels.changes cimport find_stops
from labelog.kernels.forest cimport unite
from labelog.kernels.labels cimport Buffer, Label, Table, reserve, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, keys_in_order, make

import numpy as np

from labelog.errors import Invalid

cdef enum:
    STEPS = 512              # of a walk, between which runs are united

ctypedef fused Value:        # what tells runs apart: an index into a palette, or the label itself
    uint32_t
    uint64_t


# One box

def label_runs(Runs runs, int reach):
    """The components of a box of labels.

    Parameters
    ----------
    runs : the labels; 0 is background.
    reach : along how many axes neighbours may differ, 1 to 3.

    Returns
    -------
    components : Runs of the same extent, run by run, with the palette 0, 1, ... n.
    labels : uint64, n + 1: the label of each component; that of 0 is 0.
    """
    cdef Py_ssize_t i, n = runs.stops.shape[0]
    cdef uint32_t count, background = <uint32_t> runs.labels.shape[0]
    cdef uint32_t[::1] ids = np.empty(n, np.uint32)
    check_reach(reach)
    for i in range(runs.labels.shape[0]):
        if runs.labels[i] == 0:
            background = <uint32_t> i
    with nogil:
        connect(&runs.rows[0], &runs.stops[0], &runs.picks[0], background, runs.nz, runs.ny, reach, &ids[0])
        count = count_roots(&runs.picks[0], background, n, &ids[0])
    cdef uint64_t[::1] labels = np.zeros(<size_t> count + 1, np.uint64)
    with nogil:
        number(&runs.picks[0], background, n, &ids[0], &labels[0])
        for i in range(1, labels.shape[0]):
            labels[i] = runs.labels[labels[i]]
    return numbered(runs.nz, runs.ny, runs.nx, runs.rows, runs.stops, ids, np.asarray(labels))


def label_dense(const Label[:, :, :] array, int reach):
    """The components of an array (z, y, x) of any integer dtype and strides: what `label_runs` gives for its runs.

    Labels below 0 are labels too; they are given modulo 2^64. No palette is made of them: an array may have as many
    labels as voxels.
    """
    cdef Py_ssize_t nz = array.shape[0], ny = array.shape[1], nx = array.shape[2]
    cdef Buffer stops = [NULL, 0, 0], values = [NULL, 0, 0]        # a value is a uint64: two items
    cdef const uint64_t *value
    cdef uint32_t count
    check_reach(reach)
    if nz < 1 or ny < 1 or nx < 1 or nx > 0xFFFFFFFFU:
        raise Invalid(f"expected 1 to 2^32 - 1 voxels along each axis, found shape {(nz, ny, nx)}")
    cdef uint32_t[::1] rows = np.zeros(nz * ny + 1, np.uint32)
    cdef uint32_t[::1] ends, ids
    cdef uint64_t[::1] labels
    try:
        with nogil:
            find_rows(array, &rows[0], &stops, &values)
        value = <const uint64_t *> values.at
        ends, ids = np.empty(stops.size, np.uint32), np.empty(stops.size, np.uint32)
        with nogil:
            memcpy(&ends[0], stops.at, stops.size * sizeof(uint32_t))
            connect(&rows[0], stops.at, value, <uint64_t> 0, nz, ny, reach, &ids[0])
            count = count_roots(value, <uint64_t> 0, stops.size, &ids[0])
        labels = np.zeros(<size_t> count + 1, np.uint64)
        with nogil:
            number(value, <uint64_t> 0, stops.size, &ids[0], &labels[0])
        return numbered(nz, ny, nx, rows, ends, ids, np.asarray(labels))
    finally:
        free(stops.at)
        free(values.at)


cdef int check_reach(int reach) except -1:
    if not 1 <= reach <= 3:
        raise Invalid(f"expected neighbours that differ along 1, 2 or 3 axes, found {reach}")
    return 0


cdef numbered(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx, const uint32_t[::1] rows, const uint32_t[::1] stops,
              const uint32_t[::1] ids, labels):
    """What labelling gives: runs with the palette 0, 1, ... n, and the labels."""
    return make(nz, ny, nx, np.arange(len(labels), dtype=np.uint64), rows, stops, ids), labels


cdef int find_rows(const Label[:, :, :] array, uint32_t *rows, Buffer *stops, Buffer *values) except -1 nogil:
    """The runs of all rows of an array, into empty buffers, and where those of each row begin."""
    cdef Py_ssize_t z, y, nx = array.shape[2]
    cdef size_t n
    for z in range(array.shape[0]):
        for y in range(array.shape[1]):
            reserve(stops, nx)
            reserve(values, 2 * nx)
            n = find_runs(&array[z, y, 0], array.strides[2], nx,
                          stops.at + stops.size, (<uint64_t *> values.at) + stops.size)
            stops.size += n
            values.size += 2 * n
            if stops.size > 0xFFFFFFFFU:
                with gil:
                    raise Invalid(f"expected fewer than 2^32 runs in a slab, found more by row {(z, y)}")
            rows[z * array.shape[1] + y + 1] = <uint32_t> stops.size
    return 0


cdef inline size_t find_runs(const Label *row, Py_ssize_t step, Py_ssize_t nx,
                             uint32_t *stops, uint64_t *values) noexcept nogil:
    """The runs of a row, where each stops and its label; how many they are."""
    cdef size_t i, n = find_stops(row, sizeof(Label), step, nx, stops)
    for i in range(n):
        values[i] = <uint64_t> value_at(row, (<Py_ssize_t> stops[i] - 1) * step)
    return n


cdef inline Label value_at(const Label *row, Py_ssize_t offset) noexcept nogil:
    return (<const Label *> (<const char *> row + offset))[0]


cdef void connect(const uint32_t *rows, const uint32_t *stops, const Value *values, Value background,
                  Py_ssize_t nz, Py_ssize_t ny, int reach, uint32_t *parent) noexcept nogil:
    """Make one set of the runs that touch with one value.

    A row has four neighbours before it; those along a diagonal count from reach 2 on:

        z - 1    o | o         where the rows lie `used` axes apart, and used < reach, x may differ too
        z        | x
                 y

    A plane's runs take their first parents from the plane before, so that the rows of a plane find most of them one.
    """
    cdef Py_ssize_t z
    cdef uint32_t i
    cdef const uint32_t *plane
    for i in range(rows[nz * ny]):
        parent[i] = i
    for z in range(nz):
        plane = rows + z * ny
        if z:
            unite_rows(plane, plane - ny, ny, stops, values, background, reach > 1, parent)
            if reach > 1:
                unite_rows(plane + 1, plane - ny, ny - 1, stops, values, background, reach > 2, parent)
                unite_rows(plane, plane - ny + 1, ny - 1, stops, values, background, reach > 2, parent)
        unite_rows(plane + 1, plane, ny - 1, stops, values, background, reach > 1, parent)


cdef struct Walk:            # over some rows, and beside it over as many that come before them
    size_t i                 # the run that it is at
    size_t j                 # and the one there
    size_t last              # where the rows end
    size_t met               # pairs of runs found that overlap and have one value
    size_t corners           # and of those that differ, and end at one place within their rows
    uint64_t pairs[STEPS]    # i << 32 | j
    uint64_t ends[STEPS]


cdef inline void unite_rows(const uint32_t *rows, const uint32_t *before, Py_ssize_t n, const uint32_t *stops,
                            const Value *values, Value background, bint widen, uint32_t *parent) noexcept nogil:
    """Runs of n rows and of as many before them that overlap; if `widen`, also those that only meet at a corner.

    One half of the rows is walked in turn with the other: each step waits for the one before it in its half only.
    """
    cdef Walk one, two
    cdef size_t steps
    cdef uint32_t nx = stops[rows[0] - 1] if n else 0
    begin(&one, rows[0], before[0], rows[n // 2])
    begin(&two, rows[n // 2], before[n // 2], rows[n])
    while one.i < one.last or two.i < two.last:
        steps = STEPS
        while one.i < one.last and two.i < two.last and steps:
            step(&one, stops, values, background, widen, nx)
            step(&two, stops, values, background, widen, nx)
            steps -= 1
        while one.i < one.last and steps:
            step(&one, stops, values, background, widen, nx)
            steps -= 1
        while two.i < two.last and steps:
            step(&two, stops, values, background, widen, nx)
            steps -= 1
        unite_met(&one, values, background, parent)
        unite_met(&two, values, background, parent)


cdef inline void begin(Walk *w, size_t i, size_t j, size_t last) noexcept nogil:
    w.i, w.j, w.last, w.met, w.corners = i, j, last, 0, 0


cdef inline void step(Walk *w, const uint32_t *stops, const Value *values, Value background, bint widen,
                      uint32_t nx) noexcept nogil:
    """To the next pair, without a branch: half of those would be guessed wrong.

        before   ..jjjjjj|kkkk      All rows go over the same x, so the next pair is found by what stops first.
        row      ..iiiiii|llll      Corners meet only where both stop: i with k, j with l.
    """
    cdef uint32_t a = stops[w.i], b = stops[w.j]
    cdef Value value = values[w.i], other = values[w.j]
    w.pairs[w.met] = <uint64_t> w.i << 32 | w.j
    w.met += (value == other) & (value != background)
    if widen:
        w.ends[w.corners] = <uint64_t> w.i << 32 | w.j
        w.corners += (value != other) & (a == b) & (a != nx)
    w.i += a <= b
    w.j += b <= a


cdef inline void unite_met(Walk *w, const Value *values, Value background, uint32_t *parent) noexcept nogil:
    cdef size_t k
    cdef uint32_t i, j
    for k in range(w.met):
        unite_before(parent, <uint32_t> (w.pairs[k] >> 32), <uint32_t> (w.pairs[k] & 0xFFFFFFFFU))
    for k in range(w.corners):
        i, j = <uint32_t> (w.ends[k] >> 32), <uint32_t> (w.ends[k] & 0xFFFFFFFFU)
        if values[i] == values[j + 1] and values[i] != background:
            unite_before(parent, i, j + 1)
        if values[i + 1] == values[j] and values[j] != background:
            unite_before(parent, i + 1, j)
    w.met = w.corners = 0


cdef inline void unite_before(uint32_t *parent, uint32_t i, uint32_t j) noexcept nogil:
    """One set of run i and the earlier run j; what has no parent yet, as most runs, takes that of j."""
    if parent[i] == i:
        parent[i] = parent[j]
    else:
        unite(parent, i, j)


cdef uint32_t count_roots(const Value *values, Value background, size_t n, const uint32_t *parent) noexcept nogil:
    cdef size_t i
    cdef uint32_t count = 0
    for i in range(n):
        count += (parent[i] == i) & (values[i] != background)
    return count


cdef void number(const Value *values, Value background, size_t n, uint32_t *ids, uint64_t *labels) noexcept nogil:
    """From parents to numbers, in place: a parent comes before its children. And the value of each number."""
    cdef size_t i
    cdef uint32_t count = 0
    for i in range(n):
        if values[i] == background:
            ids[i] = 0
        elif ids[i] == i:
            count += 1
            ids[i] = count
            labels[count] = values[i]
        else:
            ids[i] = ids[ids[i]]


def relabelled(Runs runs, values):
    """The runs with other labels: values[i] (uint64) for the palette's entry i. Labels may become one, or 0."""
    cdef const uint64_t[::1] wanted = np.ascontiguousarray(values, np.uint64)
    cdef Py_ssize_t i, n = runs.picks.shape[0], n_labels = runs.labels.shape[0]
    cdef size_t alike
    cdef Table table = [NULL, NULL, 0, 0]
    if wanted.shape[0] != n_labels:
        raise Invalid(f"expected {n_labels} values for the palette, found {wanted.shape[0]}")
    cdef uint32_t[::1] place = np.empty(n_labels, np.uint32)
    try:
        with nogil:
            table_open(&table, n_labels)
            for i in range(n_labels):
                place[i] = <uint32_t> table_add(&table, wanted[i])
        palette = keys_in_order(&table)
    finally:
        table_close(&table)
    if len(palette) == n_labels:
        return make(runs.nz, runs.ny, runs.nx, palette, runs.rows, runs.stops, runs.picks)
    cdef uint32_t[::1] picks = np.empty(n, np.uint32)
    with nogil:
        for i in range(n):
            picks[i] = place[runs.picks[i]]
        alike = count_alike(runs.rows, picks)
    if alike == 0:
        return make(runs.nz, runs.ny, runs.nx, palette, runs.rows, runs.stops, picks)
    return fused(runs, palette, picks, n - alike)


cdef size_t count_alike(const uint32_t[::1] rows, const uint32_t[::1] picks) noexcept nogil:
    """Runs that have the label of the one before in their row."""
    cdef Py_ssize_t r
    cdef size_t i, n = 0
    for r in range(rows.shape[0] - 1):
        for i in range(rows[r] + 1, rows[r + 1]):
            n += picks[i] == picks[i - 1]
    return n


cdef Runs fused(Runs runs, palette, const uint32_t[::1] picks, size_t n):
    """The runs with other picks, those that are alike in a row made one: n then."""
    cdef uint32_t[::1] rows = np.zeros(runs.rows.shape[0], np.uint32)
    cdef uint32_t[::1] stops = np.empty(n, np.uint32), kept = np.empty(n, np.uint32)
    cdef Py_ssize_t r
    cdef size_t i, at = 0
    with nogil:
        for r in range(rows.shape[0] - 1):
            for i in range(runs.rows[r], runs.rows[r + 1]):
                at -= at > rows[r] and kept[at - 1] == picks[i]
                stops[at], kept[at] = runs.stops[i], picks[i]
                at += 1
            rows[r + 1] = <uint32_t> at
    return make(runs.nz, runs.ny, runs.nx, palette, rows, stops, kept)


# What each component is

def measure(Runs components):
    """Extent of each component, by its number (0, the background, is not measured): voxels uint64 (n,), the half-open
    bounds within these runs, start and stop int64 (n, 3), and the first voxel in C order, int64 (n, 3)."""
    cdef Py_ssize_t n = components.labels.shape[0], z, y, r
    cdef uint64_t[::1] voxels = np.zeros(n, np.uint64)
    cdef int64_t[:, ::1] start = np.full((n, 3), 2**32, np.int64)
    cdef int64_t[:, ::1] stop = np.zeros((n, 3), np.int64)
    cdef int64_t[:, ::1] first = np.zeros((n, 3), np.int64)
    cdef int64_t before, after
    cdef size_t i, k
    with nogil:
        for z in range(components.nz):
            for y in range(components.ny):
                r = z * components.ny + y
                after = 0
                for i in range(components.rows[r], components.rows[r + 1]):
                    before, after = after, components.stops[i]
                    k = components.picks[i]
                    if k == 0:
                        continue
                    if voxels[k] == 0:                    # rows ascend: this is the first one
                        start[k, 0] = first[k, 0] = z
                        first[k, 1], first[k, 2] = y, before
                    voxels[k] += after - before
                    start[k, 1] = min(start[k, 1], y)
                    start[k, 2] = min(start[k, 2], before)
                    stop[k, 0] = z + 1
                    stop[k, 1] = max(stop[k, 1], y + 1)
                    stop[k, 2] = max(stop[k, 2], after)
    return np.asarray(voxels), np.asarray(start), np.asarray(stop), np.asarray(first)


def first_voxels(Runs components, steps):
    """The least place of a voxel of each component (int64, n; that of 0 says nothing), where voxel (z, y, x) has the
    place z * steps[0] + y * steps[1] + x * steps[2] and steps are 0 or more."""
    cdef Py_ssize_t n = components.labels.shape[0], z, y, r
    cdef int64_t[::1] out = np.full(n, np.iinfo(np.int64).max, np.int64)
    cdef int64_t sz, sy, sx, before
    cdef size_t i, k
    sz, sy, sx = steps
    with nogil:
        for z in range(components.nz):
            for y in range(components.ny):
                r = z * components.ny + y
                before = 0
                for i in range(components.rows[r], components.rows[r + 1]):
                    k = components.picks[i]
                    out[k] = min(out[k], z * sz + y * sy + before * sx)
                    before = components.stops[i]
    return np.asarray(out)
