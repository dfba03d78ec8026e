"""Extents: how many voxels each label of a chunk has, and within which bounds; and their bytes.

The bytes are a column after the other, so that one label is found without making anything of the rest:

    widths (1 byte) | labels, ascending | voxels | bounds: first z, y, x, last z, y, x of each label
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from labelog.kernels.labels cimport Table, table_add, table_close, table_find, table_open
from labelog.kernels.runs cimport Runs, keys_in_order
from labelog.kernels.spans cimport Delta

import numpy as np

from labelog.errors import Corrupt, Invalid

cdef class Extents:
    """Labels of a chunk, ascending, with their voxels and bounds. Immutable.

    Parameters
    ----------
    labels : uint64 (n,); never 0.
    voxels : uint64 (n,); 0 for a label that is gone.
    bounds : uint32 (n, 6): z0, y0, x0, z1, y1, x1 within the chunk, half-open; all 0 for a label that is gone.
    """

    def __init__(self, labels, voxels, bounds):
        self.labels, self.voxels, self.bounds = labels, voxels, bounds

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, rows):
        """Some of them: a slice, or an index array that ascends."""
        return Extents(self.labels[rows], self.voxels[rows], self.bounds[rows])

    def __eq__(self, other):
        if not isinstance(other, Extents):
            return NotImplemented
        return all(np.array_equal(a, b) for a, b in zip(self.__reduce__()[1], other.__reduce__()[1]))

    __hash__ = None

    def __repr__(self):
        return f"Extents({len(self)} labels, {self.voxels.sum()} voxels)"

    def __reduce__(self):
        return Extents, (self.labels, self.voxels, self.bounds)


# Counting

def counted(Runs runs, start=(0, 0, 0), size=None):
    """The extents of all labels but 0 in a box of `size` at `start` (all of the chunk by default); bounds are those in
    the chunk. Raises Invalid for a box outside it."""
    cdef uint32_t[::1] places = np.arange(1, runs.labels.shape[0] + 1, dtype=np.uint32)
    cdef Py_ssize_t i
    for i in range(places.shape[0]):
        if runs.labels[i] == 0:
            places[i] = 0
    size = runs.shape if size is None else size
    if not all(0 <= first and 0 < n and first + n <= most for first, n, most in zip(start, size, runs.shape)):
        raise Invalid(f"a box of {tuple(size)} at {tuple(start)} is not within {runs.shape}")
    return tallied(runs, places, runs.palette, False, start, size)


def changed(Delta delta, Runs runs):
    """The extents, in a chunk after a delta, of the labels but 0 that lost or gained voxels by it."""
    cdef Table table = [NULL, NULL, 0, 0]
    cdef Py_ssize_t i
    cdef uint32_t[::1] places = np.empty(runs.labels.shape[0], np.uint32)
    try:
        table_open(&table, 16)
        with nogil:
            note_changed(&table, delta)
            for i in range(runs.labels.shape[0]):
                places[i] = <uint32_t> (table_find(&table, runs.labels[i]) + 1)
        return tallied(runs, places, keys_in_order(&table), True, (0, 0, 0), runs.shape)
    finally:
        table_close(&table)


cdef int note_changed(Table *table, Delta delta) except -1 nogil:
    cdef Py_ssize_t i
    for i in range(delta.starts.shape[0]):
        if delta.olds[i] != delta.news[i]:
            if delta.olds[i]:
                table_add(table, delta.olds[i])
            if delta.news[i]:
                table_add(table, delta.news[i])
    return 0


cdef tallied(Runs runs, const uint32_t[::1] places, labels, bint gone, start, size):
    """The extents of some labels in a box, ascending, with or without those that are gone; `places` has for each entry
    of the palette which of them it is, from 1, or 0."""
    cdef uint32_t[3] low = start, high = [first + n for first, n in zip(start, size)]
    cdef size_t n = len(labels), i
    cdef int axis
    cdef Tally *tallies = <Tally *> calloc(n + 1, sizeof(Tally))
    cdef Tally *t
    if tallies == NULL:
        raise MemoryError(f"no memory for the counts of {n} labels")
    voxels_array, bounds_array = np.empty(n, np.uint64), np.empty((n, 6), np.uint32)
    cdef uint64_t[::1] voxels = voxels_array
    cdef uint32_t[:, ::1] bounds = bounds_array
    try:
        with nogil:
            walk(runs, &places[0], tallies, low, high)
            for i in range(n):
                t = &tallies[i + 1]
                voxels[i] = t.voxels
                for axis in range(3):
                    bounds[i, axis] = t.low[axis]
                    bounds[i, 3 + axis] = t.high[axis]
    finally:
        free(tallies)
    order = np.argsort(labels)
    if not gone:
        order = order[voxels_array[order] != 0]
    return Extents(labels[order], voxels_array[order], bounds_array[order])


cdef void walk(Runs runs, const uint32_t *place, Tally *tallies, const uint32_t *low,
               const uint32_t *high) noexcept nogil:
    """Count the runs of the palette's entries that have a place, within a box."""
    cdef const uint32_t *rows
    cdef const uint32_t *stops = &runs.stops[0]
    cdef const uint32_t *picks = &runs.picks[0]
    cdef uint32_t y, z, i, first, last, start, stop, found
    cdef Tally *t
    for z in range(low[0], high[0]):
        rows = &runs.rows[z * runs.ny + low[1]]
        for y in range(low[1], high[1]):
            first, last = rows[0], rows[1]
            rows += 1
            for i in range(first, last):
                found = place[picks[i]]
                if found == 0:
                    continue
                start = max(stops[i - 1] if i > first else 0, low[2])
                stop = min(stops[i], high[2])
                if start >= stop:
                    continue
                t = &tallies[found]
                if t.voxels == 0:      # z ascends: the first row sets the low end, the last one the high
                    t.low[0], t.low[1], t.low[2] = z, y, start
                t.voxels += stop - start
                t.high[0] = z + 1
                if y < t.low[1]:
                    t.low[1] = y
                if y >= t.high[1]:
                    t.high[1] = y + 1
                if start < t.low[2]:
                    t.low[2] = start
                if stop > t.high[2]:
                    t.high[2] = stop


