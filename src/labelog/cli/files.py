"""`create`, `import` and `export`: volumes out of nothing, out of files, and back into files."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import labelog
from labelog import formats
from labelog.cli.arguments import (
    Commands,
    add_author,
    add_box,
    add_command,
    add_json,
    add_made,
    add_revision,
    add_scale,
    add_view,
    add_volume,
    label,
    natural,
    numbers,
    within,
)
from labelog.cli.bodies import DATASET, Bodies, bodies_of
from labelog.cli.printing import by, bytes_on_disk, counted, print_facts, print_json, sized
from labelog.cli.progress import progress
from labelog.engine.load import CHUNKS
from labelog.engine.snapshot import Revision
from labelog.engine.volume import Volume
from labelog.errors import Invalid, NotFound
from labelog.formats import Colour, Stack
from labelog.formats.colours import colour, hexadecimal
from labelog.formats.hdf5 import DTYPES
from labelog.formats.limits import slab_depth
from labelog.formats.overlap import Overlap
from labelog.formats.picture import own_colours
from labelog.geometry import Box
from labelog.storage.meta import UNITS
from labelog.synthetic import Platelets

Update = Callable[[int, int], None]

SPELLINGS = {unit: unit for unit in UNITS} | {name: unit for unit, name in UNITS.items()} | {"micron": "um"}
"""How files write units, and how labelog does."""

PICTURES = ("png", "tiff")
KNOWN = ", ".join(f"{known.name} ({' '.join(known.suffixes)})" for known in formats.FORMATS)
PNGS = "a folder of PNGs, or a quoted pattern, is a stack of one slice per file"
READS = textwrap.fill(f"Reads {KNOWN}; {PNGS}.", 84)
WRITES = textwrap.fill(f"Writes {KNOWN}; a name that ends in / is a folder of PNGs, one per slice.", 84)


def add_in(commands: Commands) -> argparse.ArgumentParser:
    """The commands that make volumes; the parser of `import`."""
    create = add_command(
        commands, "create", run_create, "make an empty volume",
        "All its voxels are background, label 0. To make one of a file, see labelog import.",
        "  labelog create cells.labelog --shape 250,2000,2000 --voxel-size 40,10,10\n"
        "  labelog create cells.labelog --shape 250,2000,2000 --classes platelet --author ana\n"
        "  labelog create try.labelog --shape 50,1000,1000 --synthetic 1",
    )  # fmt: skip
    create.add_argument("volume", metavar="VOLUME", help="the folder to make; nothing may be there")
    create.add_argument("--shape", type=numbers, metavar="Z,Y,X", required=True, help="voxels along the axes")
    add_made(create)
    create.add_argument("--classes", metavar="FILE", default=(),
                        help="that objects may have: a TOML file, or 'platelet', which comes with labelog; "
                             "see labelog classes")  # fmt: skip
    create.add_argument("--synthetic", metavar="SEED", type=natural,
                        help="not empty, but of made-up platelets, to try things on; each seed gives others. Voxels "
                             "are of 40,10,10 nm unless --voxel-size says else")  # fmt: skip
    add_author(create)
    return _add_import(commands)


def _add_import(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "import", run_import, "make a volume of a file, or of a stack of pictures",
        f"{READS}\n\n"
        "In colour pictures each distinct colour becomes a label; with --colours FILE, a JSON\n"
        "or TOML table such as 1 = \"#0101e0\", each has the label that the table says. Colours\n"
        "are kept with the volume, for show and export. Nothing is left behind if it fails.\n\n"
        "With --bodies, an HDF5 file has fragments and a table of the bodies that they form.\n"
        "Fragments are stored, and the table becomes merges, so that labelog cleave takes a\n"
        "fragment out again. A fragment that has the id of another body is renamed.",
        "  labelog import cells.tif cells.labelog --voxel-size 40,10,10\n"
        "  labelog import 'slices/*.png' semantic.labelog --colours classes.toml --author vendor-b/ana",
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", nargs="+", help="a file, a folder of PNGs, or a quoted pattern")
    parser.add_argument("volume", metavar="VOLUME", help="the folder to make; nothing may be there")
    parser.add_argument("--format", choices=formats.names(), help="of the source; by default told from its name")
    parser.add_argument("--colours", metavar="FILE|distinct",
                        help="a table of the colours' labels; or 'distinct', a label for each distinct colour: the "
                             "default, but for pictures with a palette, whose indices are the labels")  # fmt: skip
    parser.add_argument("--gaps", action="store_true",
                        help="accept a stack from whose names numbers are missing; the slices on both sides become "
                             "neighbours")  # fmt: skip
    parser.add_argument("--dataset", metavar="NAME", help="of the array in a file with several (hdf5, npz)")
    parser.add_argument("--bodies", metavar="DATASET", nargs="?", const=DATASET,
                        help=f"the table of fragment and body in the file (hdf5); by default {DATASET}")  # fmt: skip
    parser.add_argument("--overlap", choices=get_args(Overlap),
                        help="whose voxels are that several masks of a JSON file cover; by default that is an "
                             "error")  # fmt: skip
    add_made(parser)
    add_author(parser)
    parser.add_argument("--message", metavar="TEXT", help="why, for the history; by default the source's name")
    add_json(parser, "print the report as one JSON object, for scripts")
    return parser


def add_out(commands: Commands) -> None:
    """The command that makes files."""
    parser = add_command(
        commands, "export", run_export, "write a volume, or a part of it, to a file",
        f"{WRITES}\n\n"
        "PNG and TIFF are pictures in the volume's colours (those of its classes, with\n"
        "--view semantic) if there are any, otherwise their values are the labels. The file\n"
        "is complete or absent, and replaced only with --overwrite.",
        "  labelog export cells.labelog cells.tif --view semantic --scale 2\n"
        "  labelog export cells.labelog slices/ --revision 41 --box 10:20,:,:\n"
        "  labelog export cells.labelog pictures/ --colours --overwrite",
    )  # fmt: skip
    add_volume(parser)
    parser.add_argument("target", metavar="TARGET", help="the file to write; or a folder, for PNGs")
    parser.add_argument("--format", choices=formats.names(), help="of the target; by default told from its name")
    add_view(parser)
    add_scale(parser)
    add_revision(parser)
    part = parser.add_mutually_exclusive_group()
    add_box(part, "only this part")
    part.add_argument("--region", metavar="NAME", help="only the bounds of this region")
    parser.add_argument("--unannotated", metavar="VALUE", type=label,
                        help="what 0 becomes outside of the regions that were looked at, and all in those to be "
                             "ignored; see labelog regions")  # fmt: skip
    parser.add_argument("--colours", action=argparse.BooleanOptionalAction,
                        help="pictures, also of labels that came without a colour; or labels (png, tiff)")  # fmt: skip
    parser.add_argument("--dtype", choices=DTYPES, metavar="DTYPE",
                        help="of the labels, such as uint32; by default one that holds them (not json)")  # fmt: skip
    parser.add_argument("--dataset", metavar="NAME", help="the array's name in the file (hdf5, npz)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    add_json(parser)


def run_create(arguments: argparse.Namespace) -> None:
    make = _empty if arguments.synthetic is None else _synthetic
    with make(arguments) as volume:
        what = "all background" if arguments.synthetic is None else f"{counted(len(volume.labels), 'object')}"
        classes = f"; {counted(len(volume.classes), 'class', 'classes')}" if volume.classes else ""
        voxels = f"{by(volume.shape)} voxels of {by(volume.voxel_size)} {volume.unit}"
        print(f"{arguments.volume}: {voxels}, {what}{classes}")


def _empty(arguments: argparse.Namespace) -> Volume:
    return labelog.create(arguments.volume, arguments.shape, voxel_size=arguments.voxel_size or (1, 1, 1),
                          unit=arguments.unit or "nm", chunks=arguments.chunks, classes=arguments.classes,
                          author=arguments.author)  # fmt: skip


def _synthetic(arguments: argparse.Namespace) -> Volume:
    if arguments.classes or arguments.unit not in (None, "nm"):
        raise Invalid("--synthetic has classes of its own, and voxels in nm; leave out --classes and --unit")
    scene = Platelets(arguments.shape, arguments.synthetic, arguments.voxel_size or (40, 10, 10))
    with progress("making", "slices") as update:
        return labelog.load(arguments.volume, scene.slabs(), voxel_size=scene.voxel_size, chunks=arguments.chunks,
                            classes="platelet", table=scene.table(), author=arguments.author,
                            message=f"synthetic platelets, seed {arguments.synthetic}",
                            progress=lambda done, _: update(done, scene.shape[0]))  # fmt: skip


def run_import(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    known = formats.find(arguments.source, arguments.format)
    stack = formats.read(arguments.source, format=known.name, **_read_options(known.name, arguments))
    size, unit, whence = measured(stack.voxel_size, stack.unit, arguments)
    chunks = arguments.chunks or tuple(min(n, c) for n, c in zip(stack.shape, CHUNKS, strict=True))
    bodies = bodies_of(known.name, arguments)
    if bodies is not None:
        stack = bodies.applied(stack)
    kept: dict[int, str] = {}
    with (
        progress("importing", "slices") as update,
        labelog.load(
            arguments.volume, _slabs(stack, kept, update), voxel_size=size, unit=unit, chunks=chunks, colours=kept,
            table=bodies.table() if bodies else {}, merges=bodies.merges if bodies else (),
            author=arguments.author, message=arguments.message or f"imported from {Path(arguments.source).name}",
        ) as volume,
    ):  # fmt: skip
        report = {
            "volume": arguments.volume,
            "source": arguments.source,
            "format": known.name,
            "shape": list(volume.shape),
            "chunks": list(volume.chunks),
            "voxel_size": list(volume.voxel_size),
            "unit": volume.unit,
            "voxel_size_from": whence,
            "colours": len(kept),
            "bodies": bodies.facts() if bodies else None,
            "changes": dict(stack.changes),
            "bytes_on_disk": bytes_on_disk(volume.address),
            "bytes_dense": volume.size * volume.dtype.itemsize,
            "seconds": round(time.monotonic() - begun, 3),
        }
    if arguments.json:
        print_json(report)
    else:
        _print_report(report, bodies)


def _read_options(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The options given, as the format's `read` calls them."""
    options: dict[str, Any] = {"gaps": True} if arguments.gaps else {}
    if arguments.dataset is not None:
        options["name" if name == "npz" else "dataset"] = arguments.dataset
    if arguments.overlap is not None:
        if name != "json":
            raise Invalid(f"--overlap is for masks in JSON, and a file of format {name} has none")
        options["overlap"] = arguments.overlap
    if arguments.colours is not None:
        if name not in PICTURES:
            raise Invalid(f"a file of format {name} has labels, not colours; leave out --colours")
        options |= {"palette": "colours"} if arguments.colours == "distinct" else {"colours": arguments.colours}
    return options


