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
    max_voxels : voxels that a request may read at once, or send as arrays and masks.
    max_memory : bytes of bodies, masks, arrays and answers that all requests hold together; caches are not among them.
    max_requests : requests that are carried out or wait for it at a time; streams of events are not counted.
    max_connections : connections at a time, whatever they do.
    head_seconds : how long a client may take to send a request's head.
    body_seconds : how long it may take to send a body, or to take an answer; and a second more for each `slowest`
        bytes.
    slowest : bytes a second.
    rate : requests a second of one token, on average over some seconds.
    cache_bytes : memory for decoded chunks, for each volume.
    workers : processes. What is said of requests, connections, rates and memory holds for each of them.
    shared : the folder of what workers know together.
    """

    paths: tuple[Path, ...]
    author: str | None = None
    tokens: Path | None = None
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    origins: tuple[str, ...] = ()
    max_body: int = 64 * MB
    max_decoded: int = 256 * MB
    max_voxels: int = 2**27
    max_memory: int = 4096 * MB
    max_requests: int = 256
    max_connections: int = 1000
    head_seconds: float = 10
    body_seconds: float = 30
    slowest: int = 100_000
    rate: float = 1000
    cache_bytes: int = 256 * MB
    workers: int = 1
    shared: Path | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that volumes lie in, as they may be named: no answer does so."""
        paths = [each for path in self.paths for each in (path, path.resolve())]
        found = {str(folder) for path in paths for folder in (path, path.parent)} - {".", "/"}
        return tuple(sorted(found, key=len, reverse=True))

    def time_for(self, size: int) -> float:
        """Seconds in which a client sends a body of so many bytes, or takes an answer of them."""
        return self.body_seconds + size / self.slowest
