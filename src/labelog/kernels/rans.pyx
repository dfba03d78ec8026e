"""The parts of rANS (rans.pxd) that are called once for a chunk: odds and their tables, and the encoder itself."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cpython.bytes cimport PyBytes_FromStringAndSize

from labelog.kernels.labels cimport Buffer, reserve

cdef enum:
    RARE = 64           # symbols below which a context has no odds of its own
    LOWEST = 0x10000    # of the state
    MOST_KINDS = 8


cdef uint64_t RECIPROCALS[WHOLE + 1]        # x // odds is x * RECIPROCALS[odds] >> 39, for any x < odds << 25
for n in range(1, WHOLE + 1):
    RECIPROCALS[n] = ((<uint64_t> 1 << 39) + n - 1) // n


cdef struct Odds:       # of the symbols of a context
    uint16_t of[NUMBERS]
    uint16_t below[NUMBERS]     # of all symbols before it


cdef struct Encoder:
    uint32_t state
    uint16_t *at        # the last word written: they are written backward


cdef int open_recorder(Recorder *r) except -1 nogil:
    memset(r, 0, sizeof(Recorder))
    return reserve(&r.events, 1024)


cdef void close_recorder(Recorder *r) noexcept nogil:
    free(r.events.at)


cdef bytes packed(Recorder *r, const Kind *kinds, int n_kinds):
    """The words of what was recorded, with the odds before."""
    cdef Odds *odds = <Odds *> malloc((MOST_CONTEXTS + MOST_KINDS) * sizeof(Odds))
    cdef Odds *chosen[MOST_CONTEXTS]
    cdef Buffer head = [NULL, 0, 0]
    cdef Encoder encoder
    cdef uint16_t *words = NULL
    cdef size_t room
    if odds == NULL:
        raise MemoryError("no memory for the odds of a chunk")
    try:
        with nogil:
            choose(r, kinds, n_kinds, odds, chosen)
            put_odds(&head, kinds, n_kinds, odds, chosen)
            room = r.events.size + head.size + 3        # an event gives one word at the most; and one is tried
            words = <uint16_t *> malloc(room * sizeof(uint16_t))
            if words == NULL:
                with gil:
                    raise MemoryError(f"no memory for {room} words")
            encoder = [LOWEST, words + room]
            encode(&encoder, &r.events, chosen)
            encode(&encoder, &head, chosen)
            encoder.at -= 2
            encoder.at[0], encoder.at[1] = <uint16_t> (encoder.state >> 16), <uint16_t> (encoder.state & 0xFFFF)
        return PyBytes_FromStringAndSize(<char *> encoder.at, <size_t> (words + room) - <size_t> encoder.at)
    finally:
        free(odds)
        free(words)
        free(head.at)


cdef void choose(const Recorder *r, const Kind *kinds, int n_kinds, Odds *odds, Odds **chosen) noexcept nogil:
    """Odds for each context that is not rare, and for each kind's rare ones together, after those of all contexts."""
    cdef uint32_t rare[NUMBERS]
    cdef uint64_t total
    cdef int kind, context, symbol, symbols
    for kind in range(n_kinds):
        symbols = kinds[kind].symbols
        memset(rare, 0, sizeof(rare))
        for context in range(kinds[kind].first, kinds[kind].first + kinds[kind].contexts):
            total = 0
            for symbol in range(symbols):
                total += r.counts[context][symbol]
            if total >= RARE:
                chosen[context] = &odds[context]
                share_out(r.counts[context], total, symbols, &odds[context])
            else:
                chosen[context] = &odds[MOST_CONTEXTS + kind]
                for symbol in range(symbols):
                    rare[symbol] += r.counts[context][symbol]
        total = 0
        for symbol in range(symbols):
            total += rare[symbol]
        share_out(rare, total, symbols, &odds[MOST_CONTEXTS + kind])


