"""The bytes of runs and of deltas. docs/format.md states them; this file and no other writes and reads them.

Runs are coded row by row against the row before (the first row against nothing). A boundary that is still there,
within 3 voxels and with the same label to its right, costs one symbol and carries its label for free:

    row before   aaaaabbbbbbbcccccc
    this row     aaaaaabbbxxxcccccc      KEEP+0 (a), KEEP+1 (b), INSERT (x: gap 2, its label), END (c as before)

A gap is the number of voxels between two starts. The palette, symbols, gaps and labels are four streams of bytes,
each compressed by Blosc2 (Zstandard).
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from labelog.kernels.labels cimport Table, grow, table_add, table_close, table_open
from labelog.kernels.runs cimport Runs, keys_in_order, make
from labelog.kernels.spans cimport Delta, Pieces, delta_of, push, release

import numpy as np

from labelog.errors import Corrupt

cdef extern from "blosc2.h" nogil:
    ctypedef struct blosc2_context:
        pass
    ctypedef struct blosc2_cparams:
        uint8_t compcode
        uint8_t clevel
        int32_t typesize
        int16_t nthreads
        int32_t blocksize
        uint8_t filters[6]
    ctypedef struct blosc2_dparams:
        int16_t nthreads
    const blosc2_cparams BLOSC2_CPARAMS_DEFAULTS
    const blosc2_dparams BLOSC2_DPARAMS_DEFAULTS
    const int BLOSC_ZSTD
    const int BLOSC2_MAX_OVERHEAD
    void blosc2_init()
    blosc2_context *blosc2_create_cctx(blosc2_cparams)
    blosc2_context *blosc2_create_dctx(blosc2_dparams)
    void blosc2_free_ctx(blosc2_context *)
    int blosc2_compress_ctx(blosc2_context *, const void *src, int32_t n, void *dest, int32_t room)
    int blosc2_decompress_ctx(blosc2_context *, const void *src, int32_t n, void *dest, int32_t room)
    int blosc2_cbuffer_sizes(const void *src, int32_t *nbytes, int32_t *cbytes, int32_t *blocksize)

blosc2_init()

cdef enum:
    DELETE = 0          # a boundary of the row before is gone
    KEEP = 4            # one is still there, moved by symbol - KEEP, which is -3 to 3
    INSERT = 8          # a new one: its distance from the last, and its label
    END = 9             # the rest of the row is as before
    REACH = 3
    LEVEL = 2           # of Blosc2; Zstandard's level 3
    SMALL = 256         # bytes below which a delta is not worth compressing

MAX_STREAM = 0x7FFFFFFF - 64        # what a Blosc2 buffer may hold


# Growing bytes, and numbers in them: 7 bits a byte, low ones first, the high bit set on all but the last

cdef struct Bytes:
    uint8_t *at
    size_t size
    size_t capacity


cdef inline int room(Bytes *b, size_t more) except -1 nogil:
    return grow(<void **> &b.at, &b.capacity, b.size + more, 1)


cdef inline int put(Bytes *b, uint8_t byte) except -1 nogil:
    if b.size == b.capacity:
        room(b, 256)
    b.at[b.size] = byte
    b.size += 1
    return 0


cdef inline int put_bytes(Bytes *b, const Bytes *more) except -1 nogil:
    if more.size:                               # with nothing there is no `at`
        room(b, more.size)
        memcpy(b.at + b.size, more.at, more.size)
        b.size += more.size
    return 0


cdef inline int put_number(Bytes *b, uint64_t number) except -1 nogil:
    room(b, 10)
    while number >= 0x80:
        b.at[b.size] = <uint8_t> (number & 0x7F | 0x80)
        b.size += 1
        number >>= 7
    b.at[b.size] = <uint8_t> number
    b.size += 1
    return 0


cdef inline int put_signed(Bytes *b, int64_t number) except -1 nogil:
    """Small numbers of either sign in one byte: 0 -1 1 -2 2 ... as 0 1 2 3 4 ..."""
    return put_number(b, (<uint64_t> number << 1) if number >= 0 else (<uint64_t> (-(number + 1)) << 1) | 1)


cdef struct Reader:
    const uint8_t *at
    const uint8_t *end


cdef inline size_t left(const Reader *r) noexcept nogil:
    """How many bytes are still to be read."""
    return <size_t> r.end - <size_t> r.at


cdef int corrupt(str what) except -1 with gil:
    raise Corrupt(what)


cdef inline uint64_t get_number(Reader *r) except? 0xDEAD nogil:
    cdef uint64_t number = 0
    cdef int shift = 0
    cdef uint8_t byte
    while True:
        if r.at == r.end:
            corrupt("a stream of numbers ends too early")
        byte = r.at[0]
        r.at += 1
        if shift == 63 and byte > 1:
            corrupt("a number is over 64 bits")
        number |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7


cdef inline int64_t get_signed(Reader *r) except? -0xDEAD nogil:
    cdef uint64_t number = get_number(r)
    return -<int64_t> (number >> 1) - 1 if number & 1 else <int64_t> (number >> 1)


# Streams: length, stored length, bytes; compressed if that is shorter

cdef object compressed(const uint8_t *source, size_t n):
    """The bytes compressed, or as they are if that is not shorter."""
    cdef blosc2_cparams parameters = BLOSC2_CPARAMS_DEFAULTS
    cdef blosc2_context *context
    cdef int32_t size = <int32_t> n, written
    cdef bytes out
    cdef char *dest
    cdef int i
    if n > <size_t> MAX_STREAM:
        raise MemoryError(f"a stream of {n} bytes is over the {MAX_STREAM} that can be compressed")
    if n < 48:                                  # Blosc2's own header takes 32
        return PyBytes_FromStringAndSize(<const char *> source, n)
    parameters.compcode = <uint8_t> BLOSC_ZSTD
    parameters.clevel = LEVEL
    parameters.typesize = 1
    parameters.nthreads = 1
    parameters.blocksize = size
    for i in range(6):
        parameters.filters[i] = 0
    out = PyBytes_FromStringAndSize(NULL, n + BLOSC2_MAX_OVERHEAD)
    dest = PyBytes_AS_STRING(out)
    with nogil:
        context = blosc2_create_cctx(parameters)
        if context == NULL:
            with gil:
                raise MemoryError("no memory for a compression context")
        written = blosc2_compress_ctx(context, source, size, dest, size + BLOSC2_MAX_OVERHEAD)
        blosc2_free_ctx(context)
    if written <= 0 or written >= size:
        return PyBytes_FromStringAndSize(<const char *> source, n)
    return out[:written]


cdef int expand(const uint8_t *source, size_t stored, uint8_t *dest, size_t n) except -1 nogil:
    """The inverse: exactly n bytes to dest, or Corrupt."""
    cdef blosc2_context *context
    cdef int32_t declared, taken, block
    cdef int done
    if stored == n:
        memcpy(dest, source, n)
        return 0
    if stored < 32 or stored > n or blosc2_cbuffer_sizes(source, &declared, &taken, &block) < 0:
        corrupt("a compressed stream has a damaged header")
    if <size_t> declared != n or <size_t> taken != stored:
        corrupt("a compressed stream does not have its declared length")
    context = blosc2_create_dctx(BLOSC2_DPARAMS_DEFAULTS)
    if context == NULL:
        with gil:
            raise MemoryError("no memory for a decompression context")
    done = blosc2_decompress_ctx(context, source, <int32_t> stored, dest, <int32_t> n)
    blosc2_free_ctx(context)
    if done != <int> n:
        corrupt("a compressed stream does not decompress")
    return 0


cdef object framed(Bytes *stream):
    body = compressed(stream.at, stream.size)
    return np.array([stream.size, len(body)], "<u4").tobytes() + body


cdef int open_stream(Reader *body, Reader *stream, size_t limit, uint8_t **owned) except -1 nogil:
    """The next stream of a body, expanded into *owned, of at most `limit` bytes."""
    cdef uint32_t sizes[2]
    if left(body) < 8:
        corrupt("the bytes end within a stream's lengths")
    memcpy(sizes, body.at, 8)
    body.at += 8
    if sizes[0] > limit:
        corrupt("a stream declares more bytes than its shape can need")
    if sizes[1] > left(body):
        corrupt("the bytes end within a stream")
    owned[0] = <uint8_t *> malloc(max(<size_t> sizes[0], <size_t> 1))
    if owned[0] == NULL:
        with gil:
            raise MemoryError(f"no memory for a stream of {sizes[0]} bytes")
    expand(body.at, sizes[1], owned[0], sizes[0])
    body.at += sizes[1]
    stream.at = owned[0]
    stream.end = owned[0] + sizes[0]
    return 0


# Runs

def encode(Runs runs):
    """The bytes of runs, canonical: equal runs give equal bytes. The shape is not among them."""
    runs = runs.compacted()
    cdef Bytes palette = [NULL, 0, 0], symbols = [NULL, 0, 0], gaps = [NULL, 0, 0], picks = [NULL, 0, 0]
    cdef Py_ssize_t r
    cdef size_t i
    cdef uint64_t before = 0
    try:
        with nogil:
            for i in range(<size_t> runs.labels.shape[0]):
                put_number(&palette, runs.labels[i] - before)
                before = runs.labels[i]
            room(&symbols, runs.stops.shape[0] + runs.rows.shape[0])
            for r in range(runs.nz * runs.ny):
                if r == 0:
                    encode_row(&symbols, &gaps, &picks, &runs.stops[0], &runs.picks[0], 0, 0, 0, runs.rows[1])
                else:
                    encode_row(&symbols, &gaps, &picks, &runs.stops[0], &runs.picks[0],
                               runs.rows[r - 1], runs.rows[r], runs.rows[r], runs.rows[r + 1])
        return b"".join([np.array([runs.labels.shape[0], runs.stops.shape[0]], "<u4").tobytes(),
                         framed(&palette), framed(&symbols), framed(&gaps), framed(&picks)])
    finally:
        free(palette.at)
        free(symbols.at)
        free(gaps.at)
        free(picks.at)


cdef inline uint32_t start_of(const uint32_t *stops, size_t first, size_t i) noexcept nogil:
    return 0 if i == first else stops[i - 1]


cdef int encode_row(Bytes *symbols, Bytes *gaps, Bytes *labels, const uint32_t *stops, const uint32_t *picks,
                    size_t ref, size_t ref_end, size_t first, size_t end) except -1 nogil:
    """The runs first:end of a row, coded against ref:ref_end, those of the row before."""
    cdef size_t ref_first = ref, i, k, scan
    cdef uint32_t start, before = 0
    cdef int64_t moved
    cdef bint found
    while (ref_end > ref_first and end > first and picks[ref_end - 1] == picks[end - 1]
           and start_of(stops, ref_first, ref_end - 1) == start_of(stops, first, end - 1)):
        ref_end -= 1
        end -= 1
    scan = ref
    for i in range(first, end):
        start = start_of(stops, first, i)
        while scan < ref_end and start_of(stops, ref_first, scan) + REACH < start:
            scan += 1
        found = False
        k = scan
        while k < ref_end:
            moved = <int64_t> start - <int64_t> start_of(stops, ref_first, k)
            if moved < -REACH:
                break
            if picks[k] == picks[i]:
                found = True
                break
            k += 1
        if found:
            while ref < k:
                put(symbols, DELETE)
                ref += 1
            put(symbols, <uint8_t> (KEEP + moved))
            ref += 1
            scan = ref
        else:
            put(symbols, INSERT)
            put_number(gaps, start if i == first else start - before - 1)
            put_number(labels, picks[i])
        before = start
    while ref < ref_end:
        put(symbols, DELETE)
        ref += 1
    return put(symbols, END)


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
    cdef size_t voxels = nz * ny * nx, n_rows = nz * ny, n_labels, n, i
    cdef uint32_t sizes[2]
    cdef Reader body, palette, symbols, gaps, picks
    cdef uint8_t *owned[4]
    owned[0] = owned[1] = owned[2] = owned[3] = NULL
    if data.shape[0] < 8:
        raise Corrupt(f"runs need at least 8 bytes, found {data.shape[0]}")
    memcpy(sizes, &data[0], 8)
    n_labels, n = sizes[0], sizes[1]
    if not (n_rows <= n <= voxels and 1 <= n_labels <= n):
        raise Corrupt(f"{n} runs of {n_labels} labels cannot be in a shape of {nz} x {ny} x {nx}")
    body.at = &data[0] + 8
    body.end = &data[0] + data.shape[0]
    try:
        with nogil:
            open_stream(&body, &palette, 10 * n_labels, &owned[0])
            open_stream(&body, &symbols, 2 * n + n_rows, &owned[1])
            open_stream(&body, &gaps, 5 * n, &owned[2])
            open_stream(&body, &picks, 5 * n, &owned[3])
        if body.at != body.end:
            raise Corrupt(f"{left(&body)} bytes follow the last stream")
        labels_array = np.empty(n_labels, np.uint64)
        rows_array, stops_array, picks_array = (np.empty(m, np.uint32) for m in (n_rows + 1, n, n))
        decode_palette(&palette, labels_array)
        decode_rows(&symbols, &gaps, &picks, n_labels, nx, rows_array, stops_array, picks_array)
        return make(nz, ny, nx, labels_array, rows_array, stops_array, picks_array)
    finally:
        for i in range(4):
            free(owned[i])


cdef int decode_palette(Reader *stream, uint64_t[::1] labels) except -1:
    cdef Py_ssize_t i
    cdef uint64_t label = 0, more
    for i in range(labels.shape[0]):
        more = get_number(stream)
        if (i > 0 and more == 0) or more > 0xFFFFFFFFFFFFFFFFU - label:
            raise Corrupt("a palette does not ascend")
        label += more
        labels[i] = label
    return expect_end(stream)


cdef int expect_end(Reader *stream) except -1 nogil:
    if stream.at != stream.end:
        corrupt("a stream is longer than what it holds")
    return 0


cdef int decode_rows(Reader *symbols, Reader *gaps, Reader *labels, size_t n_labels, uint64_t nx,
                     uint32_t[::1] rows, uint32_t[::1] stops, uint32_t[::1] picks) except -1:
    cdef size_t n_rows = rows.shape[0] - 1, n = stops.shape[0], r, i = 0, first, ref = 0, ref_first = 0, ref_end
    cdef uint8_t symbol
    cdef int64_t start = 0
    cdef uint64_t number, pick = 0
    with nogil:
        for r in range(n_rows):
            first = i
            ref_first = ref = rows[r - 1] if r else 0
            ref_end = first
            rows[r] = <uint32_t> first
            while True:
                if symbols.at == symbols.end:
                    corrupt("the symbols end before the last row")
                symbol = symbols.at[0]
                symbols.at += 1
                if symbol == END:
                    break
                if symbol == INSERT:
                    number = get_number(gaps)
                    pick = get_number(labels)
                    if number >= nx or pick >= n_labels:
                        corrupt("a run lies outside its row, or its label outside the palette")
                    start = <int64_t> number
                    if i > first:
                        start += <int64_t> start_of(&stops[0], first, i - 1) + 1
                elif symbol < INSERT:
                    if ref == ref_end:
                        corrupt("a row refers to more runs than the row before has")
                    start = <int64_t> start_of(&stops[0], ref_first, ref) + symbol - KEEP
                    pick = picks[ref]
                    ref += 1
                    if symbol == DELETE:
                        continue
                else:
                    corrupt("an unknown symbol")
                add_run(&stops[0], &picks[0], first, i, n, start, pick, nx)
                i += 1
            while ref < ref_end:
                add_run(&stops[0], &picks[0], first, i, n, start_of(&stops[0], ref_first, ref), picks[ref], nx)
                i += 1
                ref += 1
            if i == first:
                corrupt("a row has no run")
            stops[i - 1] = <uint32_t> nx
        if i != n:
            corrupt("there are fewer runs than declared")
        rows[n_rows] = <uint32_t> n
        expect_end(symbols)
        expect_end(gaps)
        expect_end(labels)
    return 0


cdef inline int add_run(uint32_t *stops, uint32_t *picks, size_t first, size_t i, size_t n,
                        int64_t start, uint64_t pick, uint64_t nx) except -1 nogil:
    """Run i begins at `start`, where the run before it ends."""
    if i == n:
        corrupt("there are more runs than declared")
    if start < 0 or <uint64_t> start >= nx:
        corrupt("a run lies outside its row")
    if i == first:
        if start != 0:
            corrupt("the first run of a row does not begin at 0")
    else:
        if <uint64_t> start <= start_of(stops, first, i - 1) or pick == picks[i - 1]:
            corrupt("the runs of a row do not ascend, or neighbours have one label")
        stops[i - 1] = <uint32_t> start
    picks[i] = <uint32_t> pick
    return 0


# Deltas

def encode_delta(Delta delta, uint64_t nx):
    """The bytes of a delta in a chunk whose rows have nx voxels: its labels, its pairs of old and new label, then for
    each span its start and length against those of the span before, and its pair."""
    cdef Bytes out = [NULL, 0, 0], which = [NULL, 0, 0], pair = [NULL, 0, 0]
    cdef Table labels = [NULL, NULL, 0, 0], pairs = [NULL, NULL, 0, 0]
    cdef Py_ssize_t n = delta.starts.shape[0], i
    cdef size_t k
    cdef int64_t start = 0, length = 0
    cdef uint64_t old, new
    try:
        with nogil:
            table_open(&labels, 8)
            table_open(&pairs, 8)
            for i in range(n):
                old = table_add(&labels, delta.olds[i])
                new = table_add(&labels, delta.news[i])
                k = pairs.used
                put_number(&which, table_add(&pairs, old << 32 | new))
                if pairs.used > k:
                    put_number(&pair, old)
                    put_number(&pair, new)
        keys = keys_in_order(&labels)
        put_labels(&out, keys)
        with nogil:
            put_number(&out, pairs.used)
            put_bytes(&out, &pair)
            put_number(&out, n)
            for i in range(n):
                put_signed(&out, <int64_t> delta.starts[i] - start - <int64_t> nx)
                start = delta.starts[i]
            for i in range(n):
                put_signed(&out, <int64_t> (delta.stops[i] - delta.starts[i]) - length)
                length = delta.stops[i] - delta.starts[i]
            if pairs.used > 1:
                put_bytes(&out, &which)
        if out.size >= SMALL:
            return np.array([out.size], "<u4").tobytes() + compressed(out.at, out.size)
        return b"\0\0\0\0" + PyBytes_FromStringAndSize(<char *> out.at, out.size)
    finally:
        free(out.at)
        free(which.at)
        free(pair.at)
        table_close(&labels)
        table_close(&pairs)


cdef int put_labels(Bytes *out, const uint64_t[::1] labels) except -1:
    cdef Py_ssize_t i
    put_number(out, labels.shape[0])
    for i in range(labels.shape[0]):
        put_number(out, labels[i])
    return 0


def decode_delta(const uint8_t[::1] data, shape):
    """The delta of these bytes in a chunk of `shape` (nz, ny, nx). Raises Corrupt for any others."""
    cdef uint64_t nx = shape[2], voxels = shape[0] * shape[1] * shape[2]
    cdef uint32_t declared
    cdef uint8_t *owned = NULL
    cdef Reader body
    if data.shape[0] < 4:
        raise Corrupt(f"a delta needs at least 4 bytes, found {data.shape[0]}")
    memcpy(&declared, &data[0], 4)
    body.at = &data[0] + 4
    body.end = &data[0] + data.shape[0]
    if declared == 0:
        return read_delta(&body, nx, voxels)
    if declared > 64 * voxels:
        raise Corrupt(f"a delta declares {declared} bytes, more than {voxels} voxels can need")
    owned = <uint8_t *> malloc(declared)
    if owned == NULL:
        raise MemoryError(f"no memory for a delta of {declared} bytes")
    try:
        expand(body.at, left(&body), owned, declared)
        body.at = owned
        body.end = owned + declared
        return read_delta(&body, nx, voxels)
    finally:
        free(owned)


cdef uint64_t get_count(Reader *body) except? 0xDEAD:
    """How many numbers follow: no more than bytes are left."""
    cdef uint64_t n = get_number(body)
    if n > left(body):
        raise Corrupt(f"a delta declares {n} numbers in {left(body)} bytes")
    return n


cdef Delta read_delta(Reader *body, uint64_t nx, uint64_t voxels):
    cdef uint64_t n_labels, n_pairs, n, i, old, new, which
    cdef int64_t start = 0, length = 0
    cdef Pieces pieces = [NULL, NULL, NULL, NULL, 0, 0]
    n_labels = get_count(body)
    cdef uint64_t[::1] labels = np.empty(n_labels, np.uint64)
    for i in range(n_labels):
        labels[i] = get_number(body)
    n_pairs = get_count(body)
    cdef uint64_t[:, ::1] pairs = np.empty((n_pairs, 2), np.uint64)
    for i in range(n_pairs):
        old, new = get_number(body), get_number(body)
        if old >= n_labels or new >= n_labels:
            raise Corrupt("a pair of labels of a delta points outside its labels")
        pairs[i, 0], pairs[i, 1] = labels[old], labels[new]
    n = get_count(body)
    if n > 0 and n_pairs == 0:
        raise Corrupt("a delta has spans and no labels")
    cdef int64_t[::1] starts = np.empty(n, np.int64), lengths = np.empty(n, np.int64)
    try:
        with nogil:
            for i in range(n):
                start = next_number(start + <int64_t> nx, get_signed(body), voxels)
                starts[i] = start
            for i in range(n):
                length = next_number(length, get_signed(body), voxels)
                lengths[i] = length
            start = 0
            for i in range(n):
                which = get_number(body) if n_pairs > 1 else 0
                if starts[i] < start or lengths[i] < 1 or which >= n_pairs:
                    corrupt("the spans of a delta do not ascend, or one points outside the pairs")
                start = starts[i] + lengths[i]
                if start > <int64_t> voxels:
                    corrupt("a span of a delta lies outside its chunk")
                push(&pieces, <uint32_t> starts[i], <uint32_t> start, pairs[which, 1], pairs[which, 0])
            expect_end(body)
        return delta_of(&pieces)
    finally:
        release(&pieces)


cdef inline int64_t next_number(int64_t before, int64_t moved, uint64_t voxels) except? -0xDEAD nogil:
    if moved > <int64_t> (2 * voxels) or moved < -<int64_t> (2 * voxels):
        corrupt("a span of a delta lies outside its chunk")
    return before + moved
