"""What the server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MB = 2**20


@dataclass(frozen=True)
class Settings:
    """What is served, to whom, and how much of it at a time.

    Attributes
    ----------
    paths : volumes, or folders of volumes; in the first folder new ones are made.
    author : who edits that are sent without a name are by; the operating system's user by default.
    tokens : the file of tokens that requests are asked for; none is asked for if None.
    hosts : the names that the server answers to, in a request's Host, without ports. Any web page can send requests
        to 127.0.0.1 under a name of its own; those are refused.
    origins : the origins, such as `https://annotate.example.org`, of pages that may use the server from elsewhere.
    max_body : bytes that a request may have, as sent.
    max_decoded : bytes that it may have once decompressed.
    max_voxels : voxels that a request may read or write at once.
    cache_bytes : memory for decoded chunks, for each volume.
    """

    paths: tuple[Path, ...]
    author: str | None = None
    tokens: Path | None = None
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    origins: tuple[str, ...] = ()
    max_body: int = 64 * MB
    max_decoded: int = 256 * MB
    max_voxels: int = 2**27
    cache_bytes: int = 256 * MB
