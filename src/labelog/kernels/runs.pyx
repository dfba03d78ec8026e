"""Runs: a box of labels as runs along x, the one representation of labels in memory.

    row r = z * ny + y of a box of 2 x 2 x 8

    r   labels            stops        picks
    0   7 7 7 0 0 9 9 9   3 5 8        1 0 2        palette  0 7 9
    1   7 7 7 7 7 7 7 7   8            1
    2   0 0 0 0 0 0 0 9   7 8          0 2          rows     0 3 4 6 9
    3   0 0 7 7 7 7 7 0   2 7 8        0 1 0

Runs are maximal (neighbours in a row differ) and immutable. A palette lists no label twice; it may hold labels
that no run uses any more.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from labelog.kernels.changes cimport find_stops
from labelog.kernels.labels cimport Buffer, Label, Table, reserve, table_add, table_close, table_open
from labelog.kernels.prefetch cimport fetch

import numpy as np

from labelog.errors import Invalid

cdef enum:
    BLOCK = 16


cdef class Runs:
    """A box of uint64 labels as runs along x. Immutable; equal if every voxel has the same label.

    Parameters
    ----------
    shape : (nz, ny, nx), each at least 1.
    palette : uint64, the labels that runs point to, none twice.
    rows : uint32, nz * ny + 1 offsets into `stops`.
    stops : uint32, the exclusive end of each run within its row.
    picks : uint32, the palette index of each run.

    Raises Invalid if these do not describe a box of maximal runs.
    """

    def __init__(self, shape, palette, rows, stops, picks):
        self.nz, self.ny, self.nx = shape
        self.labels = np.ascontiguousarray(palette, np.uint64)
        self.rows = np.ascontiguousarray(rows, np.uint32)
        self.stops = np.ascontiguousarray(stops, np.uint32)
        self.picks = np.ascontiguousarray(picks, np.uint32)
        self._weigh()
        self._verify()

    cdef int _weigh(self) except -1:
        self.nbytes = (8 + 40) * self.labels.shape[0] + 4 * (self.rows.shape[0] + 2 * self.stops.shape[0])
        return 0

    def _verify(self):
        cdef Py_ssize_t n_rows = self.nz * self.ny, n = self.stops.shape[0]
        if min(self.nz, self.ny, self.nx) < 1 or self.nx > 0xFFFFFFFF:
            raise Invalid(f"the shape of runs must be three numbers of at least 1, not {self.shape}")
        if self.rows.shape[0] != n_rows + 1 or self.picks.shape[0] != n:
            raise Invalid(f"expected {n_rows + 1} row offsets and as many picks as stops, "
                          f"found {self.rows.shape[0]} and {self.picks.shape[0]} for {n}")
        if len(np.unique(self.palette)) != self.labels.shape[0]:
            raise Invalid("a palette must not list a label twice")
        if self.rows[0] != 0 or self.rows[n_rows] != n:
            raise Invalid(f"row offsets must go from 0 to {n}, not from {self.rows[0]} to {self.rows[n_rows]}")
        with nogil:
            self._verify_rows(n_rows)

    cdef int _verify_rows(self, Py_ssize_t n_rows) except -1 nogil:
        cdef size_t i, n = self.stops.shape[0]
        cdef Py_ssize_t r
        cdef uint32_t before
        for r in range(n_rows):
            if self.rows[r + 1] <= self.rows[r] or self.rows[r + 1] > n:
                with gil:
                    raise Invalid(f"row {r} has no run")
            before = 0
            for i in range(self.rows[r], self.rows[r + 1]):
                if self.stops[i] <= before or self.picks[i] >= self.labels.shape[0]:
                    with gil:
                        raise Invalid(f"run {i} in row {r} does not ascend, or points outside the palette")
                if i > self.rows[r] and self.picks[i] == self.picks[i - 1]:
                    with gil:
                        raise Invalid(f"run {i} in row {r} has the label of the run before it")
                before = self.stops[i]
            if before != self.nx:
                with gil:
                    raise Invalid(f"row {r} ends at {before}, not at {self.nx}")
        return 0

    @property
    def shape(self):
        """(nz, ny, nx), voxels."""
        return self.nz, self.ny, self.nx

    @property
    def palette(self):
        """The labels that runs point to: uint64, read only."""
        return np.asarray(self.labels)

    @property
    def offsets(self):
        """uint32, read only: runs offsets[r]:offsets[r + 1] lie in row r = z * ny + y."""
        return np.asarray(self.rows)

    @property
    def ends(self):
        """uint32, read only: the exclusive end of each run within its row."""
        return np.asarray(self.stops)

    @property
    def index(self):
        """uint32, read only: the palette index of each run."""
        return np.asarray(self.picks)

    def __repr__(self):
        return f"Runs({self.nz} x {self.ny} x {self.nx}, {self.stops.shape[0]} runs, {self.labels.shape[0]} labels)"

    def __reduce__(self):
        return Runs, (self.shape, self.palette, self.offsets, self.ends, self.index)

    def __eq__(self, other):
        if not isinstance(other, Runs):
            return NotImplemented
        return (self.shape == other.shape and np.array_equal(self.ends, other.ends)
                and np.array_equal(self.offsets, other.offsets)
                and np.array_equal(self.palette[self.index], other.palette[other.index]))

    __hash__ = None

    def fill(self, Label[:, :, :] out, start, const Label[::1] values):
        """Write labels into an array that lies anywhere on or beside these runs; its voxels beside them stay.

        Parameters
        ----------
        out : an integer array (z, y, x), any strides.
        start : where its first voxel is in these runs (z, y, x); may be negative.
        values : what to write for each entry of the palette, in out's dtype (the palette itself, or a view's map).
        """
        cdef Py_ssize_t z0, y0, x0, z, y, row
        z0, y0, x0 = start
        if values.shape[0] != self.labels.shape[0]:
            raise Invalid(f"expected {self.labels.shape[0]} values for the palette, found {values.shape[0]}")
        cdef Py_ssize_t first_z = max(0, -z0), last_z = min(out.shape[0], self.nz - z0)
        cdef Py_ssize_t first_y = max(0, -y0), last_y = min(out.shape[1], self.ny - y0)
        cdef Py_ssize_t first_x = max(0, -x0), dx = min(out.shape[2], self.nx - x0) - first_x
        if dx <= 0:
            return
        x0 += first_x
        cdef Py_ssize_t step = out.strides[2]
        cdef size_t first, last, run = 0
        cdef const uint32_t *stops = &self.stops[0]
        cdef const uint32_t *picks = &self.picks[0]
        cdef Row one = [NULL, 0, 0], other
        with nogil:
            for z in range(first_z, last_z):
                for y in range(first_y, last_y):
                    row = (z0 + z) * self.ny + y0 + y
                    first, last = self.rows[row], self.rows[row + 1]
                    run += first                       # neighbouring rows have nearly the same runs
                    if not (run < last and stops[run] > x0 and (run == first or stops[run - 1] <= x0)):
                        run = run_at(stops, first, last, <uint32_t> x0)
                    other = [<char *> &out[z, y, first_x], run, 0]
                    if step != sizeof(Label):
                        fill_row_strided(other.out, step, x0, dx, stops + run, picks + run, &values[0])
                    elif one.out == NULL:
                        one = other
                    else:
                        fill_rows(&one, &other, x0, dx, stops, picks, &values[0])
                        one.out = NULL
                    run -= first
            if one.out != NULL:
                finish_row(&one, x0, dx, stops, picks, &values[0])

    def dense(self):
        """All labels: a new uint64 array (nz, ny, nx)."""
        out = np.empty(self.shape, np.uint64)
        self.fill(out, (0, 0, 0), self.palette)
        return out

    def at(self, const int64_t[::1] points):
        """The labels of single voxels: uint64, one for each flat index z * ny * nx + y * nx + x of `points`."""
        cdef Py_ssize_t i, n = points.shape[0], volume = self.nz * self.ny * self.nx
        cdef int64_t row
        cdef uint64_t[::1] out = np.empty(n, np.uint64)
        with nogil:
            for i in range(n):
                if points[i] < 0 or points[i] >= volume:
                    with gil:
                        raise Invalid(f"voxel {points[i]} is not within {self.shape}")
                row = points[i] // self.nx
                out[i] = self.labels[self.picks[run_at(&self.stops[0], self.rows[row], self.rows[row + 1],
                                                       <uint32_t> (points[i] - row * self.nx))]]
        return np.asarray(out)

    def counts(self):
        """Voxels of each entry of the palette: uint64."""
        cdef uint64_t[::1] out = np.zeros(self.labels.shape[0], np.uint64)
        cdef Py_ssize_t r
        cdef size_t i
        cdef uint32_t before
        with nogil:
            for r in range(self.nz * self.ny):
                before = 0
                for i in range(self.rows[r], self.rows[r + 1]):
                    out[self.picks[i]] += self.stops[i] - before
                    before = self.stops[i]
        return np.asarray(out)

    def compacted(self):
        """The same voxels with a palette of only the labels in use, ascending."""
        cdef Py_ssize_t n = self.picks.shape[0], i
        cdef uint8_t[::1] used = np.zeros(self.labels.shape[0], np.uint8)
        with nogil:
            for i in range(n):
                used[self.picks[i]] = True
        kept = np.flatnonzero(used)
        kept = kept[np.argsort(self.palette[kept])]
        cdef uint32_t[::1] place = np.empty(self.labels.shape[0], np.uint32), picks = np.empty(n, np.uint32)
        np.asarray(place)[kept] = np.arange(kept.size, dtype=np.uint32)
        with nogil:
            for i in range(n):
                picks[i] = place[self.picks[i]]
        return make(self.nz, self.ny, self.nx, self.palette[kept], self.rows, self.stops, picks)

    @staticmethod
    def full(shape, label):
        """A box of one label."""
        rows = shape[0] * shape[1]
        return Runs(shape, np.array([label], np.uint64), np.arange(rows + 1, dtype=np.uint32),
                    np.full(rows, shape[2], np.uint32), np.zeros(rows, np.uint32))

    @staticmethod
    def from_dense(array):
        """Runs of an array (z, y, x) of any integer dtype and strides.

        Raises Invalid for a negative value, naming it.
        """
        return Runs.columns(array, max(array.shape[2], 1))[0]

    @staticmethod
    def columns(array, width):
        """The same of its parts of so many voxels along x, the last of what is left, in their order.

        Its rows are read whole, one after the other, which takes memory half as long as to read part after part.
        """
        return columns(array if array.flags.aligned else array.copy(), width)

    @staticmethod
    def stacked(parts):
        """Boxes of one (ny, nx) put above one another along z."""
        palette, inverse = np.unique(np.concatenate([part.palette for part in parts]), return_inverse=True)
        sizes = np.array([part.ends.size for part in parts])
        places = np.split(inverse.astype(np.uint32), np.cumsum([part.palette.size for part in parts]))
        before = (np.cumsum(sizes) - sizes).astype(np.uint32)
        rows = [part.offsets[:part.nz * part.ny] + base for part, base in zip(parts, before)]
        rows.append(np.array([sizes.sum()], np.uint32))
        return Runs((sum(part.nz for part in parts), parts[0].ny, parts[0].nx), palette, np.concatenate(rows),
                    np.concatenate([part.ends for part in parts]),
                    np.concatenate([place[part.index] for place, part in zip(places, parts)]))


cdef Runs make(Py_ssize_t nz, Py_ssize_t ny, Py_ssize_t nx,
               const uint64_t[::1] labels, const uint32_t[::1] rows, const uint32_t[::1] stops,
               const uint32_t[::1] picks):
    """Runs of arrays that a kernel has just made, taken as they are."""
    cdef Runs runs = Runs.__new__(Runs)
    runs.nz, runs.ny, runs.nx = nz, ny, nx
    runs.labels, runs.rows, runs.stops, runs.picks = labels, rows, stops, picks
    runs._weigh()
    return runs


cdef struct Row:             # of an array, being written
    char *out
    size_t run               # the one that holds x
    Py_ssize_t x             # voxels before are written


cdef inline void fill_rows(Row *one, Row *other, Py_ssize_t x0, Py_ssize_t dx, const uint32_t *stops,
                           const uint32_t *picks, const Label *values) noexcept nogil:
    """The voxels x0:x0 + dx of two rows, in turn: each step waits for the one before it in its row, not the other's."""
    while one.x + BLOCK <= dx and other.x + BLOCK <= dx:
        write_block(one, x0, stops, picks, values)
        write_block(other, x0, stops, picks, values)
    finish_row(one, x0, dx, stops, picks, values)
    finish_row(other, x0, dx, stops, picks, values)


