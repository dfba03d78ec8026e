"""Files as layers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from labelog.errors import Invalid, NotFound
from labelog.layers import combine, read_layers


def png(path, *colours):
    Image.fromarray(np.array([colours], np.uint8)).save(path)
    return path


def labels(stack):
    return np.concatenate(list(stack.slabs())).ravel().tolist()


def test_semantic_values_are_classes_by_colour_or_by_number(tmp_path, classes):
    coloured = png(tmp_path / "a.png", (1, 1, 224, 255), (0, 0, 0, 0), (245, 0, 203, 255), (255, 224, 0, 255))
    assert labels(read_layers({"semantic": coloured}, classes).semantic) == [1, 0, 6, 4]
    numbered = png(tmp_path / "b.png", 1, 0, 6, 4)
    assert labels(read_layers({"semantic": numbered}, classes).semantic) == [1, 0, 6, 4]
    np.save(tmp_path / "c.npy", np.array([[[1, 0, 6, 4]]]))
    assert labels(read_layers({"semantic": tmp_path / "c.npy"}, classes).semantic) == [1, 0, 6, 4]


def test_stray_colours_are_snapped_and_told(tmp_path, classes):
    path = png(tmp_path / "a.png", (1, 1, 224, 255), (2, 1, 226, 255), (2, 1, 226, 255), (0, 0, 0, 0))
    with pytest.raises(Invalid, match=r"#0201e2ff .*2 pixels .*\(0, 1\); snap=2 would take it for #0101e0ff"):
        combine(read_layers({"semantic": path}, classes).semantic, {}, classes)
    layers = read_layers({"semantic": path}, classes, snap=2)
    report = combine(layers.semantic, {}, classes).report
    assert report.changes == {"semantic": {"#0201e2ff taken for #0101e0ff": 2}}
    assert "semantic: #0201e2ff taken for #0101e0ff: 2 voxels" in str(report)


def test_masks_that_overlap_are_told(tmp_path, classes):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"1": "1 6", "2": "2 3", ".info": {"shape": [1, 1, 8], "dtype": "uint16"}}))
    with pytest.raises(Invalid, match="labels 1 and 2 overlap"):
        read_layers({"cell": path}, classes)
    layers = read_layers({"cell": path}, classes, overlap="deepest")
    combined = combine(None, layers.objects, classes)
    assert np.concatenate(list(combined.slabs())).ravel().tolist() == [1, 2, 2, 2, 1, 1, 0, 0]
    assert combined.report.changes == {"cell": {"label 2 over label 1": 3}}


def test_the_image_is_none_of_the_objects(tmp_path, classes):
    grey = png(tmp_path / "a.png", 9, 8, 7)
    layers = read_layers({"cell": grey, "image": grey}, classes)
    assert list(layers.objects) == ["cell"] and labels(layers.image) == [9, 8, 7]


def test_what_is_refused(tmp_path, classes):
    path = png(tmp_path / "a.png", 1, 2)
    with pytest.raises(NotFound):
        read_layers({"cell": tmp_path / "b.png"}, classes)
    with pytest.raises(Invalid, match='overlap="last" is for masks in JSON; none'):
        read_layers({"cell": path}, classes, overlap="last")
    with pytest.raises(Invalid, match="snap: expected 0 to 255; found 256"):
        read_layers({"cell": path}, classes, snap=256)
