"""Spans: what is written to a chunk. Delta: what that changes.

A span is a half-open interval of the chunk's voxels counted in C order (it may go on over the ends of rows), so a
chunk filled with one label is one span. Spans of one object ascend and do not overlap; all operations are walks over
two sorted lists.

    below             ----aaaaaaaa----bbbb----
    above             --------cccc------cc----
    overlay           ----aaaacccc----bbcc----
    subtract          ----aaaa--------bb------      below where above is not
    intersect         --------aaaa------bb----      below where above is
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from labelog.kernels.labels cimport Label, Table, grow, table_add, table_close, table_find, table_open
from labelog.kernels.runs cimport Runs, make, run_at

import numpy as np

from labelog.errors import Invalid


cdef enum:
    NOWHERE = 0xFFFFFFFF       # no place in a palette


cdef class Spans:
    """Voxels of a chunk and the label for each: ascending, disjoint. Immutable.

    Parameters
    ----------
    start, stop : uint32, half-open intervals of flat voxel indices (z * ny + y) * nx + x.
    value : uint64, the label of each.

    Raises Invalid if they are empty intervals, overlap or do not ascend.
    """

    def __init__(self, start, stop, value):
        self.starts = np.ascontiguousarray(start, np.uint32)
        self.stops = np.ascontiguousarray(stop, np.uint32)
        self.values = np.ascontiguousarray(value, np.uint64)
        if not self.starts.shape[0] == self.stops.shape[0] == self.values.shape[0]:
            raise Invalid("spans need as many starts as stops and values")
        check_order(self.starts, self.stops)

    @property
    def start(self):
        """uint32, read only: the first voxel of each span."""
        return np.asarray(self.starts)

    @property
    def stop(self):
        """uint32, read only: the voxel after the last of each span."""
        return np.asarray(self.stops)

    @property
    def value(self):
        """uint64, read only: the label of each span."""
        return np.asarray(self.values)

    @property
    def voxels(self):
        """How many voxels the spans hold."""
        return count(self.starts, self.stops)

    def highest(self, uint64_t limit):
        """The highest label below `limit`; 0 if there is none."""
        cdef uint64_t found = 0
        cdef Py_ssize_t i
        for i in range(self.values.shape[0]):
            if found < self.values[i] < limit:
                found = self.values[i]
        return found

    def __len__(self):
        return self.starts.shape[0]

    def __repr__(self):
        return f"Spans({len(self)} spans, {self.voxels} voxels)"

    def __reduce__(self):
        return Spans, (self.start, self.stop, self.value)

    def bounds(self, shape):
        """The smallest box (z0, z1, y0, y1, x0, x1) in a chunk of this shape that holds all spans; None if empty."""
        cdef Py_ssize_t i, n = self.starts.shape[0]
        cdef uint64_t ny, nx, first, last, y, lowest_y, lowest_x, highest_y = 0, highest_x = 0
        if not n:
            return None
        _, ny, nx = shape
        if not ny or not nx:
            raise Invalid(f"there are spans, but no voxels in a chunk of {shape}")
        lowest_y, lowest_x = ny - 1, nx - 1
        with nogil:
            for i in range(n):
                first, last = self.starts[i] // nx, (self.stops[i] - 1) // nx
                if first != last:
                    lowest_x, highest_x = 0, nx - 1
                else:
                    lowest_x = min(lowest_x, self.starts[i] - first * nx)
                    highest_x = max(highest_x, self.stops[i] - 1 - first * nx)
                if first // ny != last // ny:
                    lowest_y, highest_y = 0, ny - 1
                else:
                    y = first - first // ny * ny
                    lowest_y, highest_y = min(lowest_y, y), max(highest_y, y + last - first)
        first, last = self.starts[0] // nx // ny, (self.stops[n - 1] - 1) // nx // ny
        return first, last + 1, lowest_y, highest_y + 1, lowest_x, highest_x + 1


cdef class Delta:
    """What one commit wrote in one chunk: spans with the label before and after (which may be equal). Immutable."""

    def __init__(self, start, stop, old, new):
        self.starts = np.ascontiguousarray(start, np.uint32)
        self.stops = np.ascontiguousarray(stop, np.uint32)
        self.olds = np.ascontiguousarray(old, np.uint64)
        self.news = np.ascontiguousarray(new, np.uint64)
        if not self.starts.shape[0] == self.stops.shape[0] == self.olds.shape[0] == self.news.shape[0]:
            raise Invalid("a delta needs as many starts as stops, old and new labels")
        check_order(self.starts, self.stops)

    @property
    def old(self):
        """Spans with the labels before."""
        return share(self.starts, self.stops, self.olds)

    @property
    def new(self):
        """Spans with the labels after."""
        return share(self.starts, self.stops, self.news)

    @property
    def written(self):
        """How many voxels were written."""
        return count(self.starts, self.stops)

    @property
    def changed(self):
        """How many voxels have another label than before."""
        cdef uint64_t total = 0
        cdef Py_ssize_t i
        for i in range(self.starts.shape[0]):
            if self.olds[i] != self.news[i]:
                total += self.stops[i] - self.starts[i]
        return total

    def changes(self):
        """The spans whose label changed, with the labels after."""
        kept = np.asarray(self.olds) != np.asarray(self.news)
        return Spans(np.asarray(self.starts)[kept], np.asarray(self.stops)[kept], np.asarray(self.news)[kept])

    def __len__(self):
        return self.starts.shape[0]

    def __repr__(self):
        return f"Delta({len(self)} spans, {self.written} voxels, {self.changed} changed)"

    def __reduce__(self):
        return Delta, (self.new.start, self.new.stop, self.old.value, self.new.value)

    def __eq__(self, other):
        if not isinstance(other, Delta):
            return NotImplemented
        return all(np.array_equal(a, b) for a, b in zip(self.__reduce__()[1], other.__reduce__()[1]))

    __hash__ = None


def nothing():
    """No spans."""
    return Spans((), (), ())


# Making spans

def box_spans(shape, start, size, uint64_t value):
    """The box of `size` (dz, dy, dx) at `start` (z, y, x) in a chunk of `shape`, all one label."""
    cdef Py_ssize_t ny, nx, z, y, z0, y0, x0, dz, dy, dx
    cdef uint64_t a
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    (_, ny, nx), (z0, y0, x0), (dz, dy, dx) = shape, start, size
    check_within(shape, start, size)
    try:
        with nogil:
            for z in range(z0, z0 + dz):
                for y in range(y0, y0 + dy):
                    a = <uint64_t> ((z * ny + y) * nx + x0)
                    if dx > 0:
                        push(&pieces, <uint32_t> a, <uint32_t> (a + dx), value, 0)
        return spans_of(&pieces)
    finally:
        release(&pieces)


def mask_spans(shape, start, const uint8_t[:, :, :] mask, uint64_t value):
    """The voxels where `mask` (z, y, x), put at `start` in a chunk of `shape`, is not 0: all one label."""
    cdef Py_ssize_t ny, nx, z, y, x, first, z0, y0, x0
    cdef Py_ssize_t dz = mask.shape[0], dy = mask.shape[1], dx = mask.shape[2]
    cdef uint64_t a
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    (_, ny, nx), (z0, y0, x0) = shape, start
    check_within(shape, start, (dz, dy, dx))
    try:
        with nogil:
            for z in range(dz):
                for y in range(dy):
                    a = <uint64_t> (((z0 + z) * ny + y0 + y) * nx + x0)
                    x = 0
                    while x < dx:
                        while x < dx and mask[z, y, x] == 0:
                            x += 1
                        first = x
                        while x < dx and mask[z, y, x] != 0:
                            x += 1
                        if x > first:
                            push(&pieces, <uint32_t> (a + first), <uint32_t> (a + x), value, 0)
        return spans_of(&pieces)
    finally:
        release(&pieces)


def array_spans(shape, start, const Label[:, :, :] values):
    """Labels of an integer array (z, y, x) put at `start` in a chunk of `shape`.

    Raises Invalid for a negative value, naming it.
    """
    cdef Py_ssize_t ny, nx, z, y, x, first, z0, y0, x0
    cdef Py_ssize_t dz = values.shape[0], dy = values.shape[1], dx = values.shape[2]
    cdef uint64_t a
    cdef Label value = 0
    cdef bint negative = False
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    (_, ny, nx), (z0, y0, x0) = shape, start
    check_within(shape, start, (dz, dy, dx))
    try:
        with nogil:
            for z in range(dz):
                for y in range(dy):
                    a = <uint64_t> (((z0 + z) * ny + y0 + y) * nx + x0)
                    x = 0
                    while x < dx and not negative:
                        first = x
                        value = values[z, y, x]
                        x += 1
                        while x < dx and values[z, y, x] == value:
                            x += 1
                        negative = value < 0
                        push(&pieces, <uint32_t> (a + first), <uint32_t> (a + x), <uint64_t> value, 0)
                    if negative:
                        with gil:
                            raise Invalid(f"labels must be 0 or more, found {value}")
        return spans_of(&pieces)
    finally:
        release(&pieces)


def select(Runs runs, chosen, values):
    """The voxels whose label is chosen.

    Parameters
    ----------
    chosen : bool, one for each entry of the palette.
    values : uint64, the label to give to the voxels of each entry.
    """
    cdef const uint8_t[::1] take = np.ascontiguousarray(chosen, bool).view(np.uint8)
    cdef const uint64_t[::1] value = np.ascontiguousarray(values, np.uint64)
    cdef Py_ssize_t r
    cdef size_t i
    cdef uint32_t before
    cdef uint64_t a
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    if not take.shape[0] == value.shape[0] == runs.labels.shape[0]:
        raise Invalid(f"expected {runs.labels.shape[0]} entries, found {take.shape[0]} and {value.shape[0]}")
    try:
        with nogil:
            for r in range(runs.nz * runs.ny):
                a = <uint64_t> (r * runs.nx)
                before = 0
                for i in range(runs.rows[r], runs.rows[r + 1]):
                    if take[runs.picks[i]]:
                        push(&pieces, <uint32_t> (a + before), <uint32_t> (a + runs.stops[i]), value[runs.picks[i]], 0)
                    before = runs.stops[i]
        return spans_of(&pieces)
    finally:
        release(&pieces)


# Two sorted lists

def overlay(Spans below, Spans above):
    """Both; where they meet, the label of `above`."""
    return merged(below, above, True)


def subtract(Spans below, Spans above):
    """The parts of `below` outside `above`."""
    return merged(below, above, False)


cdef Spans merged(Spans below, Spans above, bint keep):
    cdef Py_ssize_t i = 0, j, n = below.starts.shape[0], m = above.starts.shape[0]
    cdef uint32_t cursor = 0, start
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    if m == 0:
        return below
    if n == 0:
        return above if keep else below
    try:
        with nogil:
            for j in range(m):
                while i < n and below.starts[i] < above.starts[j]:
                    start = max(below.starts[i], cursor)
                    if below.stops[i] <= above.starts[j]:
                        if start < below.stops[i]:
                            push(&pieces, start, below.stops[i], below.values[i], 0)
                        i += 1
                    else:
                        if start < above.starts[j]:
                            push(&pieces, start, above.starts[j], below.values[i], 0)
                        break
                if keep:
                    push(&pieces, above.starts[j], above.stops[j], above.values[j], 0)
                cursor = above.stops[j]
                while i < n and below.stops[i] <= cursor:
                    i += 1
            while i < n:
                push(&pieces, max(below.starts[i], cursor), below.stops[i], below.values[i], 0)
                i += 1
        return spans_of(&pieces)
    finally:
        release(&pieces)


def intersect(Spans spans, Spans within):
    """The parts of `spans` inside `within`, with their own labels."""
    cdef Py_ssize_t i = 0, j = 0, n = spans.starts.shape[0], m = within.starts.shape[0]
    cdef uint32_t start, stop
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    try:
        with nogil:
            while i < n and j < m:
                start = max(spans.starts[i], within.starts[j])
                stop = min(spans.stops[i], within.stops[j])
                if start < stop:
                    push(&pieces, start, stop, spans.values[i], 0)
                if spans.stops[i] <= within.stops[j]:
                    i += 1
                else:
                    j += 1
        return spans_of(&pieces)
    finally:
        release(&pieces)


def paired(Spans old, Spans new):
    """The delta between spans that hold the same voxels. Raises Invalid if they do not."""
    cdef Py_ssize_t i = 0, j = 0, n = old.starts.shape[0], m = new.starts.shape[0]
    cdef uint32_t at = 0, stop
    cdef bint same = True
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    try:
        with nogil:
            while same and i < n and j < m:
                same = max(at, old.starts[i]) == max(at, new.starts[j])
                at = max(at, old.starts[i])
                stop = min(old.stops[i], new.stops[j])
                if same:
                    push(&pieces, at, stop, new.values[j], old.values[i])
                    at = stop
                    i += old.stops[i] == stop
                    j += new.stops[j] == stop
        if not same or i < n or j < m:
            raise Invalid(f"expected spans of the same voxels, found others after voxel {at}")
        return delta_of(&pieces)
    finally:
        release(&pieces)


# Spans and runs

def diff(Runs runs, Spans spans):
    """What writing `spans` over `runs` would change: the Delta, its old labels those of `runs`."""
    cdef Py_ssize_t s, row
    cdef uint64_t at, stop, e, nx = runs.nx
    cdef size_t i
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    check_fits(runs, spans)
    try:
        with nogil:
            for s in range(spans.starts.shape[0]):
                at, stop = spans.starts[s], spans.stops[s]
                row = at // nx
                i = run_at(&runs.stops[0], runs.rows[row], runs.rows[row + 1], <uint32_t> (at - row * nx))
                while at < stop:
                    e = min(stop, row * nx + runs.stops[i])
                    push(&pieces, <uint32_t> at, <uint32_t> e, spans.values[s], runs.labels[runs.picks[i]])
                    at = e
                    i += 1
                    if at == (row + 1) * nx:
                        row += 1
        return delta_of(&pieces)
    finally:
        release(&pieces)


def apply(Runs runs, Spans spans):
    """The runs with the labels of `spans` written over them."""
    cdef Py_ssize_t n = spans.starts.shape[0], n_rows = runs.nz * runs.ny, r = 0, s = 0, next_row
    cdef uint64_t nx = runs.nx, base, x, e, limit
    cdef uint64_t bound
    cdef size_t i, first
    cdef int64_t pick = -1, last_pick
    cdef uint64_t value = 0
    cdef Table table = [NULL, NULL, 0, 0]
    cdef uint32_t *place = NULL                 # where in the palette each value of the spans is
    if n == 0:
        return runs
    check_fits(runs, spans)
    bound = runs.stops.shape[0]
    for s in range(n):
        bound += 2 * ((spans.stops[s] - 1) // nx - spans.starts[s] // nx + 1)
    cdef uint32_t[::1] rows = np.empty(n_rows + 1, np.uint32)
    cdef uint32_t[::1] stops = np.empty(bound, np.uint32)
    cdef uint32_t[::1] picks = np.empty(bound, np.uint32)
    cdef size_t size = 0
    try:
        labels = widened(runs.labels, spans.values, &table, &place)
        s = 0
        with nogil:
            while r < n_rows:
                next_row = n_rows if s == n else <Py_ssize_t> (spans.starts[s] // nx)
                if next_row > r:                       # rows without a span are copied
                    first = runs.rows[r]
                    i = runs.rows[next_row] - first
                    memcpy(&stops[size], &runs.stops[first], i * sizeof(uint32_t))
                    memcpy(&picks[size], &runs.picks[first], i * sizeof(uint32_t))
                    while r < next_row:
                        rows[r] = <uint32_t> (size + runs.rows[r] - first)
                        r += 1
                    size += i
                    continue
                rows[r] = <uint32_t> size
                base = r * nx
                x = 0
                i = runs.rows[r]
                last_pick = -1
                while x < nx:
                    if s < n and spans.starts[s] <= base + x:
                        if pick < 0 or value != spans.values[s]:
                            value = spans.values[s]
                            pick = place[table_find(&table, value)]
                        e = min(nx, spans.stops[s] - base)
                        if spans.stops[s] <= base + e:
                            s += 1
                        emit(&stops[0], &picks[0], &size, e, pick, &last_pick)
                        while i < runs.rows[r + 1] and runs.stops[i] <= e:
                            i += 1
                    else:
                        limit = nx
                        if s < n and spans.starts[s] < base + nx:
                            limit = spans.starts[s] - base
                        e = min(limit, runs.stops[i])
                        emit(&stops[0], &picks[0], &size, e, runs.picks[i], &last_pick)
                        if runs.stops[i] <= e:
                            i += 1
                    x = e
                r += 1
            rows[n_rows] = <uint32_t> size
        runs = make(runs.nz, runs.ny, runs.nx, labels, rows, stops[:size], picks[:size])
    finally:
        table_close(&table)
        free(place)
    if runs.labels.shape[0] > runs.stops.shape[0]:
        return runs.compacted()
    return runs


cdef widened(const uint64_t[::1] labels, const uint64_t[::1] values, Table *table, uint32_t **place):
    """A palette with room for all values, those that it does not have at its end; notes them in `table`, which is
    opened, and their places in it in `place`, which is allocated."""
    cdef size_t known = labels.shape[0], fresh = known, i
    cdef Py_ssize_t s
    cdef int64_t which
    with nogil:
        table_open(table, 8)
        for s in range(values.shape[0]):
            if s == 0 or values[s] != values[s - 1]:
                table_add(table, values[s])
        place[0] = <uint32_t *> malloc(table.used * sizeof(uint32_t))
        if place[0] == NULL:
            with gil:
                raise MemoryError(f"no memory for {table.used} labels")
        for i in range(table.used):
            place[0][i] = NOWHERE
        for i in range(known):
            which = table_find(table, labels[i])
            if which >= 0:
                place[0][which] = <uint32_t> i
        for i in range(table.used):
            if place[0][i] == NOWHERE:
                place[0][i] = <uint32_t> fresh
                fresh += 1
    if fresh == known:
        return labels
    cdef uint64_t[::1] wide = np.empty(fresh, np.uint64)
    with nogil:
        if known:
            memcpy(&wide[0], &labels[0], known * sizeof(uint64_t))
        for i in range(table.capacity):
            if table.slots[i] != 0 and place[0][table.slots[i] - 1] >= known:
                wide[place[0][table.slots[i] - 1]] = table.keys[i]
    return wide


cdef inline void emit(uint32_t *stops, uint32_t *picks, size_t *size, uint64_t stop, int64_t pick,
                      int64_t *last) noexcept nogil:
    """Append a run, or lengthen the one before it if it has the same label."""
    if last[0] == pick:
        stops[size[0] - 1] = <uint32_t> stop
        return
    stops[size[0]] = <uint32_t> stop
    picks[size[0]] = <uint32_t> pick
    size[0] += 1
    last[0] = pick


# Pieces

cdef int push(Pieces *p, uint32_t start, uint32_t stop, uint64_t value, uint64_t old) except -1 nogil:
    """Append a piece, or lengthen the one before it if it touches and has the same labels."""
    cdef size_t last
    if p.size:
        last = p.size - 1
        if p.stop[last] == start and p.value[last] == value and p.old[last] == old:
            p.stop[last] = stop
            return 0
    if p.size == p.capacity:
        make_room(p)
    p.start[p.size] = start
    p.stop[p.size] = stop
    p.value[p.size] = value
    p.old[p.size] = old
    p.size += 1
    return 0


cdef int make_room(Pieces *p) except -1 nogil:
    """For 64 pieces more or for twice as many; p has the old room until all four have the new one."""
    cdef size_t a = p.capacity, b = a, c = a, d = a
    grow(<void **> &p.start, &a, p.capacity + 64, sizeof(uint32_t))
    grow(<void **> &p.stop, &b, p.capacity + 64, sizeof(uint32_t))
    grow(<void **> &p.value, &c, p.capacity + 64, sizeof(uint64_t))
    grow(<void **> &p.old, &d, p.capacity + 64, sizeof(uint64_t))
    p.capacity = d
    return 0


cdef void release(Pieces *p) noexcept nogil:
    free(p.start)
    free(p.stop)
    free(p.value)
    free(p.old)


cdef copy32(const uint32_t *source, size_t n):
    cdef uint32_t[::1] copy = np.empty(n, np.uint32)
    if n:
        memcpy(&copy[0], source, n * sizeof(uint32_t))
    return copy


cdef copy64(const uint64_t *source, size_t n):
    cdef uint64_t[::1] copy = np.empty(n, np.uint64)
    if n:
        memcpy(&copy[0], source, n * sizeof(uint64_t))
    return copy


cdef Spans share(const uint32_t[::1] starts, const uint32_t[::1] stops, const uint64_t[::1] values):
    cdef Spans spans = Spans.__new__(Spans)
    spans.starts, spans.stops, spans.values = starts, stops, values
    return spans


cdef Spans spans_of(Pieces *p):
    return share(copy32(p.start, p.size), copy32(p.stop, p.size), copy64(p.value, p.size))


cdef Delta delta_of(Pieces *p):
    cdef Delta delta = Delta.__new__(Delta)
    delta.starts, delta.stops = copy32(p.start, p.size), copy32(p.stop, p.size)
    delta.olds, delta.news = copy64(p.old, p.size), copy64(p.value, p.size)
    return delta


# Checks

cdef uint64_t count(const uint32_t[::1] starts, const uint32_t[::1] stops) noexcept:
    cdef uint64_t total = 0
    cdef Py_ssize_t i
    for i in range(starts.shape[0]):
        total += stops[i] - starts[i]
    return total


cdef int check_order(const uint32_t[::1] starts, const uint32_t[::1] stops) except -1:
    cdef Py_ssize_t i
    cdef uint32_t before = 0
    for i in range(starts.shape[0]):
        if starts[i] < before or stops[i] <= starts[i]:
            raise Invalid(f"span {i} ({starts[i]}:{stops[i]}) is empty or begins before {before}")
        before = stops[i]
    return 0


cdef int check_fits(Runs runs, Spans spans) except -1:
    cdef Py_ssize_t n = spans.starts.shape[0]
    if n and spans.stops[n - 1] > <uint64_t> (runs.nz * runs.ny * runs.nx):
        raise Invalid(f"a span ends at voxel {spans.stops[n - 1]}, outside {runs.shape}")
    return 0


def check_within(shape, start, size):
    if any(a < 0 or d < 0 or a + d > n for n, a, d in zip(shape, start, size)):
        raise Invalid(f"a box of {tuple(size)} at {tuple(start)} is not within {tuple(shape)}")
    if shape[0] * shape[1] * shape[2] > 0xFFFFFFFF:
        raise Invalid(f"a chunk may have at most 2^32 - 1 voxels, not {shape}")
