"""The command line, run as users run it: results, exit codes, one line on stderr, and nothing left half made."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from skimage.segmentation import flood

import labelog
from labelog import cli, formats
from labelog.cli import care, files
from labelog.cli.serve import host_name, origin
from labelog.formats.picture import colour_slice
from labelog.synthetic import Platelets

LABELOG = [sys.executable, "-m", "labelog.cli"]
SHAPE = (6, 40, 50)
TOP = 2**64 - 1
COMMANDS = ["create", "import", "info", "show", "history", "labels", "merge", "cleave", "assign", "components",
            "compare", "mesh", "split", "fill", "holes", "islands", "dilate", "erode", "gaps", "classes", "regions",
            "undo", "redo", "revert", "export", "check", "compact", "serve", "token"]  # fmt: skip
SOURCE = str(Path(labelog.__file__).parents[1])  # so that a command is of this labelog wherever it is run
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "LABELOG_DEBUG"} | {
    "COLUMNS": "90", "PYTHONPATH": SOURCE,
}  # fmt: skip


def run(*arguments, **options):
    """Run a command to its end."""
    command = [*LABELOG, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, **options)


def fine(*arguments, **options):
    """What a command prints that must succeed without a word on stderr."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def facts(*arguments):
    return json.loads(fine(*arguments, "--json"))


def refused(*arguments, code=1, **options):
    """The line on stderr of a command that must fail, printing nothing else."""
    done = run(*arguments, **options)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("labelog: ")
        assert done.stderr.count("\n") == 1
        assert "internal error" not in done.stderr
    return done.stderr


def labels():
    """A small volume: four objects, one with the largest label there is."""
    array = np.zeros(SHAPE, np.uint64)
    array[:, 5:20, 5:25] = 1
    array[1:4, 22:35, 10:40] = 7
    array[2, 30:38, 42:48] = 300
    array[5, :3, :3] = TOP
    return array


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """A volume with three edits: by Ana, by Bo over a part of hers, and by a vendor's Ana."""
    path = tmp_path_factory.mktemp("original") / "a.labelog"
    with labelog.load(path, labels(), voxel_size=(40, 10, 10), author="lab", chunks=(4, 16, 16)) as volume:
        with volume.edit("ana", "a box") as edit:
            edit[0, 0:10, 0:10] = 9
        with volume.edit("bo", "half of it") as edit:
            edit[0, 0:10, 5:10] = 11
        with volume.edit("vendor-b/ana", "a line\n\x1b[2Jof text") as edit:
            edit[4, 20, :] = TOP
    return path


@pytest.fixture
def volume(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "a.labelog"))


def read(path, revision=None):
    with labelog.open(path, "r") as opened:
        return opened.at(revision).read()


# Help and usage


def helped(command, capsys):
    """The help of a command, without a process of its own."""
    assert cli.main([command, "--help"]) == 0
    return capsys.readouterr().out


def test_help_lists_the_commands_in_the_order_of_a_working_day():
    text = fine("--help")
    assert re.findall(r"^    (\w+)(?:  |$)", text, re.MULTILINE) == COMMANDS
    assert "where to begin" in text
    assert "exit codes" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    text = helped(command, capsys)
    assert text.startswith(f"usage: labelog {command} ")
    examples = text.split("examples:\n")[1].splitlines()
    assert 2 <= len(examples) <= 3
    assert all(line.startswith(f"  labelog {command} ") for line in examples)


def test_examples_are_of_options_that_exist(capsys):
    parser = cli._parser()
    for command in COMMANDS:
        for line in helped(command, capsys).split("examples:\n")[1].splitlines():
            typed = re.split(r" [|#] | \|\| |   ", line.strip())[0]
            parser.parse_args(shlex.split(typed)[1:])


def test_version():
    assert fine("--version") == f"labelog {labelog.__version__}\n"


@pytest.mark.parametrize("arguments", [
    ("frobnicate",), ("info",), ("info", "a", "b"), ("info", "a", "--frob"), ("create", "a"),
    ("create", "a", "--shape", "1,2"), ("create", "a", "--shape", "1,2,3", "--voxel-size", "1,2"),
    ("create", "a", "--shape", "1,2,3", "--unit", "parsec"), ("import", "a", "b", "--format", "gif"),
    ("show", "a", "-z", "-1"), ("show", "a", "-z", "1", "-y", "1"), ("show", "a", "--background", "red"),
    ("show", "a", "--box", "1:2"), ("show", "a", "--box", "1:2,3:4,5:6,"), ("show", "a", "--box", "a:b,:,:"),
    ("history", "a", "--label", str(2**64)), ("history", "a", "--since", "yesterday"),
    ("history", "a", "--limit", "-1"), ("labels", "a", "0"), ("labels", "a", "--parent", "x"),
    ("labels", "a", "7", "8"), ("labels", "a", "--json", "--csv", "b"), ("merge", "a", "7"), ("merge", "a", "7", "0"),
    ("cleave", "a"), ("assign", "a", "cell"), ("classes", "a", "--toml", "--add", "b"),
    ("classes", "a", "--rename", "b"), ("regions", "a", "--set", "b", "gold"), ("revert", "a", "x"),
    ("split", "a", "7"), ("split", "a", "7", "--components", "8"), ("split", "a", "7", "--seeds", "1,2"),
    ("split", "a", "0", "--components"), ("holes", "a", "0"), ("holes", "a", "7", "--over", "some"),
    ("islands", "a", "7"), ("islands", "a", "7", "--below", "-1"), ("dilate", "a", "7"), ("dilate", "a", "7", "far"),
    ("erode", "a", "7", "1", "--unit", "mile"), ("gaps", "a", "7", "--axis", "w"),
    ("check", "a", "--objects", "--connectivity", "7"),
    ("export", "a", "b", "--box", ":,:,:", "--region", "c"), ("export", "a", "b", "--dtype", "float32"),
    ("serve", "a", "--port", "99999"), ("serve", "a", "--origin", "evil/path"), ("serve", "a", "--origin", "null"),
    ("serve", "a", "--origin", "http://lab.example/path"), ("serve", "a", "--origin", "http://"),
    ("serve", "a", "--origin", "http://lab.example:port"), ("serve", "a", "--origin", "http://ana@lab.example"),
    ("serve", "a", "--host-name", "lab.example:80"), ("serve", "a", "--host-name", "a/b"),
])  # fmt: skip
def test_wrong_usage_is_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("usage: labelog")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "typed", "said"), [
    ("--max-body", "-5", "expected a whole number from 1 on; found '-5'"), ("--workers", "0", "from 1 on; found '0'"),
    ("--port", "x", "a port is a number from 0 to 65535; found 'x'"),
    ("--origin", "evil/path", "'evil/path' is no origin such as http://localhost:3000, without a path"),
])  # fmt: skip
def test_what_a_server_is_told_is_explained(option, typed, said, capsys):
    assert cli.main(["serve", "a", option, typed]) == 2
    assert said in capsys.readouterr().err


def test_origins_are_spelled_as_browsers_do():
    spelled = {"http://Lab.Example/": "http://lab.example", "https://lab.example:443": "https://lab.example",
               "https://lab.example:80": "https://lab.example:80", "http://[::1]:1": "http://[::1]:1"}  # fmt: skip
    assert {text: origin(text) for text in spelled} == spelled
    assert [host_name(text) for text in ("lab.example", "::1", "10.0.0.7")] == ["lab.example", "::1", "10.0.0.7"]


def test_no_command_is_wrong_usage_and_helps():
    assert "where to begin" in refused(code=2)


def test_debug_shows_the_traceback(tmp_path):
    for done in (
        run("info", tmp_path / "none", "--debug"),
        run("--debug", "info", tmp_path / "none"),
        subprocess.run([*LABELOG, "info", str(tmp_path / "none")], capture_output=True, text=True,
                       env=ENVIRONMENT | {"LABELOG_DEBUG": "1"}),
    ):  # fmt: skip
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert "NotFound" in done.stderr


def test_what_should_not_happen_is_one_line_too(volume, monkeypatch, capsys):
    def run_check(arguments):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(care, "run_check", run_check)
    assert cli.main(["check", str(volume)]) == 1
    assert capsys.readouterr().err == (
        "labelog: internal error: RuntimeError: first second; please report it, with what --debug shows\n"
    )


