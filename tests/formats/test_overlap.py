"""Masks that overlap, against a twin that lays whole arrays over one another; colours that are a little off."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labelog.errors import Invalid
from labelog.formats import json_rle, read

SHAPE = (2, 3, 4)


def put(path, masks):
    """A dictionary of masks, each a flat list of voxels from 0."""
    runs = {str(label): " ".join(f"{voxel + 1} 1" for voxel in voxels) for label, voxels in masks.items()}
    path.write_text(json.dumps(runs | {".info": {"shape": SHAPE, "dtype": "int64"}}))
    return path


def laid(masks, order):
    """What the voxels are when masks are laid over one another in this order, and who lost how many to whom."""
    flat, lost = np.zeros(24, int), {}
    for label in order:
        for voxel in masks[label]:
            if flat[voxel]:
                key = f"label {label} over label {flat[voxel]}"
                lost[key] = lost.get(key, 0) + 1
            flat[voxel] = label
    return flat.reshape(SHAPE), lost


masks_of = st.dictionaries(st.integers(1, 9), st.sets(st.integers(0, 23), min_size=1), min_size=1, max_size=4)


@given(masks=masks_of, rule=st.sampled_from(["last", "smallest", "deepest"]))
def test_masks_are_laid_over_one_another(tmp_path_factory, whole, masks, rule):
    path = put(tmp_path_factory.getbasetemp() / "o.json", masks)
    order = list(masks)
    if rule != "last":
        order.sort(key=lambda label: -len(masks[label]))
    crossing = [
        {a, b} for a in masks for b in masks if masks[a] & masks[b] and masks[a] - masks[b] and masks[b] - masks[a]
    ]
    if rule == "deepest" and crossing:
        with pytest.raises(Invalid, match="neither lies within the other") as caught:
            read(path, overlap=rule)
        assert set(caught.value.labels) in crossing
        return
    stack = read(path, overlap=rule)
    expected, lost = laid(masks, order)
    np.testing.assert_array_equal(whole(stack), expected)
    assert stack.changes == lost


def test_runs_of_many_voxels_are_cut_where_masks_lie_on_them(tmp_path, whole):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"5": "1 24", "7": "3 4 15 0", "8": "4 2", ".info": {"shape": SHAPE, "dtype": "int64"}}))
    stack = read(path, overlap="deepest")
    flat = whole(stack).ravel().tolist()
    assert flat == [5, 5, 7, 8, 8, 7, *[5] * 18]
    assert stack.changes == {"label 7 over label 5": 4, "label 8 over label 7": 2}
    starts, _, labels = json_rle.laid_over([(np.array([0, 2]), np.array([3, 5]), np.array([1, 1]))], "last", {}, "")
    assert (starts.tolist(), labels.tolist()) == ([0], [1])


def test_overlaps_need_a_rule(tmp_path):
    path = put(tmp_path / "a.json", {1: [0, 1], 2: [1, 2]})
    with pytest.raises(Invalid, match=r"labels . and . overlap.*overlap= says whose they are: deepest, sm"):
        read(path)
    with pytest.raises(Invalid, match="expected deepest, smallest, last; found 'first'"):
        read(path, overlap="first")
    path.write_text(json.dumps({"1": "", ".info": {"shape": SHAPE, "dtype": "uint8"}}))
    stack = read(path, overlap="deepest")
    assert sum(int(slab.sum()) for slab in stack.slabs()) == 0 and stack.dtype == np.uint8


TABLE = {0: "#00000000", 1: "#0101e0", 2: "#01abfe"}


def picture(path, *pixels):
    Image.fromarray(np.array([pixels], np.uint8)).save(path)
    return path


def test_colours_a_little_off_are_taken_for_the_nearest(tmp_path, whole):
    pixels = (1, 1, 224, 255), (3, 0, 225, 255), (3, 0, 225, 255), (1, 171, 254, 90), (9, 9, 9, 0), (1, 171, 251, 255)
    stack = read(picture(tmp_path / "a.png", *pixels), colours=TABLE, snap=3)
    changes = {
        "#0300e1ff taken for #0101e0ff": 2, "#01abfe5a taken for #01abfeff": 1, "#01abfbff taken for #01abfeff": 1,
    }  # fmt: skip
    for _ in range(2):
        assert whole(stack).tolist() == [[[1, 1, 1, 2, 0, 2]]]
        assert stack.changes == changes
    assert stack.colours[1] == (1, 1, 224, 255)


def test_colours_further_off_are_refused_by_name(tmp_path, whole):
    path = picture(tmp_path / "a.png", (1, 1, 224, 255), (5, 1, 224, 255), (200, 1, 9, 255), (5, 1, 224, 255))
    with pytest.raises(Invalid, match=r"#0501e0ff .*2 pixels .*at \(0, 1\).*; snap=4 would take it for #0101e0ff"):
        whole(read(path, colours=TABLE, snap=3))
    with pytest.raises(Invalid, match=r"#c80109ff is not in the table; 1 pixels have it, the first at \(0, 2\)$"):
        whole(read(path, colours=TABLE, snap=4))


def test_a_stack_of_pictures_counts_all_its_slices(tmp_path, whole):
    for z in range(3):
        picture(tmp_path / f"{z}.png", (1, 1, 224, 255), (1, 2, 224, 255))
    stack = read(tmp_path, colours=TABLE, snap=1)
    assert whole(stack).tolist() == [[[1, 1]]] * 3
    assert stack.changes == {"#0102e0ff taken for #0101e0ff": 3}
