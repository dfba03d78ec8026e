"""Connected components of equal labels, on runs.

Two voxels touch if they differ by at most one along each axis, and along no more than `reach` axes:

    reach    1    2    3
    1D       2                  neighbours of a voxel
    2D       4    8
    3D       6   18   26

Rows are walked against those before them, and runs that touch with the same label become one set (the two passes with
union-find of Rosenfeld and Pfaltz 1966, on runs instead of voxels). Components are numbered from 1 in the order of
their first voxels; 0 is background and stays 0.

Boxes that lie beside one another are labelled each by itself. What they have at a common face, edge or corner is cut
out of both and compared:

    +---+---+      cut(a, (0, 0, 1)) is the last x of a,
    | a#|#b |      cut(b, (0, 0, -1)) the first x of b,
    +---+---+      touching(...) the pairs of components at both sides
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from labelog.kernels.forest cimport unite
from labelog.kernels.labels cimport Buffer, Label, reserve
from labelog.kernels.runs cimport Runs, make

import numpy as np

from labelog.errors import Invalid

cdef extern from *:
    int trailing_zeros "__builtin_ctzll"(unsigned long long) noexcept nogil

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
    cdef uint32_t background = <uint32_t> runs.labels.shape[0]
    cdef uint32_t[::1] ids = np.empty(n, np.uint32)
    check_reach(reach)
    for i in range(runs.labels.shape[0]):
        if runs.labels[i] == 0:
            background = <uint32_t> i
    with nogil:
        connect(&runs.rows[0], &runs.stops[0], &runs.picks[0], background, runs.nz, runs.ny, reach, &ids[0])
        i = number(&runs.picks[0], background, n, &ids[0])
    cdef uint64_t[::1] labels = np.zeros(i + 1, np.uint64)
    with nogil:
        for i in range(n):
            if ids[i]:
                labels[ids[i]] = runs.labels[runs.picks[i]]
    return numbered(runs.nz, runs.ny, runs.nx, labels.shape[0], runs.rows, runs.stops, ids), np.asarray(labels)


def label_dense(const Label[:, :, :] array, int reach):
    """The components of an array (z, y, x) of any integer dtype and strides: what `label_runs` gives for its runs.

    Labels below 0 are labels too; they are given modulo 2^64.
    """
    cdef Py_ssize_t nz = array.shape[0], ny = array.shape[1], nx = array.shape[2], z, y, i = 0
    cdef Buffer stops = [NULL, 0, 0], values = [NULL, 0, 0]        # a value is a uint64: two items
    cdef size_t n
    cdef uint8_t *changes = NULL
    check_reach(reach)
    if nz < 1 or ny < 1 or nx < 1 or nx > 0xFFFFFFFFU:
        raise Invalid(f"expected 1 to 2^32 - 1 voxels along each axis, found shape {(nz, ny, nx)}")
    cdef uint32_t[::1] rows = np.zeros(nz * ny + 1, np.uint32)
    cdef uint32_t[::1] ends, ids
    cdef uint64_t[::1] labels
    try:
        with nogil:
            changes = <uint8_t *> malloc(nx + 8)
            if changes == NULL:
                with gil:
                    raise MemoryError(f"no memory for a row of {nx} voxels")
            for z in range(nz):
                for y in range(ny):
                    reserve(&stops, nx)
                    reserve(&values, 2 * nx)
                    n = find_runs(&array[z, y, 0], array.strides[2], nx, changes,
                                  stops.at + stops.size, (<uint64_t *> values.at) + stops.size)
                    stops.size += n
                    values.size += 2 * n
                    if stops.size > 0xFFFFFFFFU:
                        with gil:
                            raise Invalid(f"expected fewer than 2^32 runs, found more in {nz} x {ny} x {nx} voxels")
                    rows[z * ny + y + 1] = <uint32_t> stops.size
        ends, ids = np.empty(stops.size, np.uint32), np.empty(stops.size, np.uint32)
        with nogil:
            memcpy(&ends[0], stops.at, stops.size * sizeof(uint32_t))
            connect(&rows[0], stops.at, <const uint64_t *> values.at, <uint64_t> 0, nz, ny, reach, &ids[0])
            i = number(<const uint64_t *> values.at, <uint64_t> 0, stops.size, &ids[0])
        labels = np.zeros(i + 1, np.uint64)
        with nogil:
            for n in range(stops.size):
                if ids[n]:
                    labels[ids[n]] = (<const uint64_t *> values.at)[n]
        return numbered(nz, ny, nx, labels.shape[0], rows, ends, ids), np.asarray(labels)
    finally:
        free(changes)
        free(stops.at)
        free(values.at)


cdef int check_reach(int reach) except -1:
    if not 1 <= reach <= 3:
        raise Invalid(f"expected neighbours that differ along 1, 2 or 3 axes, found {reach}")
    return 0


cdef Runs numbered(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx, Py_ssize_t n,
                   const uint32_t[::1] rows, const uint32_t[::1] stops, const uint32_t[::1] ids):
    """Runs with the palette 0 to n - 1."""
    return share(nz, ny, nx, np.arange(n, dtype=np.uint64), rows, stops, ids)


cdef Runs share(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx, const uint64_t[::1] labels,
                const uint32_t[::1] rows, const uint32_t[::1] stops, const uint32_t[::1] picks):
    """Runs of arrays that a kernel has made, or that other runs have."""
    cdef Runs runs = Runs.__new__(Runs)
    runs.nz, runs.ny, runs.nx = nz, ny, nx
    runs.labels, runs.rows, runs.stops, runs.picks = labels, rows, stops, picks
    runs._weigh()
    return runs


cdef inline size_t find_runs(const Label *row, Py_ssize_t step, Py_ssize_t nx, uint8_t *changes,
                             uint32_t *stops, uint64_t *values) noexcept nogil:
    """The runs of a row, where each stops and its label; how many they are.

    First a byte for each voxel, 1 where the next one differs: a loop without branches, which compilers vectorise. Then
    eight of them at a time, most of which are all 0. `changes` has room for nx + 8 bytes.
    """
    cdef Py_ssize_t x, at
    cdef uint64_t word
    cdef size_t n = 0
    if step == sizeof(Label):
        for x in range(nx - 1):
            changes[x] = row[x] != row[x + 1]
    else:
        for x in range(nx - 1):
            changes[x] = value_at(row, x * step) != value_at(row, (x + 1) * step)
    changes[nx - 1] = 1
    memset(changes + nx, 0, 8)
    for x in range(0, nx, 8):
        memcpy(&word, changes + x, 8)
        while word:
            at = x + (trailing_zeros(word) >> 3)                  # of a little-endian word
            stops[n] = <uint32_t> (at + 1)
            values[n] = <uint64_t> value_at(row, at * step)
            n += 1
            word &= word - 1
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
    """
    cdef Py_ssize_t z, y, r
    cdef uint32_t i
    for i in range(rows[nz * ny]):
        parent[i] = i
    for z in range(nz):
        for y in range(ny):
            r = z * ny + y
            if y:
                unite_rows(rows, stops, values, background, r, r - 1, reach > 1, parent)
            if z:
                unite_rows(rows, stops, values, background, r, r - ny, reach > 1, parent)
            if z and y and reach > 1:
                unite_rows(rows, stops, values, background, r, r - ny - 1, reach > 2, parent)
            if z and y + 1 < ny and reach > 1:
                unite_rows(rows, stops, values, background, r, r - ny + 1, reach > 2, parent)


