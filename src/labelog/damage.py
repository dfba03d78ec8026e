"""Whatever a library raises on a damaged file becomes one of labelog's errors, naming file and page."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from labelog.errors import Corrupt, Invalid, LabelogError, NotFound

ACCESS = {errno.EACCES, errno.EPERM, errno.EISDIR, errno.EMFILE, errno.ENFILE, errno.ELOOP, errno.ENAMETOOLONG}
"""Why a file cannot be opened that say nothing about its bytes."""


@contextmanager
def damage(path: str | PathLike[str], page: int | None = None) -> Iterator[None]:
    """Around calls into a library that parses the file, and nothing else: each Exception of theirs is damage.

    Decoders raise OSError, SyntaxError, ValueError, KeyError, struct.error, zlib.error and more, and the list
    changes with their versions, so there is none here. MemoryError and labelog's own errors pass through.
    """
    where = f"{path}" if page is None else f"{path}, page {page}"
    try:
        yield
    except (LabelogError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist", path=str(path)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in ACCESS:
            raise Invalid(f"{where} cannot be read: {error.strerror}", path=str(path)) from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise Corrupt(f"{where} is damaged: {reason}", path=str(path), page=page) from error