cdef inline void write_block(Row *row, Py_ssize_t x0, const uint32_t *stops, const uint32_t *picks,
                             const Label *values) noexcept nogil:
    """A block of the run's label, then on to the block's end or the run's, whichever comes first.

    What is written over the run's end the next one overwrites. No branch depends on lengths, which nobody can predict.
    """
    cdef Label *out = <Label *> row.out + row.x
    cdef Label value = values[picks[row.run]]
    cdef Py_ssize_t stop = <Py_ssize_t> stops[row.run] - x0, k
    for k in range(BLOCK):
        out[k] = value
    row.x += BLOCK
    row.run += stop <= row.x
    row.x = min(row.x, stop)


cdef inline void finish_row(Row *row, Py_ssize_t x0, Py_ssize_t dx, const uint32_t *stops, const uint32_t *picks,
                            const Label *values) noexcept nogil:
    """The rest of a row: blocks where it has room for them, then voxels."""
    cdef Label *out = <Label *> row.out
    cdef Label value
    cdef Py_ssize_t stop
    while row.x + BLOCK <= dx:
        write_block(row, x0, stops, picks, values)
    while row.x < dx:
        stop = min(<Py_ssize_t> stops[row.run] - x0, dx)
        value = values[picks[row.run]]
        row.run += 1
        while row.x < stop:
            out[row.x] = value
            row.x += 1


