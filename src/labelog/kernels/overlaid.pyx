"""A chunk as edits see it: runs, and spans that were written over them since.

So an edit costs what it writes, not what the chunk holds. The two are put together when somebody asks for the runs, or
when the spans have become many.
"""

from labelog.kernels.runs cimport Runs
from labelog.kernels.spans cimport Spans

from labelog.kernels.spans import apply, diff, intersect, nothing, overlay, paired


cdef enum:
    MANY = 2048                          # spans that are put into the runs before more are added


cdef class Overlaid:
    """Runs with spans over them. Immutable; any number of threads may ask."""

    def __init__(self, Runs below not None, Spans spans=None):
        self.below = below
        self.spans = nothing() if spans is None else spans
        self.nbytes = below.nbytes + 16 * self.spans.starts.shape[0]
        if self.spans.starts.shape[0] == 0:
            self.made, self.extents = below, below.extents

    def runs(self):
        """All in one."""
        if self.made is None:
            made = apply(self.below, self.spans)
            made.extents = self.extents
            self.made = made
        return self.made

    def diff(self, Spans spans not None):
        """What writing more spans would change: as `spans.diff` of the runs."""
        if self.made is not None:
            return diff(self.made, spans)
        delta = diff(self.below, spans)
        over = intersect(self.spans, spans)
        return paired(overlay(delta.old, over), spans) if len(over) else delta

    def under(self, Spans spans not None):
        """With more spans over it."""
        if self.made is not None:
            return Overlaid(self.made, spans)
        if self.spans.starts.shape[0] + spans.starts.shape[0] > MANY:
            return Overlaid(self.runs(), spans)
        return Overlaid(self.below, overlay(self.spans, spans))

    cdef know(self, extents):
        self.extents = extents
        if self.made is not None:
            self.made.extents = extents
