"""Keys in order, a page at a time, as S3's ListObjectsV2 has them: only folders that matter are looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Children = Callable[[str], list[str]]
"""What lies directly in a folder ("" or ending in a slash): names, those of folders end in a slash."""


@dataclass(frozen=True)
class Asked:
    """Which keys are wanted.

    Attributes
    ----------
    prefix : those that begin so.
    grouped : those that share what comes up to the next slash after the prefix as one, which ends in that slash.
    after : those after this one, in the order of their text.
    """

    prefix: str = ""
    grouped: bool = False
    after: str = ""


def keys(children: Children, asked: Asked, folder: str = "") -> Iterator[str]:
    """The keys that are wanted, ascending."""
    prefix, after = asked.prefix, asked.after
    for name in sorted(children(folder)):
        key = folder + name
        inside = key.startswith(prefix)
        if not key.endswith("/"):
            if inside and key > after:
                yield key
        elif (inside or prefix.startswith(key)) and (key > after or after.startswith(key)):
            if not (inside and asked.grouped and key != prefix):
                yield from keys(children, asked, key)
            elif key > after or (key != after and any(keys(children, Asked(key, after=after), key))):
                yield key