cdef void share_out(const uint32_t *counts, uint64_t total, int symbols, Odds *odds) noexcept nogil:
    """The whole among symbols by how often they came, at least 1 for each that did; all to the first if none did."""
    cdef int symbol, most, given = 0
    for symbol in range(symbols):
        odds.of[symbol] = 0
        if counts[symbol]:
            odds.of[symbol] = <uint16_t> max(<uint64_t> 1, (<uint64_t> counts[symbol] * WHOLE + total // 2) // total)
        given += odds.of[symbol]
    while given != WHOLE:
        most = 0
        for symbol in range(1, symbols):
            if odds.of[symbol] > odds.of[most]:
                most = symbol
        if given < WHOLE:
            odds.of[most] += <uint16_t> (WHOLE - given)
            given = WHOLE
        else:
            odds.of[most] -= 1
            given -= 1
    given = 0
    for symbol in range(symbols):
        odds.below[symbol] = <uint16_t> given
        given += odds.of[symbol]


cdef int put_odds(Buffer *out, const Kind *kinds, int n_kinds, const Odds *odds, Odds **chosen) except -1 nogil:
    """For each kind: has any context odds of its own? If so, a bit for each; then the odds, the shared ones last."""
    cdef int kind, context, first, end
    cdef bint own
    for kind in range(n_kinds):
        first, end = kinds[kind].first, kinds[kind].first + kinds[kind].contexts
        own = False
        for context in range(first, end):
            own = own or chosen[context] == &odds[context]
        reserve(out, 1 + kinds[kind].contexts)
        put_bits(out, 1, own)
        if own:
            for context in range(first, end):
                put_bits(out, 1, chosen[context] == &odds[context])
        for context in range(first, end):
            if chosen[context] == &odds[context]:
                put_shares(out, &odds[context])
        put_shares(out, &odds[MOST_CONTEXTS + kind])
    return 0


cdef int put_shares(Buffer *out, const Odds *odds) except -1 nogil:
    """Symbol by symbol, the length of its odds in 4 bits, then those bits but the first; until the whole is given."""
    cdef int given = 0, symbol = 0, length
    reserve(out, 2 * NUMBERS)
    while given < WHOLE:
        length = length_of(odds.of[symbol])
        put_bits(out, 4, length)
        if 1 < length <= WHOLE_BITS:
            put_bits(out, length - 1, odds.of[symbol] & ((1 << (length - 1)) - 1))
        given += odds.of[symbol]
        symbol += 1
    return 0


cdef void encode(Encoder *e, const Buffer *events, Odds **chosen) noexcept nogil:
    cdef size_t i
    cdef uint32_t event, odds, is_full, state = e.state
    cdef uint16_t *at = e.at
    cdef int count, symbol
    cdef const Odds *context
    for i in range(events.size, 0, -1):
        event = events.at[i - 1]
        at[-1] = <uint16_t> (state & 0xFFFF)
        if event & BITS:
            count = <int> (event >> 16 & 0xFF)
            is_full = state >> (32 - count) != 0
            state = state >> 16 * is_full << count | (event & 0xFFFF)
        else:
            symbol = <int> (event & 0xFF)
            context = chosen[event >> 8]
            odds = context.of[symbol]
            is_full = state >> (32 - WHOLE_BITS) >= odds
            state >>= 16 * is_full
            state += <uint32_t> (state * RECIPROCALS[odds] >> 39) * (WHOLE - odds) + context.below[symbol]
        at -= is_full
    e.state, e.at = state, at


cdef int open_words(Words *w, const uint8_t *data, size_t size, size_t spare) except -1 nogil:
    """A copy, with `spare` words of 0 behind it."""
    cdef size_t n = size // 2
    if size % 2 or n < 2:
        corrupt("the words are cut off")
    w.owned = <uint16_t *> calloc(n + spare, sizeof(uint16_t))
    if w.owned == NULL:
        with gil:
            raise MemoryError(f"no memory for {n + spare} words")
    memcpy(w.owned, data, size)
    w.state = <uint32_t> w.owned[0] << 16 | w.owned[1]
    w.at = w.owned + 2
    w.end = w.owned + n
    return 0


cdef int close_words(Words *w) except -1 nogil:
    """The state and the words must be used up, as the encoder began."""
    if w.at != w.end or w.state != LOWEST:
        corrupt("the words are not those that were written")
    return 0


cdef uint64_t rest_of_number(Words *w, int symbol) noexcept nogil:
    cdef int rest = symbol // 2 - 2
    cdef uint64_t low = 0, number = 2 | symbol & 1
    if rest > 16:
        low = get_bits(w, 16)
        return ((number << (rest - 16) | get_bits(w, rest - 16)) << 16) | low
    return number << rest | get_bits(w, rest)


cdef int get_tables(Tables *tables, Words *w, const Kind *kinds, int n_kinds) except -1 nogil:
    """What put_odds wrote, as tables."""
    cdef bint own[MOST_CONTEXTS]
    cdef int kind, context, first, end
    cdef uint32_t *table
    tables.owned = <uint32_t *> malloc((MOST_CONTEXTS + MOST_KINDS) * WHOLE * sizeof(uint32_t))
    if tables.owned == NULL:
        with gil:
            raise MemoryError("no memory for the tables of a chunk")
    table = tables.owned
    for kind in range(n_kinds):
        first, end = kinds[kind].first, kinds[kind].first + kinds[kind].contexts
        memset(own, 0, sizeof(own))
        if get_bits(w, 1):
            for context in range(first, end):
                own[context] = get_bits(w, 1)
        for context in range(first, end):
            if own[context]:
                tables.of[context] = table
                get_table(w, table, kinds[kind].symbols)
                table += WHOLE
        get_table(w, table, kinds[kind].symbols)
        for context in range(first, end):
            if not own[context]:
                tables.of[context] = table
        table += WHOLE
    return 0


cdef int get_table(Words *w, uint32_t *table, int symbols) except -1 nogil:
    cdef uint32_t given = 0, odds, place
    cdef int symbol = 0, length
    while given < WHOLE:
        if symbol == symbols:
            corrupt("the odds of a context are not whole")
        length = <int> get_bits(w, 4)
        if length:
            odds = <uint32_t> 1 << (length - 1)
            if 1 < length <= WHOLE_BITS:
                odds |= get_bits(w, length - 1)
            if given + odds > WHOLE:
                corrupt("the odds of a context are more than the whole")
            for place in range(odds):
                table[given + place] = odds << 16 | place << 8 | <uint32_t> symbol
            given += odds
        symbol += 1
    return expect_words(w)