@pytest.mark.parametrize(
    "command", ["info", "show", "history", "labels", "classes", "regions", "undo", "redo", "check", "compact"]
)
def test_what_is_not_a_volume(command, tmp_path):
    assert "does not exist" in refused(command, tmp_path / "none")
    (tmp_path / "file").write_text("text")
    assert "is not a labelog volume" in refused(command, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


# Fill


def test_fill(volume):
    before = read(volume)
    seed = tuple(np.argwhere(before)[0].tolist())
    expected = flood(before, seed, connectivity=1)
    typed = ",".join(map(str, seed))
    told = fine("fill", volume, typed, "77", "--dry-run")
    assert f"{int(expected.sum()):,} voxels within" in told and "would get label 77" in told
    assert np.array_equal(read(volume), before)
    done = facts("fill", volume, typed, "77", "--author", "ana", "--limit", str(int(expected.sum())))
    assert done["voxels"] == expected.sum()
    assert np.array_equal(read(volume), np.where(expected, np.uint64(77), before))
    assert "already" in fine("fill", volume, typed, "77")
    assert "more than" in refused("fill", volume, typed, "5", "--limit", "1")
    assert "has no image" in refused("fill", volume, typed, "5", "--tolerance", "3")


# Create


def test_create_synthetic(tmp_path):
    path = tmp_path / "v"
    said = fine("create", path, "--shape", "8,150,200", "--synthetic", 3)
    scene = Platelets((8, 150, 200), seed=3)
    with labelog.open(path, "r") as volume:
        assert (volume.read() == scene.slab(0, 8)).all()
        assert volume.voxel_size == (40, 10, 10) and volume.commit(0).message == "synthetic platelets, seed 3"
        assert f"{len(volume.labels)} objects; 8 classes" in said
    assert "leave out --classes" in refused("create", tmp_path / "w", "--shape", "8,9,9", "--synthetic", 3,
                                            "--classes", "platelet")  # fmt: skip
    assert not (tmp_path / "w").exists()


def test_create(tmp_path):
    path = tmp_path / "new.labelog"
    said = fine("create", path, "--shape", "6,40,50", "--voxel-size", "40,10,10", "--unit", "um", "--author", "ana")
    assert said == f"{path}: 6 x 40 x 50 voxels of 40 x 10 x 10 um, all background\n"
    found = facts("info", path)
    assert (found["shape"], found["voxel_size"], found["unit"]) == ([6, 40, 50], [40, 10, 10], "um")
    assert (found["revision"], found["last_commit"]["author"]) == (0, "ana")
    assert not read(path).any()


def test_create_takes_chunks_and_the_other_way_to_write_a_shape(tmp_path):
    fine("create", tmp_path / "new", "--shape", "6x40x50", "--chunks", "2,8,8")
    assert facts("info", tmp_path / "new")["chunks"] == [2, 8, 8]


def test_create_with_classes(tmp_path):
    said = fine("create", tmp_path / "new", "--shape", "6,40,50", "--classes", "platelet")
    assert said.endswith("all background; 8 classes\n")
    fine("classes", tmp_path / "new", "--toml")
    (tmp_path / "own.toml").write_text('[[class]]\nid = 3\nname = "neuron"\n')
    said = fine("create", tmp_path / "b", "--shape", "6,40,50", "--classes", tmp_path / "own.toml")
    assert said.endswith("1 class\n")
    assert "that come with labelog are: platelet" in refused(
        "create", tmp_path / "c", "--shape", "1,2,3", "--classes", "none")  # fmt: skip
    assert not (tmp_path / "c").exists()


def test_create_refuses(volume, tmp_path):
    assert "exists already" in refused("create", volume, "--shape", "1,2,3")
    assert "shape must be" in refused("create", tmp_path / "b", "--shape", "0,2,3")
    assert "does not exist" in refused("create", tmp_path / "none" / "b", "--shape", "1,2,3")
    assert "author must be" in refused("create", tmp_path / "b", "--shape", "1,2,3", "--author", "a//b")
    assert [path.name for path in tmp_path.iterdir()] == ["a.labelog"]
    assert facts("info", volume)["revision"] == 3


# Import


@pytest.fixture
def source(tmp_path):
    np.save(tmp_path / "source.npy", labels())
    return tmp_path / "source.npy"


def test_import(source, tmp_path):
    path = tmp_path / "new.labelog"
    report = facts("import", source, path, "--author", "ana", "--message", "first", "--chunks", "2,16,16")
    assert report["shape"] == list(SHAPE)
    assert (report["format"], report["voxel_size_from"], report["colours"]) == ("npy", "default", 0)
    np.testing.assert_array_equal(read(path), labels())
    commit = facts("info", path)["last_commit"]
    assert (commit["author"], commit["message"]) == ("ana", "first")
    assert facts("info", path)["chunks"] == [2, 16, 16]


def test_import_says_what_it_did(source, tmp_path):
    said = fine("import", source, tmp_path / "new")
    assert "6 x 40 x 50 voxels" in said
    assert "the file does not say; --voxel-size does" in said
    assert facts("info", tmp_path / "new")["last_commit"]["message"] == "imported from source.npy"


def test_import_keeps_the_voxel_size_of_the_file(tmp_path):
    stack = formats.Stack.of(labels().astype(np.uint16), voxel_size=(40.0, 10.0, 10.0), unit="nm")
    formats.write(stack, tmp_path / "a.h5")
    report = facts("import", tmp_path / "a.h5", tmp_path / "a")
    assert (report["voxel_size"], report["unit"], report["voxel_size_from"]) == ([40, 10, 10], "nm", "file")
    report = facts("import", tmp_path / "a.h5", tmp_path / "b", "--voxel-size", "1,2,3.5", "--unit", "um")
    assert (report["voxel_size"], report["unit"], report["voxel_size_from"]) == ([1, 2, 3.5], "um", "option")


def test_import_does_not_take_a_unit_it_does_not_know(tmp_path):
    stack = formats.Stack.of(labels().astype(np.uint16), voxel_size=(4.0, 1.0, 1.0), unit="furlong")
    formats.write(stack, tmp_path / "a.h5")
    report = facts("import", tmp_path / "a.h5", tmp_path / "a")
    assert (report["voxel_size"], report["unit"], report["voxel_size_from"]) == ([1, 1, 1], "nm", "default")


def test_import_names_one_dataset_of_several(tmp_path):
    np.savez(tmp_path / "two.npz", a=labels(), b=labels() + np.uint64(1))
    assert "name one with --dataset" in refused("import", tmp_path / "two.npz", tmp_path / "new")
    fine("import", tmp_path / "two.npz", tmp_path / "new", "--dataset", "a")
    np.testing.assert_array_equal(read(tmp_path / "new"), labels())


@pytest.fixture
def fragments(tmp_path):
    """Fragments 1 to 6 and 9, and the table of their bodies, in which 6 and 9 are not named."""
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["stack"] = np.array([[[0, 1, 2, 3, 4, 5, 6, 9]]], np.uint32)
        file["transforms"] = np.array([[0, 0], [1, 2], [2, 3], [3, 3], [4, 7], [5, 0]], np.uint64)
        file["more"] = np.array([[1, 9], [2, 9], [9, 1]], np.int64)
        file["crowded"] = np.array([[1, 2], [2, 5]], np.int64)
    return path


def test_import_of_bodies(fragments, tmp_path):
    said = fine("import", fragments, tmp_path / "a", "--bodies")
    assert "5 fragments of 3 bodies; 1 renamed, as another body has its id; 1 of body 0 is background" in said
    with labelog.open(tmp_path / "a") as volume:
        assert volume[0, 0].tolist() == [0, 2, 3, 3, 7, 0, 6, 9]
        assert volume.view("fragment")[0, 0].tolist() == [0, 1, 8, 3, 4, 0, 6, 9]
        assert volume.labels[3].fragments == [3, 8] and volume.labels[7].fragments == [4, 7]
        with volume.edit() as edit:
            edit.cleave(8)
        assert volume.labels[8].attributes == {"fragment": 2}
    found = facts("import", fragments, tmp_path / "b", "--dataset", "stack", "--bodies", "more")["bodies"]
    assert found == {"fragments": 3, "bodies": 2, "renamed": {"1": "10", "9": "11"}}
    assert read(tmp_path / "b").tolist() == [[[0, 9, 9, 3, 4, 5, 6, 1]]]
    assert facts("import", fragments, tmp_path / "c")["bodies"] is None


def test_import_of_bodies_refuses(fragments, source, tmp_path):
    assert "fragment 6 is not in the table of bodies" in refused("import", fragments, tmp_path / "a", "--bodies",
                                                                 "crowded")  # fmt: skip
    assert "has no dataset 'none'" in refused("import", fragments, tmp_path / "a", "--bodies", "none")
    assert "expected rows of fragment and body" in refused("import", fragments, tmp_path / "a", "--bodies", "stack")
    assert "--bodies is a table in an HDF5 file" in refused("import", source, tmp_path / "a", "--bodies")
    assert "--bodies is not for layers" in refused("import", f"cell={fragments}", tmp_path / "a", "--bodies", code=2)
    assert not (tmp_path / "a").exists()


@pytest.fixture
def pictures(tmp_path):
    """Two slices in red and blue on transparent ground, as PNGs."""
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(2):
        pixels = np.zeros((20, 30, 4), np.uint8)
        pixels[2:8, 3:9] = (255, 0, 0, 255)
        pixels[10:15, z : 20 + z] = (0, 0, 255, 255)
        Image.fromarray(pixels).save(folder / f"s{z}.png")
    return folder


def test_import_gives_each_colour_a_label(pictures, tmp_path):
    assert facts("import", pictures, tmp_path / "a")["colours"] == 2
    assert facts("import", pictures / "s*.png", tmp_path / "b", "--colours", "distinct")["colours"] == 2
    for name in "ab":
        assert facts("info", tmp_path / name)["colours"] == {"1": "#ff0000ff", "2": "#0000ffff"}
        assert read(tmp_path / name)[1, 12, 20] == 2


def test_import_takes_labels_from_a_table(pictures, tmp_path):
    table = tmp_path / "classes.toml"
    table.write_text(f"{TOP} = '#ff0000'\n3 = '#0000ff'\n")
    fine("import", pictures, tmp_path / "a", "--colours", table)
    assert set(np.unique(read(tmp_path / "a")).tolist()) == {0, 3, TOP}
    assert facts("info", tmp_path / "a")["colours"] == {str(TOP): "#ff0000ff", "3": "#0000ffff"}
    table.write_text("3 = '#0000ff'")
    assert "colour #ff0000ff is not in the table" in refused("import", pictures, tmp_path / "b", "--colours", table)
    assert not (tmp_path / "b").exists()


def test_import_refuses(source, volume, pictures, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    new = tmp_path / "new"
    (pictures / "s1.png").rename(pictures / "s3.png")
    Image.new("RGBA", (20, 30)).save(pictures / "s4.png")
    for expected, arguments in (
        ("does not exist", (tmp_path / "none.tif", new)),
        ("no format has this suffix; name one with --format", (volume / "head", new)),
        ("expected tiff; by its first bytes it is npy, which --format npy reads", (source, new, "--format", "tiff")),
        ("exists already", (source, volume)),
        ("does not exist", (source, tmp_path / "none" / "new")),
        ("has labels, not colours", (source, new, "--colours", "distinct")),
        ("slices 1 to 2 are missing, between s0.png and s3.png; --gaps takes", (pictures, new)),
        ("expected PNG files, one for each slice", (tmp_path, new)),
        ("s4.png (slice 2) has", (pictures, new, "--gaps")),
        ("does not exist", (pictures / "s0.png", new, "--colours", tmp_path / "none.json")),
        ("voxel_size must be", (source, new, "--voxel-size", "0,1,1")),
        ("chunk may have at most", (source, new, "--chunks", "9999,9999,9999")),
    ):
        assert expected in refused("import", *arguments)
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_import_refuses_damaged_files(data, source, tmp_path):
    source.write_bytes(source.read_bytes()[:-100])
    tiff = tmp_path / "damaged.tif"
    content = bytearray((data / "fib25" / "ffn.tif").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    tiff.write_bytes(content)
    png = tmp_path / "damaged.png"
    png.write_bytes((data / "platelet" / "semantic.png").read_bytes()[:9000])
    for path in (source, tiff, png):
        assert str(path) in refused("import", path, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.png", "damaged.tif", "source.npy"]


def test_only_one_line_tells_of_a_damaged_tiff(data, tmp_path):
    """And none of the library that reads it."""
    content = bytearray((data / "fib25" / "ffn.tif").read_bytes())
    content[8 + 2 + 12 + 2] = 99  # the type of the first page's second tag, its length along y
    (tmp_path / "a.tif").write_bytes(content)
    error = refused("import", tmp_path / "a.tif", tmp_path / "new")
    assert error.startswith(f"labelog: {tmp_path}/a.tif, page 0 is damaged: it declares 0 x 250 pixels")
    assert "invalid data type" in run("--debug", "import", tmp_path / "a.tif", tmp_path / "new").stderr


def test_import_refuses_negative_labels_naming_the_place(tmp_path):
    array = labels().astype(np.int32)
    array[3, 2, 1] = -5
    np.save(tmp_path / "a.npy", array)
    assert "-5" in refused("import", tmp_path / "a.npy", tmp_path / "new")
    assert not (tmp_path / "new").exists()


# Info, show, history


def test_info(volume):
    found = facts("info", volume)
    assert found["shape"] == list(SHAPE)
    assert found["voxel_size"] == [40, 10, 10]
    assert found["revision"] == 3
    assert found["bytes_dense"] == 8 * 6 * 40 * 50
    assert found["bytes_on_disk"] == sum(path.stat().st_size for path in volume.rglob("*") if path.is_file())
    text = fine("info", volume)
    assert "6 x 40 x 50 voxels" in text
    assert "3 (edit by vendor-b/ana" in text


def test_show_writes_a_picture(volume, tmp_path):
    said = fine("show", volume, "-z", 2, "-o", tmp_path / "z.png")
    assert said == f"{tmp_path / 'z.png'}: 40 x 50 pixels\n"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "z.png")), colour_slice(labels()[2]))
    fine("show", volume, "-y", 20, "-o", tmp_path / "y.png", "--revision", 0, "--background", "#000000")
    expected = colour_slice(labels()[:, 20], background=(0, 0, 0, 255))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "y.png")), expected)
    fine("show", volume, "-x", 30, "-o", tmp_path / "x.png", "--box", ":,10:,:")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), colour_slice(read(volume)[:, 10:, 30]))


