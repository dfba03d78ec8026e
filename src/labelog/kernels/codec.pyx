"""The bytes of a chunk's labels, and (from delta_codec.pyx) of deltas. docs/format.md states them.

A row is what became of the boundaries of the row before. Where they go is guessed from where those of the plane before
went, which lie beside them:

    plane before   row y       aaaaabbbbbbbcccccc        the boundary of b moved by +1, that of c stayed
                   row y + 1   aaaaaabbbbbbcccccc
    this plane     row y       aaaabbbbbbbbbccccc        so these are expected to do the same
                   row y + 1   aaaaabbbbbbbbccccc

Each boundary is a symbol: gone, or moved by up to 7 voxels, which carries its label for free. Its context is what its
neighbour in the plane before did, and what it did itself the row before. Before the symbols of a row is the number of
runs that are new in it, mostly 0; after them is where those begin, and their labels.

Symbols are coded by rans.pxd. A row without new runs is decoded without a branch that depends on its symbols.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memmove, memset

from cpython.bytes cimport PyBytes_FromStringAndSize

from labelog.kernels.boundaries cimport (CONTEXTS, COUNT, FIRST, GAP, GONE, MOVE, MOVES, NAME, REACH, STAYED, TOP,
                                         Insertion, Trace, Walk, close_walk, followed_by_new, here, label_beneath,
                                         name_context, open_row, open_walk, reserve_traces, set_trace,
                                         start_of, there, trace_run)
from labelog.kernels.labels cimport grow, reserve
from labelog.kernels.leb128 cimport Bytes, Reader, corrupt, get_number, left, put_number
from labelog.kernels.rans cimport (NUMBERS, SPARE, Kind, Recorder, Tables, Words, close_recorder, close_words,
                                   expect_words, get_number_in, get_symbol, get_tables, open_recorder, open_words,
                                   packed, put_number_in, put_symbol)
from labelog.kernels.runs cimport Runs, make

import numpy as np

from labelog.errors import Corrupt
from labelog.kernels.delta_codec import decode_delta, encode_delta  # no-cython-lint: they belong here too

cdef enum:
    N_KINDS = 4

cdef int64_t BEYOND = <int64_t> 1 << 40             # where no run begins

cdef Kind KINDS[N_KINDS]
KINDS[0] = Kind(MOVE, COUNT - MOVE, MOVES)
KINDS[1] = Kind(COUNT, GAP - COUNT, NUMBERS)
KINDS[2] = Kind(GAP, NAME - GAP, NUMBERS)
KINDS[3] = Kind(NAME, CONTEXTS - NAME, NUMBERS)


# Encoding

def encode(Runs runs):
    """The bytes of runs, canonical: equal runs give equal bytes. The shape is not among them."""
    runs = runs.compacted()
    cdef Bytes head = [NULL, 0, 0]
    cdef Recorder recorder
    cdef Walk w
    cdef size_t i, n = runs.stops.shape[0]
    cdef uint64_t label = 0
    memset(&recorder, 0, sizeof(recorder))
    memset(&w, 0, sizeof(w))
    try:
        with nogil:
            open_recorder(&recorder)
            open_walk(&w, runs.nz, runs.ny)
            w.rows, w.stops, w.picks = &runs.rows[0], &runs.stops[0], &runs.picks[0]
            encode_rows(&w, &recorder, runs.nz * runs.ny)
            put_number(&head, runs.labels.shape[0])
            put_number(&head, n)
            for i in range(<size_t> runs.labels.shape[0]):
                put_number(&head, runs.labels[i] - label)
                label = runs.labels[i]
        return PyBytes_FromStringAndSize(<char *> head.at, head.size) + packed(&recorder, KINDS, N_KINDS)
    finally:
        free(head.at)
        close_walk(&w)
        close_recorder(&recorder)


cdef struct Matches:     # of the runs of a row with those of the row that it is coded against
    int64_t *starts      # of the latter, and then one that is beyond all
    uint32_t *sources    # for each of the row 1 + which of those it was, or 0 for a new one
    size_t room_of_starts
    size_t room


cdef int encode_rows(Walk *w, Recorder *recorder, size_t n_rows) except -1 nogil:
    cdef Matches m = [NULL, NULL, 0, 0]
    cdef size_t r, n, n_ref
    try:
        for r in range(n_rows):
            open_row(w, r, w.rows[r])
            n, n_ref = w.rows[r + 1] - w.first, w.ref_end - w.ref
            reserve_traces(w, n)
            reserve(&recorder.events, 3 + n_ref + 6 * n)
            if is_moved(w, n):
                w.counts[r] = 0
                encode_moved_row(w, recorder, n)
            else:
                grow(<void **> &m.starts, &m.room_of_starts, n_ref + 1, sizeof(int64_t))
                grow(<void **> &m.sources, &m.room, n, sizeof(uint32_t))
                w.counts[r] = encode_row(w, recorder, &m, w.rows[r + 1])
    finally:
        free(m.starts)
        free(m.sources)
    return 0


cdef inline bint is_moved(const Walk *w, size_t n) noexcept nogil:
    """Whether all runs of the row before are still there, and no others: most rows are so."""
    cdef size_t k
    cdef uint32_t other = 0
    cdef int64_t move
    if w.top or n != w.ref_end - w.ref:
        return False
    for k in range(n):
        other |= w.picks[w.first + k] ^ w.picks[w.ref + k]
        move = <int64_t> w.stops[w.first + k] - <int64_t> w.stops[w.ref + k]
        other |= (move < -REACH) | (move > REACH)
    return other == 0


cdef inline void encode_moved_row(Walk *w, Recorder *recorder, size_t n) noexcept nogil:
    """What encode_row does with such a row, without its branches."""
    cdef Trace *ref = w.traces + here(w, w.ref)
    cdef Trace *out = w.traces + here(w, w.first)
    cdef const Trace *followed
    cdef const uint32_t *stops = w.stops + w.first - 1
    cdef const uint32_t *ref_stops = w.stops + w.ref - 1
    cdef uint32_t number = here(w, w.first)
    cdef size_t k
    cdef int symbol = STAYED
    put_number_in(recorder, w.count_context, 0)
    for k in range(n):
        if k > 0:
            symbol = <int> (<int64_t> stops[k] - <int64_t> ref_stops[k]) + STAYED
            put_symbol(recorder, <int> ref[k].context, symbol)
        followed = &w.before[ref[k].guide]
        ref[k].did, ref[k].next = symbol, number + <uint32_t> k
        set_trace(&out[k], followed.next, w.contexts[followed.did][symbol])


cdef inline uint8_t encode_row(Walk *w, Recorder *recorder, Matches *m, size_t end) noexcept nogil:
    """How many of its runs, up to `end`, are new, but no more than 2."""
    cdef size_t n_new = find_sources(w, m, end)
    put_number_in(recorder, w.count_context, n_new)
    if w.top:
        put_boundaries(w, recorder, m, end, n_new > 0, True)
    else:
        put_boundaries(w, recorder, m, end, n_new > 0, False)
    if n_new:
        encode_new(w, recorder, end, m.sources)
    return <uint8_t> min(n_new, <size_t> 2)


cdef inline size_t find_sources(const Walk *w, Matches *m, size_t end) noexcept nogil:
    """For each run of the row, the first of the row before, after that of the run before, with its label and near it.
    How many are new."""
    cdef const int64_t *starts = m.starts
    cdef const uint32_t *ref_picks = w.picks + w.ref
    cdef size_t n_ref = w.ref_end - w.ref, i, k, scan = 0, n_new = 0
    cdef int64_t start = 0
    cdef uint32_t pick, source
    for k in range(n_ref):
        m.starts[k] = start
        start = w.stops[w.ref + k]
    m.starts[n_ref] = BEYOND
    start = 0
    for i in range(w.first, end):
        pick, source = w.picks[i], 0
        while starts[scan] < start - REACH:
            scan += 1
        k = scan
        while starts[k] <= start + REACH:
            if ref_picks[k] == pick:
                source = <uint32_t> k + 1
                scan = k + 1
                break
            k += 1
        m.sources[i - w.first] = source
        n_new += source == 0
        start = w.stops[i]
    if n_new == 0 and m.sources[0] != 1:            # in a row without new ones the first is the first
        m.sources[0] = 0
        n_new = 1
    return n_new


cdef inline void put_boundaries(Walk *w, Recorder *recorder, const Matches *m, size_t end, bint first_too,
                                bint top) noexcept nogil:
    """What became of each run of the row before; of its first one that is known in a row without new ones."""
    cdef size_t i, k = w.ref
    cdef int64_t start = 0
    cdef uint32_t source
    for i in range(w.first, end):
        source = m.sources[i - w.first]
        if source:
            while k + 1 < w.ref + source:
                put_boundary(w, recorder, k, 0, GONE, first_too, top)
                k += 1
            put_boundary(w, recorder, k, i, <int> (start - m.starts[k - w.ref]) + STAYED, first_too, top)
            k += 1
        start = w.stops[i]
    while k < w.ref_end:
        put_boundary(w, recorder, k, 0, GONE, first_too, top)
        k += 1


cdef inline void put_boundary(Walk *w, Recorder *recorder, size_t k, size_t i, int symbol, bint first_too,
                              bint top) noexcept nogil:
    """That run k of the row before is run i of this one, or gone."""
    cdef Trace *ref = NULL if top else &w.traces[here(w, k)]
    cdef int context = FIRST
    if k > w.ref:
        context = TOP if top else <int> ref.context
    if symbol != GONE:
        trace_run(w, i, there(w, k) if top else ref.guide, symbol)
    if first_too or k > w.ref:
        put_symbol(recorder, context, symbol)
    if not top:
        ref.did, ref.next = symbol, here(w, i) if symbol != GONE else 0


cdef inline void encode_new(Walk *w, Recorder *recorder, size_t end, const uint32_t *sources) noexcept nogil:
    cdef Insertion at = [-1, -1, -1, w.above]
    cdef size_t i
    cdef int64_t start, beneath
    cdef uint32_t pick
    for i in range(w.first, end):
        pick = w.picks[i]
        if sources[i - w.first]:
            at.kept = at.last = pick
            continue
        start = start_of(w.stops, w.first, i)
        put_number_in(recorder, GAP + (at.start >= 0), start - at.start - 1)
        beneath = label_beneath(w, &at, start)
        put_number_in(recorder, name_context(&at, beneath),
                      0 if at.kept == pick else 1 if beneath == pick else <uint64_t> pick + 2)
        trace_run(w, i, followed_by_new(w, &at, start, pick), GONE)
        at.start = start
        at.last = pick


# Decoding

cdef struct Kept:        # a run of the row before that is still there
    int64_t start
    uint32_t ref         # its number in that row
    uint32_t pick
    uint32_t followed
    int symbol


cdef struct Decoder:
    Walk walk
    Words words
    Tables tables
    uint32_t *stops
    uint32_t *picks
    size_t n             # runs declared
    int64_t nx
    uint64_t n_labels
    Kept *kept           # scratch
    size_t room


def decode(const uint8_t[::1] data, shape):
    """The runs of these bytes.

    Parameters
    ----------
    data : what `encode` gave.
    shape : (nz, ny, nx), voxels.

    Raises Corrupt for bytes that are not runs of this shape; memory is taken only as the shape allows.
    """
    cdef Py_ssize_t nz, ny, nx
    nz, ny, nx = shape
    cdef size_t n_labels, n, n_rows = nz * ny
    cdef Reader body
    cdef Decoder d
    if data.shape[0] == 0:
        raise Corrupt("there are no bytes for the labels of a chunk")
    body.at = &data[0]
    body.end = &data[0] + data.shape[0]
    n_labels, n = get_number(&body), get_number(&body)
    if not (n_rows <= n <= min(<size_t> (n_rows * nx), <size_t> 0xFFFFFFFF) and 1 <= n_labels <= min(n, left(&body))):
        raise Corrupt(f"{n} runs of {n_labels} labels cannot be in a shape of {nz} x {ny} x {nx}")
    labels_array = np.empty(n_labels, np.uint64)
    get_palette(&body, labels_array)
    memset(&d, 0, sizeof(d))
    rows_array, stops_array, picks_array = (np.empty(m, np.uint32) for m in (n_rows + 1, n, n))
    cdef uint32_t[::1] rows = rows_array, stops = stops_array, picks = picks_array
    try:
        with nogil:
            open_decoder(&d, &body, n, nz, ny, nx)
            d.n_labels = n_labels
            d.stops, d.picks = d.walk.stops, d.walk.picks = &stops[0], &picks[0]
            d.walk.rows = &rows[0]
            decode_rows(&d, &rows[0], n_rows)
        return make(nz, ny, nx, labels_array, rows_array, stops_array, picks_array)
    finally:
        close_walk(&d.walk)
        free(d.words.owned)
        free(d.tables.owned)
        free(d.kept)


cdef int get_palette(Reader *body, uint64_t[::1] labels) except -1:
    cdef Py_ssize_t i
    cdef uint64_t label = 0, more
    for i in range(labels.shape[0]):
        more = get_number(body)
        if (i > 0 and more == 0) or more > 0xFFFFFFFFFFFFFFFFU - label:
            raise Corrupt("a palette does not ascend")
        label += more
        labels[i] = label
    return 0


cdef int open_decoder(Decoder *d, Reader *body, size_t n, size_t nz, size_t ny, size_t nx) except -1 nogil:
    open_walk(&d.walk, nz, ny)
    open_words(&d.words, body.at, left(body), min(n, nx) + SPARE)
    get_tables(&d.tables, &d.words, KINDS, N_KINDS)
    d.n = n
    d.nx = nx
    return 0


cdef int decode_rows(Decoder *d, uint32_t *rows, size_t n_rows) except -1 nogil:
    cdef Walk *w = &d.walk
    cdef size_t r, end = 0
    cdef uint64_t n_new
    for r in range(n_rows):
        rows[r] = <uint32_t> end
        open_row(w, r, end)
        n_new = get_number_in(&d.words, d.tables.of[w.count_context])
        w.counts[r] = <uint8_t> min(n_new, <uint64_t> 2)
        reserve_traces(w, w.ref_end - w.ref)
        if n_new == 0 and not w.top and end + (w.ref_end - w.ref) <= d.n:
            end = moved_row(d)
        else:
            grow(<void **> &d.kept, &d.room, w.ref_end - w.ref + 1, sizeof(Kept))
            end = changed_row(d, n_new)
        expect_words(&d.words)
        d.stops[end - 1] = <uint32_t> d.nx
    rows[n_rows] = <uint32_t> end
    if end != d.n:
        corrupt("there are fewer runs than declared")
    check_rows(d, n_rows)
    return close_words(&d.words)


cdef int check_rows(const Decoder *d, size_t n_rows) except -1 nogil:
    """All rows at once, which is faster: each ends with nx, and only there a stop does not ascend."""
    cdef const uint32_t *stops = d.stops
    cdef const uint32_t *picks = d.picks
    cdef uint32_t i, descents = 1, wrong = 0, n = <uint32_t> (d.n - 1), nx = <uint32_t> d.nx
    for i in range(n):
        descents += stops[i] >= stops[i + 1]
        wrong |= (stops[i] == 0) | (stops[i] > nx) | (picks[i] == picks[i + 1]) & (stops[i] != nx)
    if descents != n_rows or wrong:
        corrupt("the runs of a row do not ascend, leave it, or are neighbours with one label")
    return 0


cdef inline size_t moved_row(Decoder *d) noexcept nogil:
    """The runs of the row before, moved or gone, but for the first; where they end.

    What a symbol says is done to run i, which the next one does again if the boundary is gone. So there is no branch
    that depends on symbols: half of those would be guessed wrong.
    """
    cdef Words words = [d.words.state, d.words.at, NULL, NULL]
    cdef const Trace *before = d.walk.before
    cdef Trace *ref = d.walk.traces + here(&d.walk, d.walk.ref)
    cdef Trace *out = d.walk.traces + here(&d.walk, d.walk.first)
    cdef const uint32_t *ref_stops = d.stops + d.walk.ref
    cdef const uint32_t *ref_picks = d.picks + d.walk.ref
    cdef uint32_t *stops = d.stops + d.walk.first
    cdef uint32_t *picks = d.picks + d.walk.first
    cdef uint32_t number = here(&d.walk, d.walk.first)
    cdef size_t k, n = d.walk.ref_end - d.walk.ref, i = 1
    cdef int symbol
    cdef const Trace *followed = &before[ref[0].guide]
    ref[0].next = number
    ref[0].did = STAYED
    set_trace(out, followed.next, d.walk.contexts[followed.did][STAYED])
    picks[0] = ref_picks[0]
    for k in range(1, n):
        symbol = get_symbol(&words, d.tables.of[ref[k].context])
        followed = &before[ref[k].guide]
        ref[k].next = number + <uint32_t> i & -<uint32_t> (symbol != GONE)
        ref[k].did = symbol
        set_trace(&out[i], followed.next, d.walk.contexts[followed.did][symbol])
        stops[i - 1] = <uint32_t> (<int64_t> ref_stops[k - 1] + symbol - STAYED)
        picks[i] = ref_picks[k]
        i += symbol != GONE
    d.words.state, d.words.at = words.state, words.at
    return d.walk.first + i


cdef size_t changed_row(Decoder *d, uint64_t n_new) except? 0xDEAD nogil:
    """Any row: the runs of the row before are moved or gone, then new ones are put between. Where they end."""
    cdef Walk *w = &d.walk
    cdef Insertion at = [-1, -1, -1, w.above]
    cdef const Kept *kept = d.kept
    cdef const Kept *kept_end
    cdef size_t i = w.first, n_kept
    cdef int64_t start
    cdef uint32_t pick
    if n_new > <uint64_t> d.nx:
        corrupt("a row has more new runs than voxels")
    n_kept = keep_top_runs(d, n_new) if w.top else keep_runs(d, n_new)
    kept_end = kept + n_kept
    if n_kept + n_new > <uint64_t> d.nx:               # which the words behind the last one are counted for
        corrupt("a row has more runs than voxels")
    if i + n_kept + n_new > d.n:
        corrupt("there are more runs than declared")
    reserve_traces(w, n_kept + n_new)
    while True:
        start = d.nx
        if n_new:
            start = at.start + 1 + <int64_t> get_number_in(&d.words, d.tables.of[GAP + (at.start >= 0)])
            if start >= d.nx:
                corrupt("a new run lies outside its row")
        while kept < kept_end and kept.start < start:
            d.stops[i], d.picks[i] = <uint32_t> kept.start, kept.pick
            trace_run(w, i, kept.followed, kept.symbol)
            if not w.top:
                w.traces[here(w, w.ref + kept.ref)].next = here(w, i)
            at.kept = at.last = kept.pick
            kept += 1
            i += 1
        if n_new == 0:
            break
        pick = label_of_new(d, &at, start)
        d.stops[i], d.picks[i] = <uint32_t> start, pick
        trace_run(w, i, followed_by_new(w, &at, start, pick), GONE)
        at.last = pick
        at.start = start
        i += 1
        n_new -= 1
        expect_words(&d.words)
    if kept < kept_end or i == w.first or d.stops[w.first] != 0:
        corrupt("the runs of a row do not begin at 0, or leave it")
    memmove(d.stops + w.first, d.stops + w.first + 1, (i - w.first - 1) * sizeof(uint32_t))    # starts become stops
    return i


cdef inline size_t keep_runs(Decoder *d, uint64_t n_new) noexcept nogil:
    """The symbols of the row: how many runs of the row before are still there. They are listed, the rest is gone."""
    cdef Words words = [d.words.state, d.words.at, NULL, NULL]
    cdef Kept *kept = d.kept
    cdef Trace *ref = d.walk.traces + here(&d.walk, d.walk.ref)
    cdef const uint32_t *stops = d.stops + d.walk.ref
    cdef const uint32_t *picks = d.picks + d.walk.ref
    cdef uint32_t k, n = <uint32_t> (d.walk.ref_end - d.walk.ref)
    cdef int symbol = get_symbol(&words, d.tables.of[FIRST]) if n_new else STAYED
    cdef size_t n_kept = symbol != GONE
    set_kept(kept, symbol - STAYED, 0, picks[0], ref[0].guide, symbol)
    ref[0].did, ref[0].next = symbol, 0
    for k in range(1, n):
        symbol = get_symbol(&words, d.tables.of[ref[k].context])
        set_kept(&kept[n_kept], <int64_t> stops[k - 1] + symbol - STAYED, k, picks[k], ref[k].guide, symbol)
        n_kept += symbol != GONE
        ref[k].did, ref[k].next = symbol, 0
    d.words.state, d.words.at = words.state, words.at
    return n_kept


cdef inline size_t keep_top_runs(Decoder *d, uint64_t n_new) noexcept nogil:
    """The same for the first row of a plane. In the first of all there are none."""
    cdef Words words = [d.words.state, d.words.at, NULL, NULL]
    cdef Walk *w = &d.walk
    cdef size_t n_kept = 0
    cdef uint32_t k, n = <uint32_t> (w.ref_end - w.ref)
    cdef int symbol
    for k in range(n):
        symbol = STAYED
        if n_new or k > 0:
            symbol = get_symbol(&words, d.tables.of[TOP if k else FIRST])
        set_kept(&d.kept[n_kept], start_of(d.stops, w.ref, w.ref + k) + symbol - STAYED, k, d.picks[w.ref + k],
                 there(w, w.ref + k), symbol)
        n_kept += symbol != GONE
    d.words.state, d.words.at = words.state, words.at
    return n_kept


cdef inline void set_kept(Kept *kept, int64_t start, uint32_t ref, uint32_t pick, uint32_t followed,
                          int symbol) noexcept nogil:
    kept.start, kept.ref, kept.pick, kept.followed, kept.symbol = start, ref, pick, followed, symbol


cdef inline uint32_t label_of_new(Decoder *d, Insertion *at, int64_t start) except? 0xDEAD nogil:
    cdef int64_t beneath = label_beneath(&d.walk, at, start)
    cdef uint64_t name = get_number_in(&d.words, d.tables.of[name_context(at, beneath)])
    cdef int64_t pick = at.kept if name == 0 else beneath if name == 1 else <int64_t> name - 2
    if pick < 0 or <uint64_t> pick >= d.n_labels:
        corrupt("a run's label is not known")
    return <uint32_t> pick
