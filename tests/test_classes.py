"""Classes and their files: what is read, what is written back, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import labelog
from labelog.engine.classes import LabelClass, check_classes, read_classes, write_classes
from labelog.errors import Invalid, NotFound


def put(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["platelet", "platelet.toml"])
def test_the_platelet_classes_come_with_labelog(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes = read_classes(name)
    assert [entry.id for entry in classes] == list(range(8))
    by_name = {entry.name: entry for entry in classes}
    organelles = {entry.name for entry in classes if entry.kind_of == "organelle"}
    assert organelles == {"mitochondrion", "alpha granule", "canalicular vessel", "dense granule body"}
    assert by_name["dense granule core"] == LabelClass(
        6, "dense granule core", "#f500cb", within=("dense granule body",)
    )
    assert by_name["cell"].within == ()
    assert by_name["background"].within is None


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "platelet.toml", '[[class]]\nid = 1\nname = "neuron"')
    assert read_classes("platelet.toml") == [LabelClass(1, "neuron")]


def test_what_is_written_is_read(tmp_path):
    classes = [
        LabelClass(0, "background", "#00000000"),
        LabelClass(4, 'a "granule" \\ ü', "#01FE01", "thing", ("thing", "background")),
        LabelClass(2**32 - 1, "thing", within=()),
    ]
    write_classes(classes, tmp_path / "classes.toml")
    assert read_classes(tmp_path / "classes.toml") == classes
    write_classes(read_classes("platelet"), tmp_path / "classes.toml")
    assert read_classes(tmp_path / "classes.toml") == read_classes("platelet")


A = '[[class]]\nid = 1\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected tables .*found nothing"),
        ("x = 1\n" + A, "nothing else; found x, class"),
        ("class = 3", "expected tables"),
        ("class = [3]", "class 1: expected a table; found 3"),
        ("[[class", "not a file of classes in TOML"),
        ("[[class]]\nid = 1", "class 1: it has no name"),
        ("[[class]]", "class 1: it has no id and no name"),
        *((A.replace('"a"', f'"{view}"'), "a view of that name") for view in ("instance", "fragment", "semantic")),
        (A + 'color = "#000000"', "there is no color; a class has id, name, colour, kind_of, within"),
        (A + A.replace("1", "2"), "'a' is there twice"),
        (A + A.replace('"a"', '"b"'), "'b': id 1 is that of 'a'"),
        ('[[class]]\nid = -1\nname = "a"', "id is a whole number .*found -1"),
        ('[[class]]\nid = true\nname = "a"', "found True"),
        ('[[class]]\nid = 1\nname = ""', "name is a line of text"),
        ('[[class]]\nid = 1\nname = "a\\nb"', "name is a line of text"),
        ('[[class]]\nid = 1\nname = "a/b"', "part of addresses"),
        ('[[class]]\nid = 1\nname = ".."', "part of addresses"),
        (A + 'colour = "red"', "found 'red'"),
        (A + 'colour = "#01010100"', "transparent, which is background"),
        (A + 'colour = "#AA0000"\n[[class]]\nid = 2\nname = "b"\ncolour = "#aa0000ff"', "#aa0000ff is that of 'a'"),
        (A + 'kind_of = "b"', "'a' names 'b'; there is no class of that name"),
        (A + 'within = ["b"]', "'a' names 'b'"),
        (A + 'within = "a"', "within is a list"),
        (A + "within = [3]", "within is a list"),
        (A + "kind_of = 3", "kind_of is the name"),
        (A + 'kind_of = "a"', "'a' is a kind of 'a'"),
        (A + 'kind_of = "b"\n[[class]]\nid = 2\nname = "b"\nkind_of = "a"', "'a' is a kind of 'b' is a kind of 'a'"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_classes(tmp_path, text, message):
    path = put(tmp_path / "classes.toml", text)
    with pytest.raises(Invalid, match=message) as caught:
        read_classes(path)
    assert str(path) in str(caught.value)


def test_what_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="come with labelog are: platelet"):
        read_classes("platelets")
    with pytest.raises(NotFound):
        read_classes(tmp_path / "platelet")
    with pytest.raises(Invalid):
        read_classes(tmp_path)
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="not a file of classes"):
        read_classes(tmp_path / "odd.toml")


def test_classes_made_in_python_are_checked_too(tmp_path):
    with pytest.raises(Invalid, match="'a': id"):
        check_classes([LabelClass("1", "a")])
    with pytest.raises(Invalid, match="within is a list of names of classes; found 'a'"):
        check_classes([LabelClass(1, "a", within="a")])
    with pytest.raises(Invalid, match="expected a list of LabelClass; found 5"):
        labelog.create(tmp_path / "v", (1, 2, 3), classes=[5])
    with pytest.raises(Invalid, match="names 'b'"):
        write_classes([LabelClass(1, "a", kind_of="b")], tmp_path / "classes.toml")
    assert not (tmp_path / "classes.toml").exists()


def test_what_is_said_of_a_label_is_stored_as_it_is_hashed(tmp_path):
    with labelog.create(tmp_path / "v", (1, 2, 3), classes="platelet") as volume:
        with volume.edit("ana") as edit:
            label = edit.new(cls=np.int64(2), name="a\0b", quality=0.5)
        assert (volume.labels[label].cls, volume.labels[label].name) == ("mitochondrion", "a\0b")
        for wrong in ({"cls": True}, {"cls": [2]}, {"cls": 99}):
            with pytest.raises(NotFound, match="there is no class"), volume.edit("ana") as edit:
                edit.assign(label, **wrong)
        for wrong in ({"name": "\ud800"}, {"\ud800": 1}, {"quality": float("nan")}, {"quality": {1, 2}}, {"name": 3}):
            with pytest.raises(Invalid), volume.edit("ana") as edit:
                edit.assign(label, **wrong)
        assert volume.check().ok


def test_a_volume_is_not_overwritten_by_classes(tmp_path):
    with labelog.create(tmp_path / "v.labelog", (2, 2, 2)) as volume:
        journal = tmp_path / "v.labelog" / "journal.sqlite"
        with pytest.raises(labelog.Exists, match="lies in the volume"):
            write_classes(read_classes("platelet"), journal)
        with pytest.raises(labelog.Exists, match="lies in the volume"):
            labelog.create(tmp_path / "v.labelog" / "w.labelog", (2, 2, 2))
        assert volume.check().ok
    with pytest.raises(NotFound, match="does not exist"):
        write_classes(read_classes("platelet"), tmp_path / "none" / "c.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["v.labelog"]
