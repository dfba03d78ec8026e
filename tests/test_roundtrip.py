"""Real labels into a volume, out of it in every format that holds them, and in again: voxel for voxel the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

import labelog
from labelog import formats
from labelog.engine.classes import read_classes
from labelog.formats.colours import hexadecimal
from labelog.layers import combine, read_layers

DATA = Path(__file__).parent / "data"
LAYERS = ["semantic", "instance-cell", "instance-organelle"]


def run(*arguments):
    """A command that must succeed."""
    done = subprocess.run([sys.executable, "-m", "labelog.cli", *map(str, arguments)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def everything(path, **options):
    """All labels of a file."""
    return np.concatenate(list(formats.read(path, **options).slabs()))


def whole(path):
    """All labels of a volume."""
    with labelog.open(path, "r") as volume:
        assert volume.check().ok
        return volume[:]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """The three-dimensional samples as volumes, made by `labelog import`, beside what other libraries read."""
    data = DATA / "fib25"
    folder = tmp_path_factory.mktemp("volumes")
    with h5py.File(data / "groundtruth.h5") as file:
        truth = file["stack"][:]
    found = {"groundtruth.h5": truth, "ffn.tif": tifffile.imread(data / "ffn.tif")}
    for name in found:
        run("import", data / name, folder / name, "--voxel-size", "10,10,10")
    return {name: (folder / name, array) for name, array in found.items()}


@pytest.mark.parametrize("sample", ["groundtruth.h5", "ffn.tif"])
@pytest.mark.parametrize("target", ["slices/", "labels.tif", "labels.json", "labels.h5", "labels.npy", "labels.npz"])
def test_samples_through_every_format(volumes, sample, target, tmp_path):
    volume, expected = volumes[sample]
    np.testing.assert_array_equal(whole(volume), expected)
    run("export", volume, f"{tmp_path}/{target}")
    np.testing.assert_array_equal(everything(tmp_path / target), expected)
    run("import", f"{tmp_path}/{target}", tmp_path / "again.labelog")
    np.testing.assert_array_equal(whole(tmp_path / "again.labelog"), expected)


@pytest.mark.parametrize("target", ["pictures/", "pictures.tif"])
def test_a_sample_through_pictures_in_made_colours(volumes, target, tmp_path):
    """Each label gets a colour and each colour a label: the same objects, whatever they are called."""
    volume, expected = volumes["ffn.tif"]
    run("export", volume, f"{tmp_path}/{target}", "--colours")
    run("import", f"{tmp_path}/{target}", tmp_path / "again.labelog")
    pairs = np.unique(expected * np.uint64(2**32) + whole(tmp_path / "again.labelog"))
    ours, theirs = pairs >> np.uint64(32), pairs % np.uint64(2**32)
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs)) == len(np.unique(expected))
    assert (ours[0], theirs[0]) == (0, 0)


def test_fragments_and_their_bodies(volumes, tmp_path):
    """The table of the file as merges: one object for each body, and the fragments as they were."""
    _, stack = volumes["groundtruth.h5"]
    with h5py.File(DATA / "fib25" / "groundtruth.h5") as file:
        rows = file["transforms"][:]
    bodies = np.zeros(rows.max() + 1, np.uint64)
    bodies[rows[:, 0]] = rows[:, 1]
    run("import", DATA / "fib25" / "groundtruth.h5", tmp_path / "b.labelog", "--bodies")
    np.testing.assert_array_equal(whole(tmp_path / "b.labelog"), bodies[stack])
    with labelog.open(tmp_path / "b.labelog") as volume:
        fragments = volume.view("fragment")[:]
        pairs = {tuple(pair) for pair in np.unique(np.stack((stack, fragments)).reshape(2, -1), axis=1).T.tolist()}
        renamed = {old: new for old, new in pairs if old != new}
        assert len(pairs) == len(np.unique(stack)) == len(np.unique(fragments))
        assert len(renamed) == 78 and min(renamed.values()) > rows.max()
        assert all(old in bodies and bodies[old] != old for old in renamed)
        old, new = min(renamed.items())
        with volume.edit() as edit:
            edit.cleave(new)
        assert volume.labels[new].attributes == {"fragment": old}
        np.testing.assert_array_equal(volume[:] == new, stack == old)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("target", ["again.png", "again.tif"])
def test_platelet_colours_come_back(data, layer, target, tmp_path):
    source = data / "platelet" / f"{layer}.png"
    pixels = np.asarray(Image.open(source))
    run("import", source, tmp_path / "layer.labelog")
    colours = len(np.unique(pixels.reshape(-1, 4), axis=0)) - 1
    assert len(np.unique(whole(tmp_path / "layer.labelog"))) == colours + 1
    run("export", tmp_path / "layer.labelog", tmp_path / target)
    again = np.asarray(Image.open(tmp_path / target)) if target.endswith("png") else tifffile.imread(tmp_path / target)
    np.testing.assert_array_equal(again.reshape(pixels.shape), pixels)
    run("show", tmp_path / "layer.labelog", "-o", tmp_path / "shown.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "shown.png")), pixels)


def test_platelet_classes_by_a_table(data, tmp_path):
    """The labels that the table says, and from there the colours again."""
    table = tmp_path / "classes.toml"
    table.write_text(
        '1 = "#0101e0"\n2 = "#01abfe"\n3 = "#01fe01"\n4 = "#ffe000"\n5 = "#fa5e00"\n6 = "#f500cb"\n', encoding="ascii"
    )
    source = data / "platelet" / "semantic.png"
    pixels = np.asarray(Image.open(source))
    run("import", source, tmp_path / "classes.labelog", "--colours", table)
    labels = whole(tmp_path / "classes.labelog")[0]
    assert set(np.unique(labels).tolist()) == set(range(7))
    np.testing.assert_array_equal(labels == 2, (pixels == (1, 171, 254, 255)).all(axis=2))
    np.testing.assert_array_equal(labels == 0, pixels[..., 3] == 0)
    run("export", tmp_path / "classes.labelog", tmp_path / "again.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "again.png")), pixels)


@pytest.mark.parametrize("target", ["again.png", "again.tif"])
def test_platelet_classes_come_back_from_the_semantic_view(data, target, tmp_path):
    """Objects of the classes, whatever they are called, in the colours that the semantic file had."""
    source = data / "platelet" / "semantic.png"
    pixels = np.asarray(Image.open(source))
    stack = formats.read(source)
    slabs = list(stack.slabs())
    colours = {hexadecimal(shade): label for label, shade in stack.colours.items()}
    table = {colours[f"{entry.colour}ff"]: {"cls": entry.id} for entry in read_classes("platelet")
             if f"{entry.colour}ff" in colours}  # fmt: skip
    assert len(table) == len(colours) == 6
    labelog.load(tmp_path / "classes.labelog", slabs, classes="platelet", table=table).close()
    run("export", tmp_path / "classes.labelog", tmp_path / target, "--view", "semantic")
    again = np.asarray(Image.open(tmp_path / target)) if target.endswith("png") else tifffile.imread(tmp_path / target)
    np.testing.assert_array_equal(again.reshape(pixels.shape), pixels)
    run("show", tmp_path / "classes.labelog", "--view", "semantic", "-o", tmp_path / "shown.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "shown.png")), pixels)


@pytest.mark.parametrize("trust", ["instance", "semantic"])
def test_platelet_layers_come_back_from_the_views(data, trust, tmp_path):
    """Three files in, four pictures out: the source's colours wherever the files agree, and where they are trusted."""
    files = {name: data / "platelet" / f"{file}.png"
             for name, file in zip(("semantic", "cell", "organelle"), LAYERS, strict=True)}  # fmt: skip
    run("import", *(f"{name}={path}" for name, path in files.items()), tmp_path / "p.labelog", "--trust", trust)
    for view in (*files, "instance"):
        run("export", tmp_path / "p.labelog", tmp_path / f"{view}.png", "--view", view)
    classes = read_classes("platelet")
    layers = read_layers(files, classes)
    report = combine(layers.semantic, layers.objects, classes, trust=trust).report
    agree = report.marks(0) & 127 == 0
    assert np.count_nonzero(~agree) == {"instance": 3435, "semantic": 3294}[trust]
    source = {name: np.asarray(Image.open(path)) for name, path in files.items()}
    core = (source["semantic"] == (245, 0, 203, 255)).all(axis=2)  # an object that no file has
    assert np.count_nonzero(core) == 112
    organelle = source["organelle"][..., 3:] > 0
    source["instance"] = np.where(organelle, source["organelle"], source["cell"])
    differ = {}
    for view, expected in source.items():
        different = (np.asarray(Image.open(tmp_path / f"{view}.png")) != expected).any(axis=2)
        if view == "instance":
            assert different[core].all()  # in a colour of its own
            different &= ~core
        assert not different[agree].any(), view
        differ[view] = np.count_nonzero(different)
    expected = {
        "instance": {"semantic": 3435, "cell": 0, "organelle": 0, "instance": 0},
        # A cell has the colour of the organelle that 1,141 of its voxels were of.
        "semantic": {"semantic": 0, "cell": 1859, "organelle": 3294, "instance": 3294 - 1141},
    }
    assert differ == expected[trust]


@pytest.mark.parametrize("name", ["a.json", "a.h5", "a.npy", "a.npz", "a.tif"])
def test_the_largest_label_there_is(name, tmp_path):
    labels = np.zeros((3, 7, 9), np.uint64)
    labels[1, 2:5, 3:6] = 2**64 - 1
    labels[2, 4, 4] = 2**63
    labelog.load(tmp_path / "a.labelog", labels).close()
    run("export", tmp_path / "a.labelog", tmp_path / name)
    run("import", tmp_path / name, tmp_path / "b.labelog")
    np.testing.assert_array_equal(whole(tmp_path / "b.labelog"), labels)
