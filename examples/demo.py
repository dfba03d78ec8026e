"""A first look at labelog: three files become one volume with four views; labels are edited by two people, and one
undoes under the other's later work.

Run it from the project's folder, by `make demo` or `python examples/demo.py`. It makes the folder `demo`, and on a
terminal it then serves it over HTTP until Ctrl-C.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import labelog
from labelog import formats
from labelog.formats.colours import colour
from labelog.formats.picture import colour_slice
from labelog.layers import combine, read_layers
from labelog_server.serve import serve
from labelog_server.settings import Settings

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
DEMO = Path("demo")
PICTURES = DEMO / "pictures"

OURS = {"pictures", "neurons.tif", "platelet.labelog", "neurons.labelog"}

LAYERS = {"semantic": "semantic", "cell": "instance-cell", "organelle": "instance-organelle"}
VIEWS = ("instance", "semantic", "cell", "organelle")
GRANULE, VESSEL, OTHER = 47, 57, 54  # objects of the platelets

SLICE = 125  # of the neurons, where all edits are
ANAS, BOS = 1_000_001, 1_000_002  # labels that the sample does not use
BACKGROUND = (22, 22, 28, 255)
ZOOM = 3

Pixels = NDArray[np.uint8]
Points = list[tuple[int, int, int]]


def main() -> None:
    begun = time.perf_counter()
    fresh_folder()
    print("labelog demo: real labels as objects, two people, one undo\n")
    with load_platelet() as platelet:
        look(platelet)
        say(platelet)
    volume = load_neurons()
    loaded = size_on_disk(volume)
    edit(volume)
    undo(volume)
    travel(volume)
    figures(volume, loaded)
    print(f"\nAll of it took {time.perf_counter() - begun:.1f} s. Look at {PICTURES}/platelet.png first, then at "
          f"{PICTURES}/story.png.")  # fmt: skip
    what_next()
    if sys.stdout.isatty():
        serve_it()


def fresh_folder() -> None:
    """An empty demo folder; what an earlier run left there is removed, anything else is not."""
    if DEMO.exists():
        others = [path.name for path in DEMO.iterdir() if path.name not in OURS]
        if others:
            sys.exit(f"{DEMO.absolute()} has files that are not of this demo: {', '.join(others[:3])}; move them away")
        shutil.rmtree(DEMO)
    PICTURES.mkdir(parents=True)


def load_platelet() -> labelog.Volume:
    """One slice of human platelets: three files of one place, in colours, made one volume of objects."""
    print(f"1. Three files of one slice, with classes, cells and organelles, become one volume in {DEMO}/")
    start = time.perf_counter()
    classes = labelog.read_classes("platelet")
    layers = read_layers({layer: DATA / "platelet" / f"{name}.png" for layer, name in LAYERS.items()}, classes)
    combined = combine(layers.semantic, layers.objects, classes)
    volume = labelog.load(
        DEMO / "platelet.labelog", combined.slabs(), voxel_size=(40, 10, 10), classes=classes, table=combined.table,
        colours=combined.colours, author="lab", message="three layers",
    )  # fmt: skip
    tell_loaded(volume, f"platelets, {len(volume.labels)} objects", start)
    report = combined.report
    print(
        f"   the files disagree at {report.voxels:,} of {volume.size:,} voxels; a report says where, and what was done"
    )
    return volume


def look(volume: labelog.Volume) -> None:
    """The four views: one array, seen through what is known of its labels."""
    print(f"\n2. One volume, four views, in {PICTURES}/; no view has voxels of its own")
    panels = []
    for view in VIEWS:
        counts = f"{len(np.unique(volume.view(view)[:])) - 1} {'classes' if view == 'semantic' else 'objects'}"
        panels.append((f"platelet-{view}.png", f"{view}: {counts}", seen(volume, view)))
        save(*panels[-1][::2])
        print(f"   {panels[-1][0]:<22} {counts}")
    save("platelet.png", story(panels))
    print(f"   {'platelet.png':<22} these four, side by side")


def say(volume: labelog.Volume) -> None:
    """What is said of labels changes every view, and no voxel; it is undone as painting is."""
    print("\n3. Ana says what labels are; the views follow")
    before = seen(volume, "semantic")
    with volume.edit(author="ana", message="one vessel, and a mitochondrion") as edit:
        edit.merge(VESSEL, [OTHER])
        edit.assign(GRANULE, cls="mitochondrion", name="M")
    assert edit.revision is not None
    tell(volume, edit.revision)
    print(f"   {volume.labels[GRANULE]} was an alpha granule; {VESSEL} and {OTHER} are one object")
    save("platelet-said.png", seen(volume, "semantic"))
    tell(volume, volume.undo(author="ana").revision)
    same = "as it was" if np.array_equal(before, seen(volume, "semantic")) else "NOT as it was"
    print(f"   {'platelet-said.png':<22} the semantic view in between; after the undo it is {same}")


def seen(volume: labelog.Volume, view: str) -> Pixels:
    """A view of the slice in colours: the classes' own, or those that the files had."""
    shades = {cls.id: cls.colour for cls in volume.classes.values()} if view == "semantic" else volume.colours
    colours = {label: colour(shade) for label, shade in shades.items() if label and shade}
    return colour_slice(volume.view(view)[0], colours, BACKGROUND)


