# Telling the processor which memory is needed soon, where it would not guess that by itself.

cdef extern from *:
    """
    #if defined(__GNUC__)
    /* The empty assembly is there because GCC drops calls of functions that do nothing but prefetch. */
    static inline void labelog_prefetch(const void *place) { __builtin_prefetch(place); __asm__ volatile (""); }
    #else
    static inline void labelog_prefetch(const void *place) {}
    #endif
    """
    void prefetch "labelog_prefetch"(const void *) noexcept nogil


cdef inline void fetch(const char *at, Py_ssize_t size) noexcept nogil:
    """So many bytes from here on; that they are the array's own is not necessary."""
    cdef Py_ssize_t i
    for i in range(0, size, 64):          # a line of a processor's cache after the other
        prefetch(at + i)
