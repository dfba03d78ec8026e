"""Flood fill of a dense array, 64 voxels of a row at a time.

A row is cut into words, a bit for each voxel. What is new in a word is passed on to the words beside it, and reaches
there the whole runs that it touches:

    new in a row                     ....##.........#......
    what may be filled beside it     .######..######.####..      looked at when a fill first comes to the word
    reached                          .######...............
    if corners count too             .######..######.####..

Words with something new are passed on one after another, and after all of them those that have something new by that.
So most are passed on once or twice, even where labels change at each voxel, and a fill takes the time of the words that
it comes to, however large the array is.

Several walkers have planes of their own. What reaches those of another is posted; it finds that when all have stopped,
since one of them has gone some steps or has nothing left to do, and so no word is ever touched by two at once. Before
they go on the planes are dealt anew, so that as many words wait in those of each.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython cimport overflowcheck
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from labelog.kernels.changes cimport others_in, trailing_zeros
from labelog.kernels.labels cimport Label, grow
from labelog.kernels.prefetch cimport fetch, prefetch

from functools import partial

import numpy as np

from labelog.errors import Invalid

cdef extern from *:
    """
    static inline int labelog_raised(const int *flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
    static inline void labelog_raise(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELAXED); }
    """
    bint raised "labelog_raised"(const int *) noexcept nogil
    void raise_flag "labelog_raise"(int *) noexcept nogil

cdef enum:
    FEWEST = 4_096           # when one has passed on so many words, then twice as many and so on up to MOST, all stop,
    MOST = 65_536            # look for what was posted to them, are dealt planes, and Ctrl-C is heard; when one has
    GLANCE = 64              # nothing left, others go on to FEWEST; each looks for that after so many
    SHARE = 64               # fewer are not shared: they would go to and fro across the cut, and all wait each time
    AHEAD = 8                # so many words before it is their turn the processor is told what will be needed

cdef uint64_t ALL = 0xFFFFFFFFFFFFFFFFU


cdef struct Word:            # 0 and 0 is also what has not been looked at
    uint64_t reached
    uint64_t done            # of those the ones that were passed on; and voxels that cannot be filled


cdef struct Places:
    size_t *at               # of words
    size_t size
    size_t room


cdef enum:                   # of what is new in a word, moved into one beside it:
    WORD                     # all of it
    SPREAD                   # and what is before and after it
    FIRST                    # its first voxel, to the end of the word before
    LAST                     # its last, to the beginning of the next


cdef struct Way:             # on which what is new in a word is passed on
    Py_ssize_t to            # how far the other word is
    int part


cdef struct Letter:
    size_t at                # a word of another walker
    uint64_t bits            # which of its voxels something new comes to


cdef struct Post:
    Letter *at
    size_t size
    size_t room


cdef struct Flood:
    # Words lie row after row, with one between rows and a row between planes in which nothing can be, so that what is
    # beside a word has a place too. That these are shut is found out like all else when a fill comes to them: no memory
    # is touched for an array's other parts.
    Word *words
    const char *voxels       # of the array
    Py_ssize_t[3] shape
    Py_ssize_t[3] strides
    size_t begin             # those from here to there are this walker's
    size_t stop
    Py_ssize_t first         # the place of the first voxel's word
    Py_ssize_t row           # from a word to that in the next row, and in the next plane
    Py_ssize_t plane
    int ways
    Way[26] way
    int sides                # rows beside a row
    Py_ssize_t[8] beside     # how far their words are, first of those at faces
    Py_ssize_t[8] bytes      # and their voxels in the array
    Places now               # words with something new, which are passed on one after the other
    Places then              # those that have something new by that
    size_t turn              # of the word in `now` that is next
    Post sent                # to others, and not seen by them yet
    Post come                # to others, what they look at now


cdef class Walk:
    """A fill under way, and its walkers: of each some planes.

    Parameters
    ----------
    array : (z, y, x).
    seed : the voxel where it begins.
    reach : along how many axes neighbours may differ, 1 to 3.
    walkers : how many, at most as many as planes.
    steps : when one has gone so many for the first time, all stop.
    """

    cdef Flood *floods
    cdef int walkers
    cdef int steps           # when one has gone so many, all stop
    cdef int stop            # raised by that one, or by one that has nothing left
    cdef Py_ssize_t[3] seed
    cdef object words        # uint64 (words, 2), each row a Word
    cdef size_t[::1] waiting  # in each plane, words that are to be passed on or were posted to

    def __cinit__(self, array, seed, int reach, int walkers, int steps):
        cdef Py_ssize_t[3] sizes = array.shape
        cdef Py_ssize_t[3] strides = array.strides
        cdef uint64_t[:, ::1] words
        cdef Flood *f
        cdef int k
        self.seed = seed
        self.steps = steps
        self.walkers = max(1, min(walkers, sizes[0]))
        self.floods = f = <Flood *> calloc(self.walkers, sizeof(Flood))
        if f == NULL:
            raise MemoryError(f"no memory for {self.walkers} walkers")
        begin(f, sizes, strides, reach)
        self.words = words = np.zeros((2 * f.first + sizes[0] * f.plane, 2), np.uint64)
        f.words = <Word *> &words[0, 0]
        for k in range(1, self.walkers):
            f[k] = f[0]
        self.waiting = np.zeros(sizes[0], np.uintp)
        f[self.walkers - 1].stop = words.shape[0]
        post(f, f.first + self.seed[0] * f.plane + self.seed[1] * f.row + self.seed[2] // 64,
             <uint64_t> 1 << self.seed[2] % 64)

    def __dealloc__(self):
        cdef int k
        if self.floods != NULL:
            for k in range(self.walkers):
                free(self.floods[k].now.at)
                free(self.floods[k].then.at)
                free(self.floods[k].sent.at)
                free(self.floods[k].come.at)
            free(self.floods)

    cdef int more(self) except -1 nogil:
        """Let all see what was posted, and deal the planes; whether there is anything left to do."""
        cdef Flood *f
        cdef size_t left
        cdef int k
        self.stop = 0
        for k in range(self.walkers):
            f = &self.floods[k]
            f.sent, f.come = f.come, f.sent
            f.sent.size = 0
        left = self.count()
        self.deal(left)
        for k in range(self.walkers):
            f = &self.floods[k]
            self.hand_over(f, &f.now, f.turn)
            self.hand_over(f, &f.then, 0)
            f.turn = 0
        return left > 0

    cdef size_t count(self) noexcept nogil:
        """Look how much waits in each plane, and in all."""
        cdef const Flood *f
        cdef size_t i, left = 0
        cdef int k
        self.waiting[:] = 0
        for k in range(self.walkers):
            f = &self.floods[k]
            for i in range(f.turn, f.now.size):
                self.waiting[plane_of(f, f.now.at[i])] += 1
            for i in range(f.then.size):
                self.waiting[plane_of(f, f.then.at[i])] += 1
            for i in range(f.come.size):
                self.waiting[plane_of(f, f.come.at[i].at)] += 1
            left += f.now.size - f.turn + f.then.size + f.come.size
        return left

    cdef void deal(self, size_t left) noexcept nogil:
        """Cut between planes, where as much as can be of what waits lies before the cut for the walkers before it."""
        cdef Flood *f = self.floods
        cdef size_t before = 0, end = f[self.walkers - 1].stop
        cdef Py_ssize_t z
        cdef int k = 1, busy = <int> min(<size_t> self.walkers, 1 + left // SHARE)
        for z in range(f.shape[0]):
            while k < busy and busy * (2 * before + self.waiting[z]) >= 2 * k * left:
                f[k].begin = f[k - 1].stop = f.first + z * f.plane if z > 0 else 0
                k += 1
            before += self.waiting[z]
        for k in range(k, self.walkers):     # nothing for those
            f[k].begin = f[k - 1].stop = end

    cdef int hand_over(self, const Flood *f, Places *places, size_t start) except -1 nogil:
        """Leave those of a walker's words from `start` on that are of another walker to that one."""
        cdef size_t i, at, kept = 0
        cdef int k
        for i in range(start, places.size):
            at = places.at[i]
            if mine(f, at):
                places.at[kept] = at
                kept += 1
            else:
                k = 0
                while not mine(&self.floods[k], at):
                    k += 1
                add_place(&self.floods[k].then, at)
        places.size = kept
        return 0


