# Where the labels of a row of voxels differ from others, as bits, 64 voxels to a word, the first one lowest; most bits
# are 0, and those that are not are gone through one after the other:
#
#     mark_changes(row, sizeof(Label), step, n, words)
#     for x in range(0, n, 64):
#         bits = words[x // 64]
#         while bits:
#             at = x + trailing_zeros(bits)           # the voxel at + 1 differs from that at `at`
#             bits &= bits - 1
#
# Processors with AVX2 compare a vector and take the answers as bits at once. For others, loops without branches write a
# byte for each voxel, which compilers vectorise, and the bytes are made bits.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    WORDS = 64          # that are made of a row, of 4096 voxels, before they are gone through

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(LABELOG_PORTABLE)
    #define LABELOG_X86
    #include <immintrin.h>

    static inline uint64_t labelog_bits(const uint8_t *bytes) {                  /* 64 of them, each 0 or 1 */
        uint64_t bits = 0;
        for (int i = 0; i < 64; i += 16) {
            __m128i part = _mm_loadu_si128((const __m128i *) (bytes + i));
            bits |= (uint64_t) (uint16_t) _mm_movemask_epi8(_mm_slli_epi16(part, 7)) << i;
        }
        return bits;
    }
    #else
    static inline uint64_t labelog_bits(const uint8_t *bytes) {
        uint64_t eight, bits = 0;
        for (int i = 0; i < 64; i += 8) {
            memcpy(&eight, bytes + i, 8);                                        /* little-endian */
            bits |= (eight * 0x0102040810204080U >> 56) << i;
        }
        return bits;
    }
    #endif

    /* Which of 64 labels differ from those of another row (along), or from one. */
    #define LABELOG_DIFFER(T)                                                                                   \\
        static inline uint64_t labelog_differ_##T(const T *row, const T *other, int along) {                    \\
            uint8_t bytes[64];                                                                                  \\
            for (int i = 0; i < 64; i++) bytes[i] = row[i] != other[along ? i : 0];                             \\
            return labelog_bits(bytes);                                                                         \\
        }
    /* n of them, and which differ from the one after them: so n + 1 are read. */
    #define LABELOG_MARK(T, KIND, DIFFER)                                                                       \\
        KIND(const T *row, ptrdiff_t n, uint64_t *words) {                                                      \\
            ptrdiff_t x = 0;                                                                                    \\
            for (; x + 64 <= n; x += 64) *words++ = DIFFER(row + x, row + x + 1, 1);                            \\
            if (x < n && n >= 64) *words = DIFFER(row + n - 64, row + n - 63, 1) >> (64 - (n - x));             \\
            else if (x < n) for (*words = 0; x < n; x++) *words |= (uint64_t) (row[x] != row[x + 1]) << x;      \\
        }

    #ifdef LABELOG_X86
    #define LABELOG_AVX2 __attribute__((unused, target("avx2,bmi"))) static
    #define LABELOG_HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))

    #define LABELOG_BITS_uint8_t(same) (uint32_t) _mm256_movemask_epi8(same)
    #define LABELOG_BITS_uint16_t(same) (uint16_t) _mm_movemask_epi8(                                           \\
        _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256(same, 1)))
    #define LABELOG_BITS_uint32_t(same) (uint8_t) _mm256_movemask_ps(_mm256_castsi256_ps(same))
    #define LABELOG_BITS_uint64_t(same) (uint8_t) _mm256_movemask_pd(_mm256_castsi256_pd(same))

    #define LABELOG_DIFFER_AVX2(T, ONE, SAME)                                                                   \\
        LABELOG_AVX2 inline uint64_t labelog_avx2_differ_##T(const T *row, const T *other, int along) {         \\
            const int lanes = 32 / sizeof(T);                                                                   \\
            uint64_t bits = 0;                                                                                  \\
            for (int i = 0; i < 64; i += lanes) {                                                               \\
                __m256i a = _mm256_loadu_si256((const __m256i *) (row + i));                                    \\
                __m256i b = along ? _mm256_loadu_si256((const __m256i *) (other + i)) : ONE;                    \\
                __m256i same = SAME(a, b);                                                                      \\
                bits |= (uint64_t) LABELOG_BITS_##T(same) << i;                                                 \\
            }                                                                                                   \\
            return ~bits;                                                                                       \\
        }
    LABELOG_DIFFER_AVX2(uint8_t, _mm256_set1_epi8((char) *other), _mm256_cmpeq_epi8)
    LABELOG_DIFFER_AVX2(uint16_t, _mm256_set1_epi16((short) *other), _mm256_cmpeq_epi16)
    LABELOG_DIFFER_AVX2(uint32_t, _mm256_set1_epi32((int) *other), _mm256_cmpeq_epi32)
    LABELOG_DIFFER_AVX2(uint64_t, _mm256_set1_epi64x((long long) *other), _mm256_cmpeq_epi64)

    #define LABELOG_BOTH(T)                                                                                     \\
        LABELOG_DIFFER(T)                                                                                       \\
        LABELOG_MARK(T, static inline void labelog_any_mark_##T, labelog_differ_##T)                    \\
        LABELOG_MARK(T, LABELOG_AVX2 void labelog_avx2_mark_##T, labelog_avx2_differ_##T)                       \\
        static inline void labelog_mark_##T(const T *row, ptrdiff_t n, uint64_t *words) {                       \\
            if (LABELOG_HAS_AVX2) labelog_avx2_mark_##T(row, n, words);                                         \\
            else labelog_any_mark_##T(row, n, words);                                                           \\
        }                                                                                                       \\
        LABELOG_AVX2 uint64_t labelog_avx2_others_##T(const T *row, const T *label) {                           \\
            return labelog_avx2_differ_##T(row, label, 0);                                                      \\
        }                                                                                                       \\
        static inline uint64_t labelog_others_##T(const T *row, const T *label) {                               \\
            return LABELOG_HAS_AVX2 ? labelog_avx2_others_##T(row, label) : labelog_differ_##T(row, label, 0);  \\
        }
    #else
    #define LABELOG_BOTH(T)                                                                                     \\
        LABELOG_DIFFER(T)                                                                                       \\
        LABELOG_MARK(T, static inline void labelog_mark_##T, labelog_differ_##T)                                \\
        static inline uint64_t labelog_others_##T(const T *row, const T *label) {                               \\
            return labelog_differ_##T(row, label, 0);                                                           \\
        }
    #endif
    LABELOG_BOTH(uint8_t)
    LABELOG_BOTH(uint16_t)
    LABELOG_BOTH(uint32_t)
    LABELOG_BOTH(uint64_t)
    """
    void mark_8 "labelog_mark_uint8_t"(const void *row, Py_ssize_t n, uint64_t *words) noexcept nogil
    void mark_16 "labelog_mark_uint16_t"(const void *row, Py_ssize_t n, uint64_t *words) noexcept nogil
    void mark_32 "labelog_mark_uint32_t"(const void *row, Py_ssize_t n, uint64_t *words) noexcept nogil
    void mark_64 "labelog_mark_uint64_t"(const void *row, Py_ssize_t n, uint64_t *words) noexcept nogil
    uint64_t others_8 "labelog_others_uint8_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_16 "labelog_others_uint16_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_32 "labelog_others_uint32_t"(const void *row, const void *label) noexcept nogil
    uint64_t others_64 "labelog_others_uint64_t"(const void *row, const void *label) noexcept nogil
    uint64_t bits_of "labelog_bits"(const uint8_t *bytes) noexcept nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long) noexcept nogil


cdef inline size_t find_stops(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                              uint32_t *stops) noexcept nogil:
    """Where the runs of a row end; how many they are. Of n integers of `item` bytes, each `step` bytes after the one
    before."""
    cdef uint64_t words[WORDS]
    cdef Py_ssize_t x, w, part
    cdef uint64_t bits
    cdef size_t found = 0
    for x in range(0, n - 1, 4096):
        part = min(<Py_ssize_t> 64 * WORDS, n - 1 - x)
        mark_changes(<const char *> row + x * step, item, step, part, words)
        for w in range((part + 63) // 64):
            bits = words[w]
            while bits:
                stops[found] = <uint32_t> (x + 64 * w + trailing_zeros(bits) + 1)
                found += 1
                bits &= bits - 1
    stops[found] = <uint32_t> n
    return found + 1


cdef inline void mark_changes(const void *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                              uint64_t *words) noexcept nogil:
    """Which of n integers differ from the one after them, of which there are n + 1; others' bits are 0."""
    if step != item:
        mark_apart(<const char *> row, item, step, n, words)
    elif item == 1:
        mark_8(row, n, words)
    elif item == 2:
        mark_16(row, n, words)
    elif item == 4:
        mark_32(row, n, words)
    else:
        mark_64(row, n, words)


cdef inline void mark_apart(const char *row, Py_ssize_t item, Py_ssize_t step, Py_ssize_t n,
                            uint64_t *words) noexcept nogil:
    cdef Py_ssize_t x
    cdef uint64_t here = 0, there = 0
    memset(words, 0, (n + 63) // 64 * sizeof(uint64_t))
    memcpy(&here, row, item)
    for x in range(n):
        row += step
        memcpy(&there, row, item)
        words[x // 64] |= <uint64_t> (here != there) << x % 64
        here = there


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
