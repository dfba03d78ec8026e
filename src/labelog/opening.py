"""`labelog.open`: volumes on disk and on servers, by what they are addressed with."""

from __future__ import annotations

import os

from labelog.engine import volume
from labelog.engine.volume import CACHE_BYTES, Mode, Volume
from labelog.errors import Invalid
from labelog.remote.connection import TIMEOUT, is_address


def open(path: str | os.PathLike[str], mode: Mode = "r+", *, cache_bytes: int = CACHE_BYTES,
         threads: int | None = None, token: str | None = None, timeout: float = TIMEOUT) -> Volume:  # fmt: skip
    """Open a volume.

    Parameters
    ----------
    path : the volume's folder; or where a server has it, `http://host:port/volumes/name`, which is also where a browser
        shows it.
    mode : `r+` to read and edit, `r` to read only: then nothing is written, and no right to write is needed.
    cache_bytes : how much memory decoded chunks of a folder may take.
    threads : how many threads a large read may use; by default one for each processor.
    token : what the server asks for; by default that in the environment variable `LABELOG_TOKEN`.
    timeout : seconds to wait for a server that says nothing.

    Raises NotFound if no volume is there, Corrupt if it is damaged or has lost commits, Unsupported for a newer
    format or a network file system, ReadOnly if `r+` may not write there. Of a server: Unreachable, Denied, and
    Unsupported without the extra `remote`.
    """
    if is_address(path):
        from labelog.remote.volume import RemoteVolume

        if mode not in ("r", "r+"):
            raise Invalid(f'mode must be "r" or "r+", not {mode!r}')
        return RemoteVolume(str(path), mode, token, timeout, threads)
    if token is not None:
        raise Invalid(f"{path} is a folder, which takes no token; on a server it is at http://host:port/volumes/name")
    return volume.open(path, mode, cache_bytes=cache_bytes, threads=threads)
