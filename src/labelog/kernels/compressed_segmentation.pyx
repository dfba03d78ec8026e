"""Runs as Neuroglancer's `compressed_segmentation`, a format that graphics cards look labels up in.

All are little-endian words of 32 bits; offsets count words from the first header on.

    1                                     where the only channel begins
    headers, two words for each block     of 8 x 8 x 8 voxels, x fastest
        table offset | bits << 24             bits are 0, 1, 2, 4, 8 or 16
        offset of the indices
    indices                               bits of each voxel of the block, x fastest; beyond the box 0
    tables                                the labels that indices point to: uint64, low word first

Blocks share tables. Source: the specification in github.com/google/neuroglancer, its page on this encoding.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp

from labelog.kernels.labels cimport Buffer, reserve
from labelog.kernels.runs cimport Runs, run_at

import numpy as np

from labelog.errors import Invalid

cdef enum:
    SIDE = 8                     # of a block
    ROWS = 64
    VOXELS = 512
    MOST_WORDS = 16777216        # that the offset of a table can count: 24 bits


cdef struct Block:
    uint16_t index[520]          # of each voxel, into the labels below; and room to write a row too far
    uint32_t labels[VOXELS]      # those of the block as they are met, each as its place among the distinct values
    uint32_t n


def encode(Runs runs, start, size, const uint64_t[::1] values):
    """A box within runs as the bytes of one chunk of uint64.

    Parameters
    ----------
    start, size : where the box begins in these runs, and its voxels: z, y, x.
    values : uint64, what each entry of the palette is to be (the palette itself, or a view's map).

    Raises Invalid for a box that is not within the runs, and for one whose bytes the format cannot address, of more
    than some 6 million voxels.
    """
    if values.shape[0] != runs.labels.shape[0]:
        raise Invalid(f"expected {runs.labels.shape[0]} values for the palette, found {values.shape[0]}")
    if not all(0 <= first and 0 < n and first + n <= most for first, n, most in zip(start, size, runs.shape)):
        raise Invalid(f"a box of {tuple(size)} at {tuple(start)} is not within {runs.shape}")
    distinct, places = np.unique(np.asarray(values), return_inverse=True)
    cdef Buffer out = [NULL, 0, 0]
    try:
        blocks(&out, runs, start, size, distinct, places.astype(np.uint32))
        return PyBytes_FromStringAndSize(<const char *> out.at, out.size * sizeof(uint32_t))
    finally:
        free(out.at)


cdef int blocks(Buffer *out, Runs runs, start, size, const uint64_t[::1] distinct,
                const uint32_t[::1] places) except -1:
    """Header and content of each block."""
    cdef Py_ssize_t z0, y0, x0, nz, ny, nx, z = 0, y, x, rows_z, rows_y, number = 0
    z0, y0, x0 = start
    nz, ny, nx = size
    cdef Py_ssize_t count = ((nz + SIDE - 1) // SIDE) * ((ny + SIDE - 1) // SIDE) * ((nx + SIDE - 1) // SIDE)
    if 2 * count >= MOST_WORDS:
        raise Invalid(f"a box of {tuple(size)} is too large for one chunk of compressed_segmentation")
    cdef uint32_t[::1] met = np.zeros(distinct.shape[0], np.uint32)       # 1 + the block that met a value last
    cdef uint32_t[::1] place = np.zeros(distinct.shape[0], np.uint32)     # and where in its labels
    cdef uint32_t[::1] home = np.zeros(distinct.shape[0], np.uint32)      # of the table that begins with a value
    cdef size_t[::1] cursors = np.zeros(ROWS, np.uintp)                   # the run of each row that comes next
    cdef Block block
    with nogil:
        reserve(out, 1 + 2 * count)
        out.at[0] = 1
        out.size = 1 + 2 * count
        while z < nz:
            rows_z = min(SIDE, nz - z)
            y = 0
            while y < ny:
                rows_y = min(SIDE, ny - y)
                begin(runs, z0 + z, y0 + y, x0, rows_z, rows_y, &cursors[0])
                x = 0
                while x < nx:
                    collect(&block, runs, z0 + z, y0 + y, x0 + x, rows_z, rows_y, min(SIDE, nx - x), &cursors[0],
                            places, met, place, <uint32_t> (number + 1))
                    write(out, &block, number, distinct, home)
                    number += 1
                    x += SIDE
                y += SIDE
            z += SIDE
    return 0


cdef void begin(Runs runs, Py_ssize_t z0, Py_ssize_t y0, Py_ssize_t x0, Py_ssize_t rows_z, Py_ssize_t rows_y,
                size_t *cursors) noexcept nogil:
    """The runs that hold the first voxels of a row of blocks."""
    cdef Py_ssize_t z, y, row
    for z in range(rows_z):
        for y in range(rows_y):
            row = (z0 + z) * runs.ny + y0 + y
            cursors[SIDE * z + y] = run_at(&runs.stops[0], runs.rows[row], runs.rows[row + 1], <uint32_t> x0)


cdef void collect(Block *block, Runs runs, Py_ssize_t z0, Py_ssize_t y0, Py_ssize_t x0, Py_ssize_t rows_z,
                  Py_ssize_t rows_y, Py_ssize_t width, size_t *cursors, const uint32_t[::1] places,
                  uint32_t[::1] met, uint32_t[::1] place, uint32_t stamp) noexcept nogil:
    """The labels of a block, and which of them each voxel has."""
    cdef Py_ssize_t z, y, x, stop, k
    cdef uint32_t value, index
    cdef size_t run
    cdef uint16_t *row
    block.n = 0
    for z in range(rows_z):
        for y in range(rows_y):
            row = &block.index[SIDE * (SIDE * z + y)]
            run = cursors[SIDE * z + y]
            x = 0
            while x < width:
                value = places[runs.picks[run]]
                if met[value] != stamp:
                    met[value] = stamp
                    place[value] = block.n
                    block.labels[block.n] = value
                    block.n += 1
                index = place[value]
                for k in range(SIDE):          # what is written too far the next run, or the next row, overwrites
                    row[x + k] = <uint16_t> index
                stop = <Py_ssize_t> runs.stops[run] - x0
                run += stop <= width
                x = min(stop, width)
            cursors[SIDE * z + y] = run
    if rows_z * rows_y * width < VOXELS:
        for z in range(SIDE):
            for y in range(SIDE):
                for x in range(width if z < rows_z and y < rows_y else 0, SIDE):
                    block.index[SIDE * (SIDE * z + y) + x] = 0


cdef int write(Buffer *out, const Block *block, Py_ssize_t number, const uint64_t[::1] distinct,
               uint32_t[::1] home) except -1 nogil:
    """The header of a block, its indices, and its table unless the same words lie where one with its first label did.
    """
    cdef uint32_t words[1024]            # two for each label
    cdef uint32_t bits, table, n = 2 * block.n, i
    cdef size_t indices = out.size
    bits = 0
    while (<uint32_t> 1 << bits) < block.n:
        bits = 2 * bits if bits else 1
    if bits:
        pack(out, block, bits)
    for i in range(block.n):
        words[2 * i] = <uint32_t> (distinct[block.labels[i]] & 0xFFFFFFFFU)
        words[2 * i + 1] = <uint32_t> (distinct[block.labels[i]] >> 32)
    table = home[block.labels[0]]
    if not table or table + n > out.size or memcmp(out.at + table, words, n * sizeof(uint32_t)) != 0:
        table = <uint32_t> out.size
        home[block.labels[0]] = table
        reserve(out, n)
        for i in range(n):
            out.at[out.size + i] = words[i]
        out.size += n
    if out.size > MOST_WORDS:
        with gil:
            raise Invalid("a box with so many labels is too large for one chunk of compressed_segmentation")
    out.at[1 + 2 * number] = (table - 1) | bits << 24
    out.at[2 + 2 * number] = <uint32_t> (indices - 1)
    return 0


cdef int pack(Buffer *out, const Block *block, uint32_t bits) except -1 nogil:
    """The indices of a block, so many bits each, the first in the lowest."""
    cdef uint32_t each = 32 // bits, words = VOXELS // each, i, k, word
    reserve(out, words)
    for i in range(words):
        word = 0
        for k in range(each):
            word |= <uint32_t> block.index[i * each + k] << k * bits
        out.at[out.size + i] = word
    out.size += words
    return 0