cdef inline void fill_row_strided(char *out, Py_ssize_t step, Py_ssize_t x0, Py_ssize_t dx, const uint32_t *stops,
                                  const uint32_t *picks, const Label *values) noexcept nogil:
    cdef size_t i = 0
    cdef Py_ssize_t x
    for x in range(dx):
        while <Py_ssize_t> stops[i] <= x0 + x:
            i += 1
        (<Label *> (out + x * step))[0] = values[picks[i]]


cdef struct Column:          # of an array, being turned into runs
    Buffer stops
    Buffer picks
    Table table
    uint32_t *rows
    size_t n_rows            # that are done
    const char *before       # the last of them


def columns(const Label[:, :, :] array, Py_ssize_t width):
    cdef Py_ssize_t nz = array.shape[0], ny = array.shape[1], nx = array.shape[2], z, y, k, n
    cdef Column *column
    cdef const char *row
    if nz < 1 or ny < 1 or nx < 1 or width < 1:
        raise Invalid(f"an array of labels must have voxels, not shape {(nz, ny, nx)}, and columns too, not {width}")
    n = (nx + width - 1) // width
    rows_array = np.zeros((n, nz * ny + 1), np.uint32)
    cdef uint32_t[:, ::1] rows = rows_array
    column = <Column *> calloc(n, sizeof(Column))
    if column == NULL:
        raise MemoryError(f"no memory for {n} columns")
    try:
        with nogil:
            for k in range(n):
                table_open(&column[k].table, 64)
                column[k].rows = &rows[k, 0]
            for z in range(nz):
                for y in range(ny):
                    for k in range(n):
                        row = <const char *> &array[z, y, k * width]
                        if y + 1 < ny and array.strides[2] == sizeof(Label):
                            fetch(row + array.strides[1], min(width, nx - k * width) * sizeof(Label))
                        if not add_row(&column[k], <const Label *> row, array.strides[2], min(width, nx - k * width)):
                            with gil:
                                raise Invalid(f"labels must be 0 or more, found {np.min(array[z, y])} in row {(z, y)}")
        return [make(nz, ny, min(width, nx - k * width), keys_in_order(&column[k].table), rows_array[k],
                     taken(&column[k].stops), taken(&column[k].picks)) for k in range(n)]
    finally:
        for k in range(n):
            table_close(&column[k].table)
            free(column[k].stops.at)
            free(column[k].picks.at)
        free(column)