def measured(
    size: tuple[float, float, float] | None, unit: str | None, arguments: argparse.Namespace
) -> tuple[tuple[float, float, float], str, str]:
    """Voxel size, unit, and where they are from: the option, the file (which may not say), or the default."""
    if arguments.voxel_size:
        return arguments.voxel_size, arguments.unit or "nm", "option"
    unit = arguments.unit or SPELLINGS.get((unit or "nm").lower())
    if size and unit:
        return size, unit, "file"
    return (1, 1, 1), unit or "nm", "default"


def _slabs(stack: Stack, kept: dict[int, str], update: Update) -> Iterator[NDArray[Any]]:
    """The stack's slabs; after the last, `kept` has the colours that were found in them."""
    done = 0
    for slab in stack.slabs():
        yield slab
        done += len(slab)
        update(done, stack.shape[0])
    kept.update({label: hexadecimal(shade) for label, shade in stack.colours.items()})


def _print_report(report: dict[str, Any], bodies: Bodies | None) -> None:
    unsaid = " (the file does not say; --voxel-size does)" if report["voxel_size_from"] == "default" else ""
    disk, dense = report["bytes_on_disk"], report["bytes_dense"]
    facts = [
        ("volume", report["volume"]),
        ("source", f"{report['source']} ({report['format']})"),
        ("shape", f"{by(report['shape'])} voxels (z, y, x)"),
        ("voxel size", f"{by(report['voxel_size'])} {report['unit']}{unsaid}"),
        ("on disk", f"{sized(disk)}; {sized(dense)} as an array of uint64, {dense / disk:.3g} times as much"),
        ("time", f"{report['seconds']:.2f} s"),
    ]
    if report["colours"]:
        facts.insert(4, ("colours", f"{report['colours']:,} labels have one"))
    if bodies:
        facts.insert(4, ("bodies", str(bodies)))
    facts[4:4] = [("changed", f"{what}: {counted(voxels, 'voxel')}") for what, voxels in report["changes"].items()]
    print_facts(facts)


