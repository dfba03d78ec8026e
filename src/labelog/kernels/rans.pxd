# Symbols and bits as 16-bit words: range asymmetric numeral systems (rANS, Duda 2013), with static odds.
#
# A symbol is coded in a context. Each context has odds, 128 in all, shared out among its symbols. Contexts of one kind
# have the same alphabet, and those that are too rare for odds of their own share those of their kind. The decoder's
# state has at least 17 bits:
#
#     table     128 entries, as many of a symbol as its odds   entry = odds << 16 | place among its equals << 8 | symbol
#     symbol    table[state & 127]                             state = odds * (state >> 7) + place
#     bits      state & mask                                   state = state >> how many
#               then, if state < 2^16:                         state = state << 16 | the next word
#
# The encoder does the inverse, backward. So it first records all symbols, which also gives the odds.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t

from labelog.kernels.labels cimport Buffer
from labelog.kernels.leb128 cimport corrupt

cdef enum:
    WHOLE_BITS = 7
    WHOLE = 128         # the odds of a context
    NUMBERS = 68        # symbols of a number: 0 to 7, then two for each length in bits, 4 to 33
    BITS = 0x40000000      # an event of bits is BITS | count << 16 | bits, any other context << 8 | symbol
    SPARE = 256         # words that may be taken between two calls of expect_words
    MOST_CONTEXTS = 80


cdef struct Kind:       # of contexts
    int first           # the contexts from here on
    int contexts
    int symbols


# Encoding

cdef struct Recorder:
    Buffer events
    uint32_t counts[MOST_CONTEXTS][NUMBERS]


cdef inline void put_symbol(Recorder *r, int context, int symbol) noexcept nogil:
    """The caller has reserved room for the event."""
    r.counts[context][symbol] += 1
    r.events.at[r.events.size] = <uint32_t> (context << 8 | symbol)
    r.events.size += 1


cdef inline void put_bits(Buffer *events, int count, uint32_t bits) noexcept nogil:
    events.at[events.size] = BITS | <uint32_t> count << 16 | bits
    events.size += 1


cdef inline int length_of(uint64_t number) noexcept nogil:
    """Its bits, without leading zeros."""
    cdef int length = 0
    while number:
        number >>= 1
        length += 1
    return length


cdef inline void put_number_in(Recorder *r, int context, uint64_t number) noexcept nogil:
    """At most three events: a symbol for length and second bit, then the rest, low bits first."""
    cdef int length, rest
    if number < 8:
        put_symbol(r, context, <int> number)
        return
    length = length_of(number)
    rest = length - 2
    put_symbol(r, context, 2 * length + <int> (number >> rest & 1))
    if rest > 16:
        put_bits(&r.events, 16, <uint32_t> (number & 0xFFFF))
        number >>= 16
        rest -= 16
    put_bits(&r.events, rest, <uint32_t> (number & ((1 << rest) - 1)))


cdef int open_recorder(Recorder *r) except -1 nogil
cdef void close_recorder(Recorder *r) noexcept nogil
cdef bytes packed(Recorder *r, const Kind *kinds, int n_kinds)


# Decoding

cdef struct Words:
    uint32_t state
    const uint16_t *at
    const uint16_t *end     # SPARE and more words follow, all 0
    uint16_t *owned


cdef struct Tables:
    const uint32_t *of[MOST_CONTEXTS]       # the table of a context
    uint32_t *owned


cdef inline void refill(Words *w, uint32_t state) noexcept nogil:
    """Without a branch, which nobody could predict."""
    cdef uint32_t more = <uint32_t> (<uint64_t> state << 16 | w.at[0])
    cdef uint32_t low = <uint32_t> ((<int64_t> state - 0x10000) >> 63)       # all ones or none
    w.state = state ^ ((state ^ more) & low)
    w.at += low & 1


cdef inline int get_symbol(Words *w, const uint32_t *table) noexcept nogil:
    cdef uint32_t entry = table[w.state & (WHOLE - 1)]
    refill(w, (entry >> 16) * (w.state >> WHOLE_BITS) + (entry >> 8 & 0xFF))
    return <int> (entry & 0xFF)


cdef inline uint32_t get_bits(Words *w, int count) noexcept nogil:
    """At most 16."""
    cdef uint32_t bits = w.state & ((<uint32_t> 1 << count) - 1)
    refill(w, w.state >> count)
    return bits


cdef inline uint64_t get_number_in(Words *w, const uint32_t *table) noexcept nogil:
    cdef int symbol = get_symbol(w, table)
    return <uint64_t> symbol if symbol < 8 else rest_of_number(w, symbol)


cdef inline int expect_words(const Words *w) except -1 nogil:
    if w.at > w.end:
        corrupt("the words end too early")
    return 0


cdef uint64_t rest_of_number(Words *w, int symbol) noexcept nogil
cdef int open_words(Words *w, const uint8_t *data, size_t size, size_t spare) except -1 nogil
cdef int close_words(Words *w) except -1 nogil
cdef int get_tables(Tables *tables, Words *w, const Kind *kinds, int n_kinds) except -1 nogil
