"""The errors labelog raises: one base, few kinds.

Every message says what was expected, what was found and where. Facts that a program may want (the path, the
box, the number of voxels) are attributes too, and survive pickling.
"""

from __future__ import annotations

from typing import Any

LONGEST = 1000
"""Characters of a message: what was found, and is quoted in it, may be of any length."""


class LabelogError(Exception):
    """Base of all errors raised by labelog; keyword arguments become attributes.

    A message that is too long to read keeps its beginning and its end.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        if len(message) > LONGEST:
            message = f"{message[: LONGEST * 3 // 4]} [...] {message[-LONGEST // 5 :]}"
        super().__init__(message)
        self.__dict__.update(facts)


class Invalid(LabelogError, ValueError):
    """An argument that cannot be used: wrong type, dtype, shape or value. Nothing was changed."""


class OutOfBounds(Invalid, IndexError):
    """A box, index or point outside the volume."""


class NotFound(LabelogError, LookupError):
    """A volume, file, revision or chunk that does not exist."""


class Exists(LabelogError):
    """Something is already there, and was left as it is."""


class Unsupported(LabelogError):
    """A file, format version or file system that labelog does not handle, or whose optional extra is missing."""


class Corrupt(LabelogError):
    """Stored or delivered bytes that are damaged: `path` and, within a volume, `chunk` or `revision` name the place."""


class Conflict(LabelogError):
    """Other work stands in the way: later edits (`box`, `voxels`), or the same key with another payload."""


class NothingToUndo(LabelogError):
    """There is no edit to undo, redo or revert."""


class ReadOnly(LabelogError):
    """A write through a handle opened for reading, or after a failed flush to disk."""


class Denied(LabelogError):
    """A server asks for a token, or the token that it was given does not allow this."""


class Unreachable(LabelogError):
    """A server that does not answer, or not as expected, also when asked again."""


class OutOfSpace(LabelogError):
    """The disk that holds `path` is full. Nothing acknowledged was lost; editing resumes once there is room."""