def flooded(const Label[:, :, :] array, seed, int reach, int walkers=1, each=map, steps=None):
    """The voxels that equal one and hang together with it.

    Parameters
    ----------
    array : integers (z, y, x) of any strides.
    seed : that voxel.
    reach : along how many axes neighbours may differ, 1 to 3.
    walkers : how many share the work.
    each : calls a function for each of them, at a time or one after the other, as `map`.
    steps : when one has gone so many, then twice as many and so on, all stop and share anew; by default thousands.

    Returns
    -------
    uint64 (nz, ny, (nx + 63) // 64), strided: voxel x is bit x % 64 of word x // 64.
    """
    cdef Py_ssize_t nz = array.shape[0], ny = array.shape[1], nx = array.shape[2], z, y, x
    cdef Walk walk
    z, y, x = seed
    if not 1 <= reach <= 3:
        raise Invalid(f"expected neighbours that differ along 1, 2 or 3 axes, found {reach}")
    if not (0 <= z < nz and 0 <= y < ny and 0 <= x < nx):
        raise Invalid(f"expected a voxel of an array of shape {(nz, ny, nx)}, found {(z, y, x)}")
    values = np.asarray(array)
    walk = Walk(values, (z, y, x), reach, walkers, FEWEST if steps is None else steps)
    go = partial(walked, values, walk)
    while walk.more():
        for _ in each(go, range(walk.walkers)):
            pass
        walk.steps = min(2 * walk.steps, MOST)
        PyErr_CheckSignals()
    f = walk.floods
    reached = walk.words[f.first : f.first + nz * f.plane, 0].reshape(nz, ny + 1, f.row)
    return reached[:, :ny, : f.row - 1]