def test_show_has_the_middle_slice_on_a_pipe(volume):
    done = subprocess.run([*LABELOG, "show", str(volume)], capture_output=True, env=ENVIRONMENT)
    assert done.returncode == 0
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(done.stdout))), colour_slice(labels()[3]))


def test_show_uses_the_colours_that_came_with_the_volume(pictures, tmp_path):
    fine("import", pictures, tmp_path / "a")
    fine("show", tmp_path / "a", "-z", 1, "-o", tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")),
                                  np.asarray(Image.open(pictures / "s1.png")))  # fmt: skip


def test_show_draws_in_a_terminal(volume):
    text = in_terminal("show", volume, "-z", "2")
    assert "\N{UPPER HALF BLOCK}" in text
    assert len(text.splitlines()) <= 24


def test_scales(tmp_path):
    """Listed, drawn and written; a box and a slice are in the scale's voxels."""
    path = tmp_path / "v.labelog"
    array = np.repeat(labels(), 2, axis=2)
    with labelog.load(path, array, voxel_size=(40, 10, 10), chunks=(3, 30, 30)) as made:
        with made.edit() as edit:
            edit.set_region("seen", "annotated", ((1, 10, 20), (3, 30, 40)))
            edit.set_region("speck", "annotated", ((1, 10, 20), (2, 11, 21)))
        coarse = labelog.downsample(array, (1, 2, 2))
    listed = [(scale["shape"], scale["voxel_size"]) for scale in facts("info", path)["scales"]]
    assert listed == [([6, 40, 100], [40, 10, 10]), ([6, 20, 50], [40, 20, 20]), ([6, 10, 25], [40, 40, 40])]
    assert "scales      6 x 20 x 50, 6 x 10 x 25\n" in fine("info", path)
    fine("show", path, "--scale", 1, "-y", 12, "--box", ":,:,:40", "-o", tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), colour_slice(coarse[:, 12, :40]))
    found = facts("export", path, tmp_path / "a.npy", "--scale", 1, "--box", "2:4,:,:")
    assert (found["scale"], found["shape"]) == (1, [2, 20, 50])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), coarse[2:4])
    assert "(semantic, scale 2)" in fine("export", path, tmp_path / "b.npy", "--scale", -1, "--view", "semantic")
    fine("export", path, tmp_path / "c.npy", "--scale", 1, "--region", "seen", "--unannotated", 9)
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), coarse[1:3, 5:15, 10:20])
    assert "has scales 0 to 2, not 3" in refused("show", path, "--scale", 3)
    assert "lie within the volume's 0:6, 0:10, 0:25" in refused("show", path, "--scale", 2, "--box", ":,:,0:26")
    assert "too small for scale 2" in refused("export", path, tmp_path / "d.npy", "--scale", 2, "--region", "speck")


def test_show_refuses(volume, tmp_path):
    (tmp_path / "there.png").write_text("mine")
    for expected, arguments in (
        ("there is no slice z = 6; there is z from 0 to 5", ("-z", 6)),
        ("there is no slice x = 9; there is x from 10 to 19", ("-x", 9, "--box", ":,:,10:20")),
        ("does not lie within the volume", ("--box", "0:7,:,:")),
        ("is empty", ("--box", "3:3,:,:")),
        ("ends before it begins", ("--box", "5:2,:,:")),
        ("the box 7:7, ", ("--box", "7:,:,:")),
        ("there is no revision 4", ("--revision", 4)),
        ("did not exist yet", ("--revision", "2001-01-01")),
        ("already exists; --overwrite replaces it", ("-o", tmp_path / "there.png")),
        ("does not exist", ("-o", tmp_path / "none" / "a.png")),
    ):
        assert expected in refused("show", volume, *arguments)
    assert (tmp_path / "there.png").read_text() == "mine"
    fine("show", volume, "-o", tmp_path / "there.png", "--overwrite")


def revisions(volume, *filters):
    """The revisions that a filtered history has."""
    return [json.loads(line)["revision"] for line in fine("history", volume, "--json", *filters).splitlines()]


def test_history(volume):
    assert revisions(volume) == [3, 2, 1, 0]
    assert revisions(volume, "--limit", 2) == [3, 2]
    assert revisions(volume, "--author", "bo") == [2]
    assert revisions(volume, "--author", "vendor-b") == [3]
    assert revisions(volume, "--label", TOP) == [3]
    assert revisions(volume, "--label", 9) == [2, 1]
    assert revisions(volume, "--box", "0:1,0:10,0:5") == [1]
    assert revisions(volume, "--since", 1, "--until", 2) == [2]
    assert revisions(volume, "--since", "2001-01-01T00:00") == [3, 2, 1, 0]


def test_history_of_a_time_before_the_volume_is_empty(volume):
    for filters in (("--until", "2001-01-01"), ("--author", "nobody"), ("--label", 12345)):
        done = run("history", volume, *filters)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "labelog: no commit matches\n")
        assert revisions(volume, *filters) == []


def test_history_has_all_facts_of_a_commit(volume):
    fine("undo", volume, "--author", "ana", "--message", "why")
    first, *rest = [json.loads(line) for line in fine("history", volume, "--json").splitlines()]
    time = first.pop("time")
    assert time.endswith("+00:00")
    assert first == {"revision": 4, "kind": "undo", "author": "ana", "session": None, "message": "why", "voxels": 50,
                     "written": 100, "left_alone": 50, "targets": [1], "live": True, "said": []}  # fmt: skip
    assert [commit["live"] for commit in rest] == [True, True, False, True]


def test_history_as_a_table(volume):
    fine("undo", volume, "--author", "ana")
    lines = fine("history", volume).splitlines()
    assert lines[0].split() == ["REVISION", "TIME", "AUTHOR", "WHAT", "VOXELS", "MESSAGE"]
    assert re.search(r"4 .* ana +undo of 1 +50 +\[50 voxels left alone\]", lines[1])
    assert r"a line\n\x1b[2Jof text" in lines[2]  # what a terminal would obey is written out
    assert re.search(r"1 .* ana +edit \(taken out\) +100 +a box", lines[4])
    assert len(lines) == 6


def test_history_refuses_a_box_outside(volume):
    assert "does not lie within the volume" in refused("history", volume, "--box", "0:1,0:1,0:51")
    assert "there is no revision 9" in refused("history", volume, "--since", 9)


