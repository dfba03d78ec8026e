"""Labels at half the resolution: of each window of voxels the label that most of them have.

A window is 1 or 2 voxels along each axis, so it has voxels of up to four rows, which are walked side by side:

    row 0    7 7 7 7 7 7 0 0 | 0 9      between two windows in which a run ends all are alike, and one vote
    row 1    7 7 7 7 7 7 7 7 | 7 9      speaks for all of them
             ---------------   ---
    winner       7       7     0, 7 and 9: a vote of its own

Of a dense array the windows that are not plainly won are marked by loops without branches, and only those vote.
"""

from cython cimport overflowcheck
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from labelog.kernels.changes cimport bits_of, trailing_zeros
from labelog.kernels.labels cimport Buffer, Label, reserve
from labelog.kernels.prefetch cimport fetch
from labelog.kernels.runs cimport Runs, make, taken

import numpy as np

from labelog.errors import Invalid

cdef enum:
    BEYOND = 64              # bytes of 0 after those of a row

ctypedef fused Vote:         # an index into a palette, or the label itself
    uint32_t
    uint64_t


def downsample(Runs runs, factors, extent=None):
    """The most frequent label of each window; of those that are equally frequent the smallest that is not background.

    Parameters
    ----------
    factors : 1 or 2, how many voxels of z, y, x a window has.
    extent : where the voxels along z, y, x end that count; by default all do. A window that reaches over them, or over
        a far face of odd length, is decided by those it has; one without any is background.

    Returns
    -------
    Runs with the palette of `runs`, each axis as long as there are windows.

    Raises Invalid for other factors, an extent beyond the box, or one within it if the palette has no background.
    """
    cdef Py_ssize_t fz, fy, fx, ez, ey, ex
    fz, fy, fx = checked(factors)
    ez, ey, ex = runs.shape if extent is None else extent
    if not (0 <= ez <= runs.nz and 0 <= ey <= runs.ny and 0 <= ex <= runs.nx):
        raise Invalid(f"expected an extent within {runs.shape}, found {(ez, ey, ex)}")
    cdef Py_ssize_t nz = windows(runs.nz, fz), ny = windows(runs.ny, fy), nx = windows(runs.nx, fx)
    cdef Py_ssize_t z, y, z1, y1, row, wide = windows(ex, fx)
    cdef Buffer stops = [NULL, 0, 0], picks = [NULL, 0, 0]
    cdef uint32_t background = background_of(runs)
    if background == runs.labels.shape[0] and (windows(ez, fz), windows(ey, fy), wide) != (nz, ny, nx):
        raise Invalid(f"an extent of {(ez, ey, ex)} leaves windows empty, and the palette has no background for them")
    cdef uint32_t[::1] rows = np.empty(nz * ny + 1, np.uint32)
    cdef Walk walk
    rows[0] = 0
    try:
        with nogil:
            for z in range(nz):
                z1 = min(fz * z + fz, ez)
                for y in range(ny):
                    y1 = min(fy * y + fy, ey)
                    reserve(&stops, nx)
                    reserve(&picks, nx)
                    start(&walk, stops.at + stops.size, picks.at + picks.size)
                    for row in range(4):
                        if fz * z + row // 2 < z1 and row % 2 < y1 - fy * y:
                            join_in(&walk, runs, (fz * z + row // 2) * runs.ny + fy * y + row % 2)
                    vote(&walk, &runs.labels[0], &runs.stops[0], &runs.picks[0], fx, <uint32_t> ex, <uint32_t> wide)
                    if walk.rows == 0 or wide < nx:
                        emit(&walk, background, <uint32_t> nx)
                    stops.size += walk.size
                    picks.size += walk.size
                    rows[z * ny + y + 1] = <uint32_t> stops.size
        return make(nz, ny, nx, runs.labels, rows, taken(&stops), taken(&picks))
    finally:
        free(stops.at)
        free(picks.at)


cdef tuple checked(factors):
    if len(factors) != 3 or not all(f in (1, 2) for f in factors):
        raise Invalid(f"expected factors of 1 or 2 along z, y, x, found {tuple(factors)}")
    return tuple(factors)


cdef struct Walk:
    int rows                 # that take part: 1 to 4, or none
    size_t run[4]            # the one of each row that holds the next window's first voxel
    uint32_t *stops          # where the row that is made is written
    uint32_t *picks
    size_t size
    uint32_t last            # label that was written


cdef inline Py_ssize_t windows(Py_ssize_t voxels, Py_ssize_t factor) noexcept nogil:
    return (voxels + factor - 1) // factor


cdef uint32_t background_of(Runs runs) except? 0xFFFFFFFF:
    """The place of label 0 in the palette, or the palette's length."""
    found = np.flatnonzero(runs.palette == 0)
    return found[0] if found.size else runs.labels.shape[0]


cdef inline void start(Walk *walk, uint32_t *stops, uint32_t *picks) noexcept nogil:
    walk.rows = 0
    walk.size = 0
    walk.last = 0xFFFFFFFFU
    walk.stops = stops
    walk.picks = picks


cdef inline void join_in(Walk *walk, Runs runs, Py_ssize_t row) noexcept nogil:
    walk.run[walk.rows] = runs.rows[row]
    walk.rows += 1


cdef inline void emit(Walk *walk, uint32_t pick, uint32_t stop) noexcept nogil:
    """Windows up to `stop` have this label."""
    walk.size -= walk.last == pick
    walk.last = pick
    walk.stops[walk.size] = stop
    walk.picks[walk.size] = pick
    walk.size += 1


cdef void vote(Walk *walk, const uint64_t *labels, const uint32_t *stops, const uint32_t *picks, Py_ssize_t fx,
               uint32_t ex, uint32_t wide) noexcept nogil:
    """A row of windows. Loops of a known length are unrolled."""
    if walk.rows == 4:
        vote_row(walk, labels, stops, picks, 4, fx == 2, ex, wide)
    elif walk.rows == 2:
        vote_row(walk, labels, stops, picks, 2, fx == 2, ex, wide)
    elif walk.rows == 1:
        vote_row(walk, labels, stops, picks, 1, fx == 2, ex, wide)


cdef inline void vote_row(Walk *walk, const uint64_t *labels, const uint32_t *stops, const uint32_t *picks, int n,
                          bint halved, uint32_t ex, uint32_t wide) noexcept nogil:
    """Windows in which no run ends, up to the next one in which a run does, then that one."""
    cdef uint32_t cast[8]
    cdef uint32_t x = 0, first, nearest
    cdef int k
    cdef size_t run
    while x < wide:
        nearest = ex
        for k in range(n):
            cast[k] = picks[walk.run[k]]
            nearest = min(nearest, stops[walk.run[k]])
        first = wide if nearest == ex else nearest >> halved
        if first > x:
            emit(walk, winner(cast, n, labels), first)
            x = first
        else:                                   # of two voxels, between which a run ends
            first = 2 * x + 1
            for k in range(n):
                run = walk.run[k]
                cast[n + k] = picks[run + (stops[run] == first)]
            x += 1
            emit(walk, winner(cast, 2 * n, labels), x)
        if x < wide:
            for k in range(n):
                walk.run[k] += stops[walk.run[k]] <= x << halved     # no more than two runs end in a window
                walk.run[k] += stops[walk.run[k]] <= x << halved


cdef inline Vote winner(const Vote *votes, int n, const uint64_t *labels) noexcept nogil:
    """What most of n votes are for."""
    cdef Vote one = votes[0], other = one, best
    cdef int i, k, ones = 0, others = 0, count, most = 0
    for i in range(n):
        if votes[i] != one:
            other = votes[i]
    for i in range(n):
        ones += votes[i] == one
        others += votes[i] == other
    if ones == n:
        return one
    if ones + others == n:                      # two labels, as nearly everywhere
        return one if ones > others or (ones == others and ahead(one, other, labels)) else other
    best = one
    for i in range(n):
        count = 0
        for k in range(n):
            count += votes[k] == votes[i]
        if count > most or (count == most and ahead(votes[i], best, labels)):
            best = votes[i]
            most = count
    return best


@overflowcheck(False)
cdef inline bint ahead(Vote one, Vote other, const uint64_t *labels) noexcept nogil:
    """Which of two is taken where votes are equal: the smaller label, but background last: less 1 it is the largest."""
    if Vote is uint32_t:
        return labels[one] - 1 < labels[other] - 1
    else:
        return one - 1 < other - 1


# Dense

def downsample_dense(const Label[:, :, :] array, factors, Label[:, :, ::1] out):
    """The same of an array (z, y, x) of any integer dtype and strides.

    Parameters
    ----------
    out : of the same dtype, as many voxels along each axis as there are windows, x lying together; is written.

    Of labels below 0 those nearest to it are the largest of all. Raises Invalid for other factors or another `out`.
    """
    cdef Py_ssize_t fz, fy, fx, z, y, dz, dy, nx = array.shape[2]
    fz, fy, fx = checked(factors)
    wanted = tuple(windows(n, f) for n, f in zip(array.shape, (fz, fy, fx)))
    if tuple(out.shape)[:3] != wanted:
        raise Invalid(f"expected an array of shape {wanted} for the result, found {tuple(out.shape)[:3]}")
    if 0 in wanted:
        return
    cdef bint apart = array.strides[2] != sizeof(Label)
    cdef uint8_t *mixed = NULL
    cdef Label *together = NULL
    cdef const Label *rows[4]
    cdef int n
    try:
        with nogil:
            mixed = <uint8_t *> malloc(out.shape[2] + BEYOND)
            if mixed == NULL:
                with gil:
                    raise MemoryError(f"no memory for a row of {out.shape[2]} windows")
            if apart:
                together = <Label *> malloc(4 * nx * sizeof(Label))
                if together == NULL:
                    with gil:
                        raise MemoryError(f"no memory for rows of {nx} voxels")
            for z in range(out.shape[0]):
                for y in range(out.shape[1]):
                    n = 0
                    for dz in range(min(fz, array.shape[0] - fz * z)):
                        for dy in range(min(fy, array.shape[1] - fy * y)):
                            rows[n] = &array[fz * z + dz, fy * y + dy, 0]
                            if apart:
                                rows[n] = put_together(rows[n], array.strides[2], nx, together + n * nx)
                            else:                                               # of the next y
                                fetch(<const char *> rows[n] + fy * array.strides[1], nx * sizeof(Label))
                            n += 1
                    halve_row(rows, n, fx, nx, mixed, &out[z, y, 0])
    finally:
        free(mixed)
        free(together)


cdef const Label *put_together(const Label *row, Py_ssize_t step, Py_ssize_t n, Label *out) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(n):
        out[x] = (<const Label *> (<const char *> row + x * step))[0]
    return out


cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) \\
        && !defined(__SANITIZE_ADDRESS__) && !defined(LABELOG_PORTABLE)
    #define LABELOG_WIDER __attribute__((unused, target_clones("avx2", "default")))
    #elif defined(__GNUC__)
    #define LABELOG_WIDER __attribute__((unused))
    #else
    #define LABELOG_WIDER
    #endif

    #define LABELOG_MIX_BY(F)                                                                                  \\
        if (!more) for (ptrdiff_t x = 0; x < n; x++) {                                                         \\
            out[x] = row[F * x]; mixed[x] = row[F * x + F - 1] != out[x]; }                                    \\
        else for (ptrdiff_t x = 0; x < n; x++) mixed[x] |= row[F * x + F - 1] != out[x];
    #define LABELOG_MIX(T)                                                                                     \\
        LABELOG_WIDER static void labelog_mix_##T(const T *row, ptrdiff_t f, ptrdiff_t n, int more, T *out,    \\
                                                  uint8_t *mixed) {                                            \\
            if (f == 1) { LABELOG_MIX_BY(1) } else { LABELOG_MIX_BY(2) }                                       \\
        }
    LABELOG_MIX(uint8_t)
    LABELOG_MIX(uint16_t)
    LABELOG_MIX(uint32_t)
    LABELOG_MIX(uint64_t)
    """
    void mix_8 "labelog_mix_uint8_t"(const void *, Py_ssize_t, Py_ssize_t, int, void *, uint8_t *) noexcept nogil
    void mix_16 "labelog_mix_uint16_t"(const void *, Py_ssize_t, Py_ssize_t, int, void *, uint8_t *) noexcept nogil
    void mix_32 "labelog_mix_uint32_t"(const void *, Py_ssize_t, Py_ssize_t, int, void *, uint8_t *) noexcept nogil
    void mix_64 "labelog_mix_uint64_t"(const void *, Py_ssize_t, Py_ssize_t, int, void *, uint8_t *) noexcept nogil


cdef inline void mark_mixed(const void **rows, int n, Py_ssize_t fx, Py_ssize_t whole, Py_ssize_t item, void *out,
                            uint8_t *mixed) noexcept nogil:
    """The first voxel of each window, and whether the last one in any of its rows differs from it.

    If none does, it has won: of n rows of two voxels it is what n + 1 have.
    """
    cdef int k
    for k in range(n):
        if item == 1:
            mix_8(rows[k], fx, whole, k, out, mixed)
        elif item == 2:
            mix_16(rows[k], fx, whole, k, out, mixed)
        elif item == 4:
            mix_32(rows[k], fx, whole, k, out, mixed)
        else:
            mix_64(rows[k], fx, whole, k, out, mixed)


cdef inline void halve_row(const Label **rows, int n, Py_ssize_t fx, Py_ssize_t nx, uint8_t *mixed,
                           Label *out) noexcept nogil:
    cdef Py_ssize_t x, at, whole = nx // fx         # windows; the last one may be half as wide
    cdef uint64_t bits
    mark_mixed(<const void **> rows, n, fx, whole, sizeof(Label), out, mixed)
    memset(mixed + whole, 0, BEYOND)
    for x in range(0, whole, 64):
        bits = bits_of(mixed + x)
        while bits:
            at = x + trailing_zeros(bits)
            out[at] = elected(rows, n, at * fx, fx)
            bits &= bits - 1
    if whole * fx < nx:
        out[whole] = elected(rows, n, whole * fx, 1)


cdef inline Label elected(const Label **rows, int n, Py_ssize_t x, Py_ssize_t width) noexcept nogil:
    """What most voxels have that lie in n rows from x on."""
    cdef uint64_t votes[8]
    cdef int k, m = 0
    for k in range(n):
        votes[m] = <uint64_t> rows[k][x]
        m += 1
        if width == 2:
            votes[m] = <uint64_t> rows[k][x + 1]
            m += 1
    if m == 8:                                  # loops of a known length are unrolled
        return <Label> winner(votes, 8, NULL)
    if m == 4:
        return <Label> winner(votes, 4, NULL)
    return <Label> winner(votes, m, NULL)
