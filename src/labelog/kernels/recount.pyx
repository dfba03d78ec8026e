"""The extents of a chunk after a delta, from those before it: without counting all of the chunk again.

What a label loses and gains the delta tells. Its bounds can only become smaller where what it loses lies on one of
their six faces and nothing of it is left there; only then its voxels are counted anew.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from labelog.kernels.extents cimport Extents, Tally, note_changed, walk
from labelog.kernels.labels cimport Table, table_add, table_close, table_find, table_open
from labelog.kernels.overlaid cimport Overlaid
from labelog.kernels.runs cimport Runs, keys_in_order, run_at
from labelog.kernels.spans cimport Delta, Spans

import numpy as np

from labelog.kernels.extents import counted


cdef enum:
    NOWHERE = 0xFFFFFFFF     # no place in a palette


cdef struct Moved:           # of a label
    Tally known              # before the delta
    Tally lost
    Tally gained
    Tally now
    bint stale               # its bounds may be smaller than what is known of them
    uint32_t pick            # its place in the palette under the spans, if it has one


cdef Extents known(Overlaid chunk):
    """The extents of all labels but 0 of a chunk: counted when first asked for."""
    if chunk.extents is None:
        chunk.know(counted(chunk.runs()))
    return chunk.extents


def recounted(Delta delta, Overlaid before, Overlaid after):
    """The extents, after a delta, of the labels but 0 that lost or gained voxels by it: as `extents.changed` counts.

    Returns them, and a list of the labels that were not in the chunk before. `after` gets to know its extents.
    """
    cdef Extents old = known(before)
    cdef const uint64_t[::1] labels = old.labels, voxels = old.voxels
    cdef const uint32_t[:, ::1] bounds = old.bounds
    cdef const uint64_t[::1] order
    cdef Table table = [NULL, NULL, 0, 0]
    cdef Moved *moved = NULL
    cdef Py_ssize_t i, n
    cdef bint stale
    try:
        with nogil:
            table_open(&table, 16)
            note_changed(&table, delta)
        n = table.used
        met = keys_in_order(&table)
        met.sort()
        number(&table, met)
        moved = <Moved *> calloc(n + 1, sizeof(Moved))
        if moved == NULL:
            raise MemoryError(f"no memory for the counts of {n} labels")
        order = met
        with nogil:
            recall(moved, order, labels, voxels, bounds)
            tell(moved, &table, delta, after.below.ny, after.below.nx)
            stale = settle(moved, n)
        if stale:
            refresh(moved, met, &table, after)
        found = written(moved, met)
        after.know(joined(old, found))
        entered = [label for i, label in enumerate(met.tolist()) if moved[i].known.voxels == 0 and moved[i].now.voxels]
        return found, entered
    finally:
        table_close(&table)
        free(moved)


cdef int number(Table *table, const uint64_t[::1] labels) except -1:
    """Let a table hold these labels, by their places."""
    cdef Py_ssize_t i
    table_close(table)
    table_open(table, labels.shape[0])
    for i in range(labels.shape[0]):
        table_add(table, labels[i])
    return 0


cdef void recall(Moved *moved, const uint64_t[::1] met, const uint64_t[::1] labels, const uint64_t[::1] voxels,
                 const uint32_t[:, ::1] bounds) noexcept nogil:
    """What is known of the labels met; `labels` ascend."""
    cdef Py_ssize_t i, low, high, middle
    cdef int axis
    for i in range(met.shape[0]):
        low, high = 0, labels.shape[0]
        while low < high:
            middle = (low + high) // 2
            if labels[middle] < met[i]:
                low = middle + 1
            else:
                high = middle
        if low < labels.shape[0] and labels[low] == met[i]:
            moved[i].known.voxels = voxels[low]
            for axis in range(3):
                moved[i].known.low[axis] = bounds[low, axis]
                moved[i].known.high[axis] = bounds[low, 3 + axis]


cdef void tell(Moved *moved, Table *table, Delta delta, uint64_t ny, uint64_t nx) noexcept nogil:
    """What each label loses and gains."""
    cdef Py_ssize_t i
    for i in range(delta.starts.shape[0]):
        if delta.olds[i] == delta.news[i]:
            continue
        if delta.olds[i]:
            add_span(&moved[table_find(table, delta.olds[i])].lost, delta.starts[i], delta.stops[i], ny, nx)
        if delta.news[i]:
            add_span(&moved[table_find(table, delta.news[i])].gained, delta.starts[i], delta.stops[i], ny, nx)


cdef void add_span(Tally *t, uint64_t start, uint64_t stop, uint64_t ny, uint64_t nx) noexcept nogil:
    """A span: one that goes on over the end of a row has all of x, one over the end of a plane all of y."""
    cdef uint64_t row = start // nx, last = (stop - 1) // nx
    cdef Tally part
    part.voxels = stop - start
    part.low[0], part.high[0] = <uint32_t> (row // ny), <uint32_t> (last // ny + 1)
    part.low[1], part.high[1] = <uint32_t> (row % ny), <uint32_t> (last % ny + 1)
    part.low[2], part.high[2] = <uint32_t> (start % nx), <uint32_t> ((stop - 1) % nx + 1)
    if row != last:
        part.low[2], part.high[2] = 0, <uint32_t> nx
    if part.high[0] - part.low[0] > 1:
        part.low[1], part.high[1] = 0, <uint32_t> ny
    unite(t, &part)


cdef void unite(Tally *t, const Tally *other) noexcept nogil:
    cdef int axis
    if other.voxels == 0:
        return
    if t.voxels == 0:
        t[0] = other[0]
        return
    t.voxels += other.voxels
    for axis in range(3):
        t.low[axis] = min(t.low[axis], other.low[axis])
        t.high[axis] = max(t.high[axis], other.high[axis])


cdef bint settle(Moved *moved, size_t n) noexcept nogil:
    """Count and bounds of each label now; whether any bounds may be too wide."""
    cdef size_t i
    cdef uint64_t left
    cdef bint stale = False
    for i in range(n):
        left = moved[i].known.voxels - moved[i].lost.voxels
        if left:
            moved[i].now = moved[i].known
            moved[i].now.voxels = left
            moved[i].stale = moved[i].lost.voxels and touches(&moved[i].lost, &moved[i].known)
            stale = stale or moved[i].stale
        unite(&moved[i].now, &moved[i].gained)
    return stale


cdef bint touches(const Tally *part, const Tally *whole) noexcept nogil:
    """Whether a part of a box lies on a face of it."""
    cdef int axis
    for axis in range(3):
        if part.low[axis] == whole.low[axis] or part.high[axis] == whole.high[axis]:
            return True
    return False


cdef int refresh(Moved *moved, const uint64_t[::1] labels, Table *table, Overlaid after) except -1:
    """Of labels that lost voxels on a face of their bounds: look whether any are left there, and else count anew."""
    cdef Runs below = after.below
    cdef Spans above = after.spans
    cdef Py_ssize_t i, n = labels.shape[0]
    cdef int64_t which
    cdef bint stale = False
    with nogil:
        for i in range(n):
            moved[i].pick = NOWHERE
        for i in range(below.labels.shape[0]):
            which = table_find(table, below.labels[i])
            if which >= 0:
                moved[which].pick = <uint32_t> i
        for i in range(n):
            moved[i].stale = moved[i].stale and not stands(&moved[i], labels[i], below, above)
            stale = stale or moved[i].stale
    if stale:
        count_anew(moved, n, table, after.runs())
    return 0


cdef int count_anew(Moved *moved, Py_ssize_t n, Table *table, Runs runs) except -1:
    """Of labels whose bounds are smaller: what there is in the bounds that they had."""
    cdef size_t entries = runs.labels.shape[0], i
    cdef int64_t which
    cdef Tally within
    cdef Tally *tallies = <Tally *> calloc(n + 1, sizeof(Tally))
    cdef uint32_t *place = <uint32_t *> calloc(entries, sizeof(uint32_t))
    within.voxels = 0
    try:
        if tallies == NULL or place == NULL:
            raise MemoryError(f"no memory for the counts of {n} labels")
        with nogil:
            for i in range(entries):
                which = table_find(table, runs.labels[i])
                if which >= 0 and moved[which].stale:
                    place[i] = <uint32_t> (which + 1)
                    unite(&within, &moved[which].now)
            walk(runs, place, tallies, within.low, within.high)
            for i in range(entries):
                if place[i]:
                    moved[place[i] - 1].now = tallies[place[i]]
        return 0
    finally:
        free(tallies)
        free(place)


cdef bint stands(const Moved *moved, uint64_t label, Runs below, Spans above) noexcept nogil:
    """Whether a label has voxels on each face of its bounds that it lost some on."""
    cdef int axis
    for axis in range(3):
        if moved.lost.low[axis] == moved.known.low[axis] and moved.now.low[axis] == moved.known.low[axis]:
            if not is_in_plane(below, above, moved.pick, label, axis, moved.known.low[axis], &moved.now):
                return False
        if moved.lost.high[axis] == moved.known.high[axis] and moved.now.high[axis] == moved.known.high[axis]:
            if not is_in_plane(below, above, moved.pick, label, axis, moved.known.high[axis] - 1, &moved.now):
                return False
    return True


cdef bint is_in_plane(Runs below, Spans above, uint32_t pick, uint64_t label, int axis, uint32_t at,
                      const Tally *box) noexcept nogil:
    """Whether any voxel of a plane across an axis, within a box, has the label; `pick` is its place in the palette."""
    cdef uint32_t low[3]
    cdef uint32_t high[3]
    cdef uint32_t z, y
    cdef uint64_t base, row
    cdef Py_ssize_t s = 0
    low[0], low[1], low[2] = box.low[0], box.low[1], box.low[2]
    high[0], high[1], high[2] = box.high[0], box.high[1], box.high[2]
    low[axis], high[axis] = at, at + 1
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            row = z * <uint64_t> below.ny + y
            base = row * below.nx
            s = span_at(above, s, base + low[2])
            if is_in_row(below, above, pick, label, row, base + low[2], base + high[2], s):
                return True
    return False


cdef Py_ssize_t span_at(Spans spans, Py_ssize_t first, uint64_t voxel) noexcept nogil:
    """The first span from `first` on that ends after a voxel."""
    cdef Py_ssize_t last = spans.starts.shape[0], middle
    while first < last:
        middle = (first + last) // 2
        if spans.stops[middle] <= voxel:
            first = middle + 1
        else:
            last = middle
    return first


cdef bint is_in_row(Runs below, Spans above, uint32_t pick, uint64_t label, uint64_t row, uint64_t at, uint64_t stop,
                    Py_ssize_t s) noexcept nogil:
    """Whether any voxel from `at` to `stop`, of one row, has the label; `s` is the first span that ends after `at`."""
    cdef Py_ssize_t n = above.starts.shape[0]
    cdef uint64_t base = row * below.nx, bare
    cdef size_t i
    while at < stop:
        if s < n and above.starts[s] <= at:
            if above.values[s] == label:
                return True
            at = above.stops[s]
            s += 1
            continue
        bare = min(stop, <uint64_t> above.starts[s]) if s < n else stop
        if pick != NOWHERE:
            i = run_at(&below.stops[0], below.rows[row], below.rows[row + 1], <uint32_t> (at - base))
            while True:
                if below.picks[i] == pick:
                    return True
                if base + below.stops[i] >= bare:
                    break
                i += 1
        at = bare
    return False


cdef Extents written(Moved *moved, labels):
    """What each of the labels has now; all 0 for one that is gone."""
    cdef Extents found = room(labels)
    cdef uint64_t[::1] voxels = found.voxels
    cdef uint32_t[:, ::1] bounds = found.bounds
    cdef Py_ssize_t i
    cdef int axis
    for i in range(voxels.shape[0]):
        voxels[i] = moved[i].now.voxels
        for axis in range(3):
            bounds[i, axis] = moved[i].now.low[axis]
            bounds[i, 3 + axis] = moved[i].now.high[axis]
    return found


cdef Extents room(labels):
    """Extents of labels that are to be filled in."""
    return Extents(labels, np.empty(len(labels), np.uint64), np.empty((len(labels), 6), np.uint32))


cdef Extents joined(Extents old, Extents found):
    """Those of all labels: `found` where it has a label, without those that are gone."""
    cdef const uint64_t[::1] before = old.labels, fresh = found.labels, voxels = old.voxels, left = found.voxels
    cdef const uint32_t[:, ::1] bounds = old.bounds, now = found.bounds
    cdef Extents all = room(np.empty(before.shape[0] + fresh.shape[0], np.uint64))
    cdef uint64_t[::1] labels = all.labels, counts = all.voxels
    cdef uint32_t[:, ::1] boxes = all.bounds
    cdef Py_ssize_t i = 0, j = 0, n = 0
    with nogil:
        while i < before.shape[0] or j < fresh.shape[0]:
            if j == fresh.shape[0] or (i < before.shape[0] and before[i] < fresh[j]):
                labels[n], counts[n] = before[i], voxels[i]
                memcpy(&boxes[n, 0], &bounds[i, 0], 6 * sizeof(uint32_t))
                n += 1
                i += 1
                continue
            if i < before.shape[0] and before[i] == fresh[j]:
                i += 1
            if left[j]:
                labels[n], counts[n] = fresh[j], left[j]
                memcpy(&boxes[n, 0], &now[j, 0], 6 * sizeof(uint32_t))
                n += 1
            j += 1
    return all[:n]