# Labels, merge, cleave, assign


@pytest.fixture(scope="session")
def original_cells(tmp_path_factory):
    """Cell 1 with mitochondrion 7 and vessel 300 in it, which Ana joined; the largest label, of which nothing is
    said; and label 5, a cell without voxels."""
    path = tmp_path_factory.mktemp("cells") / "c.labelog"
    table = {1: {"cls": "cell", "name": "A", "quality": 3}, 5: {"cls": "cell"},
             7: {"cls": "mitochondrion", "parent": 1}, 300: {"cls": "canalicular vessel", "parent": 1}}  # fmt: skip
    with labelog.load(path, labels(), author="lab", chunks=(4, 16, 16), classes="platelet", table=table) as volume:
        with volume.edit("ana", "one of two") as edit:
            edit.merge(7, [300])
    return path


@pytest.fixture
def cells(original_cells, tmp_path):
    return Path(shutil.copytree(original_cells, tmp_path / "c.labelog"))


def listed(volume, *filters):
    """The labels of the objects that a filtered list has."""
    return [int(json.loads(line)["label"]) for line in fine("labels", volume, "--json", *filters).splitlines()]


def test_labels(cells):
    assert listed(cells) == [1, 5, 7, TOP]
    assert listed(cells, "--revision", 0) == [1, 5, 7, 300, TOP]
    assert listed(cells, "--cls", "cell") == listed(cells, "--cls", 1) == [1, 5]
    assert listed(cells, "--cls", "organelle") == [7]
    assert listed(cells, "--parent", 1) == [7]
    assert listed(cells, "--parent", 0, "--name", "A") == [1]
    assert listed(cells, "--box", "5,:,:") == [1, TOP]
    first, *_ = fine("labels", cells, "--json").splitlines()
    assert json.loads(first) == {
        "label": "1", "class": "cell", "parent": "0", "name": "A", "voxels": 1800, "z0": 0, "y0": 5, "x0": 5,
        "z1": 6, "y1": 20, "x1": 25, "attributes": {"quality": 3},
    }  # fmt: skip


def test_labels_as_a_table(cells):
    lines = fine("labels", cells).splitlines()
    assert lines[0].split() == ["LABEL", "CLASS", "PARENT", "NAME", "VOXELS", "BOX"]
    assert lines[1].split() == ["1", "cell", "A", "1,800", "0:6,5:20,5:25"]
    assert lines[2].split() == ["5", "cell", "0"]
    assert lines[3].split() == ["7", "mitochondrion", "1", "1,218", "1:4,22:38,10:48"]
    assert len(lines) == 5


def test_labels_of_nothing(cells, tmp_path):
    fine("create", tmp_path / "new", "--shape", "1,2,3")
    for arguments, note in (
        ((tmp_path / "new",), "there are no objects"),
        ((cells, "--name", "B"), "no object matches"),
    ):
        done = run("labels", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"labelog: {note}\n")
        assert fine("labels", *arguments, "--json") == ""


def test_labels_to_csv(cells, tmp_path):
    target = tmp_path / "objects.csv"
    assert fine("labels", cells, "--csv", target, "--cls", "cell") == f"{target}: 2 objects\n"
    lines = target.read_text().splitlines()
    assert lines[0] == "label,class,parent,name,voxels,z0,y0,x0,z1,y1,x1,attributes"
    assert lines[1] == '1,cell,0,A,1800,0,5,5,6,20,25,"{""quality"": 3}"'
    assert "already exists; --overwrite replaces it" in refused("labels", cells, "--csv", target)
    fine("labels", cells, "--csv", target, "--overwrite")
    assert len(fine("labels", cells, "--csv", "-").splitlines()) == len(target.read_text().splitlines()) == 5


def test_labels_of_one(cells):
    text = fine("labels", cells, 300)
    assert "label       7 (300 is a part of it)\n" in text
    assert "lies in     1 (cell, A)\n" in text
    assert "fragments   7, 300\n" in text
    text = fine("labels", cells, 1)
    assert "own voxels  1,800 in 0:6,5:20,5:25, 8 chunks\n" in text
    assert "whole       3,018 in 0:6,5:38,5:48, " in text
    assert "children    7 (mitochondrion)\n" in text
    assert "quality     3\n" in text
    found = facts("labels", cells, 1)
    assert (found["label"], found["children"], found["fragments"], found["whole"]["voxels"]) == (
        "1",
        ["7"],
        ["1"],
        3018,
    )
    assert "own voxels  none\n" in fine("labels", cells, 5)


def test_labels_refuses(cells):
    assert "there is no label 9 at revision 1" in refused("labels", cells, 9)
    assert "there is no class 'neuron'; there are: background, cell" in refused("labels", cells, "--cls", "neuron")
    assert "--cls is for the list" in refused("labels", cells, 7, "--cls", "cell", code=2)
    assert "does not lie within the volume" in refused("labels", cells, "--box", "0:7,:,:")


def test_merge_and_cleave(cells):
    before = read(cells)
    said = fine("merge", cells, 7, TOP, 5, "--author", "bo", "--message", "why")
    assert said == f"revision 2: {TOP}, 5 merged with 7; now object 7 (of 5, 7, 300, {TOP})\n"
    commit = facts("info", cells)["last_commit"]
    assert (commit["author"], commit["message"], commit["voxels"]) == ("bo", "why", 0)
    assert read(cells)[5, 0, 0] == 7
    said = fine("cleave", cells, 300, TOP)
    assert said == f"revision 3: 300, {TOP} taken out of 7; now object 7 (of 5, 7) and object 300 (of 300, {TOP})\n"
    assert facts("cleave", cells, 7)["objects"] == {"5": ["5"], "7": ["7"]}
    fine("cleave", cells, 300)
    assert read(cells)[5, 0, 0] == TOP
    assert (read(cells) == 300).sum() == (before == 7).sum() - (read(cells) == 7).sum()
    assert facts("merge", cells, 7, 300)["objects"] == {"7": ["7", "300"]}
    assert facts("check", cells)["ok"]


def test_merge_and_cleave_refuse(cells):
    assert "there is no label 9" in refused("merge", cells, 7, 9)
    assert "can't be merged with itself" in refused("merge", cells, 7, 7)
    assert "would be its own ancestor" in refused("merge", cells, 7, 1)
    assert "is not merged with others" in refused("cleave", cells, 1)
    assert "are of one body" in refused("cleave", cells, 1, 7)
    assert "there is no label 9" in refused("cleave", cells, 9)
    assert facts("info", cells)["revision"] == 1


def test_components(cells, tmp_path):
    with labelog.open(cells) as volume, volume.edit("bo") as edit:
        edit[5, 38:40, 0:3] = 7
        edit[5, 39, 5] = 7
    with labelog.open(cells, "r") as volume:
        found = volume.components()
        granules = volume.components(cls="organelle", view="instance")
    rows = [json.loads(line) for line in fine("components", cells, "--json").splitlines()]
    assert [row["label"] for row in rows] == [*map(str, found.label[1:].tolist())]
    assert [row["voxels"] for row in rows] == found.voxels[1:].tolist()
    lines = fine("components", cells, "--cls", "organelle").splitlines()
    assert len(lines) == granules.count + 2 and lines[0].split() == [
        "COMPONENT",
        "LABEL",
        "VOXELS",
        "BOX",
        "FIRST",
        "VOXEL",
    ]
    assert lines[-1].startswith(f"{granules.count} components of 1 label, ") and granules.count > 2
    assert len(fine("components", cells, "--labels", "7", "--at-least", 2).splitlines()) == granules.count + 1
    said = fine("components", cells, "--csv", tmp_path / "t.csv", "--box", "5,:,:")
    assert said == f"{tmp_path / 't.csv'}: {len((tmp_path / 't.csv').read_text().splitlines()) - 1} components\n"
    done = run("components", cells, "--labels", 300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "labelog: there is no such component\n")


def test_components_become_objects(cells):
    before = read(cells)
    with labelog.open(cells) as volume, volume.edit("bo") as edit:
        edit[5, 38:40, 0:3] = 7
        edit[5, 39, 5] = 7
    said = fine("components", cells, "--cls", "organelle", "--separate", "--remove", 2, "--author", "ana").splitlines()
    assert said == ["revision 3: 2 new objects, 1 voxel given away", "new: 301, 302"]
    now = read(cells)
    assert (now[5, 38:40, 0:3] == 302).all() and now[5, 39, 5] == 1
    assert facts("labels", cells, 302)["parent"] == "1"
    assert facts("components", cells, "--labels", "7,302", "--separate")["revision"] is None
    assert "stays as it is" in fine("components", cells, "--labels", 7, "--separate")
    fine("revert", cells, 3), fine("revert", cells, 2)
    np.testing.assert_array_equal(read(cells), before)
    assert "--remove is for --separate" in refused("components", cells, "--remove", 2, code=2)
    assert "--view is not for --separate" in refused("components", cells, "--separate", "--view", "cell", code=2)
    assert "there is no label 9" in refused("components", cells, "--separate", "--labels", 9)


