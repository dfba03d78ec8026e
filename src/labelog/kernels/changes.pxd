# Where the labels of a row of voxels change: first a byte for each voxel, 1 where the next one differs, by loops
# without branches that compilers vectorise, for the processor at hand; then those bytes as bits, 64 voxels at a time,
# most of which are 0:
#
#     mark_changes(row, sizeof(Label), step, n, changes)
#     for x in range(0, n, 64):
#         bits = bits_of(changes + x)
#         while bits:
#             at = x + trailing_zeros(bits)           # the voxel at + 1 differs from that at `at`, or there is none
#             bits &= bits - 1
#
# The bits are of little-endian words.

from cython cimport overflowcheck
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy, memset

cdef enum:
    BEYOND = 64         # bytes of 0 after those of a row

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) \\
        && !defined(__SANITIZE_ADDRESS__)
    #define LABELOG_WIDER __attribute__((unused, target_clones("avx2", "default")))
    #elif defined(__GNUC__)
    #define LABELOG_WIDER __attribute__((unused))
    #else
    #define LABELOG_WIDER
    #endif

    #define LABELOG_MARK_32 for (int i = 0; i < 32; i++) changes[x + i] = row[x + i] != row[x + i + 1];
    #define LABELOG_MARK(T)                                                                             \\
        LABELOG_WIDER static void labelog_mark_##T(const T *row, ptrdiff_t n, uint8_t *changes) {       \\
            ptrdiff_t x = 0;                                                                            \\
            for (; x + 32 <= n; x += 32) { LABELOG_MARK_32 }                                            \\
            if (n >= 32) { x = n - 32; LABELOG_MARK_32 x = n; }       /* some are marked twice */       \\
            for (; x < n; x++) changes[x] = row[x] != row[x + 1];                                       \\
        }
    LABELOG_MARK(uint8_t)
    LABELOG_MARK(uint16_t)
    LABELOG_MARK(uint32_t)
    LABELOG_MARK(uint64_t)

    #define LABELOG_OTHERS(T)                                                                           \\
        LABELOG_WIDER static void labelog_others_##T(const T *row, const T *label, uint8_t *others) {   \\
            for (int i = 0; i < 64; i++) others[i] = row[i] != *label;                                  \\
        }
    LABELOG_OTHERS(uint8_t)
    LABELOG_OTHERS(uint16_t)
    LABELOG_OTHERS(uint32_t)
    LABELOG_OTHERS(uint64_t)
    """
    void mark_8 "labelog_mark_uint8_t"(const void *row, Py_ssize_t n, uint8_t *changes) noexcept nogil
    void mark_16 "labelog_mark_uint16_t"(const void *row, Py_ssize_t n, uint8_t *changes) noexcept nogil
    void mark_32 "labelog_mark_uint32_t"(const void *row, Py_ssize_t n, uint8_t *changes) noexcept nogil
    void mark_64 "labelog_mark_uint64_t"(const void *row, Py_ssize_t n, uint8_t *changes) noexcept nogil
    void others_8 "labelog_others_uint8_t"(const void *row, const void *label, uint8_t *others) noexcept nogil
    void others_16 "labelog_others_uint16_t"(const void *row, const void *label, uint8_t *others) noexcept nogil
    void others_32 "labelog_others_uint32_t"(const void *row, const void *label, uint8_t *others) noexcept nogil
    void others_64 "labelog_others_uint64_t"(const void *row, const void *label, uint8_t *others) noexcept nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long) noexcept nogil


cdef inline uint8_t *open_changes(Py_ssize_t n) except NULL nogil:
    """Room for those of rows of n voxels, which the caller frees."""
    cdef uint8_t *changes = <uint8_t *> malloc(n + BEYOND)
    if changes == NULL:
        with gil:
            raise MemoryError(f"no memory for a row of {n} voxels")
    return changes


cdef inline size_t find_stops(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n, uint8_t *changes,
                              uint32_t *stops) noexcept nogil:
    """Where the runs of a row end; how many they are."""
    cdef Py_ssize_t x
    cdef uint64_t bits
    cdef size_t found = 0
    mark_changes(row, item, step, n, changes)
    for x in range(0, n, 64):
        bits = bits_of(changes + x)
        while bits:
            stops[found] = <uint32_t> (x + trailing_zeros(bits) + 1)
            found += 1
            bits &= bits - 1
    return found


cdef inline void mark_changes(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                              uint8_t *changes) noexcept nogil:
    """Of n integers of `item` bytes, each `step` bytes after the one before; the last one always is a change."""
    changes[n - 1] = 1
    memset(changes + n, 0, BEYOND)
    if step != item:
        mark_apart(<const char *> row, item, step, n, changes)
    elif item == 1:
        mark_8(row, n - 1, changes)
    elif item == 2:
        mark_16(row, n - 1, changes)
    elif item == 4:
        mark_32(row, n - 1, changes)
    else:
        mark_64(row, n - 1, changes)


cdef inline void mark_apart(const char *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                            uint8_t *changes) noexcept nogil:
    cdef Py_ssize_t x
    cdef uint64_t here = 0, there = 0
    memcpy(&here, row, item)
    for x in range(n - 1):
        row += step
        memcpy(&there, row, item)
        changes[x] = here != there
        here = there


cdef inline uint64_t others_in(const void *row, Py_ssize_t item, const void *label) noexcept nogil:
    """Which of 64 integers of `item` bytes in a row are not this one, the first one lowest."""
    cdef uint8_t[64] others
    if item == 1:
        others_8(row, label, others)
    elif item == 2:
        others_16(row, label, others)
    elif item == 4:
        others_32(row, label, others)
    else:
        others_64(row, label, others)
    return bits_of(others)


@overflowcheck(False)
cdef inline uint64_t bits_of(const uint8_t *changes) noexcept nogil:
    """The next 64 as bits, the first one lowest."""
    cdef uint64_t word, bits = 0
    cdef int i
    for i in range(8):
        memcpy(&word, changes + 8 * i, 8)
        bits |= (word * 0x0102040810204080U >> 56) << 8 * i
    return bits
