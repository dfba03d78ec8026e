# Growing bytes, and numbers in them (LEB128): 7 bits a byte, low ones first, the high bit set on all but the last.

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from labelog.kernels.labels cimport grow


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


cdef int corrupt(str what) except -1 with gil


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


cdef inline int expect_end(const Reader *r) except -1 nogil:
    if r.at != r.end:
        corrupt("a stream is longer than what it holds")
    return 0