def run_export(arguments: argparse.Namespace) -> None:
    known = formats.find(arguments.target, arguments.format)
    options = {"colours": arguments.colours, "dtype": arguments.dtype}
    options["name" if known.name == "npz" else "dataset"] = arguments.dataset
    given = {name: value for name, value in options.items() if value is not None}
    with labelog.open(arguments.volume, "r") as volume, progress("exporting", "slices") as update:
        labels = viewed(volume, arguments)
        box = within(labels, arguments.box) if arguments.region is None else _bounds(labels, arguments.region)
        stack = _stack(labels, box, bool(arguments.colours), update)
        try:
            formats.write(stack, arguments.target, format=known.name, overwrite=arguments.overwrite, **given)
        except Invalid as error:
            if "has no colour" not in str(error):
                raise
            said = str(error).replace("label", "class") if arguments.view == "semantic" else error
            raise Invalid(f"{said}; --colours gives it one, --no-colours writes labels instead of pictures") from error
    if arguments.json:
        report = {"volume": arguments.volume, "view": arguments.view or "instance", "revision": labels.revision}
        report |= {
            "scale": labels.number,
            "box": [*box],
            "target": arguments.target,
            "format": known.name,
            "shape": list(box.shape),
        }
        print_json(report | {"bytes": _size(arguments.target)})
    else:
        seen = [arguments.view] * bool(arguments.view) + [f"scale {labels.number}"] * bool(labels.number)
        how = f" ({', '.join(seen)})" if seen else ""
        what = f"{by(box.shape)} voxels{how} at revision {labels.revision}"
        print(f"{arguments.target}: {what}, {known.name}, {sized(_size(arguments.target))}")


