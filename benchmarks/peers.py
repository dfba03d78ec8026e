"""The peers, as their own documentation would have them used; each is None where it is not installed.

They hold the same labels as uint64 in Zarr v3 arrays, Zstandard level 1 (tensorstore's default).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import Stroke

PACKAGES = ("tensorstore", "icechunk", "zarr", "numcodecs", "connected-components-3d", "compressed-segmentation",
            "crackle-codec", "scikit-image", "scipy", "tinybrain")  # fmt: skip

Shape = tuple[int, int, int]
Labels = NDArray[np.uint64]
Paint = Callable[[Stroke], object]

ts: Any = None
if find_spec("tensorstore"):
    import tensorstore as ts

icechunk: Any = None
if find_spec("icechunk") and find_spec("zarr"):
    import icechunk

    icechunk.set_logs_filter("error")

zarr: Any = None
if find_spec("zarr"):
    import zarr

    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})

cc3d: Any = None
if find_spec("cc3d"):
    import cc3d  # noqa: F401

compressed_segmentation: Any = None
if find_spec("compressed_segmentation"):
    import compressed_segmentation  # noqa: F401

crackle: Any = None
if find_spec("crackle"):
    import crackle  # noqa: F401

skimage: Any = None
segmentation: Any = None
if find_spec("skimage"):
    import skimage.metrics  # noqa: F401
    from skimage import segmentation  # noqa: F401

ndimage: Any = None
if find_spec("scipy"):
    from scipy import ndimage  # noqa: F401

tinybrain: Any = None
if find_spec("tinybrain"):
    import tinybrain  # noqa: F401

SLABS = 64  # slices written at a time


def size(folder: Path) -> int:
    """Bytes of all files, as their lengths say."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def named(chunks: Shape) -> str:
    return "x".join(map(str, chunks))


# tensorstore


def context(cache: int) -> Any:
    """One thread, a cache pool of so many bytes, nothing shared with other stores."""
    return ts.Context({"cache_pool": {"total_bytes_limit": cache}, "data_copy_concurrency": {"limit": 1},
                       "file_io_concurrency": {"limit": 1}})  # fmt: skip


def tensorstore_open(folder: Path, cache: int, recheck: str | None = None) -> Any:
    """A zarr3 array in files. `recheck`: tensorstore's `recheck_cached_data`; its default asks the file each time."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    if recheck is not None:
        spec["recheck_cached_data"] = recheck
    return ts.open(spec, context=context(cache)).result()


def tensorstore_create(store: Any, shape: Shape, chunks: Shape, cache: int) -> Any:
    metadata = {
        "shape": shape,
        "data_type": "uint64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 1}},
        ],
    }
    spec = {"driver": "zarr3", "kvstore": store, "create": True, "delete_existing": True, "metadata": metadata}
    return ts.open(spec, context=context(cache)).result()


def tensorstore_write(folder: Path, labels: Labels, chunks: Shape) -> None:
    """A new zarr3 array in files, each flushed to disk."""
    store = {"driver": "file", "path": f"{folder}/"}
    tensorstore_create(store, labels.shape, chunks, 0).write(labels).result()


def ocdbt(folder: Path, labels: Labels, chunks: Shape, cache: int) -> Paint:
    """tensorstore's versioned store: a stroke is a transaction that reads, changes and writes the disc's box."""
    folder.mkdir()
    array = tensorstore_create({"driver": "ocdbt", "base": f"file://{folder}/"}, labels.shape, chunks, cache)
    _fill(array, labels)

    def paint(stroke: Stroke) -> None:
        with ts.Transaction() as transaction:
            _repaint(array.with_transaction(transaction), stroke)

    return paint


def files(folder: Path, labels: Labels, chunks: Shape, cache: int) -> Paint:
    """tensorstore's plain array in files: flushed, but neither versions nor transactions across chunks."""
    array = tensorstore_create({"driver": "file", "path": f"{folder}/"}, labels.shape, chunks, cache)
    _fill(array, labels)
    return lambda stroke: _repaint(array, stroke)


def _fill(array: Any, labels: Labels) -> None:
    for z in range(0, len(labels), SLABS):
        array[z : z + SLABS].write(labels[z : z + SLABS]).result()


def _repaint(array: Any, stroke: Stroke) -> None:
    view = array[stroke.box]
    box = view.read().result()
    box[stroke.mask] = stroke.label
    view.write(box).result()


# zarr-python and Icechunk


def zarr_open(folder: Path) -> Any:
    """The array that tensorstore wrote, through zarr-python, which keeps no decoded chunks."""
    return zarr.open_array(folder, mode="r")


def icechunk_write(folder: Path, labels: Labels, chunks: Shape, cache: int) -> Any:
    """A repository with the labels; its cache, of encoded chunks, has so many bytes."""
    config = icechunk.RepositoryConfig(caching=icechunk.CachingConfig(num_bytes_chunks=cache))
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder)), config)
    session = repository.writable_session("main")
    array = zarr.create_array(session.store, shape=labels.shape, chunks=chunks, dtype="uint64",
                              compressors=zarr.codecs.ZstdCodec(level=1))  # fmt: skip
    for z in range(0, len(labels), SLABS):
        array[z : z + SLABS] = labels[z : z + SLABS]
    session.commit("loaded")
    return repository


def icechunk_open(repository: Any) -> Any:
    return zarr.open_array(repository.readonly_session("main").store, mode="r")


def icechunk_paint(folder: Path, labels: Labels, chunks: Shape, cache: int) -> Paint:
    """A stroke is a session that reads, changes and writes the disc's box, and commits. Nothing is flushed."""
    repository = icechunk_write(folder, labels, chunks, cache)

    def paint(stroke: Stroke) -> None:
        session = repository.writable_session("main")
        array = zarr.open_array(session.store, mode="r+")
        box = array[stroke.box]
        box[stroke.mask] = stroke.label
        array[stroke.box] = box
        session.commit("stroke")

    return paint
