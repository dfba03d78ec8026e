"""The extents of a chunk after a delta, from those before it: without counting all of the chunk again.

What a label loses and gains the delta tells. Its bounds can only become smaller where what it loses lies on one of
their six faces and nothing of it is left there; only then its voxels are counted anew.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from labelog.kernels.extents cimport Extents, Tally, note_changed, walk
from labelog.kernels.labels cimport Table, table_add, table_close, table_find, table_open
from labelog.kernels.runs cimport Runs, keys_in_order, run_at
from labelog.kernels.spans cimport Delta

import numpy as np

from labelog.kernels.extents import counted


cdef struct Moved:           # of a label
    Tally known              # before the delta
    Tally lost
    Tally gained
    Tally now
    bint stale               # its bounds may be smaller than what is known of them


def known(Runs runs):
    """The extents of all labels but 0 of a chunk: counted when first asked for."""
    if runs.extents is None:
        runs.extents = counted(runs)
    return runs.extents


def recounted(Delta delta, Runs before, Runs after):
    """The extents, after a delta, of the labels but 0 that lost or gained voxels by it: as `extents.changed` counts.

    Returns them, and a list of the labels that were not in the chunk before. `after` gets to know its extents.
    """
    cdef Extents old = known(before)
    cdef const uint64_t[::1] labels = old.labels, voxels = old.voxels
    cdef const uint32_t[:, ::1] bounds = old.bounds
    cdef Table table = [NULL, NULL, 0, 0]
    cdef Moved *moved = NULL
    cdef Py_ssize_t i, n
    try:
        table_open(&table, 16)
        note_changed(&table, delta)
        n = table.used
        met = keys_in_order(&table)
        met.sort()
        number(&table, met)
        moved = <Moved *> calloc(n + 1, sizeof(Moved))
        if moved == NULL:
            raise MemoryError(f"no memory for the counts of {n} labels")
        recall(moved, met, labels, voxels, bounds)
        with nogil:
            tell(moved, &table, delta, after.ny, after.nx)
            settle(moved, n, &table, after)
        found = written(moved, met)
        after.extents = joined(old, found)
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


cdef recall(Moved *moved, const uint64_t[::1] met, const uint64_t[::1] labels, const uint64_t[::1] voxels,
            const uint32_t[:, ::1] bounds):
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


cdef int settle(Moved *moved, size_t n, Table *table, Runs after) except -1 nogil:
    """Count and bounds of each label now."""
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
    if stale:
        refresh(moved, n, table, after)
    return 0


cdef bint touches(const Tally *part, const Tally *whole) noexcept nogil:
    """Whether a part of a box lies on a face of it."""
    cdef int axis
    for axis in range(3):
        if part.low[axis] == whole.low[axis] or part.high[axis] == whole.high[axis]:
            return True
    return False


cdef int refresh(Moved *moved, size_t n, Table *table, Runs after) except -1 nogil:
    """Of labels that lost voxels on a face of their bounds: look whether any are left there, and else count anew."""
    cdef size_t entries = after.labels.shape[0], i
    cdef uint32_t[3] low = [0, 0, 0]
    cdef uint32_t[3] high = [<uint32_t> after.nz, <uint32_t> after.ny, <uint32_t> after.nx]
    cdef int64_t which
    cdef bint stale = False
    cdef Tally *tallies = <Tally *> calloc(n + 1, sizeof(Tally))
    cdef uint32_t *place = <uint32_t *> calloc(entries, sizeof(uint32_t))
    try:
        if tallies == NULL or place == NULL:
            with gil:
                raise MemoryError(f"no memory for the counts of {n} labels")
        for i in range(entries):
            which = table_find(table, after.labels[i])
            if which >= 0 and moved[which].stale and not stands(&moved[which], after, <uint32_t> i):
                place[i] = <uint32_t> (which + 1)
                stale = True
        if stale:
            walk(after, place, tallies, low, high)
            for i in range(entries):
                if place[i]:
                    moved[place[i] - 1].now = tallies[place[i]]
        return 0
    finally:
        free(tallies)
        free(place)


cdef bint stands(const Moved *label, Runs runs, uint32_t pick) noexcept nogil:
    """Whether the label, now that of `pick`, has voxels on each face of its bounds that it lost some on."""
    cdef int axis
    for axis in range(3):
        if label.lost.low[axis] == label.known.low[axis] and label.now.low[axis] == label.known.low[axis]:
            if not is_in_plane(runs, pick, axis, label.known.low[axis], &label.now):
                return False
        if label.lost.high[axis] == label.known.high[axis] and label.now.high[axis] == label.known.high[axis]:
            if not is_in_plane(runs, pick, axis, label.known.high[axis] - 1, &label.now):
                return False
    return True


cdef bint is_in_plane(Runs runs, uint32_t pick, int axis, uint32_t at, const Tally *box) noexcept nogil:
    """Whether any voxel of a plane across an axis, within a box, has the label of `pick`."""
    cdef uint32_t low[3]
    cdef uint32_t high[3]
    cdef uint32_t z, y
    cdef size_t row, i
    low[0], low[1], low[2] = box.low[0], box.low[1], box.low[2]
    high[0], high[1], high[2] = box.high[0], box.high[1], box.high[2]
    low[axis], high[axis] = at, at + 1
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            row = z * <size_t> runs.ny + y
            i = run_at(&runs.stops[0], runs.rows[row], runs.rows[row + 1], low[2])
            while True:
                if runs.picks[i] == pick:
                    return True
                if runs.stops[i] >= high[2]:
                    break
                i += 1
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
