"""Volumes and images as Neuroglancer's precomputed format, made of what is stored when it is asked for.

    {volume}/{view}/info                                labels: uint64, as `compressed_segmentation`
    {volume}/{view}/s0/{x0}-{x1}_{y0}-{y1}_{z0}-{z1}    a chunk, at the finest scale
    {volume}/{view}/segment_properties/info             names, classes, parents and sizes of objects
    {volume}/{view}/mesh/{label}:0, mesh/{label}.mesh   the surface of an object, if zmesh is installed
    {volume}/image/info, image/s0/...                   the EM image: its own dtype, raw

All of it counts along x, y, z. Source: the specification in github.com/google/neuroglancer,
src/datasource/precomputed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np

import labelog
from labelog.engine.cut import cut
from labelog.engine.shaping import POWERS
from labelog.engine.snapshot import View
from labelog.geometry import Box, Grid, Lengths, Triple
from labelog.image import Image
from labelog.kernels.compressed_segmentation import encode

MOST_VOXELS = 2**18
"""Of a chunk, as it is sent."""

BLOCK = (8, 8, 8)
DTYPES = {"bool": "uint8", "float16": "float32", "float64": "float32"}
"""What an image is shown as whose dtype Neuroglancer does not have."""

KNOWN = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
SCALE = re.compile(r"s(0|[1-9]\d?)")
CHUNK = re.compile("_".join([r"(0|[1-9]\d{0,9})-([1-9]\d{0,9})"] * 3))


# Labels


def labels_document(seen: View) -> dict[str, Any]:
    """What `info` says of a view."""
    scales = [
        scale_document(number, scale.shape, grid_of(scale).chunks, nanometres(scale.voxel_size, scale.unit))
        | {"encoding": "compressed_segmentation", "compressed_segmentation_block_size": BLOCK}
        for number, scale in enumerate(seen.scales)
    ]
    meshes = {"mesh": "mesh"} if find_spec("zmesh") else {}
    return document("segmentation", "uint64", scales) | {"segment_properties": "segment_properties"} | meshes


def labels_chunk(seen: View, box: Box) -> bytes:
    """A box of a scale, from the runs of the chunks that it touches: voxels are not written out in between."""
    chunks = seen.grid.numbers(box)
    if len(chunks) == 1:
        runs, values = seen.valued(chunks[0])
        start = box.relative(seen.grid.origin(chunks[0])).start
        return encode(runs, start, box.shape, values.astype(np.uint64, copy=False))
    runs = cut(seen, box)
    return encode(runs, (0, 0, 0), box.shape, runs.palette)


def properties_document(seen: View) -> dict[str, Any]:
    """Every value of a view that has voxels: name, class (as a tag), parent, and voxels."""
    extents = seen.extents()
    ids = extents.label.tolist()
    facts: dict[int, tuple[str | None, str | None, int]]
    if seen.name == "semantic":
        facts = {known.id: (known.name, None, 0) for known in seen.snapshot.classes.values()}
    else:
        facts = {found.id: (found.name, found.cls, found.parent) for found in seen.snapshot.labels.where()}
    name, cls, parent = zip(*(facts.get(value, (None, None, 0)) for value in ids), strict=True) if ids else ((), (), ())
    sizes = extents.voxels.tolist()
    return {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": [str(value) for value in ids],
            "properties": [
                {"id": "label", "type": "label", "values": [text or "" for text in name]},
                {"id": "tags", "type": "tags", **_tags(cls)},
                {"id": "parent", "type": "string", "description": "the object that it lies in",
                 "values": [str(label or "") for label in parent]},
                {"id": "voxels", "type": "number", "description": "voxels at the finest scale", "values": sizes,
                 "data_type": "uint32" if max(sizes, default=0) < 2**32 else "float32"},
            ],
        },
    }  # fmt: skip


def _tags(classes: Iterable[str | None]) -> dict[str, Any]:
    """Classes as tags, which have no spaces and differ in more than case."""
    spelled = [cls and "_".join(cls.lower().split()) for cls in classes]
    told = {tag: cls for tag, cls in zip(spelled, classes, strict=True) if tag}
    tags = sorted(told)
    place = {tag: number for number, tag in enumerate(tags)}
    return {"tags": tags, "tag_descriptions": [told[tag] for tag in tags],
            "values": [[place[tag]] if tag else [] for tag in spelled]}  # fmt: skip


def mesh_bytes(seen: View, label: int) -> bytes:
    """The surface of an object: how many vertices; each as x, y, z in nanometres; the three of each triangle."""
    found = labelog.mesh(seen, label)
    vertices = (found.vertices * nanometres((1, 1, 1), seen.unit)).astype("<f4")
    return b"".join([len(vertices).to_bytes(4, "little"), vertices[:, ::-1].tobytes(),
                     found.faces[:, ::-1].astype("<u4").tobytes()])  # fmt: skip


def label_named(digits: str) -> int:
    """The label of a mesh. Raises NotFound."""
    if not re.fullmatch(r"[1-9]\d{0,19}", digits) or int(digits) >= 2**64:
        raise labelog.NotFound(f"there is no mesh of {digits!r}; that of label 7 is in 7:0")
    return int(digits)


# The image


def image_document(volume: labelog.Volume, image: Image) -> dict[str, Any]:
    """What `info` says of an image. Raises Unsupported for a dtype that Neuroglancer cannot show."""
    finest = nanometres(volume.voxel_size, volume.unit)  # the image lies under the labels, whatever it says itself
    scales = []
    for number, scale in enumerate(image.scales):
        factors = (1, 1, 1) if not scale.voxel_size or not image.voxel_size else np.divide(
            scale.voxel_size, image.voxel_size)  # fmt: skip
        z, y, x = (float(n * f) for n, f in zip(finest, factors, strict=True))
        scales.append(scale_document(number, scale.shape, grid_of(scale).chunks, (z, y, x)) | {"encoding": "raw"})
    return document("image", shown_dtype(image).name, scales)


def image_chunk(image: Image, box: Box) -> bytes:
    """A box of a scale, raw: little-endian, x fastest."""
    values = image.read(box).astype(shown_dtype(image).newbyteorder("<"), copy=False)
    return values.tobytes()


def shown_dtype(image: Image) -> np.dtype[Any]:
    """What Neuroglancer is shown. Raises Unsupported."""
    name = DTYPES.get(image.dtype.name, image.dtype.name)
    if name not in KNOWN:
        raise labelog.Unsupported(f"Neuroglancer shows images of {', '.join(KNOWN)}, not of {image.dtype}")
    return np.dtype(name)


# Both


def document(kind: str, dtype: str, scales: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "neuroglancer_multiscale_volume", "type": kind, "data_type": dtype, "num_channels": 1,
            "scales": scales}  # fmt: skip


def scale_document(number: int, shape: Triple, chunks: Triple, resolution: Lengths) -> dict[str, Any]:
    """A scale: voxels begin at the corner where those of the finest do, so that there is no offset."""
    return {"key": f"s{number}", "size": shape[::-1], "voxel_offset": (0, 0, 0), "chunk_sizes": [chunks[::-1]],
            "resolution": resolution[::-1]}  # fmt: skip


def nanometres(size: Lengths, unit: str) -> Lengths:
    z, y, x = (length * 10.0 ** (POWERS[unit] - POWERS["nm"]) for length in size)
    return z, y, x


def grid_of(array: View | Image) -> Grid:
    """The chunks that are sent: those that are stored, their longest axis halved until they are small enough."""
    chunks = list(np.minimum(array.chunks, array.shape).tolist())
    while np.prod(chunks) > MOST_VOXELS:
        longest = chunks.index(max(chunks))
        chunks[longest] = -(-chunks[longest] // 2)
    return Grid(array.shape, (chunks[0], chunks[1], chunks[2]))


def scale_named(key: str, count: int) -> int:
    """The number of a scale. Raises NotFound."""
    match = SCALE.fullmatch(key)
    if match is None or int(match[1]) >= count:
        raise labelog.NotFound(f"there is no scale {key!r}; scales are s0 to s{count - 1}")
    return int(match[1])


def box_named(name: str, grid: Grid) -> Box:
    """The voxels of a chunk. Raises NotFound."""
    match = CHUNK.fullmatch(name)
    if match is not None:
        x0, x1, y0, y1, z0, z1 = map(int, match.groups())
        z, y, x = (a // n for a, n in zip((z0, y0, x0), grid.chunks, strict=True))
        box = Box((z0, y0, x0), (z1, y1, x1))
        if all(i < n for i, n in zip((z, y, x), grid.counts, strict=True)) and box == grid.box(grid.number((z, y, x))):
            return box
    x, y, z = grid.chunks[::-1]
    raise labelog.NotFound(f"there is no chunk {name!r}; they are x0-x1_y0-y1_z0-z1, of {x} x {y} x {z} voxels")
