# The label dtypes, once for all kernels, and the growing buffers and the hash table that they share.
#
# Label      what a dense array of labels may hold on its way in or out
# Table      a map from uint64 label to its index in a palette (open addressing, power-of-two capacity)

from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t,
                          uint8_t, uint16_t, uint32_t, uint64_t)
from libc.stdlib cimport calloc, free, malloc, realloc

ctypedef fused Label:
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    int8_t
    int16_t
    int32_t
    int64_t


cdef struct Table:
    uint64_t *keys
    uint32_t *slots          # index + 1; 0 is a free slot
    size_t capacity
    size_t used


cdef inline int table_open(Table *t, size_t expected) except -1 nogil:
    t.capacity = 16
    while t.capacity < 2 * expected:
        t.capacity *= 2
    t.used = 0
    t.keys = <uint64_t *> malloc(t.capacity * sizeof(uint64_t))
    t.slots = <uint32_t *> calloc(t.capacity, sizeof(uint32_t))
    if t.keys == NULL or t.slots == NULL:
        table_close(t)
        with gil:
            raise MemoryError("no memory for a table of labels")
    return 0


cdef inline void table_close(Table *t) noexcept nogil:
    free(t.keys)
    free(t.slots)
    t.keys = NULL
    t.slots = NULL


cdef inline size_t table_slot(Table *t, uint64_t key) noexcept nogil:
    cdef uint64_t h = key
    h ^= h >> 32                       # ids differ in their low bits, block addresses in their high ones
    h = (h ^ (h >> 15)) & 0xFFFFFFFFU
    h = (h * 0x9E3779B1U) & 0xFFFFFFFFU
    cdef size_t mask = t.capacity - 1
    cdef size_t i = <size_t> (h ^ (h >> 16)) & mask
    while t.slots[i] != 0 and t.keys[i] != key:
        i = (i + 1) & mask
    return i


cdef inline int table_grow(Table *t) except -1 nogil:
    cdef Table bigger
    cdef size_t i, j
    table_open(&bigger, t.capacity)
    for i in range(t.capacity):
        if t.slots[i] != 0:
            j = table_slot(&bigger, t.keys[i])
            bigger.keys[j] = t.keys[i]
            bigger.slots[j] = t.slots[i]
    bigger.used = t.used
    table_close(t)
    t[0] = bigger
    return 0


cdef inline int64_t table_find(Table *t, uint64_t key) noexcept nogil:
    """The index of key, or -1."""
    return <int64_t> t.slots[table_slot(t, key)] - 1


cdef inline int64_t table_add(Table *t, uint64_t key) except -1 nogil:
    """The index of key, which is the number of keys before it if it is new."""
    cdef size_t i = table_slot(t, key)
    if t.slots[i] != 0:
        return <int64_t> t.slots[i] - 1
    if 2 * (t.used + 1) > t.capacity:
        table_grow(t)
        i = table_slot(t, key)
    t.used += 1
    t.keys[i] = key
    t.slots[i] = <uint32_t> t.used
    return <int64_t> t.used - 1


cdef struct Buffer:
    uint32_t *at
    size_t size
    size_t capacity


cdef inline int reserve(Buffer *b, size_t more) except -1 nogil:
    """Room for `more` items beyond b.size."""
    return grow(<void **> &b.at, &b.capacity, b.size + more, sizeof(uint32_t))


cdef inline int grow(void **at, size_t *capacity, size_t wanted, size_t item) except -1 nogil:
    """Room for `wanted` items of so many bytes: nothing is done if there is, and at least twice as much else."""
    cdef void *moved
    if wanted <= capacity[0]:
        return 0
    wanted = max(wanted, 2 * capacity[0])
    moved = realloc(at[0], wanted * item)
    if moved == NULL:
        with gil:
            raise MemoryError(f"no memory for {wanted} items of {item} bytes")
    at[0] = moved
    capacity[0] = wanted
    return 0