def walked(const Label[:, :, :] array, Walk walk, int k):
    """Let a walker take what has come to it, and go on for some steps."""
    cdef Flood *f = &walk.floods[k]
    cdef Label value = array[walk.seed[0], walk.seed[1], walk.seed[2]]
    cdef const Letter *letter
    cdef size_t i
    cdef int j
    f.voxels = <const char *> &array[0, 0, 0]
    with nogil:
        for j in range(walk.walkers):
            for i in range(walk.floods[j].come.size):
                letter = &walk.floods[j].come.at[i]
                if mine(f, letter.at):
                    touch(f, value, letter.at, letter.bits)
        go_on(f, value, walk.steps, &walk.stop)


cdef void begin(Flood *f, const Py_ssize_t *shape, const Py_ssize_t *strides, int reach) noexcept nogil:
    cdef int k
    for k in range(3):
        f.shape[k], f.strides[k] = shape[k], strides[k]
    f.row = (shape[2] + 63) // 64 + 1
    f.plane = f.row * (shape[1] + 1)
    f.first = f.plane + f.row + 1
    f.sides = 4 if reach == 1 else 8
    for k in range(2):
        f.beside[k], f.bytes[k] = f.plane - 2 * k * f.plane, strides[0] - 2 * k * strides[0]
        f.beside[2 + k], f.bytes[2 + k] = f.row - 2 * k * f.row, strides[1] - 2 * k * strides[1]
    for k in range(4):
        f.beside[4 + k] = f.beside[k % 2] + f.beside[2 + k // 2]
        f.bytes[4 + k] = f.bytes[k % 2] + f.bytes[2 + k // 2]
    add_way(f, -1, FIRST)
    add_way(f, 1, LAST)
    for k in range(f.sides):
        if reach > (2 if k >= 4 else 1):                  # x may differ too
            add_way(f, f.beside[k] - 1, FIRST)
            add_way(f, f.beside[k], SPREAD)
            add_way(f, f.beside[k] + 1, LAST)
        else:
            add_way(f, f.beside[k], WORD)


cdef void add_way(Flood *f, Py_ssize_t to, int part) noexcept nogil:
    f.way[f.ways].to, f.way[f.ways].part = to, part
    f.ways += 1


@overflowcheck(False)
cdef int go_on(Flood *f, Label value, int steps, int *stop) except -1 nogil:
    """Pass on what is new in so many words: fewer if there are no more, or if another walker has stopped for that."""
    cdef size_t at
    cdef uint64_t bits
    cdef uint64_t[4] parts
    cdef int k, step
    for step in range(steps):
        if step >= FEWEST and step % GLANCE == 0 and raised(stop):
            return 0
        if f.turn == f.now.size:
            f.now, f.then = f.then, f.now
            f.then.size = f.turn = 0
            if f.now.size == 0:
                if step > 0:                 # who had nothing to begin with lets the others go on
                    raise_flag(stop)
                return 0
        fetch_ahead(f, value)
        at = f.now.at[f.turn]
        f.turn += 1
        bits = f.words[at].reached & ~f.words[at].done
        f.words[at].done |= bits
        parts[WORD], parts[SPREAD] = bits, bits | bits << 1 | bits >> 1
        parts[FIRST], parts[LAST] = bits << 63, bits >> 63
        for k in range(f.ways):
            touch(f, value, at + f.way[k].to, parts[f.way[k].part])
    raise_flag(stop)
    return 0


cdef inline bint mine(const Flood *f, size_t at) noexcept nogil:
    return f.begin <= at < f.stop


cdef inline int touch(Flood *f, Label value, size_t at, uint64_t bits) except -1 nogil:
    """Reach the runs of a word in which these voxels lie."""
    cdef Word *word = f.words + at
    cdef uint64_t left
    if bits == 0:
        return 0
    if not mine(f, at):
        return post(f, at, bits)
    if word.reached == 0 and word.done == 0:
        word.done = shut_of(f, value, at)
    left = ~(word.reached | word.done)
    bits &= left
    if bits == 0:
        return 0
    if word.reached & ~word.done == 0:
        add_place(&f.then, at)
    word.reached |= whole_runs(bits, left)
    return 0


cdef inline int add_place(Places *places, size_t at) except -1 nogil:
    grow(<void **> &places.at, &places.room, places.size + 1, sizeof(size_t))
    places.at[places.size] = at
    places.size += 1
    return 0


cdef int post(Flood *f, size_t at, uint64_t bits) except -1 nogil:
    """Leave it to the walker whose word that is."""
    grow(<void **> &f.sent.at, &f.sent.room, f.sent.size + 1, sizeof(Letter))
    f.sent.at[f.sent.size].at, f.sent.at[f.sent.size].bits = at, bits
    f.sent.size += 1
    return 0


@overflowcheck(False)
cdef inline uint64_t whole_runs(uint64_t bits, uint64_t left) noexcept nogil:
    """The runs of `left` in which these bits of it lie."""
    cdef int k
    bits |= left & ~(left + bits)            # a carry goes on to the end of a run
    for k in range(6):
        bits |= left & bits >> (1 << k)
        left &= left >> (1 << k)
    return bits


@overflowcheck(False)
cdef uint64_t shut_of(const Flood *f, Label value, size_t at) noexcept nogil:
    """The voxels of a word that cannot be filled: those of another value, and what is not of the array."""
    cdef Py_ssize_t z, y, x, n, i, step = f.strides[2]
    cdef uint64_t shut
    cdef const char *row
    if <Py_ssize_t> at < f.first:
        return ALL
    place_of(f, at, &z, &y, &x)
    if z >= f.shape[0] or y >= f.shape[1] or x >= f.shape[2]:
        return ALL
    row, n = voxel_at(f, z, y, x), min(64, f.shape[2] - x)
    if step == sizeof(Label) and n == 64:
        return others_in(row, sizeof(Label), &value)
    if step == sizeof(Label) and x > 0:      # the last 64 of the row
        return others_in(row - (64 - n) * step, sizeof(Label), &value) >> (64 - n) | ALL << n
    shut = ALL
    for i in range(n):
        if (<const Label *> (row + i * step))[0] == value:
            shut ^= <uint64_t> 1 << i
    return shut


cdef inline void place_of(const Flood *f, Py_ssize_t at, Py_ssize_t *z, Py_ssize_t *y, Py_ssize_t *x) noexcept nogil:
    """Where a word's first voxel is."""
    at -= f.first
    z[0], y[0], x[0] = at // f.plane, at % f.plane // f.row, at % f.row * 64


cdef inline Py_ssize_t plane_of(const Flood *f, size_t at) noexcept nogil:
    """The plane of the array in which a word is, or to which it is nearest."""
    return min((<Py_ssize_t> at - f.first) // f.plane, f.shape[0] - 1) if <Py_ssize_t> at > f.first else 0


cdef inline const char *voxel_at(const Flood *f, Py_ssize_t z, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    return f.voxels + z * f.strides[0] + y * f.strides[1] + x * f.strides[2]


@overflowcheck(False)
cdef inline void fetch_ahead(const Flood *f, Label value) noexcept nogil:
    """Memory is what a fill waits for: it goes through rows in an order that no processor foresees."""
    cdef const Word *beside
    cdef size_t at
    cdef Py_ssize_t z, y, x
    cdef int k
    if f.turn + 2 * AHEAD < f.now.size:
        at = f.now.at[f.turn + 2 * AHEAD]
        for k in range(f.sides):
            prefetch(f.words + at + f.beside[k])
    if f.turn + AHEAD < f.now.size:
        at = f.now.at[f.turn + AHEAD]
        place_of(f, at, &z, &y, &x)
        for k in range(f.sides):
            beside = f.words + at + f.beside[k]
            if mine(f, at + f.beside[k]) and beside.reached == 0 and beside.done == 0:
                fetch(voxel_at(f, z, y, x) + f.bytes[k], 65 * sizeof(Label))       # it may begin within a line


def write(const uint64_t[:, :, :] words, Label[:, :, :] out, Label value):
    """Give voxels of an array (z, y, x) of any strides a value: those that are reached in words as `flooded` gives."""
    cdef Py_ssize_t z, y, w, x, n, i, step = out.strides[2]
    cdef uint64_t bits
    cdef char *row
    if (words.shape[0], words.shape[1], words.shape[2]) != (out.shape[0], out.shape[1], (out.shape[2] + 63) // 64):
        raise Invalid(f"expected words of an array of shape {(out.shape[0], out.shape[1], out.shape[2])}, found "
                      f"{(words.shape[0], words.shape[1], words.shape[2])}")
    with nogil:
        for z in range(out.shape[0]):
            for y in range(out.shape[1]):
                row = <char *> &out[z, y, 0]
                for w in range(words.shape[2]):
                    bits, x = words[z, y, w], 64 * w
                    while bits:                            # a run after the other
                        x += trailing_zeros(bits)
                        bits >>= trailing_zeros(bits)
                        n = 64 if bits == ALL else trailing_zeros(~bits)
                        bits = bits >> 1 >> (n - 1)        # a word cannot be shifted by 64
                        if step == sizeof(Label):
                            for i in range(n):
                                (<Label *> row)[x + i] = value
                        else:
                            for i in range(n):
                                (<Label *> (row + (x + i) * step))[0] = value
                        x += n
