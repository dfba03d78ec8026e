"""The bytes of deltas. docs/format.md states them; this file and no other writes and reads them."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from labelog.kernels.labels cimport Table, table_add, table_close, table_open
from labelog.kernels.leb128 cimport (Bytes, Reader, corrupt, expect_end, get_number, get_signed, left, put_bytes,
                                     put_number, put_signed)
from labelog.kernels.runs cimport keys_in_order
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
    SMALL = 256         # bytes below which a delta is not worth compressing
    LEVEL = 2           # of Blosc2; Zstandard's level 3

MAX_BLOCK = 0x7FFFFFFF - 64         # what a Blosc2 buffer may hold


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


# Blosc2

cdef object compressed(const uint8_t *source, size_t n):
    """The bytes compressed, or as they are if that is not shorter."""
    cdef blosc2_cparams parameters = BLOSC2_CPARAMS_DEFAULTS
    cdef blosc2_context *context
    cdef int32_t size = <int32_t> n, written
    cdef bytes out
    cdef char *dest
    cdef int i
    if n > <size_t> MAX_BLOCK:
        raise MemoryError(f"a stream of {n} bytes is over the {MAX_BLOCK} that can be compressed")
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
