"""Addresses of images, and how the arrays that lie there are opened."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from labelog.damage import damage
from labelog.errors import Corrupt, Invalid, LabelogError, NotFound, Unsupported
from labelog.extras import extra

Address = str | os.PathLike[str]

LIBRARIES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
"""Schemes of URLs, and what fsspec needs for each."""

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
"""What describes a Zarr node. The first three say that there is one."""


def resolve(address: Address, relative_to: Address | None = None) -> str:
    """An absolute path, or a URL of a known scheme; a relative path counts from `relative_to` (or where we are).

    Raises Invalid for what is no address, Unsupported for other schemes.
    """
    try:
        text = os.path.join(os.fspath(relative_to or ""), os.fspath(address))
    except TypeError:
        raise Invalid(f"an image's address is a path or a URL, not {address!r}") from None
    given = os.fspath(address)
    scheme, sign, _ = given.partition("://")
    if not sign:
        return os.path.abspath(text)
    if scheme == "file":
        url = urlsplit(given)
        if url.netloc not in ("", "localhost"):
            raise Invalid(f"{given}: expected file:///path, found the host {url.netloc!r}")
        return os.path.abspath(url2pathname(url.path))
    if scheme not in LIBRARIES:
        known = ", ".join(f"{name}://" for name in ("file", *LIBRARIES))
        raise Unsupported(f"{given}: an image's address is a path, or begins with one of {known}", path=given)
    return given.rstrip("/")


def is_remote(address: str) -> bool:
    """Whether a resolved address is a URL."""
    return "://" in address


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Around calls into the libraries that read images: what they raise, as labelog's errors that name the place."""
    with nullcontext() if is_remote(where) else damage(where):
        try:
            yield
        except (LabelogError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            if type(error).__name__ == "UnknownCodecError":  # zarr has one of this name, and numcodecs another
                raise Unsupported(f"{where}: {reason}; what decodes it is not installed", path=where) from error
            if not is_remote(where):
                raise
            if isinstance(error, FileNotFoundError):
                raise NotFound(f"{where} does not exist, or may not be read", path=where) from error
            # a network fails in more ways than can be listed, and few of them mean damage
            raise LabelogError(f"{where} cannot be read: {reason}", path=where) from error


def open_zarr(address: str) -> Any:
    """The Zarr group or array at a resolved address, of format 2 or 3.

    Raises NotFound, Unsupported (no Zarr, or a library is missing), Corrupt naming the document that is damaged.
    """
    if is_remote(address):
        store = _remote_store(address)
        with reading(address):
            return extra("zarr", "zarr").open(store, mode="r")
    document = _document(address)
    zarr = extra("zarr", "zarr")
    with reading(document):
        return zarr.open(address, mode="r")


def open_member(group: Any, path: str, address: str) -> Any:
    """The array `path` of the group that was opened at this address."""
    where = f"{address}/{path}"
    if not is_remote(address) and os.path.isdir(where):
        where = _document(where)
    with reading(where):
        try:
            return group[path]
        except KeyError:
            raise Corrupt(f"{address}: its metadata lists the array {path!r}, which is not there", path=where) from None


def open_blosc2(path: str) -> Any:
    """The array of a .b2nd file (or folder, where it is stored sparsely)."""
    if is_remote(path):
        raise Unsupported(f"{path}: Blosc2 arrays are read from local files only", path=path)
    if not os.path.exists(path):
        raise NotFound(f"{path} does not exist", path=path)
    blosc2 = extra("blosc2", "blosc2")
    with reading(path):
        # Without threads of its own, as those do not live on in a forked process, which then waits for ever.
        # The default of `deserialize` is "safe": what is not plain data is refused.
        array = blosc2.open(path, mode="r", dparams=blosc2.DParams(nthreads=1))
    if not isinstance(array, blosc2.NDArray):
        raise Unsupported(f"{path}: expected a Blosc2 array, found {type(array).__name__}", path=path)
    return array


def _document(folder: str) -> str:
    """The document that says what the Zarr node in a folder is, once all its documents are seen to be JSON."""
    if not os.path.exists(folder):
        raise NotFound(f"{folder} does not exist", path=folder)
    there = [path for name in DOCUMENTS if os.path.isfile(path := os.path.join(folder, name))]
    if not there or os.path.basename(there[0]) not in DOCUMENTS[:3]:
        raise Unsupported(
            f"{folder}: expected an OME-Zarr group, a Zarr array or a Blosc2 array (.b2nd); found "
            + ("a folder without zarr.json, .zgroup or .zarray" if os.path.isdir(folder) else "a file")
            + "; images of other formats are not opened where they lie, but imported",
            path=folder,
        )
    for path in there:
        with damage(path), open(path, "rb") as file:
            json.load(file)
    return there[0]


def _remote_store(address: str) -> Any:
    storage = extra("zarr.storage", "zarr")
    scheme = address.partition("://")[0]
    for module in ("fsspec", LIBRARIES[scheme]):
        try:
            import_module(module)
        except ImportError as error:
            needed = f"{module} is not installed; {scheme}:// needs it: pip install fsspec {LIBRARIES[scheme]}"
            raise Unsupported(f"{address}: {needed}", path=address, extra=module) from error
    with reading(address):
        return storage.FsspecStore.from_url(address, read_only=True)
