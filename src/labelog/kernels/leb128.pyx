"""Bytes that are not what was written; reading and writing them is in leb128.pxd."""

from labelog.errors import Corrupt


cdef int corrupt(str what) except -1 with gil:
    raise Corrupt(what)