# Bytes

def encode(Extents extents):
    """The bytes of extents; none of none."""
    cdef const uint64_t[::1] labels = extents.labels, voxels = extents.voxels
    cdef const uint32_t[:, ::1] bounds = extents.bounds
    cdef size_t n = labels.shape[0], i
    cdef uint64_t most = 0, furthest = 0
    cdef int axis, last, w, v, b
    cdef uint8_t *at
    if n == 0:
        return b""
    for i in range(n):
        most = max(most, voxels[i])
        for axis in range(3, 6):
            furthest = max(furthest, bounds[i, axis])
    w, v, b = width(labels[n - 1]), width(most), width(furthest - 1 if furthest else 0)
    data = PyBytes_FromStringAndSize(NULL, 1 + n * ((1 << w) + (1 << v) + (6 << b)))
    at = <uint8_t *> PyBytes_AS_STRING(data)
    at[0] = <uint8_t> (w | v << 2 | b << 4)
    at += 1
    for i in range(n):
        at = put(at, labels[i], w)
    for i in range(n):
        at = put(at, voxels[i], v)
    for i in range(n):
        for axis in range(6):
            last = voxels[i] != 0 and axis >= 3
            at = put(at, bounds[i, axis] - last, b)
    return data


def decode(const uint8_t[::1] data, shape):
    """The extents of these bytes in a chunk of `shape`. Raises Corrupt for any others."""
    cdef Columns columns
    cdef size_t i
    cdef int axis
    cdef bint sound
    cdef uint32_t[3] sides = shape
    cdef uint64_t volume, before = 0
    read_columns(&columns, data)
    labels_array, voxels_array = np.empty(columns.n, np.uint64), np.empty(columns.n, np.uint64)
    bounds_array = np.empty((columns.n, 6), np.uint32)
    cdef uint64_t[::1] labels = labels_array, voxels = voxels_array
    cdef uint32_t[:, ::1] bounds = bounds_array
    for i in range(columns.n):
        labels[i] = take(columns.labels, i, columns.w)
        voxels[i] = take_entry(&columns, i, &bounds[i, 0])
        volume = 1
        sound = labels[i] > before
        before = labels[i]
        for axis in range(3):
            sound = sound and bounds[i, axis] <= bounds[i, 3 + axis] <= (sides[axis] if voxels[i] else 0)
            volume *= bounds[i, 3 + axis] - bounds[i, axis] if sound else 0
        if not sound or voxels[i] > volume:
            raise Corrupt(f"the count of label {labels[i]} is damaged")
    return Extents(labels_array, voxels_array, bounds_array)