cdef inline void unite_rows(const uint32_t *rows, const uint32_t *stops, const Value *values, Value background,
                            Py_ssize_t r, Py_ssize_t before, bint widen, uint32_t *parent) noexcept nogil:
    """Runs of two rows that overlap; if `widen`, also those that only meet at a corner.

        before   ..jjjjjj|kkkk      Both rows go over the same x, so the next pair is found by what stops first.
        r        ..iiiiii|llll      Corners meet only where both stop: i with k, j with l.
    """
    cdef uint32_t i = rows[r], j = rows[before], last = rows[r + 1], a, b
    while i < last:
        a, b = stops[i], stops[j]
        if values[i] == values[j]:
            if values[i] != background:
                unite(parent, i, j)
        elif widen and a == b and i + 1 < last:
            if values[i] == values[j + 1] and values[i] != background:
                unite(parent, i, j + 1)
            if values[i + 1] == values[j] and values[j] != background:
                unite(parent, i + 1, j)
        i += a <= b
        j += b <= a


cdef uint32_t number(const Value *values, Value background, size_t n, uint32_t *ids) noexcept nogil:
    """From parents to numbers, in place: a parent comes before its children. How many there are."""
    cdef size_t i
    cdef uint32_t count = 0
    for i in range(n):
        if values[i] == background:
            ids[i] = 0
        elif ids[i] == i:
            count += 1
            ids[i] = count
        else:
            ids[i] = ids[ids[i]]
    return count


