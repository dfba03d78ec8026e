"""The picture of a report, and the report of many slices."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from labelog.errors import Exists, Invalid, OutOfBounds
from labelog.formats import Stack
from labelog.layers import combine, marked


@pytest.fixture
def report(classes):
    """Three slices; the second has most disagreements."""
    semantic = np.ones((3, 40, 50), np.uint8)
    cell = np.full((3, 40, 50), 7)
    semantic[0, 0, 0] = 0
    semantic[1, 10:20, 30:40] = 0
    semantic[2, 5, 5:8] = 3
    organelle = np.zeros((3, 40, 50), int)
    return combine(Stack.of(semantic), {"cell": Stack.of(cell), "organelle": Stack.of(organelle)}, classes).report


def shades(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_slice_with_most_disagreements_is_drawn(report, tmp_path):
    assert report.slices == {0: 1, 1: 100, 2: 3}
    assert report.picture(tmp_path / "a.png") == 1
    picture, scale = shades(tmp_path / "a.png"), marked.SIZE // 50
    red = (picture == marked.SHADES[0]).all(axis=2)
    assert red[10 * scale : 20 * scale, 30 * scale : 40 * scale].all()
    assert not red[25 * scale : 40 * scale, : 25 * scale].any()
    assert picture.shape[0] > 40 * scale  # the legend


def test_a_slice_that_is_named(report, tmp_path):
    assert report.picture(tmp_path / "a.png", z=2) == 2
    orange = (shades(tmp_path / "a.png") == marked.SHADES[1]).all(axis=2)
    assert orange[5 * 24 : 6 * 24, 5 * 24 : 8 * 24].all()
    for z in (-1, 3):
        with pytest.raises(OutOfBounds, match=f"slice {z} is not one of the volume's, 0 to 2"):
            report.picture(tmp_path / "b.png", z=z)
    assert not (tmp_path / "b.png").exists()


def test_it_is_drawn_on_the_image(report, tmp_path):
    grey = np.random.default_rng(0).integers(0, 4000, (3, 40, 50)).astype(np.uint16)
    report.picture(tmp_path / "a.png", image=Stack.of(grey))
    report.picture(tmp_path / "b.png", image=Stack.of(np.zeros((3, 40, 50), np.uint8)))
    assert len(np.unique(shades(tmp_path / "a.png")[600:900, 100:500])) > 50
    with pytest.raises(Invalid, match=r"the image has shape \(2, 40, 50\); expected \(3, 40, 50\)"):
        report.picture(tmp_path / "c.png", image=Stack.of(grey[:2]))


def test_a_picture_is_not_replaced_unasked(report, tmp_path):
    report.picture(tmp_path / "a.png")
    with pytest.raises(Exists):
        report.picture(tmp_path / "a.png")
    report.picture(tmp_path / "a.png", overwrite=True)


def test_there_is_a_picture_of_layers_that_agree(classes, tmp_path):
    report = combine(None, {"cell": Stack.of(np.ones((2, 3, 4), int))}, classes).report
    assert report.picture(tmp_path / "a.png") == 0
    assert (tmp_path / "a.png").exists()


def test_names_keep_apart(classes, tmp_path):
    semantic = np.zeros((1, 30, 30), np.uint8)
    cell = np.arange(900).reshape(1, 30, 30) + 1
    report = combine(Stack.of(semantic), {"cell": Stack.of(cell)}, classes).report
    assert len(report.disagreements) == 900
    report.picture(tmp_path / "a.png")
