# What is known of a chunk's boundaries, row by row, when it is coded (codec.pyx) and when it is decoded.
#
# Runs of a plane are numbered from 1 in `traces`; number 0 is nobody. The run that run k of the row before becomes in
# this row is expected to follow the run that k's neighbour in the plane before became there:
#
#     plane before   row y       k's neighbour --did--> next       traces[k].context: from `did`, and how k came
#     this plane     row y + 1   k ------- ? -------> i            traces[k].guide: that `next`, which i will follow

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from labelog.kernels.labels cimport grow

cdef enum:
    GONE = 0            # symbols of a boundary: it is not in this row
    STAYED = 8          # it is, moved by symbol - STAYED: -7 to 7
    REACH = 7
    MOVES = 16          # how many symbols these are
    UNKNOWN = 16        # in their place: it did not come to a next row, or is nobody
    NEAR = 8            # voxels within which a new run follows one of the plane before

    MOVE = 0            # contexts: of a boundary, by what its neighbour did and how it came
    TOP = 42            # of one in the first row of a plane, which is coded against that row in the plane before
    FIRST = 43          # of the first one of a row that has new runs
    COUNT = 44          # of new runs in a row: how many
    GAP = 56            # voxels from the new run before; of the first, and of others
    NAME = 58           # label
    CONTEXTS = 66


cdef struct Trace:       # of a run, for the row and the plane that come after
    uint32_t next        # the run that it is in the next row, or nobody
    uint32_t guide       # the run of the plane before that this next one follows, or nobody
    uint32_t did         # the symbol that made `next` of it
    uint32_t context     # of that symbol


cdef struct Walk:        # through the rows of a chunk
    const uint32_t *rows
    const uint32_t *stops
    const uint32_t *picks
    size_t ny
    size_t y             # of the row, in its plane
    Trace *traces        # of this plane
    Trace *before        # of the plane before
    size_t room          # of these, how many there can be
    size_t room_before
    size_t plane         # number 1 of this plane is this run
    size_t plane_before
    uint8_t *counts      # of each row so far, how many runs were new, at most 2
    bint top             # is the row the first of a plane?
    size_t first         # run of the row
    size_t ref           # the runs that the row is coded against
    size_t ref_end
    size_t above         # the runs of the same row in the plane before
    size_t above_end
    int count_context
    uint8_t contexts[UNKNOWN + 1][MOVES]        # by what the neighbour did and how the boundary came: GONE if it is new


cdef struct Insertion:   # of new runs into a row, from left to right
    int64_t start        # of the last new run, or -1
    int64_t kept         # label of the last run that is not new, or -1
    int64_t last         # label of the last run, or -1
    size_t beneath       # the run of the plane before in which the new one begins


cdef inline int open_walk(Walk *w, size_t nz, size_t ny) except -1 nogil:
    cdef int did, came, context
    memset(w, 0, sizeof(Walk))
    w.ny, w.y = ny, ny - 1
    w.counts = <uint8_t *> malloc(nz * ny)
    if w.counts == NULL:
        with gil:
            raise MemoryError(f"no memory for {nz * ny} rows")
    grow(<void **> &w.traces, &w.room, 256, sizeof(Trace))
    grow(<void **> &w.before, &w.room_before, 256, sizeof(Trace))
    w.traces[0] = w.before[0] = [0, 0, UNKNOWN, MOVE]
    for did in range(UNKNOWN + 1):
        for came in range(MOVES):
            context = MOVE + 6 * (0 if did == UNKNOWN else 1 + direction(did)) + direction(came)
            w.contexts[did][came] = <uint8_t> context
    return 0


cdef inline int direction(int move) noexcept nogil:
    """Gone or new, far to the left, left, stayed, right, far to the right."""
    return 0 if move == GONE else 3 + max(-2, min(2, move - STAYED))


cdef inline int reserve_traces(Walk *w, size_t more) except -1 nogil:
    """Room for so many runs from the row's first on."""
    return grow(<void **> &w.traces, &w.room, w.first - w.plane + 1 + more, sizeof(Trace))


cdef inline void close_walk(Walk *w) noexcept nogil:
    free(w.traces)
    free(w.before)
    free(w.counts)


cdef inline void open_row(Walk *w, size_t r, size_t first) noexcept nogil:
    """Row r, whose runs begin with `first`."""
    cdef Trace *traces
    cdef size_t room
    w.first = first
    w.y = w.y + 1 if w.y + 1 < w.ny else 0
    w.top = w.y == 0
    if w.top and r > 0:
        traces, room = w.before, w.room_before
        w.before, w.room_before = w.traces, w.room
        w.traces, w.room = traces, room
        w.plane_before = w.plane
        w.plane = first
    w.above = w.above_end = w.plane_before
    w.count_context = COUNT
    if r >= w.ny:
        w.above, w.above_end = w.rows[r - w.ny], w.rows[r - w.ny + 1]
        w.count_context += 1 + w.counts[r - w.ny]
    if w.top:
        w.ref, w.ref_end = w.above, w.above_end
    else:
        w.ref, w.ref_end = w.rows[r - 1], first
        w.count_context += 4 * w.counts[r - 1]


cdef inline int64_t start_of(const uint32_t *stops, size_t first, size_t i) noexcept nogil:
    return 0 if i == first else <int64_t> stops[i - 1]


cdef inline uint32_t here(const Walk *w, size_t i) noexcept nogil:
    """The number of a run in this plane."""
    return <uint32_t> (i - w.plane + 1)


cdef inline uint32_t there(const Walk *w, size_t i) noexcept nogil:
    """In the plane before."""
    return <uint32_t> (i - w.plane_before + 1)


cdef inline void trace_run(Walk *w, size_t i, uint32_t followed, int came) noexcept nogil:
    """Run i follows that one of the plane before."""
    cdef const Trace *t = &w.before[followed]
    set_trace(&w.traces[here(w, i)], t.next, w.contexts[t.did][came])


cdef inline void set_trace(Trace *t, uint32_t guide, uint32_t context) noexcept nogil:
    """Of a run that has not come to a next row."""
    t.next, t.guide, t.did, t.context = 0, guide, UNKNOWN, context


# New runs

cdef inline int64_t label_beneath(const Walk *w, Insertion *at, int64_t start) noexcept nogil:
    """The label in the plane before, where a new run begins; -1 if there is no such plane."""
    if w.above == w.above_end:
        return -1
    while w.stops[at.beneath] <= start:
        at.beneath += 1
    return w.picks[at.beneath]


cdef inline int name_context(const Insertion *at, int64_t beneath) noexcept nogil:
    return NAME + (at.kept == beneath) + 2 * (at.kept == at.last) + 4 * (beneath == at.last)


cdef inline uint32_t followed_by_new(const Walk *w, const Insertion *at, int64_t start, uint32_t pick) noexcept nogil:
    """The run of the plane before with this label that begins near: the one beneath, or else the one after it."""
    cdef size_t k = at.beneath
    if w.above == w.above_end:
        return 0
    if w.picks[k] == pick:
        return there(w, k) if start - start_of(w.stops, w.above, k) <= NEAR else 0
    k += 1
    if k < w.above_end and w.picks[k] == pick and start_of(w.stops, w.above, k) - start <= NEAR:
        return there(w, k)
    return 0
