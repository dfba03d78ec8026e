"""Colours of labels that have none, and pictures in a terminal, parsed back into pixels."""

from __future__ import annotations

import colorsys
import re

import numpy as np
import pytest
from PIL import Image

from labelog.errors import Invalid
from labelog.formats.picture import colour_slice, own_colours, to_terminal


def test_each_label_keeps_its_colour_wherever_it_is():
    labels = np.array([[0, 1, 2], [2**64 - 1, 1, 0]], np.uint64)
    picture = colour_slice(labels)
    assert picture.shape == (2, 3, 4) and picture.dtype == np.uint8
    assert picture[0, 0].tolist() == [0, 0, 0, 0] and (picture[labels > 0, 3] == 255).all()
    np.testing.assert_array_equal(picture[0, 1], picture[1, 1])
    np.testing.assert_array_equal(colour_slice(labels[1:, :1].copy())[0, 0], picture[1, 0])
    np.testing.assert_array_equal(colour_slice(np.array([[1]], np.uint8))[0, 0], picture[0, 1])


def test_the_colours_do_not_change_between_versions():
    expected = [[73, 126, 255, 255], [167, 230, 79, 255], [182, 32, 163, 255], [231, 140, 116, 255]]
    assert own_colours(np.array([1, 2, 3, 1000])).tolist() == expected


def test_given_colours_and_background_are_taken():
    picture = colour_slice(np.array([[0, 1, 2]]), {1: (9, 8, 7, 6)}, background=(1, 1, 1, 255))
    assert picture[0, :2].tolist() == [[1, 1, 1, 255], [9, 8, 7, 6]]
    assert colour_slice(np.array([[0]]), {0: (5, 5, 5, 5)})[0, 0].tolist() == [5, 5, 5, 5]


def test_labels_given_one_after_another_look_different():
    shades = own_colours(np.arange(1, 13))[:, :3].astype(int)
    apart = np.abs(shades[:, None] - shades[None]).sum(axis=2)[~np.eye(12, dtype=bool)]
    assert apart.min() > 60
    assert len(np.unique(own_colours(np.arange(1, 5001)), axis=0)) > 4500
    for shade in own_colours(np.arange(1, 1000)):
        _, lightness, saturation = colorsys.rgb_to_hls(*shade[:3] / 255)
        assert 0.4 < lightness < 0.7 and saturation > 0.6  # neither black, white nor grey, on any background


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 2), int), np.zeros((2, 2)), np.zeros((0, 2), int)])
def test_what_is_no_slice_of_labels_is_refused(labels):
    with pytest.raises(Invalid, match="expected integer labels"):
        colour_slice(labels)


def screen(text: str) -> np.ndarray:
    """The pixels (2 * lines, columns, 4) that a terminal shows; transparent where its background is seen."""
    rows = []
    for line in text.split("\n"):
        upper, lower = [], []
        front = back = (0, 0, 0, 0)
        for codes, character in re.findall(r"\x1b\[([0-9;]*)m|(.)", line):
            if not character:
                numbers = [int(code) for code in codes.split(";")]
                while numbers:
                    code = numbers.pop(0)
                    if code == 0:
                        front = back = (0, 0, 0, 0)
                    else:
                        shade, numbers = (*numbers[1:4], 255), numbers[4:]
                        front, back = (shade, back) if code == 38 else (front, shade)
            else:
                upper.append(front if character == "\N{UPPER HALF BLOCK}" else back)
                lower.append(front if character == "\N{LOWER HALF BLOCK}" else back)
        assert line.endswith("\x1b[0m")
        rows += [upper, lower]
    return np.array(rows, np.uint8)


def test_a_terminal_shows_every_pixel_of_a_small_picture():
    labels = np.random.default_rng(0).integers(0, 4, (6, 9))
    picture = colour_slice(labels)
    np.testing.assert_array_equal(screen(to_terminal(picture, 80)), picture)
    shown = screen(to_terminal(picture[:5], 80))
    np.testing.assert_array_equal(shown[:5], picture[:5])
    assert not shown[5].any()


def test_a_large_picture_is_shrunk_to_pixels_it_has(data):
    picture = np.asarray(Image.open(data / "platelet" / "semantic.png"))
    shown = screen(to_terminal(picture, 60))
    assert shown.shape == (60, 60, 4)
    assert {tuple(p) for p in shown.reshape(-1, 4).tolist()} <= {tuple(p) for p in picture.reshape(-1, 4).tolist()}
    assert shown[30, 30].tolist() == picture[406, 406].tolist()
    assert screen(to_terminal(picture[:20], 60)).shape == (2, 60, 4)


@pytest.mark.parametrize(("picture", "columns"), [
    (np.zeros((2, 2, 3), np.uint8), 80), (np.zeros((2, 2, 4)), 80), (np.zeros((2, 2, 4), np.uint8), 0),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(picture, columns):
    with pytest.raises(Invalid, match="expected RGBA"):
        to_terminal(picture, columns)