def relabelled(Runs runs, values):
    """The runs with other labels: values[i] (uint64) for the palette's entry i. Labels may become one, or 0."""
    if len(values) != runs.labels.shape[0]:
        raise Invalid(f"expected {runs.labels.shape[0]} values for the palette, found {len(values)}")
    palette, inverse = np.unique(np.asarray(values, np.uint64), return_inverse=True)
    cdef const uint32_t[::1] place = inverse.astype(np.uint32)
    cdef uint32_t[::1] rows = np.zeros(runs.rows.shape[0], np.uint32)
    cdef uint32_t[::1] stops = np.empty(runs.stops.shape[0], np.uint32)
    cdef uint32_t[::1] picks = np.empty(runs.stops.shape[0], np.uint32)
    cdef Py_ssize_t r
    cdef size_t i, n = 0
    with nogil:
        for r in range(runs.nz * runs.ny):
            for i in range(runs.rows[r], runs.rows[r + 1]):
                n -= n > rows[r] and picks[n - 1] == place[runs.picks[i]]
                stops[n] = runs.stops[i]
                picks[n] = place[runs.picks[i]]
                n += 1
            rows[r + 1] = <uint32_t> n
    return make(runs.nz, runs.ny, runs.nx, palette, rows, head(stops, n), head(picks, n))


cdef head(uint32_t[::1] array, size_t n):
    return np.asarray(array)[:n].copy()


# What each component is

def measure(Runs components):
    """Extent of each component, by its number (0, the background, is not measured): voxels uint64 (n,), and the
    half-open bounds within these runs, start and stop int64 (n, 3)."""
    cdef Py_ssize_t n = components.labels.shape[0], z, y, r
    cdef uint64_t[::1] voxels = np.zeros(n, np.uint64)
    cdef int64_t[:, ::1] start = np.full((n, 3), 2**32, np.int64)
    cdef int64_t[:, ::1] stop = np.zeros((n, 3), np.int64)
    cdef int64_t before
    cdef size_t i, k
    with nogil:
        for z in range(components.nz):
            for y in range(components.ny):
                r = z * components.ny + y
                before = 0
                for i in range(components.rows[r], components.rows[r + 1]):
                    k = components.picks[i]
                    if k:
                        voxels[k] += components.stops[i] - before
                        start[k, 0] = min(start[k, 0], z)
                        start[k, 1] = min(start[k, 1], y)
                        start[k, 2] = min(start[k, 2], before)
                        stop[k, 0] = z + 1
                        stop[k, 1] = max(stop[k, 1], y + 1)
                        stop[k, 2] = max(stop[k, 2], <int64_t> components.stops[i])
                    before = components.stops[i]
    return np.asarray(voxels), np.asarray(start), np.asarray(stop)


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


# Beside one another

def cut(Runs runs, direction):
    """The voxels of a box at its face, edge or corner in a direction, as one plane.

    Parameters
    ----------
    direction : (z, y, x), each -1 (the first voxel along this axis), 1 (the last) or 0 (all of them).

    Returns
    -------
    Runs (1, a, b) with the palette of `runs`: the voxels along the axes that are 0, in the order of the axes. An edge
    along z or y is (1, n, 1) where x is cut, one along x is (1, 1, n).
    """
    if len(direction) != 3 or not any(direction) or not all(d in (-1, 0, 1) for d in direction):
        raise Invalid(f"expected a direction of -1, 0 and 1 along z, y, x, not all 0, found {tuple(direction)}")
    (z0, z1), (y0, y1), _ = ((0, 1) if d < 0 else (n - 1, n) if d else (0, n) for d, n in zip(direction, runs.shape))
    if direction[2]:
        return cut_column(runs, z0, z1, y0, y1, direction[2] > 0)
    return cut_rows(runs, z0, z1, y0, y1)


