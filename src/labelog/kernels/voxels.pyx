"""Connected components voxel by voxel, for labels that change nearly everywhere: there runs are longer than voxels.

Two passes with union-find, as in `components.pyx`. A voxel's neighbours are asked in an order in which one that is
alike makes others needless, as these touch it, and so are one with it already (a decision tree: Wu, Otoo and Suzuki,
Optimizing two-pass connected-component labeling algorithms, 2009):

    plane above     its row before   UNW UN UNE        before in the plane   NW N NE
                    its row          UW  U  UE                               W  x
                    its row after    USW US USE
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from labelog.kernels.forest cimport unite
from labelog.kernels.labels cimport Label

import numpy as np

from labelog.errors import Invalid


cdef class Marks:
    """The components of a box: a mark for each voxel, and the component of each mark. Made by `label_voxels`.

    Attributes
    ----------
    shape : z, y, x.
    count : how many components there are, numbered from 1 in the order of their first voxels.
    """

    cdef uint32_t[:, :, ::1] marks
    cdef uint32_t[::1] numbers
    cdef readonly uint32_t count

    @property
    def shape(self):
        return self.marks.shape[0], self.marks.shape[1], self.marks.shape[2]

    def plane(self, z):
        """The components of a plane (y, x): uint32, 0 for background. -1 is the last plane."""
        return np.asarray(self.numbers)[np.asarray(self.marks)[z]]

    def fill(self, const Label[::1] values, Label[:, :, :] out):
        """Write a value for each voxel into an array of this shape: values[k] where component k is."""
        cdef Py_ssize_t z, y, x, step = out.strides[2]
        cdef const uint32_t *row
        cdef Label *to
        if (out.shape[0], out.shape[1], out.shape[2]) != self.shape or values.shape[0] != <Py_ssize_t> self.count + 1:
            raise Invalid(f"expected an array of shape {self.shape} and {self.count + 1} values, found "
                          f"{(out.shape[0], out.shape[1], out.shape[2])} and {values.shape[0]}")
        with nogil:
            for z in range(out.shape[0]):
                for y in range(out.shape[1]):
                    row, to = &self.marks[z, y, 0], &out[z, y, 0]
                    if step == sizeof(Label):
                        for x in range(out.shape[2]):
                            to[x] = values[self.numbers[row[x]]]
                    else:
                        for x in range(out.shape[2]):
                            (<Label *> (<char *> to + x * step))[0] = values[self.numbers[row[x]]]

    def first_voxels(self, steps):
        """The least place of a voxel of each component, as `components.first_voxels` has it."""
        cdef Py_ssize_t z, y, x
        cdef int64_t sz, sy, sx, at
        cdef int64_t[::1] out = np.full(<size_t> self.count + 1, np.iinfo(np.int64).max, np.int64)
        cdef uint32_t k
        sz, sy, sx = steps
        with nogil:
            for z in range(self.marks.shape[0]):
                for y in range(self.marks.shape[1]):
                    for x in range(self.marks.shape[2]):
                        k, at = self.numbers[self.marks[z, y, x]], z * sz + y * sy + x * sx
                        if at < out[k]:
                            out[k] = at
        return np.asarray(out)


def label_voxels(const Label[:, :, :] array, int reach):
    """The components of an array (z, y, x) of any integer dtype and strides, as `Marks`; 0 is background.

    Raises Invalid for a reach that is none, and for 2^32 - 1 voxels or more.
    """
    cdef Py_ssize_t nz = array.shape[0], ny = array.shape[1], nx = array.shape[2]
    cdef Marks made = Marks.__new__(Marks)
    cdef uint32_t used
    if not 1 <= reach <= 3:
        raise Invalid(f"expected neighbours that differ along 1, 2 or 3 axes, found {reach}")
    if nz < 1 or ny < 1 or nx < 1 or nz * ny * nx >= 0xFFFFFFFFU:
        raise Invalid(f"expected a box of fewer than 2^32 - 1 voxels, found shape {(nz, ny, nx)}")
    made.marks = np.empty((nz, ny, nx), np.uint32)
    made.numbers = np.empty(nz * ny * nx + 1, np.uint32)          # what is not written takes no memory
    with nogil:
        used = mark_all(array, reach, &made.marks[0, 0, 0], &made.numbers[0])
        made.count = number(&made.numbers[0], used)
    return made


cdef uint32_t mark_all(const Label[:, :, :] array, int reach, uint32_t *marks, uint32_t *parent) except 0 nogil:
    """Mark all voxels, and make one set of marks that touch; how many marks there are, 0 included.

    Values are looked at in copies of two planes with background around them, so that no neighbour is outside.
    """
    cdef Py_ssize_t z, y, x, ny = array.shape[1], nx = array.shape[2], width = nx + 2
    cdef Label *planes = <Label *> calloc(2 * (ny + 2) * width, sizeof(Label))
    cdef Label *now
    cdef Label *above
    cdef uint32_t used = 1
    if planes == NULL:
        with gil:
            raise MemoryError(f"no memory for two planes of {(ny, nx)} voxels")
    parent[0] = 0
    for z in range(array.shape[0]):
        now = planes + (z & 1) * (ny + 2) * width + width + 1
        above = planes + (1 - (z & 1)) * (ny + 2) * width + width + 1
        for y in range(ny):
            for x in range(nx):
                now[y * width + x] = array[z, y, x]
        for y in range(ny):
            if reach == 1:
                used = mark_faces(now + y * width, above + y * width, width, ny, nx, marks, parent, used)
            elif reach == 2:
                used = mark_edges(now + y * width, above + y * width, width, ny, nx, marks, parent, used)
            else:
                used = mark_corners(now + y * width, above + y * width, width, ny, nx, marks, parent, used)
            marks += nx
    free(planes)
    return used


# A row. `now` and `above` are its values and those of the row above it, `row` the marks of the row, and those of
# neighbours are looked at only where the value is alike, so never outside.

cdef inline uint32_t joined(uint32_t *parent, uint32_t mark, uint32_t other) noexcept nogil:
    """The mark of a voxel that touches one of another mark: that one, if it has none yet."""
    if mark == 0:
        return other
    if mark != other:
        unite(parent, mark, other)
    return mark


cdef uint32_t mark_faces(const Label *now, const Label *above, Py_ssize_t width, Py_ssize_t ny, Py_ssize_t nx,
                         uint32_t *row, uint32_t *parent, uint32_t used) noexcept nogil:
    cdef Py_ssize_t x, n = -nx, u = -ny * nx
    cdef uint32_t mark
    cdef Label a
    for x in range(nx):
        a, mark = now[x], 0
        if a != 0:
            if a == above[x]:
                mark = row[u + x]
                if a == now[x - width] and a != above[x - width]:
                    unite(parent, mark, row[n + x])
                if a == now[x - 1] and a != above[x - 1]:
                    unite(parent, mark, row[x - 1])
            elif a == now[x - width]:
                mark = row[n + x]
                if a == now[x - 1] and a != now[x - width - 1]:
                    unite(parent, mark, row[x - 1])
            elif a == now[x - 1]:
                mark = row[x - 1]
            else:
                mark = parent[used] = used
                used += 1
        row[x] = mark
    return used


cdef uint32_t mark_edges(const Label *now, const Label *above, Py_ssize_t width, Py_ssize_t ny, Py_ssize_t nx,
                         uint32_t *row, uint32_t *parent, uint32_t used) noexcept nogil:
    cdef Py_ssize_t x, n = -nx, u = -ny * nx
    cdef uint32_t mark
    cdef Label a
    for x in range(nx):
        a, mark = now[x], 0
        if a != 0:
            if a == above[x]:                                     # touches all but NW and NE
                mark = row[u + x]
            else:
                if a == above[x - width]:
                    mark = row[u + n + x]
                if a == above[x + width]:
                    mark = joined(parent, mark, row[u - n + x])
                if a == above[x - 1]:
                    mark = joined(parent, mark, row[u + x - 1])
                if a == above[x + 1]:
                    mark = joined(parent, mark, row[u + x + 1])
                if a == now[x - 1]:
                    mark = joined(parent, mark, row[x - 1])
                if a == now[x - width]:
                    mark = joined(parent, mark, row[n + x])
            if a == now[x - width - 1]:
                mark = joined(parent, mark, row[n + x - 1])
            if a == now[x - width + 1]:
                mark = joined(parent, mark, row[n + x + 1])
            if mark == 0:
                mark = parent[used] = used
                used += 1
        row[x] = mark
    return used


cdef uint32_t mark_corners(const Label *now, const Label *above, Py_ssize_t width, Py_ssize_t ny, Py_ssize_t nx,
                           uint32_t *row, uint32_t *parent, uint32_t used) noexcept nogil:
    cdef Py_ssize_t x, n = -nx, u = -ny * nx
    cdef uint32_t mark
    cdef Label a
    for x in range(nx):
        a, mark = now[x], 0
        if a != 0:
            if a == above[x]:                                     # touches all others
                mark = row[u + x]
            elif a == now[x - width] or a == above[x - width]:    # touch all others but the row after
                mark = row[n + x] if a == now[x - width] else row[u + n + x]
                if a == above[x + width]:
                    unite(parent, mark, row[u - n + x])
                else:
                    if a == above[x + width - 1]:
                        unite(parent, mark, row[u - n + x - 1])
                    if a == above[x + width + 1]:
                        unite(parent, mark, row[u - n + x + 1])
            else:
                if a == now[x - 1]:                               # touches the other four to its side, and US
                    mark = row[x - 1]
                else:
                    if a == above[x - 1]:
                        mark = row[u + x - 1]
                    else:
                        if a == now[x - width - 1]:
                            mark = row[n + x - 1]
                        elif a == above[x - width - 1]:
                            mark = row[u + n + x - 1]
                        if a == above[x + width - 1]:
                            mark = joined(parent, mark, row[u - n + x - 1])
                    if a == above[x + width]:
                        mark = joined(parent, mark, row[u - n + x])
                if a == above[x + 1]:                             # touches NE, UNE and USE
                    mark = joined(parent, mark, row[u + x + 1])
                else:
                    if a == now[x - width + 1]:
                        mark = joined(parent, mark, row[n + x + 1])
                    elif a == above[x - width + 1]:
                        mark = joined(parent, mark, row[u + n + x + 1])
                    if a == above[x + width + 1]:
                        mark = joined(parent, mark, row[u - n + x + 1])
                if mark == 0:
                    mark = parent[used] = used
                    used += 1
        row[x] = mark
    return used


cdef uint32_t number(uint32_t *parent, uint32_t used) noexcept nogil:
    """From parents to numbers, in place: a parent comes before its children. How many there are."""
    cdef uint32_t i, count = 0
    for i in range(1, used):
        if parent[i] == i:
            count += 1
            parent[i] = count
        else:
            parent[i] = parent[parent[i]]
    return count