def test_mesh(cells, tmp_path):
    pytest.importorskip("zmesh", reason="meshes need the extra meshes")
    with labelog.open(cells, "r") as volume:
        surface = labelog.mesh(volume.view("cell"), 1)
    said = fine("mesh", cells, 1, "--view", "cell", "-o", tmp_path / "cell.ply")
    assert f"{len(surface.vertices):,} vertices, {len(surface.faces):,} triangles, of scale 0" in said
    header, _, data = (tmp_path / "cell.ply").read_bytes().partition(b"end_header\n")
    assert f"element vertex {len(surface.vertices)}\n".encode() in header and b", nm\n" in header
    vertices = np.frombuffer(data, "<f4", surface.vertices.size).reshape(-1, 3)
    faces = np.frombuffer(data, [("n", "u1"), ("at", "<u4", 3)], offset=4 * surface.vertices.size)
    assert np.array_equal(vertices, surface.vertices[:, ::-1]) and (faces["n"] == 3).all()
    assert np.array_equal(faces["at"], surface.faces[:, ::-1])
    assert "already exists; --overwrite" in refused("mesh", cells, 1, "-o", tmp_path / "cell.ply")
    fine("mesh", cells, 1, "-o", tmp_path / "cell.ply", "--overwrite")
    assert "there is no label 9" in refused("mesh", cells, 9, "-o", tmp_path / "none.ply")
    assert not (tmp_path / "none.ply").exists()


def test_compare(cells, tmp_path):
    there = read(cells)
    other = there.copy()
    other[2:4, 10:30, 10:30] = 17
    np.save(tmp_path / "b.npy", other)
    with labelog.load(tmp_path / "b", other):
        pass
    found = labelog.contingency(there, other)
    summary, *rows = (json.loads(line) for line in fine("compare", cells, tmp_path / "b", "--json").splitlines())
    assert [(int(row["a"]), int(row["b"]), row["voxels"]) for row in rows] == [
        *zip(found.a.tolist(), found.b.tolist(), found.voxels.tolist(), strict=True)]  # fmt: skip
    assert summary["pairs"] == len(found.a) and summary["rand_index"] == found.rand_index() < 1
    assert [row["iou"] for row in rows] == found.iou().tolist()
    for a, b in ((cells, tmp_path / "b.npy"), (tmp_path / "b.npy", cells)):
        again = [json.loads(line) for line in fine("compare", a, b, "--json").splitlines()]
        assert again[0]["rand_index"] == summary["rand_index"] and len(again) == len(rows) + 1
    np.save(tmp_path / "a.npy", there)
    assert fine("compare", tmp_path / "a.npy", tmp_path / "b.npy") == fine("compare", cells, tmp_path / "b")
    assert "adjusted Rand index: 1.0000" in fine("compare", cells, tmp_path / "a.npy")
    said = fine("compare", cells, tmp_path / "b", "--box", "2:3,:,:", "--csv", "-").splitlines()
    assert said[0] == "a,b,voxels,a_voxels,b_voxels,iou"
    part = labelog.contingency(there[2:3], other[2:3])
    assert len(said) == len(part.a) + 1 and sum(int(line.split(",")[2]) for line in said[1:]) == there[2].size
    assert "--box is for volumes" in refused("compare", cells, tmp_path / "b.npy", "--box", "2:3,:,:")
    np.save(tmp_path / "c.npy", other[:, :-1])
    assert "must be alike" in refused("compare", cells, tmp_path / "c.npy")
    assert "does not exist" in refused("compare", cells, tmp_path / "none")


def test_split_by_a_mask(cells, tmp_path):
    """A part of the cell with all of the vessel's chunk in it, and half of the mitochondrion."""
    before = read(cells)
    mask = np.zeros((2, 10, 50), np.uint8)
    mask[:, :, :20] = 255
    np.save(tmp_path / "part.npy", mask)
    said = fine("split", cells, 1, "--mask", tmp_path / "part.npy", "--at", "1,10,0", "--author", "bo")
    assert said == "revision 2: object 1 split; now objects 1 (2,305 voxels); 301 (300 voxels)\n".replace(
        "2,305", f"{(np.isin(before, (1, 7))).sum() - 300:,}")  # fmt: skip
    expected = before.copy()
    expected[1:3, 10:20, 5:20] = 301
    np.testing.assert_array_equal(read(cells), expected)
    found = facts("labels", cells, 301)
    assert (found["class"], found["parent"]) == ("cell", "0")
    whole = np.zeros(SHAPE, np.uint8)
    whole[:, :, 25:] = 1
    whole[:, :20] = 1  # all of the cell's own, and a part of what lies in it
    whole[0, :6] = 0
    np.save(tmp_path / "whole.npy", whole)
    assert fine("split", cells, 1, "--mask", tmp_path / "whole.npy").splitlines()[1] == (
        "in several parts at once, and still in 1: 7"
    )
    fine("undo", cells, "--author", "bo")
    assert facts("check", cells)["ok"]


def test_split_by_seeds(cells):
    said = facts("split", cells, 7, "--seeds", "1,22,10;2,22,10", "1,34,39", "2,30,42", "--message", "three")
    assert (said["label"], said["labels"], said["message"]) == ("7", ["301", "302"], "three")
    assert (said["moved"], said["straddling"]) == ({}, [])
    array = read(cells)
    assert (array[1, 22, 10], array[1, 34, 39], array[2, 30, 42]) == (7, 301, 302)


def test_split_into_components(cells):
    """A mitochondrion in two pieces, both apart from its cell, is wholly in no piece of it; when it is two, each is."""
    assert fine("split", cells, TOP, "--components") == f"object {TOP} stays as it is: it is one piece\n"
    assert facts("split", cells, TOP, "--components", 26)["revision"] is None
    assert fine("split", cells, 1, "--components").splitlines() == [
        "object 1 stays as it is: no other piece is an object",
        "in several parts at once, and still in 1: 7",
    ]
    assert facts("split", cells, 7, "--components", 18)["labels"] == ["301"]
    said = fine("split", cells, 1, "--components").splitlines()
    assert said == [
        "revision 3: object 1 split; now objects 1 (1,800 voxels); 302 (1,170 voxels); 303 (48 voxels)",
        "7 lies in 302 now; 301 lies in 303 now",
    ]
    assert [facts("labels", cells, label)["parent"] for label in (7, 301)] == ["302", "303"]


def test_split_refuses(cells, tmp_path):
    np.save(tmp_path / "part.npy", np.ones((1, 2, 3), np.uint8))
    part = tmp_path / "part.npy"
    assert "--at Z,Y,X says where it goes" in refused("split", cells, 7, "--mask", part)
    assert "would have no voxels" in refused("split", cells, 7, "--mask", part, "--at", "0,0,0")
    np.save(tmp_path / "all.npy", np.ones(SHAPE, np.uint8))
    assert "all of label 7; nothing would keep the label" in refused("split", cells, 7, "--mask", tmp_path / "all.npy")
    assert "5:6" in refused("split", cells, 7, "--mask", part, "--at", "5,39,49")
    assert "does not exist" in refused("split", cells, 7, "--mask", tmp_path / "none.npy")
    assert "two or more groups" in refused("split", cells, 7, "--seeds", "1,22,10")
    assert "is not in label 7" in refused("split", cells, 7, "--seeds", "1,22,10", "0,0,0")
    assert "there is no label 9" in refused("split", cells, 9, "--components")
    assert "--at is for --mask" in refused("split", cells, 7, "--components", "--at", "0,0,0", code=2)
    assert facts("info", cells)["revision"] == 1


def test_shapes(cells):
    """Holes, islands, growth and gaps: what is printed, and that each is one edit that can be undone."""
    with labelog.open(cells) as volume, volume.edit("maker") as edit:
        edit[2, 10, 10:12] = edit[2, 12, 10] = 0
        edit[0, 0, 0] = 1
    before = read(cells)
    assert fine("holes", cells, 1, "--author", "bo", "--message", "by slice", "--axis", "z") == (
        "revision 3: object 1: 2 holes filled, 3 voxels in 2:3,10:13,10:12\n"
    )
    assert fine("holes", cells, 1) == "object 1 stays as it is: no hole is to be filled\n"
    assert facts("holes", cells, 1, "--over", "any")["revision"] is None
    fine("undo", cells, "--author", "bo")
    assert fine("holes", cells, 1, "--below", 2, "--box", "2:3,:,:") == (
        "revision 5: object 1: 1 hole filled, 1 voxel in 2:3,12:13,10:11\n"
    )
    fine("undo", cells)
    assert "2 islands removed, 3 voxels" not in fine("islands", cells, 1, "--below", 1)
    assert fine("islands", cells, 1, "--below", 2).startswith("revision 7: object 1: 1 island removed, 1 voxel in")
    fine("undo", cells)
    said = facts("dilate", cells, 1, 10, "--unit", "nm", "--message", "wider")
    assert (said["revision"], said["message"], said["label"], said["pieces"]) == (9, "wider", "1", 1)
    assert said["box"] == [[0, 0, 0], [6, 40, 50]]
    fine("undo", cells)
    assert fine("erode", cells, 1, 0) == "object 1 stays as it is: nothing outside is within reach\n"
    assert fine("erode", cells, 1, 1, "--axis", "z", "--box", "0,:,:").startswith("revision 11: object 1: shrunk, ")
    fine("undo", cells)
    with labelog.open(cells) as volume, volume.edit("bo") as edit:
        edit[1:5, 5:20, 5:25] = 0
    assert fine("gaps", cells, 1, "--slices", 0, 5) == (
        "revision 14: object 1: 4 slices filled, 1,200 voxels in 1:5,5:20,5:25\n"
    )
    assert fine("gaps", cells, 1) == "object 1 stays as it is: no gap is to be filled\n"
    fine("undo", cells)
    fine("undo", cells, "--author", "bo")
    np.testing.assert_array_equal(read(cells), before)


def test_an_object_worn_away(tmp_path):
    """Of which nothing else is said: then there is no such label any more."""
    array = np.zeros((5, 5, 5), np.uint8)
    array[2, 2, 2] = 7
    labelog.load(tmp_path / "one.labelog", array).close()
    assert fine("erode", tmp_path / "one.labelog", 7, 1) == (
        "revision 1: object 7: shrunk, 1 voxel in 2:3,2:3,2:3; nothing is left of it\n"
    )
    assert "there is no label 7" in refused("erode", tmp_path / "one.labelog", 7, 1)
    assert facts("info", tmp_path / "one.labelog")["revision"] == 1