cdef Runs cut_rows(Runs runs, Py_ssize_t z0, Py_ssize_t z1, Py_ssize_t y0, Py_ssize_t y1):
    """Whole rows: those of the planes z0:z1 and the lines y0:y1."""
    cdef Py_ssize_t z, r, m = 0
    cdef uint32_t first
    cdef size_t n = 0
    for z in range(z0, z1):
        n += runs.rows[z * runs.ny + y1] - runs.rows[z * runs.ny + y0]
    cdef uint32_t[::1] rows = np.empty((z1 - z0) * (y1 - y0) + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty(n, np.uint32), picks = np.empty(n, np.uint32)
    n = 0
    with nogil:
        for z in range(z0, z1):
            for r in range(z * runs.ny + y0, z * runs.ny + y1):
                first = runs.rows[r]
                rows[m] = <uint32_t> n
                m += 1
                memcpy(&stops[n], &runs.stops[first], (runs.rows[r + 1] - first) * sizeof(uint32_t))
                memcpy(&picks[n], &runs.picks[first], (runs.rows[r + 1] - first) * sizeof(uint32_t))
                n += runs.rows[r + 1] - first
        rows[m] = <uint32_t> n
    return share(1, m, runs.nx, runs.labels, rows, stops, picks)


cdef Runs cut_column(Runs runs, Py_ssize_t z0, Py_ssize_t z1, Py_ssize_t y0, Py_ssize_t y1, bint last):
    """The first or the last voxels of rows: a row for each plane, of runs along y."""
    cdef Py_ssize_t z, y, r
    cdef uint32_t pick
    cdef size_t n = 0
    cdef uint32_t[::1] rows = np.zeros(z1 - z0 + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty((z1 - z0) * (y1 - y0), np.uint32)
    cdef uint32_t[::1] picks = np.empty((z1 - z0) * (y1 - y0), np.uint32)
    with nogil:
        for z in range(z0, z1):
            for y in range(y0, y1):
                r = z * runs.ny + y
                pick = runs.picks[runs.rows[r + 1] - 1 if last else runs.rows[r]]
                n -= n > rows[z - z0] and picks[n - 1] == pick
                stops[n] = <uint32_t> (y + 1 - y0)
                picks[n] = pick
                n += 1
            rows[z - z0 + 1] = <uint32_t> n
    return share(1, z1 - z0, y1 - y0, runs.labels, rows, head(stops, n), head(picks, n))


def touching(Runs a, Runs b, labels_a, labels_b, int reach):
    """Which components are one, of two boxes that lie beside one another.

    Parameters
    ----------
    a, b : what was cut out of the two where they meet, of one shape (1, n, m).
    labels_a, labels_b : uint64, the label of each entry of their palettes; 0 is background.
    reach : along how many axes of these planes neighbours may differ, 0 to 2. It is less than that of the voxels by as
        many axes as the boxes lie apart (1 at a face, 2 at an edge, 3 at a corner).

    Returns
    -------
    uint64 (k, 2): pairs of the palettes' entries that touch with one label, ascending, none twice.
    """
    cdef const uint64_t[::1] la = np.ascontiguousarray(labels_a, np.uint64)
    cdef const uint64_t[::1] lb = np.ascontiguousarray(labels_b, np.uint64)
    cdef Buffer pairs = [NULL, 0, 0]
    cdef Py_ssize_t r, q
    if not 0 <= reach <= 2:
        raise Invalid(f"expected neighbours that differ along 0, 1 or 2 axes, found {reach}")
    if a.shape != b.shape or a.nz != 1:
        raise Invalid(f"expected two planes of one shape (1, n, m), found {a.shape} and {b.shape}")
    if la.shape[0] != a.labels.shape[0] or lb.shape[0] != b.labels.shape[0]:
        raise Invalid(f"expected {a.labels.shape[0]} and {b.labels.shape[0]} labels, "
                      f"found {la.shape[0]} and {lb.shape[0]}")
    try:
        with nogil:
            for r in range(a.ny):
                for q in range(max(0, r - 1) if reach else r, min(a.ny, r + 2) if reach else r + 1):
                    meet(a, b, r, q, &la[0], &lb[0], reach > (r != q), &pairs)
        found = np.empty((pairs.size // 2, 2), np.uint32)
        if pairs.size:
            take(&pairs, found)
    finally:
        free(pairs.at)
    key = np.unique(found[:, 0].astype(np.uint64) << np.uint64(32) | found[:, 1])
    return np.stack([a.palette[key >> np.uint64(32)], b.palette[key & np.uint64(0xFFFFFFFF)]], axis=1)


cdef int take(Buffer *pairs, uint32_t[:, ::1] out) except -1:
    memcpy(&out[0, 0], pairs.at, pairs.size * sizeof(uint32_t))
    return 0


cdef int meet(Runs a, Runs b, Py_ssize_t r, Py_ssize_t q, const uint64_t *la, const uint64_t *lb, bint widen,
              Buffer *pairs) except -1 nogil:
    """The pairs of row r of `a` and row q of `b`: the walk of `unite_rows`."""
    cdef size_t i = a.rows[r], j = b.rows[q], last = a.rows[r + 1]
    cdef uint32_t x, y
    while i < last:
        x, y = a.stops[i], b.stops[j]
        push(a, b, i, j, la, lb, pairs)
        if widen and x == y and i + 1 < last:
            push(a, b, i, j + 1, la, lb, pairs)
            push(a, b, i + 1, j, la, lb, pairs)
        i += x <= y
        j += y <= x
    return 0


cdef inline int push(Runs a, Runs b, size_t i, size_t j, const uint64_t *la, const uint64_t *lb,
                     Buffer *pairs) except -1 nogil:
    """The components of two runs, if they have one label; not again if they are the pair before."""
    cdef uint32_t p = a.picks[i], q = b.picks[j]
    if la[p] != lb[q] or la[p] == 0:
        return 0
    if pairs.size and pairs.at[pairs.size - 2] == p and pairs.at[pairs.size - 1] == q:
        return 0
    reserve(pairs, 2)
    pairs.at[pairs.size] = p
    pairs.at[pairs.size + 1] = q
    pairs.size += 2
    return 0
