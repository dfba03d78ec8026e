"""`labelog import semantic=a.png cell=b.png ...`: several files, the layers of one volume."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from numpy.typing import NDArray

import labelog
from labelog.cli.arguments import natural
from labelog.cli.files import Update, measured, run_import
from labelog.cli.printing import by, bytes_on_disk, print_facts, print_json, printable, sized
from labelog.cli.progress import progress
from labelog.engine.classes import read_classes
from labelog.engine.load import CHUNKS
from labelog.engine.volume import Volume
from labelog.errors import Invalid
from labelog.formats import Stack, read_image
from labelog.formats.output import new_file
from labelog.geometry import Triple
from labelog.image import Image, open_image
from labelog.layers import Combined, Layers, Report, Trust, combine, read_layers
from labelog.layers.sources import IMAGE

HELP = """
Several files may be the layers of one volume: LAYER=FILE each, where LAYER is semantic
(a colour, or a number, for each class), image, or the name of a class, such as cell or
organelle (a colour or a number for each object). The deepest object has the voxel; what
it lies in and its class become its parent and its class. Where no file has objects for
a class, its connected components become objects. What the layers disagree about is
printed, and settled by --trust.
"""

EXAMPLE = """
  labelog import semantic=s.png cell=c.png organelle=o.png cells.labelog --report r.json"""

ONLY_LAYERS = ("classes", "trust", "snap", "report", "picture", "overwrite")
ONLY_ONE = ("format", "colours", "gaps", "dataset", "bodies")


def extend(parser: argparse.ArgumentParser) -> None:
    """Let the parser of `labelog import` take layers too."""
    parser.description = f"{parser.description}\n{HELP}"
    parser.epilog = f"{parser.epilog}{EXAMPLE}"
    parser.set_defaults(run=run)
    group = parser.add_argument_group("layers")
    group.add_argument("--classes", metavar="FILE|NAME",
                       help="a TOML file of classes, or the name of one that comes with labelog; by default "
                            "platelet")  # fmt: skip
    group.add_argument("--trust", choices=get_args(Trust),
                       help="instance (the default): an object's voxels are its own; semantic: the class of each "
                            "voxel is what the semantic layer says")  # fmt: skip
    group.add_argument("--snap", type=natural, metavar="N",
                       help="take a colour of the semantic layer for a class's if red, green and blue are off by "
                            "at most N; by default 0")  # fmt: skip
    group.add_argument("--report", metavar="FILE", help="also write what is printed; as JSON if it ends in .json")
    group.add_argument("--picture", metavar="PNG", help="draw the slice with most disagreements, the places marked")
    group.add_argument("--overwrite", action="store_true", help="replace the report and the picture if they are there")


def run(arguments: argparse.Namespace) -> None:
    sources = layer_files(arguments.source)
    if sources is None:
        _refuse(arguments, ONLY_LAYERS, "is for layers, such as semantic=FILE; SOURCE is one file")
        [arguments.source] = arguments.source
        run_import(arguments)
    else:
        _refuse(arguments, ONLY_ONE, "is not for layers")
        run_layers(arguments, sources)


def layer_files(words: list[str]) -> dict[str, str] | None:
    """layer -> file of words such as cell=a.png; None for a single word that is a file, or has no "="."""
    found = [re.fullmatch(r"([^=/\\]+)=(.+)", word) for word in words]
    if len(words) == 1 and (found[0] is None or Path(words[0]).exists()):
        return None
    sources: dict[str, str] = {}
    for word, match in zip(words, found, strict=True):
        if match is None:
            message = f"expected one SOURCE, or layers such as cell={printable(word)}; found {printable(word)!r}"
            raise argparse.ArgumentError(None, message)
        if match[1] in sources:
            raise argparse.ArgumentError(None, f"layer {match[1]} is there twice")
        sources[match[1]] = match[2]
    return sources


def _refuse(arguments: argparse.Namespace, options: tuple[str, ...], why: str) -> None:
    for option in options:
        if getattr(arguments, option) not in (None, False):
            raise argparse.ArgumentError(None, f"--{option} {why}")


def run_layers(arguments: argparse.Namespace, sources: Mapping[str, str]) -> None:
    begun = time.monotonic()
    classes = read_classes(arguments.classes or "platelet")
    opened = {name: path for name, path in sources.items() if name != IMAGE or arguments.picture}
    layers = read_layers(opened, classes, snap=arguments.snap or 0, overlap=arguments.overlap)
    with progress("comparing layers", "slices") as update:
        watched = _watched(layers, update)
        combined = combine(watched.semantic, watched.objects, classes, trust=arguments.trust or "instance")
        _write(combined.report, arguments, layers.image)
    picture = image_of(sources[IMAGE], combined.shape) if IMAGE in sources else None
    size, unit, _ = measured(combined.voxel_size, combined.unit, arguments)
    chunks = arguments.chunks or tuple(min(n, c) for n, c in zip(combined.shape, CHUNKS, strict=True))
    names = ", ".join(f"{name}={Path(path).name}" for name, path in sources.items())
    with (
        progress("importing", "slices") as update,
        labelog.load(
            arguments.volume, _counted(combined, update), voxel_size=size, unit=unit, chunks=chunks,
            colours=combined.colours, classes=combined.classes, table=combined.table, author=arguments.author,
            message=arguments.message or f"imported from {names}",
        ) as volume,
    ):  # fmt: skip
        if picture is not None:
            volume.attach_image(picture.slabs() if isinstance(picture, Stack) else picture, author=arguments.author,
                                message=f"image {Path(sources[IMAGE]).name}")  # fmt: skip
        _tell(volume, combined, sources, arguments, time.monotonic() - begun)


def image_of(path: str, shape: Triple) -> Stack | Image:
    """The image in a file: slices to be written into the volume; or Zarr and Blosc2, which stay where they are."""
    live = Path(path).suffix in (".zarr", ".b2nd") or (Path(path) / "zarr.json").exists() or "://" in path
    image = open_image(path) if live else read_image(path)
    if tuple(image.shape) != tuple(shape):
        raise Invalid(f"{path}: expected an image of {by(shape)} voxels, as the layers have; found {by(image.shape)}")
    return image


def _watched(layers: Layers, update: Update) -> Layers:
    """The layers, one of which tells how far it is."""
    (name, stack), *_ = ([("", layers.semantic)] if layers.semantic else []) + list(layers.objects.items())

    def slabs() -> Iterator[NDArray[Any]]:
        done = 0
        for slab in stack.slabs():
            done += len(slab)
            yield slab
            update(done, stack.shape[0])

    told = replace(stack, slabs=slabs)
    return replace(layers, objects=layers.objects | {name: told}) if name else replace(layers, semantic=told)


def _counted(combined: Combined, update: Update) -> Iterator[NDArray[Any]]:
    done = 0
    for slab in combined.slabs():
        yield slab
        done += len(slab)
        update(done, combined.shape[0])


def _write(report: Report, arguments: argparse.Namespace, image: Stack | None) -> None:
    """The files that were asked for; before the volume, as they say what it will be."""
    if arguments.report:
        text = report.to_json() if arguments.report.endswith(".json") else str(report)
        with new_file(Path(arguments.report), overwrite=arguments.overwrite) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if arguments.picture:
        report.picture(arguments.picture, image=image, overwrite=arguments.overwrite)


def _tell(
    volume: Volume, combined: Combined, sources: Mapping[str, str], arguments: argparse.Namespace, seconds: float
) -> None:
    disk = bytes_on_disk(volume.address)
    if arguments.json:
        facts = {"volume": arguments.volume, "sources": dict(sources), "shape": list(volume.shape),
                 "chunks": list(volume.chunks), "voxel_size": list(volume.voxel_size), "unit": volume.unit,
                 "objects": len(combined.table), "bytes_on_disk": disk, "seconds": round(seconds, 3)}  # fmt: skip
        print_json(facts | {"report": json.loads(combined.report.to_json())})
        return
    print_facts([
        ("volume", arguments.volume),
        *((name, path) for name, path in sources.items()),
        ("shape", f"{by(volume.shape)} voxels (z, y, x)"),
        ("voxel size", f"{by(volume.voxel_size)} {volume.unit}"),
        ("objects", f"{len(combined.table):,}"),
        ("on disk", sized(disk)),
        ("time", f"{seconds:.2f} s"),
    ])  # fmt: skip
    print()
    for line in str(combined.report).split("\n"):
        print(printable(line))