def test_shapes_refuse(cells):
    assert "there is no label 9" in refused("holes", cells, 9)
    assert "label 5 has no voxels" in refused("dilate", cells, 5, 1)
    assert "must be 4 or 8, not 6" in refused("islands", cells, 1, "--below", 2, "--axis", "z", "--connectivity", 6)
    assert "a distance is a number from 0 to 1e+09, not -1.0" in refused("erode", cells, 1, "--", -1)
    assert "--over takes labels, or 'any' alone" in refused("dilate", cells, 1, 1, "--over", "any", 3)
    assert "label 1 has no voxels in slice 2" in refused("gaps", cells, 1, "--axis", "x", "--slices", 2, 25)
    assert "two slices or more, with others between them, found [3]" in refused("gaps", cells, 1, "--slices", 3, 3)
    assert facts("info", cells)["revision"] == 1


def test_assign(cells):
    assert fine("assign", cells, TOP, "--cls", "cell", "--name", "B\x1b", "--author", "ana") == (
        f"revision 2: label {TOP} is of class cell; label {TOP} is called 'B\\x1b'\n"
    )
    said = facts("assign", cells, 300, "--parent", TOP, "--attribute", "by=lee", "--attribute", "seen=[1, 2]")["said"]
    assert said == [f"label 7 lies in {TOP}", 'label 7 has by = "lee"', "label 7 has seen = [1, 2]"]
    assert facts("labels", cells, 7)["attributes"] == {"by": "lee", "seen": [1, 2]}
    fine("assign", cells, 7, "--parent", 0, "--cls", "", "--attribute", "by=")
    found = facts("labels", cells, 7)
    assert (found["class"], found["parent"], found["attributes"]) == (None, "0", {"seen": [1, 2]})


def test_assign_refuses(cells):
    assert "say something: --cls" in refused("assign", cells, 7, code=2)
    assert "expected NAME=VALUE" in refused("assign", cells, 7, "--attribute", "quality", code=2)
    assert "can't be called 'label'" in refused("assign", cells, 7, "--attribute", "label=3")
    assert "there is no class 'neuron'" in refused("assign", cells, 7, "--cls", "neuron")
    assert "there is no class 99" in refused("assign", cells, 7, "--cls", 99)
    assert "there is no label 9" in refused("assign", cells, 7, "--parent", 9)
    assert "would be its own ancestor" in refused("assign", cells, 1, "--parent", 300)
    assert facts("info", cells)["revision"] == 1


def test_history_and_undo_say_what_was_said(cells):
    fine("assign", cells, 7, "--cls", "cell", "--name", "B", "--parent", 0, "--author", "ana")
    lines = fine("history", cells).splitlines()
    assert lines[1].endswith("edit         0  [label 7 is of class cell; label 7 lies in no other; and 1 more]")
    assert lines[2].endswith("one of two [label 300 is merged with 7]")
    assert lines[3].endswith("loaded")
    assert revisions(cells, "--label", 300) == [1, 0]
    assert fine("undo", cells, "--author", "ana") == (
        "revision 3: undo of 2 (edit by ana); 0 voxels changed\n"
        "now label 7 is of class mitochondrion; label 7 lies in 1; label 7 has no name\n"
    )
    assert facts("undo", cells, "--author", "ana")["said"] == ["label 300 is not merged with 7"]
    assert listed(cells) == [1, 5, 7, 300, TOP]


def test_history_names_the_image(cells):
    for reference, said in (({"address": "image", "kind": "zarr"}, "the image is image"), (None, "there is no image")):
        with labelog.open(cells) as opened, opened.edit("ana") as edit:
            edit.set_image(reference)
        assert fine("history", cells, "--limit", 1).splitlines()[1].endswith(f"[{said}]")


def test_undo_does_not_break_what_others_did(cells):
    with labelog.open(cells) as opened, opened.edit("ana") as edit:
        cell = edit.new(cls="cell")
    fine("assign", cells, 7, "--parent", cell, "--author", "bo")
    assert f"label 7 lies in label {cell}, which would be no more" in refused("undo", cells, "--author", "ana")
    fine("undo", cells, "--author", "bo")
    fine("undo", cells, "--author", "ana")


def test_info_counts_objects_by_class(cells, volume):
    assert "objects     2 cell, 1 mitochondrion\n" in fine("info", cells)
    assert facts("info", cells)["objects"]["organelle"] == 0
    assert "objects     none has a class\n" in fine("info", volume)


# Classes, regions


def test_classes(cells):
    lines = fine("classes", cells).splitlines()
    assert re.split("  +", lines[0].strip()) == ["ID", "NAME", "COLOUR", "A KIND OF", "WITHIN", "OBJECTS"]
    assert re.split("  +", lines[2].strip()) == ["1", "cell", "#0101e0", "no other", "2"]
    assert re.split("  +", lines[3].strip()) == ["2", "mitochondrion", "#01abfe", "organelle", "cell", "1"]
    entry = json.loads(fine("classes", cells, "--json").splitlines()[2])
    assert entry == {"id": 2, "name": "mitochondrion", "colour": "#01abfe", "kind_of": "organelle",
                     "within": ["cell"], "objects": 1}  # fmt: skip


def test_classes_go_from_volume_to_volume_as_toml(cells, volume, tmp_path):
    done = run("classes", volume)
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no classes; --add FILE adds some" in done.stderr
    (tmp_path / "own.toml").write_text(fine("classes", cells, "--toml"))
    said = fine("classes", volume, "--add", tmp_path / "own.toml", "--author", "lab")
    assert said == ("revision 4: class 0 is 'background'; class 1 is 'cell'; class 2 is 'mitochondrion'; "
                    "class 3 is 'alpha granule'; class 4 is 'canalicular vessel'; and 3 more\n")  # fmt: skip
    assert fine("classes", volume, "--toml") == fine("classes", cells, "--toml")
    fine("undo", volume, "--author", "lab")
    assert fine("classes", volume, "--json") == ""
    assert facts("classes", volume, "--add", "platelet")["said"][7] == "class 7 is 'organelle'"


def test_classes_are_renamed(cells):
    assert fine("classes", cells, "--rename", "cell", "platelet") == "revision 2: class 1 is 'platelet'\n"
    assert facts("labels", cells, 1)["class"] == "platelet"
    assert json.loads(fine("classes", cells, "--json").splitlines()[2])["within"] == ["platelet"]


def test_classes_refuses(cells, tmp_path):
    (tmp_path / "a.toml").write_text('[[class]]\nid = 9\nname = "cell"\n')
    assert "'cell' is there twice" in refused("classes", cells, "--add", tmp_path / "a.toml")
    assert "does not exist; the classes that come" in refused("classes", cells, "--add", "none")
    assert "there is no class 'neuron'" in refused("classes", cells, "--rename", "neuron", "cell")
    assert "is there twice" in refused("classes", cells, "--rename", "cell", "mitochondrion")
    assert "--revision is for the list" in refused("classes", cells, "--add", "platelet", "--revision", 0, code=2)
    assert facts("info", cells)["revision"] == 1


def test_regions(cells):
    done = run("regions", cells)
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no regions" in done.stderr
    said = fine("regions", cells, "--set", "train", "gold", "0:2,:,10:")
    assert said == "revision 2: region 'train' is gold, 0:2, 0:40, 10:50\n"
    assert fine("regions", cells).splitlines()[1].split() == ["train", "gold", "3,200", "0:2,0:40,10:50"]
    assert json.loads(fine("regions", cells, "--json")) == {
        "name": "train", "kind": "gold", "voxels": 3200, "box": [[0, 0, 10], [2, 40, 50]]
    }  # fmt: skip
    assert facts("regions", cells, "--remove", "train")["said"] == ["region 'train' is no more"]
    assert fine("regions", cells, "--json") == ""
    assert fine("regions", cells, "--json", "--revision", 2) != ""


def test_regions_refuses(cells):
    assert "a KIND is one of annotated, gold, ignore" in refused(
        "regions", cells, "--set", "a", "golden", ":,:,:", code=2
    )
    assert "expected Z0:Z1,Y0:Y1,X0:X1" in refused("regions", cells, "--set", "a", "gold", "1:2", code=2)
    assert "does not lie within the volume" in refused("regions", cells, "--set", "a", "gold", "0:7,:,:")
    assert "there is no region 'a'" in refused("regions", cells, "--remove", "a")


# Views


def picture_of(path):
    return np.asarray(Image.open(path))


SEMANTIC = {1: (1, 1, 224, 255), 2: (1, 171, 254, 255), 4: (255, 224, 0, 255)}  # of the platelet classes


def test_show_of_views(cells, tmp_path):
    now = labels()
    for name, expected in (
        ("instance", colour_slice(np.where(now == 300, 7, now)[2])),
        ("fragment", colour_slice(now[2])),
        ("semantic", colour_slice(np.where(now == 1, 1, np.where(np.isin(now, (7, 300)), 2, 0))[2], SEMANTIC)),
        ("cell", colour_slice(np.where(np.isin(now, (1, 7, 300)), 1, 0)[2])),
        ("organelle", colour_slice(np.where(np.isin(now, (7, 300)), 7, 0)[2])),
    ):
        fine("show", cells, "-z", 2, "--view", name, "-o", tmp_path / f"{name}.png")
        np.testing.assert_array_equal(picture_of(tmp_path / f"{name}.png"), expected)
    fine("show", cells, "-z", 2, "--view", "semantic", "--background", "#0a0b0c", "-o", tmp_path / "a.png")
    assert tuple(picture_of(tmp_path / "a.png")[0, 0]) == (10, 11, 12, 255)
    assert "there is no view 'none'; there are instance, fragment, semantic, background, cell" in refused(
        "show", cells, "--view", "none")  # fmt: skip