cdef inline bint add_row(Column *column, const Label *row, Py_ssize_t step, Py_ssize_t nx) except -1 nogil:
    """Whether it could be added: no label in it is negative."""
    cdef size_t first = column.stops.size, n, i
    cdef Label value
    reserve(&column.stops, nx)
    reserve(&column.picks, nx)
    cdef uint32_t *stops = column.stops.at + first
    cdef uint32_t *picks = column.picks.at + first
    if column.before != NULL and step == sizeof(Label) and memcmp(row, column.before, nx * sizeof(Label)) == 0:
        n = first - column.rows[column.n_rows - 1]
        memcpy(stops, stops - n, n * sizeof(uint32_t))
        memcpy(picks, picks - n, n * sizeof(uint32_t))
    else:
        n = find_stops(row, sizeof(Label), step, nx, stops)
        for i in range(n):
            value = (<const Label *> (<const char *> row + (stops[i] - 1) * step))[0]
            if value < 0:
                return False
            picks[i] = <uint32_t> table_add(&column.table, <uint64_t> value)
    column.before = <const char *> row
    column.n_rows += 1
    column.stops.size += n
    column.picks.size += n
    column.rows[column.n_rows] = <uint32_t> column.stops.size
    return True


cdef keys_in_order(Table *table):
    """The keys of a table by index: a new uint64 array."""
    cdef uint64_t[::1] keys = np.empty(table.used, np.uint64)
    cdef size_t i
    for i in range(table.capacity):
        if table.slots[i] != 0:
            keys[table.slots[i] - 1] = table.keys[i]
    return np.asarray(keys)


cdef taken(Buffer *buffer):
    """What a buffer holds: a new uint32 array."""
    cdef uint32_t[::1] copy = np.empty(buffer.size, np.uint32)
    if buffer.size:
        memcpy(&copy[0], buffer.at, buffer.size * sizeof(uint32_t))
    return np.asarray(copy)
