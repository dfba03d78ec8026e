# Where the labels of a row of voxels differ from others, as bits, 64 voxels to a word, the first one lowest; most bits
# are 0, and those that are not are gone through one after the other:
#
#     for x in range(0, n, 64):
#         bits = changes_in(row, item, step, x, n)
#         while bits:
#             at = x + trailing_zeros(bits)           # the voxel at + 1 differs from that at `at`
#             bits &= bits - 1
#
# Processors of the x86-64 family that have AVX2, as nearly all do, compare a vector and take the answers as bits at
# once. For others, loops without branches write a byte for each voxel, which compilers vectorise, and bytes are made
# bits.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    /* A function of its own: in the loops that call it there would be no registers left for all its vectors. */
    #define LABELOG_APART __attribute__((noinline, unused)) static

    #if defined(__x86_64__) && defined(__GNUC__) && !defined(LABELOG_PORTABLE)
    #include <immintrin.h>

    static inline uint64_t labelog_bits(const uint8_t *bytes) {                  /* 64 of them, each 0 or 1 */
        uint64_t bits = 0;
        for (int i = 0; i < 64; i += 16) {
            __m128i part = _mm_loadu_si128((const __m128i *) (bytes + i));
            bits |= (uint64_t) (uint16_t) _mm_movemask_epi8(_mm_slli_epi16(part, 7)) << i;
        }
        return bits;
    }

    #define LABELOG_MASK_uint8_t(answers) _mm256_movemask_epi8(answers)
    #define LABELOG_MASK_uint16_t(answers) \\
        _mm_movemask_epi8(_mm_packs_epi16(_mm256_castsi256_si128(answers), _mm256_extracti128_si256(answers, 1)))
    #define LABELOG_MASK_uint32_t(answers) _mm256_movemask_ps(_mm256_castsi256_ps(answers))
    #define LABELOG_MASK_uint64_t(answers) _mm256_movemask_pd(_mm256_castsi256_pd(answers))

    #define LABELOG_LOAD(at) _mm256_loadu_si256((const __m256i *) (at))
    #define LABELOG_SAME(EQUAL, row, i) EQUAL(LABELOG_LOAD(row + i), LABELOG_LOAD(row + i + 1))

    /* Of 64 labels those that are not the same; SAME is the answer for a vector of them, from the i-th label on. */
    #define LABELOG_WIDE(T, NAME, ROWS, SAME)                                                                   \\
        LABELOG_APART __attribute__((target("avx2"))) uint64_t labelog_##NAME##_wide_##T ROWS {                 \\
            uint64_t same = 0;                                                                                  \\
            for (size_t i = 0; i < 64; i += sizeof(__m256i) / sizeof(T))                                        \\
                same |= (uint64_t) (uint32_t) LABELOG_MASK_##T(SAME) << i;                                      \\
            return ~same;                                                                                       \\
        }
    #define LABELOG_ALL_WIDE(T, EQUAL, ONE)                                                                     \\
        LABELOG_WIDE(T, next, (const T *row), LABELOG_SAME(EQUAL, row, i))                                      \\
        LABELOG_WIDE(T, either, (const T *row, const T *other),                                                 \\
                     _mm256_and_si256(LABELOG_SAME(EQUAL, row, i), LABELOG_SAME(EQUAL, other, i)))              \\
        LABELOG_WIDE(T, others, (const T *row, const T *label), EQUAL(LABELOG_LOAD(row + i), ONE))
    LABELOG_ALL_WIDE(uint8_t, _mm256_cmpeq_epi8, _mm256_set1_epi8((char) *label))
    LABELOG_ALL_WIDE(uint16_t, _mm256_cmpeq_epi16, _mm256_set1_epi16((short) *label))
    LABELOG_ALL_WIDE(uint32_t, _mm256_cmpeq_epi32, _mm256_set1_epi32((int) *label))
    LABELOG_ALL_WIDE(uint64_t, _mm256_cmpeq_epi64, _mm256_set1_epi64x((long long) *label))

    #define LABELOG_IF_WIDE(answer) if (__builtin_cpu_supports("avx2")) return answer;
    #else
    static inline uint64_t labelog_bits(const uint8_t *bytes) {
        uint64_t eight, bits = 0;
        for (int i = 0; i < 64; i += 8) {
            memcpy(&eight, bytes + i, 8);                                        /* little-endian */
            bits |= (eight * 0x0102040810204080U >> 56) << i;
        }
        return bits;
    }

    #define LABELOG_IF_WIDE(answer)
    #endif

    /* Of n that have one after them, from x on: those that differ from it; of 64 those that do in either of two rows;
       and of 64 those that are not one label. */
    #define LABELOG_CHANGES(T)                                                                                  \\
        static inline uint64_t labelog_differ_##T(const T *row, const T *other, int along) {                    \\
            uint8_t bytes[64];                                                                                  \\
            for (int i = 0; i < 64; i++) bytes[i] = row[i] != other[along ? i : 0];                             \\
            return labelog_bits(bytes);                                                                         \\
        }                                                                                                       \\
        LABELOG_APART uint64_t labelog_next_##T(const T *row) {                                                 \\
            LABELOG_IF_WIDE(labelog_next_wide_##T(row))                                                         \\
            return labelog_differ_##T(row, row + 1, 1);                                                         \\
        }                                                                                                       \\
        LABELOG_APART uint64_t labelog_changes_##T(const T *row, ptrdiff_t x, ptrdiff_t n) {                    \\
            uint64_t bits = 0;                                                                                  \\
            if (x + 64 <= n) return labelog_next_##T(row + x);                                                  \\
            if (n >= 64) return labelog_next_##T(row + n - 64) >> (64 - (n - x));                               \\
            for (int i = 0; x + i < n; i++) bits |= (uint64_t) (row[x + i] != row[x + i + 1]) << i;             \\
            return bits;                                                                                        \\
        }                                                                                                       \\
        static inline uint64_t labelog_either_##T(const T *row, const T *other) {                               \\
            LABELOG_IF_WIDE(labelog_either_wide_##T(row, other))                                                \\
            return labelog_next_##T(row) | labelog_next_##T(other);                                             \\
        }                                                                                                       \\
        LABELOG_APART uint64_t labelog_others_##T(const T *row, const T *label) {                               \\
            LABELOG_IF_WIDE(labelog_others_wide_##T(row, label))                                                \\
            return labelog_differ_##T(row, label, 0);                                                           \\
        }
    LABELOG_CHANGES(uint8_t)
    LABELOG_CHANGES(uint16_t)
    LABELOG_CHANGES(uint32_t)
    LABELOG_CHANGES(uint64_t)
    """
    uint64_t changes_8 "labelog_changes_uint8_t"(const void *row, Py_ssize_t x, Py_ssize_t n) noexcept nogil
    uint64_t changes_16 "labelog_changes_uint16_t"(const void *row, Py_ssize_t x, Py_ssize_t n) noexcept nogil
    uint64_t changes_32 "labelog_changes_uint32_t"(const void *row, Py_ssize_t x, Py_ssize_t n) noexcept nogil
    uint64_t changes_64 "labelog_changes_uint64_t"(const void *row, Py_ssize_t x, Py_ssize_t n) noexcept nogil
    uint64_t either_8 "labelog_either_uint8_t"(const void *row, const void *other) noexcept nogil
    uint64_t either_16 "labelog_either_uint16_t"(const void *row, const void *other) noexcept nogil
    uint64_t either_32 "labelog_either_uint32_t"(const void *row, const void *other) noexcept nogil
    uint64_t either_64 "labelog_either_uint64_t"(const void *row, const void *other) noexcept nogil
    uint64_t others_8 "labelog_others_uint8_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_16 "labelog_others_uint16_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_32 "labelog_others_uint32_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_64 "labelog_others_uint64_t"(const void *row, const void *label) noexcept nogil
    uint64_t bits_of "labelog_bits"(const uint8_t *bytes) noexcept nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long) noexcept nogil


cdef inline size_t find_stops(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                              uint32_t *stops) noexcept nogil:
    """Where the runs of a row end; how many they are. Of n integers of `item` bytes, each `step` bytes after the one
    before. A word of changes is made before the last one is gone through: see `count_row` in overlap.pyx."""
    cdef Py_ssize_t x
    cdef uint64_t bits, next_bits = changes_in(row, item, step, 0, n - 1)
    cdef size_t found = 0
    for x in range(0, n - 1, 64):
        bits, next_bits = next_bits, changes_in(row, item, step, x + 64, n - 1)
        while bits:
            stops[found] = <uint32_t> (x + trailing_zeros(bits) + 1)
            found += 1
            bits &= bits - 1
    stops[found] = <uint32_t> n
    return found + 1


cdef inline uint64_t changes_in(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t x,
                                Py_ssize_t n) noexcept nogil:
    """Of n integers that have one after them, which of 64 from x on differ from that one; 0 if x is not below n."""
    if x >= n:
        return 0
    elif step != item:
        return changes_apart(<const char *> row + x * step, item, step, min(<Py_ssize_t> 64, n - x))
    elif item == 1:
        return changes_8(row, x, n)
    elif item == 2:
        return changes_16(row, x, n)
    elif item == 4:
        return changes_32(row, x, n)
    else:
        return changes_64(row, x, n)


cdef inline uint64_t changes_in_either(const void *row, Py_ssize_t step, const void *other, Py_ssize_t other_step,
                                       Py_ssize_t item, Py_ssize_t x, Py_ssize_t n) noexcept nogil:
    """Where one of two rows of integers of `item` bytes changes, as `changes_in` says it of one."""
    cdef const void *here = <const char *> row + x * item
    cdef const void *there = <const char *> other + x * item
    if step != item or other_step != item or x + 64 > n:
        return changes_in(row, item, step, x, n) | changes_in(other, item, other_step, x, n)
    elif item == 1:
        return either_8(here, there)
    elif item == 2:
        return either_16(here, there)
    elif item == 4:
        return either_32(here, there)
    else:
        return either_64(here, there)


cdef inline uint64_t changes_apart(const char *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t x
    cdef uint64_t here = 0, there = 0, bits = 0
    memcpy(&here, row, item)
    for x in range(n):
        row += step
        memcpy(&there, row, item)
        bits |= <uint64_t> (here != there) << x
        here = there
    return bits


cdef inline uint64_t others_in(const void *row, Py_ssize_t item, const void *label) noexcept nogil:
    """Which of 64 integers of `item` bytes in a row are not this one."""
    if item == 1:
        return others_8(row, label)
    elif item == 2:
        return others_16(row, label)
    elif item == 4:
        return others_32(row, label)
    else:
        return others_64(row, label)