def _bounds(labels: Revision, region: str) -> Box:
    """The box of a region."""
    regions = labels.volume.at(labels.revision).regions
    if region not in regions:
        raise NotFound(f"there is no region {region!r}; there are: {', '.join(regions) or 'none'}")
    box = regions[region].scaled(labels.factors, labels.volume.shape).box
    if not box.voxels:
        raise Invalid(f"region {region!r} is too small for scale {labels.number}: no voxel has its middle there")
    return box


def _size(path: str) -> int:
    return bytes_on_disk(path) if Path(path).is_dir() else Path(path).stat().st_size


def viewed(volume: Volume, arguments: argparse.Namespace) -> Revision:
    """The volume at the revision asked for, seen as asked for."""
    snapshot = volume.at(arguments.revision)
    unannotated = getattr(arguments, "unannotated", None)
    seen: Revision = snapshot
    if arguments.view or unannotated is not None:
        seen = snapshot.view(arguments.view or "instance", unannotated=unannotated)
    return seen.scale(arguments.scale) if getattr(arguments, "scale", 0) else seen


def colours_of(labels: Revision) -> dict[int, Colour]:
    """The colours of what is seen, as numbers: those of the classes, or those that came with the volume."""
    return {value: colour(shade) for value, shade in labels.colours.items()}


def _stack(labels: Revision, box: Box, every: bool, update: Update) -> Stack:
    """A part of a snapshot or view as a stack; if `every`, labels that have no colour get one as they are met."""
    colours = colours_of(labels)
    if every:
        colours.setdefault(0, (0, 0, 0, 0))
    (z0, y0, x0), (z1, y1, x1) = box
    depth, layers = slab_depth(box.shape, labels.dtype), labels.chunks[0]
    depth -= depth % layers if depth > layers else 0

    def slabs() -> Iterator[NDArray[Any]]:
        for z in range(z0, z1, depth):
            slab = labels.read(Box((z, y0, x0), (min(z + depth, z1), y1, x1)))
            if every:
                _colour_all(slab, colours)
            yield slab
            update(min(z + depth, z1) - z0, z1 - z0)

    return Stack(box.shape, labels.dtype, slabs, labels.voxel_size, labels.unit, colours)


def _colour_all(slab: NDArray[Any], colours: dict[int, Colour]) -> None:
    """Give every label in the slab a colour, one that no other has, so that the picture can be read back."""
    missing = [value for value in np.unique(slab).tolist() if value not in colours]
    taken = set(colours.values())
    for value, shade in zip(missing, own_colours(np.array(missing, np.uint64)).tolist(), strict=True):
        while tuple(shade) in taken:
            shade[:3] = ((int.from_bytes(bytes(shade[:3])) + 1) % 2**24).to_bytes(3)
        colours[value] = (shade[0], shade[1], shade[2], 255)
        taken.add(colours[value])