def look_up(const uint8_t[::1] data, uint64_t label):
    """Voxels and bounds (z0, y0, x0, z1, y1, x1) of one label of these bytes; None if they do not have it."""
    cdef Columns columns
    cdef uint32_t bounds[6]
    cdef size_t low = 0, high, middle
    cdef uint64_t voxels
    read_columns(&columns, data)
    high = columns.n
    while low < high:
        middle = (low + high) // 2
        if take(columns.labels, middle, columns.w) < label:
            low = middle + 1
        else:
            high = middle
    if low == columns.n or take(columns.labels, low, columns.w) != label:
        return None
    voxels = take_entry(&columns, low, bounds)
    return voxels, (bounds[0], bounds[1], bounds[2], bounds[3], bounds[4], bounds[5])


cdef struct Columns:
    const uint8_t *labels
    const uint8_t *voxels
    const uint8_t *bounds
    size_t n
    int w, v, b              # the binary logarithms of their widths in bytes


cdef int read_columns(Columns *columns, const uint8_t[::1] data) except -1:
    """Where the columns are. Raises Corrupt if the bytes are not as many as their widths say."""
    cdef size_t each, size = data.shape[0]
    columns.n = 0
    if size == 0:
        return 0
    columns.w, columns.v, columns.b = data[0] & 3, data[0] >> 2 & 3, data[0] >> 4
    each = (1 << columns.w) + (1 << columns.v) + (6 << min(columns.b, 3))
    if columns.b > 2 or size == 1 or (size - 1) % each:
        raise Corrupt(f"{size} bytes are no counts of labels")
    columns.n = (size - 1) // each
    columns.labels = &data[0] + 1
    columns.voxels = columns.labels + (columns.n << columns.w)
    columns.bounds = columns.voxels + (columns.n << columns.v)
    return 0


cdef inline uint64_t take_entry(Columns *columns, size_t i, uint32_t *bounds) noexcept nogil:
    """The voxels of an entry; its bounds, half-open."""
    cdef uint64_t voxels = take(columns.voxels, i, columns.v)
    cdef int axis
    for axis in range(6):
        bounds[axis] = <uint32_t> take(columns.bounds, 6 * i + axis, columns.b) + (voxels != 0 and axis >= 3)
    return voxels


cdef inline int width(uint64_t number) noexcept nogil:
    """The binary logarithm of the bytes that hold a number: 0 to 3."""
    return 0 if number < 1 << 8 else 1 if number < 1 << 16 else 2 if number < <uint64_t> 1 << 32 else 3


cdef inline uint8_t *put(uint8_t *at, uint64_t number, int width) noexcept nogil:
    cdef int i
    for i in range(1 << width):
        at[i] = <uint8_t> (number >> 8 * i)
    return at + (1 << width)


cdef inline uint64_t take(const uint8_t *column, size_t i, int width) noexcept nogil:
    """The i-th number of a column."""
    cdef uint64_t number = 0
    cdef int k
    for k in range(1 << width):
        number |= <uint64_t> column[(i << width) + k] << 8 * k
    return number