def load_neurons() -> labelog.Volume:
    """A cube of fly brain. The file has its fragments, slice by slice, and a table of the bodies that they form."""
    print("\n4. A cube of fly brain, to paint on")
    start = time.perf_counter()
    source = DATA / "fib25" / "groundtruth.h5"
    fragments = formats.read(source)
    table = next(formats.read(source, dataset="transforms").slabs())[0]
    bodies = np.zeros(table[:, 0].max() + 1, np.uint64)
    bodies[table[:, 0]] = table[:, 1]
    slabs = (bodies[slab] for slab in fragments.slabs())  # a volume is loaded as its slabs come
    volume = labelog.load(
        DEMO / "neurons.labelog", slabs, voxel_size=(10, 10, 10), author="lab", message="ground truth"
    )
    tell_loaded(volume, f"fly brain, {len(np.unique(table[:, 1])) - 1} bodies of {source.name}", start)
    return volume


def tell_loaded(volume: labelog.Volume, what: str, start: float) -> None:
    z, y, x = volume.shape
    name, shape = Path(volume.address).name, f"{z} x {y} x {x}"
    took = time.perf_counter() - start
    print(f"   {name:<19} {shape:<15} {what:<50} {size_on_disk(volume) / 1000:>4.0f} kB  {took:.2f} s")


def edit(volume: labelog.Volume) -> None:
    """Three edits: Ana joins two bodies and paints, Bo paints over a part of what she painted."""
    print("\n5. Ana and Bo edit neurons.labelog; each edit is on disk when it returns")
    process, neuron = int(volume[SLICE, 95, 134]), int(volume[SLICE, 200, 200])
    with volume.edit(author="ana", message="joins a process to the neuron it touches") as first:
        first.relabel({process: neuron})
    tell(volume, first.revision)
    with volume.edit(author="ana", message="a stroke, by mistake") as second:
        second.paint(ANAS, *stroke([(SLICE - 4, 35, 35), (SLICE, 75, 80), (SLICE + 4, 50, 140)], radius=13))
    tell(volume, second.revision)
    with volume.edit(author="bo", message="a stroke across hers") as third:
        third.paint(BOS, *stroke([(SLICE, 20, 120), (SLICE, 70, 95), (SLICE, 115, 60)], radius=11))
    tell(volume, third.revision)


def undo(volume: labelog.Volume) -> None:
    """Ana takes back her stroke, under Bo's later one."""
    print("\n6. Ana undoes her stroke; Bo's, made later and across it, stays")
    start = time.perf_counter()
    commit = volume.undo(author="ana")
    took = 1000 * (time.perf_counter() - start)
    tell(volume, commit.revision)
    print(f"   {commit.left_alone:,} voxels were left alone, as Bo has written them since; undoing took {took:.1f} ms")


def tell(volume: labelog.Volume, revision: int | None) -> None:
    """A line of the history."""
    assert revision is not None
    commit = volume.commit(revision)
    what = commit.message or f"{commit.kind} of revision {commit.targets[0]}"
    print(f"   revision {commit.revision}  {commit.author:<4} {what:<42} {commit.voxels:>7,} voxels changed")


def travel(volume: labelog.Volume) -> None:
    """Pictures of one slice at three revisions, of what changed, and of who wrote what."""
    print(f"\n7. Every revision can still be read; slice {SLICE}, as pictures in {PICTURES}/")
    before, edited, undone = (volume.at(revision)[SLICE] for revision in (0, 3, 4))
    panels = [
        ("neurons-before.png", "revision 0: as loaded", outlined(before)),
        ("neurons-edited.png", "revision 3: joined, painted, painted", outlined(edited)),
        ("neurons-undone.png", "revision 4: Ana's stroke undone", outlined(undone)),
        ("neurons-changes.png", "what is different from revision 0", changes(before, undone)),
    ]
    for name, caption, pixels in panels:
        save(name, pixels)
        print(f"   {name:<22} {caption}")
    save("story.png", story(panels))
    print(f"   {'story.png':<22} these four, side by side")


