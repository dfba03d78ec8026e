"""The command line, run as users run it: results, exit codes, one line on stderr, and nothing left half made."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labelog
from labelog import cli, formats
from labelog.cli import care, files
from labelog.formats.picture import colour_slice

LABELOG = [sys.executable, "-m", "labelog.cli"]
SHAPE = (6, 40, 50)
TOP = 2**64 - 1
COMMANDS = ["create", "import", "info", "show", "history", "undo", "redo", "revert", "export", "check", "compact"]
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
    assert re.findall(r"^    (\w+)  ", text, re.MULTILINE) == COMMANDS
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
            typed = re.split(r" [|#] | \|\| |   ", line.strip())[0].replace("'below quality'", "quality").split()
            parser.parse_args([word.strip("'") for word in typed[1:]])


def test_version():
    assert fine("--version") == f"labelog {labelog.__version__}\n"


@pytest.mark.parametrize("arguments", [
    ("frobnicate",), ("info",), ("info", "a", "b"), ("info", "a", "--frob"), ("create", "a"),
    ("create", "a", "--shape", "1,2"), ("create", "a", "--shape", "1,2,3", "--voxel-size", "1,2"),
    ("create", "a", "--shape", "1,2,3", "--unit", "parsec"), ("import", "a", "b", "--format", "gif"),
    ("show", "a", "-z", "-1"), ("show", "a", "-z", "1", "-y", "1"), ("show", "a", "--background", "red"),
    ("show", "a", "--box", "1:2"), ("show", "a", "--box", "1:2,3:4,5:6,"), ("show", "a", "--box", "a:b,:,:"),
    ("history", "a", "--label", str(2**64)), ("history", "a", "--since", "yesterday"),
    ("history", "a", "--limit", "-1"), ("revert", "a", "x"), ("export", "a", "b", "--dtype", "float32"),
])  # fmt: skip
def test_wrong_usage_is_2(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("usage: labelog")
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize("command", ["info", "show", "history", "undo", "redo", "check", "compact"])
def test_what_is_not_a_volume(command, tmp_path):
    assert "does not exist" in refused(command, tmp_path / "none")
    (tmp_path / "file").write_text("text")
    assert "is not a labelog volume" in refused(command, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


# Create


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
        ("missing; --gaps accepts it", (pictures, new)),
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


def test_show_refuses(volume, tmp_path):
    (tmp_path / "there.png").write_text("mine")
    for expected, arguments in (
        ("there is no slice z = 6; there is z from 0 to 5", ("-z", 6)),
        ("there is no slice x = 9; there is x from 10 to 19", ("-x", 9, "--box", ":,:,10:20")),
        ("not within the volume", ("--box", "0:7,:,:")),
        ("is empty", ("--box", "3:3,:,:")),
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
                     "written": 100, "left_alone": 50, "targets": [1], "live": True}  # fmt: skip
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
    assert "not within the volume" in refused("history", volume, "--box", "0:1,0:1,0:51")
    assert "there is no revision 9" in refused("history", volume, "--since", 9)


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
        ("not within the volume", ("a.npy", "--box", "0:9,:,:")),
        ("there is no revision 9", ("a.npy", "--revision", "9")),
        ("format npy has no option colours", ("a.npy", "--colours")),
        ("is not a folder of .png files only", ("a.labelog", "--format", "png", "--overwrite", "--box", "0:4,:,:")),
    ):
        assert expected in refused("export", volume, *arguments, cwd=tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "there.npy").read_text() == "mine"
    fine("export", volume, tmp_path / "there.npy", "--overwrite")


# Check, compact


def test_check(volume):
    assert facts("check", volume) == {"volume": str(volume), "ok": True, "problems": [], "revisions": 4,
                                      "chunks": 14, "deltas": 6}  # fmt: skip
    assert fine("check", volume) == "4 revisions, 14 chunks, 6 deltas verified: all is well\n"


def test_check_names_the_damaged_chunk(volume):
    chunk = volume / "base" / "0" / "c" / "0" / "1" / "0"
    content = bytearray(chunk.read_bytes())
    content[-5] ^= 1
    chunk.write_bytes(content)
    done = run("check", volume)
    assert (done.returncode, done.stderr) == (1, "")
    assert "chunk (0, 1, 0)" in done.stdout
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