def test_export_of_views(cells, tmp_path):
    said = fine("export", cells, tmp_path / "a.npy", "--view", "semantic", "--revision", 0)
    assert re.fullmatch(r".*a.npy: 6 x 40 x 50 voxels \(semantic\) at revision 0, npy, .*\n", said)
    expected = np.select([labels() == 1, labels() == 7, labels() == 300], [1, 2, 4], 0)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    assert facts("export", cells, tmp_path / "b.npy", "--view", "fragment")["view"] == "fragment"
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), labels())
    fine("export", cells, tmp_path / "a.tif", "--view", "cell", "--dtype", "uint8")
    assert formats.read(tmp_path / "a.tif").dtype == np.uint8


def test_export_of_regions(cells, tmp_path):
    fine("regions", cells, "--set", "train", "gold", "1:3,5:20,0:30")
    whole = read(cells)
    fine("export", cells, tmp_path / "a.npy", "--region", "train")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), whole[1:3, 5:20, 0:30])
    fine("export", cells, tmp_path / "b.npy", "--view", "semantic", "--unannotated", 255)
    seen = np.load(tmp_path / "b.npy")
    assert (seen[1, 5, 4], seen[0, 5, 4], seen[0, 5, 5]) == (0, 255, 1)
    fine("export", cells, tmp_path / "c.npy", "--unannotated", TOP - 1)
    assert np.load(tmp_path / "c.npy")[0, 0, 0] == TOP - 1
    assert "there is no region 'none'; there are: train" in refused("export", cells, tmp_path / "d.npy",
                                                                    "--region", "none")  # fmt: skip
    said = refused("export", cells, f"{tmp_path}/d/", "--view", "semantic", "--unannotated", 255)
    assert "class 255 has no colour" in said


def test_export_of_classes_without_a_colour(cells, tmp_path):
    (tmp_path / "own.toml").write_text('[[class]]\nid = 2\nname = "mitochondrion"\n')
    fine("classes", cells, "--add", tmp_path / "own.toml")
    said = refused("export", cells, tmp_path / "a.tif", "--view", "semantic")
    assert "class 2 has no colour; --colours gives it one" in said
    fine("export", cells, tmp_path / "a.tif", "--view", "semantic", "--colours")
    fine("export", cells, tmp_path / "b.tif", "--view", "semantic", "--no-colours")


# Undo, redo, revert


def test_undo_and_redo(volume):
    assert fine("undo", volume, "--author", "ana") == (
        "revision 4: undo of 1 (edit by ana: a box); 50 voxels changed\n"
        "50 voxels left alone, as later edits wrote them\n"
    )
    np.testing.assert_array_equal(read(volume)[0, :10, :10], [[0] * 5 + [11] * 5] * 5 + [[0] * 5 + [11] * 5] * 5)
    commit = facts("redo", volume, "--author", "ana")
    assert (commit["kind"], commit["targets"], commit["voxels"], commit["left_alone"]) == ("redo", [4], 50, 50)
    np.testing.assert_array_equal(read(volume), read(volume, 3))


def test_undo_refuses(volume):
    assert "nobody has nothing left to undo" in refused("undo", volume, "--author", "nobody")
    assert "(session w2) has nothing" in refused("undo", volume, "--author", "ana", "--session", "w2")
    assert "50 of the voxels" in refused("undo", volume, "--author", "ana", "--strict")
    assert "ana has nothing to redo" in refused("redo", volume, "--author", "ana")
    assert facts("info", volume)["revision"] == 3


def test_revert(volume):
    commit = facts("revert", volume, 1, "--by", "lee", "--message", "wrong place")
    assert (commit["author"], commit["kind"], commit["targets"], commit["message"]) == (
        "lee", "revert", [1], "wrong place"
    )  # fmt: skip
    assert "revert of 3 (edit by vendor-b/ana: a line\\n" in fine(
        "revert", volume, "--author", "vendor-b/", "--by", "lee"
    )
    np.testing.assert_array_equal(read(volume)[4], labels()[4])


def test_revert_refuses(volume):
    assert "name a REVISION, or an author" in refused("revert", volume, code=2)
    assert "name a REVISION, or an author" in refused("revert", volume, 1, "--author", "ana", code=2)
    assert "no commit 0 to revert" in refused("revert", volume, 0)
    assert "no commit 4 to revert" in refused("revert", volume, 4)
    assert "nobody has made no edit" in refused("revert", volume, "--author", "nobody")
    assert "author must be" in refused("revert", volume, 1, "--by", "a//b")
    assert "written again" in refused("revert", volume, 1, "--strict")
    fine("revert", volume, 1)
    assert "already taken out, by 4" in refused("revert", volume, 1)


# Export


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.json", "a.tif"])
def test_export(volume, tmp_path, name):
    report = facts("export", volume, tmp_path / name)
    assert report["revision"] == 3
    assert report["bytes"] == (tmp_path / name).stat().st_size
    stack = formats.read(tmp_path / name)
    np.testing.assert_array_equal(np.concatenate(list(stack.slabs())), read(volume))
    if name in ("a.h5", "a.json"):
        assert (stack.voxel_size, stack.unit) == ((40, 10, 10), "nm")


def test_export_of_a_part_at_a_revision(volume, tmp_path):
    said = fine("export", volume, f"{tmp_path}/slices/", "--revision", 0, "--box", "1:3,20:,:40")
    assert re.fullmatch(r".*slices/: 2 x 20 x 40 voxels at revision 0, png, \d+ bytes\n", said)
    stack = formats.read(tmp_path / "slices")
    np.testing.assert_array_equal(np.concatenate(list(stack.slabs())), labels()[1:3, 20:, :40])


def test_export_of_colours(volume, pictures, tmp_path):
    fine("import", pictures, tmp_path / "a")
    fine("export", tmp_path / "a", tmp_path / "pictures", "--format", "png")
    for z in range(2):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "pictures" / f"{z:04d}.png")),
                                      np.asarray(Image.open(pictures / f"s{z}.png")))  # fmt: skip
    fine("export", tmp_path / "a", tmp_path / "labels", "--format", "png", "--no-colours")
    assert np.asarray(Image.open(tmp_path / "labels" / "0001.png")).max() == 2
    with labelog.open(tmp_path / "a") as opened, opened.edit("ana") as edit:
        edit[0, 0, 0] = 77
    said = refused("export", tmp_path / "a", tmp_path / "b.tif")
    assert "label 77 has no colour; --colours gives it one, --no-colours writes labels" in said
    assert not (tmp_path / "b.tif").exists()
    fine("export", tmp_path / "a", tmp_path / "b.tif", "--colours")


def test_export_makes_colours_that_can_be_read_back(volume, tmp_path):
    fine("export", volume, tmp_path / "a.tif", "--colours")
    fine("import", tmp_path / "a.tif", tmp_path / "b")
    pairs = np.unique(np.stack([read(volume).ravel(), read(tmp_path / "b").ravel()]), axis=1)
    assert len(pairs[0]) == len(set(pairs[0].tolist())) == len(set(pairs[1].tolist())) == 7


def test_made_colours_are_each_labels_own():
    colours = {0: (0, 0, 0, 0)}
    files._colour_all(np.arange(3, dtype=np.uint64), colours)
    taken = {9: colours[1], 8: colours[2]}
    files._colour_all(np.arange(3, dtype=np.uint64), taken)
    assert len(set(taken.values())) == len(taken) == 5


def test_export_takes_dtype_and_dataset(volume, tmp_path):
    fine("export", volume, tmp_path / "a.h5", "--dataset", "labels", "--box", "0:4,:,:", "--dtype", "uint16")
    assert formats.read(tmp_path / "a.h5", dataset="labels").dtype == np.uint16
    assert "does not fit uint16" in refused("export", volume, tmp_path / "b.h5", "--dtype", "uint16")
    assert not (tmp_path / "b.h5").exists()


def test_export_refuses(volume, tmp_path):
    (tmp_path / "there.npy").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    for expected, arguments in (
        ("already exists; --overwrite replaces it", ("there.npy",)),
        ("does not exist", ("none/a.npy",)),
        ("no format has this suffix; name one with --format", ("a.gif",)),
        ("does not fit PNG", ("slices/",)),
        ("a PNG holds one slice", ("a.png", "--box", "0:4,:,:")),
        ("does not lie within the volume", ("a.npy", "--box", "0:9,:,:")),
        ("there is no revision 9", ("a.npy", "--revision", "9")),
        ("format npy has no option colours", ("a.npy", "--colours")),
        ("is not a folder of .png files only", (".", "--format", "png", "--overwrite", "--box", "0:4,:,:")),
        ("lies in the volume", ("a.labelog", "--format", "png", "--overwrite", "--box", "0:4,:,:")),
    ):
        assert expected in refused("export", volume, *arguments, cwd=tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "there.npy").read_text() == "mine"
    fine("export", volume, tmp_path / "there.npy", "--overwrite")