def figures(volume: labelog.Volume, loaded: int) -> None:
    """What it costs, and that all is well."""
    report = volume.check()
    volume.close()
    source, now, dense = (DATA / "fib25" / "groundtruth.h5").stat().st_size, size_on_disk(volume), volume.size * 8
    print("\n8. What it costs")
    print(f"   neurons.labelog has {now / 1000:,.0f} kB, every revision included: the four edits added "
          f"{(now - loaded) / 1000:,.0f} kB")  # fmt: skip
    print(f"   the HDF5 file has {source / 1000:,.0f} kB, a plain array of uint64 {dense / 1000:,.0f} kB")
    print(f"   verified: {report.revisions} revisions, {report.chunks} chunks, {report.deltas} deltas; "
          f"{'all is well' if report.ok else report.problems}")  # fmt: skip


def what_next() -> None:
    here = Path(sys.executable).parent / "labelog"
    command = str(here) if here.exists() else f"{sys.executable} -m labelog.cli"
    command = command.removeprefix(f"{Path.cwd()}/")
    volume, platelet = DEMO / "neurons.labelog", DEMO / "platelet.labelog"
    print("\nTry next:")
    for arguments, what in (
        (f"show {platelet} --view organelle", "the organelles, in the terminal"),
        (f"labels {platelet} --parent 7", "the objects in cell 7"),
        (f"show {volume} -z {SLICE}", "a slice, in the terminal"),
        (f"history {volume}", "who did what"),
        (f"redo {volume} --author ana", "Ana's stroke comes back, beneath Bo's"),
        (f"revert {volume} --author bo --by lee", "all of Bo's work goes, everyone else's stays"),
        (f"export {volume} {DEMO}/neurons.tif", "for another program"),
        (f"serve {DEMO}", "for programs, over HTTP; /docs there has all routes"),
        ("--help", "the other commands"),
    ):
        print(f"   # {what}\n   {command} {arguments}")


def serve_it() -> None:
    """The volumes over HTTP, until Ctrl-C; on another port if 8000 is taken."""
    print("\n9. The same volumes for programs, over HTTP; /docs there has all routes")
    settings = Settings((DEMO,))
    try:
        serve(settings, "127.0.0.1", 8000, sys.stdout)
    except labelog.Exists:
        serve(settings, "127.0.0.1", 0, sys.stdout)


def stroke(points: Points, radius: int) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """A thick brush stroke through points (z, y, x): a mask, and the voxel where it begins."""
    corners = np.array(points, float)
    t = np.linspace(0, len(points) - 1, 40)
    path = np.stack([np.interp(t, np.arange(len(points)), corners[:, axis]) for axis in range(3)], axis=1)
    low, high = path.min(axis=0).astype(int) - radius, path.max(axis=0).astype(int) + radius + 1
    z, y, x = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    mask = np.zeros(tuple(high - low), bool)
    for a, b, c in path:
        mask |= (z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 <= radius**2
    return mask, (int(low[0]), int(low[1]), int(low[2]))


def outlined(labels: NDArray[np.uint64]) -> Pixels:
    """A slice in colours, enlarged, with a dark line between labels."""
    pixels = zoomed(colour_slice(labels, background=BACKGROUND))
    pixels[borders(labels)] = BACKGROUND
    return pixels


def changes(before: NDArray[np.uint64], after: NDArray[np.uint64]) -> Pixels:
    """The slice after, faded where nothing changed."""
    pixels = outlined(after).astype(float)
    same = zoomed(before == after)
    grey = pixels[..., :3].mean(axis=2, keepdims=True)
    pixels[..., :3] = np.where(same[..., None], 0.16 * grey + 20, pixels[..., :3])
    return pixels.astype(np.uint8)


def borders(labels: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where, in the enlarged slice, a pixel's left or upper neighbour is of another label."""
    large = zoomed(labels)
    edges = np.zeros(large.shape, bool)
    edges[1:] |= large[1:] != large[:-1]
    edges[:, 1:] |= large[:, 1:] != large[:, :-1]
    return edges


def zoomed(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def story(panels: list[tuple[str, str, Pixels]]) -> Pixels:
    """Pictures side by side, with captions."""
    height, width = panels[0][2].shape[:2]
    gap, band = 18, 56
    sheet = Image.new("RGBA", (len(panels) * (width + gap) + gap, height + band + gap), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, (_, caption, pixels) in enumerate(panels):
        left = gap + column * (width + gap)
        draw.text((left, 14), caption, fill="white", font=ImageFont.load_default(26))
        sheet.paste(Image.fromarray(pixels), (left, band))
    return np.asarray(sheet)


def save(name: str, pixels: Pixels) -> None:
    Image.fromarray(pixels).save(PICTURES / name)


def size_on_disk(volume: labelog.Volume) -> int:
    return sum(path.stat().st_size for path in Path(volume.address).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
