"""Colours to labels and back, against a slow twin that takes pixel after pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelog.errors import Invalid, NotFound
from labelog.formats import colours as module
from labelog.formats.colours import ColourMap, colour, colour_table, paint

few = st.sampled_from([0, 1, 128, 255])


def pictures(channels: int):
    return st.lists(hnp.arrays(np.uint8, (3, 4, channels), elements=few), min_size=1, max_size=3)


@pytest.mark.parametrize("channels", [3, 4])
@settings(deadline=None)
@given(drawn=st.data())
def test_ids_follow_the_first_appearance(channels, drawn):
    slices = drawn.draw(pictures(channels))
    found: dict = {}
    ids = ColourMap(None, found)
    seen: dict = {}
    for pixels in slices:
        labels = ids.labels(pixels, "slice")
        for at in np.ndindex(3, 4):
            shade = (*pixels[at].tolist(), 255)[:4]
            background = shade[3] == 0 or (channels == 3 and shade == (0, 0, 0, 255))
            expected = 0 if background else seen.setdefault(shade, len(seen) + 1)
            assert labels[at] == expected
    assert found == {label: shade for shade, label in seen.items()}


@settings(deadline=None)
@given(slices=pictures(4))
def test_painted_labels_are_the_picture_they_came_from(slices):
    found: dict = {}
    ids = ColourMap(None, found)
    labels = [ids.labels(pixels, "slice") for pixels in slices]
    for pixels, one in zip(slices, labels, strict=True):
        visible = np.where(pixels[..., 3:] == 0, 0, pixels)  # what is hidden by transparency is not kept
        np.testing.assert_array_equal(paint(one, found, "slice"), visible)


def test_a_table_gives_its_labels_and_refuses_other_colours():
    table = colour_table({5: "#ff0000", 2**40: (0, 255, 0), 0: "#000000"})
    found: dict = {}
    ids = ColourMap(table, found)
    pixels = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 0)]], np.uint8)
    assert ids.dtype == np.uint64 and ids.labels(pixels, "slice 0").tolist() == [[5, 2**40, 0]]
    assert found[0] == (0, 0, 0, 255)
    pixels[0, 1:] = (1, 2, 3)
    with pytest.raises(
        Invalid, match=r"slice 7: colour #010203ff.*; 2 pixels have it, the first at \(0, 1\)"
    ) as caught:
        ids.labels(pixels, "slice 7")
    assert (caught.value.colour, caught.value.pixels) == ((1, 2, 3, 255), 2)


def test_black_without_alpha_has_to_be_named_in_a_table():
    ids = ColourMap(colour_table({1: "#ff0000"}), {})
    with pytest.raises(Invalid, match=r"#000000ff is not in the table.*name it for label 0"):
        ids.labels(np.zeros((2, 2, 3), np.uint8), "slice")
    assert not ids.labels(np.zeros((2, 2, 4), np.uint8), "slice").any()


def test_tables_in_either_direction_and_in_files(tmp_path):
    expected = {(1, 1, 224, 255): 1, (255, 224, 0, 128): 4}
    assert colour_table({1: "#0101e0", 4: "#ffe00080"}) == expected
    assert colour_table({(1, 1, 224): 1, (255, 224, 0, 128): 4}) == expected
    assert colour_table({"#0101E0": 1, "#ffe00080": np.int64(4)}) == expected
    (tmp_path / "a.json").write_text('{"1": "#0101e0", "4": [255, 224, 0, 128]}')
    (tmp_path / "a.toml").write_text('1 = "#0101e0"\n4 = "#ffe00080"\n')
    assert colour_table(tmp_path / "a.json") == colour_table(str(tmp_path / "a.toml")) == expected


def test_several_colours_may_be_one_label():
    found: dict = {}
    ids = ColourMap(colour_table({"#ff0000": 1, "#00ff00": 1}), found)
    assert ids.labels(np.array([[(255, 0, 0), (0, 255, 0)]], np.uint8), "").tolist() == [[1, 1]]
    assert found == {1: (255, 0, 0, 255)}


@pytest.mark.parametrize(("table", "error"), [
    ({}, "no colours"), ({1: "red"}, "a colour is"), ({1: (1, 2)}, "a colour is"), ({1: (1, 2, 256)}, "a colour is"),
    ({1: (1, 2, 0.5)}, "a colour is"), ({1: "#12345"}, "a colour is"), ({-1: "#ffffff"}, "a label is"),
    ({2**64: "#ffffff"}, "a label is"), ({"one": "#ffffff"}, "a label is"), ({True: "#ffffff"}, "a label is"),
    ({1: "#ffffff", 2: "#FFFFFF"}, "#ffffffff is both label 1 and label 2"),
    ({1: "#ffffff00"}, "transparent, so background"),
])  # fmt: skip
def test_what_is_no_table_is_refused(table, error):
    with pytest.raises(Invalid, match=error):
        colour_table(table)


@pytest.mark.parametrize(("name", "text", "error"), [
    ("a.json", '{"1": "#ff0000", "3": "red"}', "entry '3': a colour is \"#rrggbb\", .*; found 'red'"),
    ("a.json", '{"#ff00": 3}', "entry '#ff00': a colour is .*; found '#ff00'"),
    ("a.toml", '1 = "#ff0000"\n"#00ff00" = -3\n', "entry '#00ff00': a label is an integer of 0 to .*; found -3"),
    ("a.toml", 'cell = "#ff0000"\n', "entry 'cell': a label is an integer .*; found 'cell'"),
    ("a.toml", '[colours]\n1 = "#ff0000"\n', "entry 'colours': a colour is .*; found {'1': '#ff0000'}"),
    ("a.json", '{"2": "#ff000000"}', "entry '2': #ff000000 is transparent"),
])  # fmt: skip
def test_what_is_wrong_in_a_table_is_named_with_file_and_entry(tmp_path, name, text, error):
    (tmp_path / name).write_text(text)
    with pytest.raises(Invalid, match=f"{name}: {error}"):
        colour_table(tmp_path / name)


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(NotFound, match="missing"):
        colour_table(tmp_path / "missing.json")
    for name, text in (("a.json", "{"), ("a.toml", "1 = ["), ("b.json", "[1]"), ("c.json", "[" * 100_000)):
        (tmp_path / name).write_text(text)
        with pytest.raises(Invalid, match=name):
            colour_table(tmp_path / name)


def test_a_label_without_a_colour_is_named():
    with pytest.raises(Invalid, match=r"slice 3: label 7 has no colour \(nor have 1 more\)") as caught:
        paint(np.array([[0, 1, 7, 9]]), {1: (1, 2, 3, 255)}, "slice 3")
    assert caught.value.label == 7
    assert paint(np.array([[0]]), {0: (1, 2, 3, 255)}, "").tolist() == [[[1, 2, 3, 255]]]


def test_a_photograph_is_not_labels(monkeypatch):
    monkeypatch.setattr(module, "MAX_COLOURS", 100)
    ids = ColourMap(None, {})
    pixels = np.arange(400, dtype="<u4").view(np.uint8).reshape(20, 20, 4) | np.array([0, 0, 0, 255], np.uint8)
    with pytest.raises(Invalid, match="photograph"):
        ids.labels(pixels, "slice")


@pytest.mark.parametrize(("value", "expected"), [("#0102fF", (1, 2, 255, 255)), ([1, 2, 3, 4], (1, 2, 3, 4))])
def test_colours_as_they_are_written(value, expected):
    assert colour(value) == expected