def test_no_output_goes_into_a_volume(original, cells, pictures, tmp_path, monkeypatch, capsys):
    """Neither into the one that is read nor into another, whatever leads there."""
    (tmp_path / "link").symlink_to(cells / "base")
    monkeypatch.chdir(cells / "base")

    def held():
        return {path: path.read_bytes() for path in sorted(cells.rglob("*")) if path.is_file()}

    before = held()
    journal = cells / "journal.sqlite"
    for arguments in (
        ("export", cells, journal, "--format", "npy", "--overwrite"),
        ("export", original, journal, "--format", "json", "--overwrite"),
        ("export", original, tmp_path / "link" / "a.npy"),
        ("export", original, "../head", "--format", "npy", "--overwrite"),
        ("export", original, f"{cells}/slices/", "--view", "fragment"),
        ("show", original, "-o", cells / "labelog.json", "--overwrite"),
        ("labels", original, "--csv", cells / "head", "--overwrite"),
        ("components", original, "--csv", journal, "--overwrite"),
        ("compare", original, original, "--csv", cells / "a.csv"),
        ("mesh", original, 1, "-o", journal, "--overwrite"),
        ("create", cells / "base" / "b.labelog", "--shape", "2,2,2"),
        ("import", pictures, cells / "b.labelog"),
    ):
        assert cli.main([*map(str, arguments)]) == 1, arguments
        assert f"lies in the volume {cells}, whose files are its own" in capsys.readouterr().err, arguments
        assert held() == before, arguments


# Check, compact


def test_check(volume):
    assert facts("check", volume) == {"volume": str(volume), "ok": True, "problems": [], "revisions": 4,
                                      "chunks": 14, "deltas": 6}  # fmt: skip
    assert fine("check", volume) == "4 revisions, 14 chunks, 6 deltas verified: all is well\n"


def test_check_of_objects(cells):
    fine("assign", cells, TOP, "--cls", "mitochondrion")
    fine("regions", cells, "--set", "train", "gold", "1:4,:,:")
    done = run("check", cells, "--objects")
    assert (done.returncode, done.stderr) == (1, "")
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert lines[1:-1] == [
        ["disconnected", "1", "it is 3 pieces"],
        ["disconnected", "7", "it is 2 pieces"],
        ["empty", "5", "it has no voxels"],
        ["misplaced", str(TOP), "a mitochondrion lies in a cell; it lies in nothing"],
    ]
    assert done.stdout.endswith("4 objects looked at; 4 problems found: 2 disconnected, 1 empty, 1 misplaced\n")
    done = run("check", cells, "--objects", "--region", "train", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"], said["objects"]) == (1, False, 2)
    assert [problem["label"] for problem in said["problems"]] == ["1", "7"]
    fine("split", cells, 7, "--components")
    fine("split", cells, 1, "--components")
    assert "all is well" in fine("check", cells, "--objects", "--region", "train")
    assert "--region is for --objects" in refused("check", cells, "--region", "train", code=2)
    assert "there is no region 'none'" in refused("check", cells, "--objects", "--region", "none")


def test_check_names_the_damaged_chunk(volume):
    chunk = volume / "base" / "0" / "c" / "0" / "1" / "0"
    content = bytearray(chunk.read_bytes())
    content[-5] ^= 1
    chunk.write_bytes(content)
    done = run("check", volume)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"chunk (0, 1, 0) in {chunk} is damaged: ")
    assert done.stdout.count("chunk (0, 1, 0)") == 1
    assert done.stdout.endswith("verified: 1 problem found\n")
    done = run("check", volume, "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
    assert "(0, 1, 0)" in refused("export", volume, volume.parent / "a.npy")
    assert not (volume.parent / "a.npy").exists()


def test_check_of_what_cannot_be_opened(volume):
    (volume / "labelog.json").write_text("{}")
    done = run("check", volume, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    [problem] = json.loads(done.stdout)["problems"]
    assert "labelog.json is damaged" in problem


def test_compact(volume):
    before = read(volume)
    assert facts("compact", volume)["chunks"] > 0
    assert fine("compact", volume).startswith("0 chunks folded; ")
    np.testing.assert_array_equal(read(volume), before)
    np.testing.assert_array_equal(read(volume, 0), labels())


# Interrupted


@pytest.fixture
def slow(tmp_path):
    """A source that takes long to import: many names of one noisy picture."""
    folder = tmp_path / "slow"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 60000, (1500, 1500), np.uint16)
    Image.fromarray(noise).save(folder / "0000.png", compress_level=1)
    for z in range(1, 600):
        (folder / f"{z:04d}.png").symlink_to("0000.png")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_import_leaves_nothing(slow, tmp_path, number, code):
    process = subprocess.Popen([*LABELOG, "import", str(slow), str(tmp_path / "new")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)  # fmt: skip
    wait_for(lambda: any(tmp_path.glob(".new.*/base/0/c/0/*/*")))
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert error == ("labelog: interrupted\n" if number == signal.SIGINT else "")
    assert [path.name for path in tmp_path.iterdir()] == ["slow"]


def test_an_import_begun_with_nohup_outlives_the_terminal(slow, tmp_path):
    process = subprocess.Popen(["nohup", *LABELOG, "import", str(slow), str(tmp_path / "new")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)  # fmt: skip

    def written():
        return len(list(tmp_path.glob(".new.*/base/0/c/0/*/*")))

    wait_for(written)
    process.send_signal(signal.SIGHUP)
    before = written()
    wait_for(lambda: written() >= before + 3)
    process.terminate()
    assert process.wait(timeout=30) == 143


SCRIPT = [sys.executable, "-c", "import sys; from labelog_command import main; sys.exit(main())"]  # as it is installed


def ended(command, when):
    """What a process leaves that is interrupted when this is so: exit code, stderr."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    wait_for(lambda: process.poll() is not None or when(process))
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A volume that takes a second or more to write or compact."""
    path = tmp_path_factory.mktemp("large") / "v.labelog"
    noise = np.random.default_rng(0).integers(1, 2000, (48, 512, 128), np.uint16).repeat(4, axis=2)
    with labelog.load(path, noise, chunks=(2, 128, 128)) as volume, volume.edit("ana") as edit:
        edit[:, :, ::] = 5
    return path


@pytest.mark.parametrize(("target", "half"), [("a.tif", ".a.tif.*"), ("a/", ".a.*/0003.png")])
def test_interrupted_export_leaves_nothing(large, tmp_path, target, half):
    command = [*SCRIPT, "export", str(large), f"{tmp_path}/{target}", "--revision", "0"]
    assert ended(command, lambda _: any(tmp_path.glob(half))) == (130, "labelog: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_compact_does_no_harm(large, tmp_path):
    path = tmp_path / "v.labelog"
    shutil.copytree(large, path)
    places = sorted(path.glob("base/0/c/*/*/*"))
    before = {place: place.stat().st_ino for place in places}

    def folded():
        return sum(place.stat().st_ino != number for place, number in before.items())

    assert ended([*SCRIPT, "compact", str(path)], lambda _: folded()) == (130, "labelog: interrupted\n")
    assert folded() < len(places) and not list(path.rglob("*.tmp"))
    with labelog.open(path) as volume:
        assert volume.compact() > 0
        assert (volume[::5] == 5).all()


def test_interrupted_while_it_begins(volume, tmp_path):
    """Imports take a moment; Ctrl-C in it has no traceback either. Python itself has to have begun."""
    command = [*SCRIPT, "export", str(volume), str(tmp_path / "a.npy")]
    for library in ("_datetime", "_multiarray_umath", "runs"):

        def loaded(process, library=library):
            maps = Path(f"/proc/{process.pid}/maps")
            return maps.exists() and f"/{library}." in maps.read_text()

        assert ended(command, loaded) == (130, "labelog: interrupted\n"), library
        assert not (tmp_path / "a.npy").exists()


def test_a_bar_is_shown_after_a_second_on_a_terminal_only(slow, tmp_path):
    main, other = pty.openpty()
    process = subprocess.Popen([*LABELOG, "import", str(slow), str(tmp_path / "new")], stderr=other,
                               env=ENVIRONMENT | {"TERM": "xterm"})  # fmt: skip
    os.close(other)
    start, shown = time.monotonic(), b""
    while b"importing" not in shown and time.monotonic() - start < 30:
        shown += os.read(main, 1000)
    assert b"importing" in shown
    assert time.monotonic() - start > 1
    process.send_signal(signal.SIGINT)
    drain(main)
    assert process.wait(timeout=30) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["slow"]


def test_a_reader_that_leaves(volume):
    for command in ("history", "show", "info"):
        process = subprocess.Popen([*LABELOG, command, str(volume)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=ENVIRONMENT)  # fmt: skip
        process.stdout.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr.read() == b""
        process.stderr.close()


def in_terminal(*arguments):
    """What a command writes when its output is a terminal of 80 x 24."""
    main, other = pty.openpty()
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([*LABELOG, *map(str, arguments)], stdout=other, env=environment)
    os.close(other)
    text = drain(main)
    assert process.wait(timeout=30) == 0
    return text.decode()


def drain(terminal):
    data = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # on Linux, how a terminal says that nobody is left to write
            piece = b""
        if not piece:
            os.close(terminal)
            return data
        data += piece


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_masks_that_overlap_take_a_rule(tmp_path):
    file = tmp_path / "masks.json"
    file.write_text('{".info": {"shape": [1, 2, 6], "dtype": "int64"}, "1": "1 12", "2": "5 4"}')
    assert "--overlap says whose they are: deepest, smallest, last" in refused("import", file, tmp_path / "a.labelog")
    for rule in ("deepest", "smallest", "last"):
        said = facts("import", file, tmp_path / f"{rule}.labelog", "--overlap", rule)
        assert list(said["changes"].values()) == [4]
        with labelog.open(tmp_path / f"{rule}.labelog", "r") as volume:
            assert volume[0].ravel().tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]
    with labelog.open(tmp_path / "last.labelog", "r") as volume:
        np.save(tmp_path / "a.npy", volume[:])
    words = refused("import", tmp_path / "a.npy", tmp_path / "b.labelog", "--overlap", "last")
    assert "--overlap is for masks in JSON" in words
    assert not (tmp_path / "a.labelog").exists() and not (tmp_path / "b.labelog").exists()
