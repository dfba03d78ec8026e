"""JSON run-length dictionaries, against a slow twin that spells out voxel by voxel what they mean."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import examples
from labelog.errors import Corrupt, Invalid, LabelogError
from labelog.formats import Stack, json_rle, read, write


def oracle(labels: np.ndarray) -> dict[str, str]:
    """The runs of each label of a volume, one voxel after another."""
    runs: dict[str, list[str]] = {}
    at = 1
    for label, group in groupby(labels.ravel().tolist()):
        length = len(list(group))
        if label:
            runs.setdefault(str(label), []).append(f"{at} {length}")
        at += length
    return {label: " ".join(pairs) for label, pairs in runs.items()}


def put(path, masks: dict, shape=(2, 3, 4), dtype="int64") -> None:
    path.write_text(json.dumps(masks | {".info": {"shape": shape, "dtype": dtype}}))


volumes = hnp.arrays(np.uint16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 3))


@settings(deadline=None)
@given(labels=volumes)
def test_read_and_write_mean_what_the_oracle_says(tmp_path_factory, whole, labels):
    path = tmp_path_factory.getbasetemp() / "a.json"
    put(path, oracle(labels), labels.shape, "uint16")
    np.testing.assert_array_equal(whole(read(path)), labels)
    one_by_one = replace(Stack.of(labels), slabs=lambda: (labels[z : z + 1] for z in range(len(labels))))
    write(one_by_one, path, overwrite=True)
    written = json.loads(path.read_text())
    assert written.pop(".info") == {"shape": list(labels.shape), "dtype": "uint16"}
    assert written == oracle(labels)


def test_slabs_cut_runs_where_they_must(tmp_path, whole, volume, monkeypatch):
    put(tmp_path / "a.json", oracle(volume), volume.shape)
    for depth in (1, 2, 5):
        monkeypatch.setattr(json_rle, "slab_depth", lambda *_, depth=depth: depth)
        np.testing.assert_array_equal(whole(read(tmp_path / "a.json")), volume)
    labels = np.full((7, 3, 4), 9)
    labels[3, 1, 2] = 0
    put(tmp_path / "a.json", oracle(labels), labels.shape)
    monkeypatch.setattr(json_rle, "slab_depth", lambda *_: 2)
    np.testing.assert_array_equal(whole(read(tmp_path / "a.json")), labels)


@pytest.mark.parametrize(("name", "dtype"), [
    ("int64", "int64"), ("np.int", "int64"), ("int", "int64"), ("numpy.uint64", "uint64"), ("uint8", "uint8"),
    ("np.uint16", "uint16"), ("<class 'numpy.uint32'>", "uint32"), ("<i4", "int32"), ("bool", "uint8"),
])  # fmt: skip
def test_dtypes_as_they_have_been_written_over_the_years(tmp_path, whole, name, dtype):
    put(tmp_path / "a.json", {"7": "1 2 24 1"}, dtype=name)
    stack = read(tmp_path / "a.json")
    assert stack.dtype == dtype
    assert np.flatnonzero(whole(stack)).tolist() == [0, 1, 23]


def test_runs_may_be_in_any_order_and_touch(tmp_path, whole):
    put(
        tmp_path / "a.json", {"5": "10 3 1 2", "6": "13 1 3 7", "18446744073709551615": "24 1", "7": ""}, dtype="uint64"
    )
    assert whole(read(tmp_path / "a.json")).ravel().tolist() == [5] * 2 + [6] * 7 + [5] * 3 + [6] + [0] * 10 + [
        2**64 - 1
    ]


def test_overlapping_masks_are_refused_with_both_labels_and_the_voxel(tmp_path):
    put(tmp_path / "a.json", {"5": "1 8", "6": "18 3 8 2"})
    with pytest.raises(Invalid, match=r"labels 5 and 6 overlap, first at voxel \(z, y, x\) = \(0, 1, 3\)") as caught:
        read(tmp_path / "a.json")
    assert (caught.value.labels, caught.value.voxel) == ((5, 6), (0, 1, 3))


@pytest.mark.parametrize(("masks", "kind", "error"), [
    ({"5": "23 3"}, Invalid, r"run '23 3' of label 5 is outside the volume of 24 voxels"),
    ({"5": "0 3"}, Invalid, "run '0 3' of label 5 is outside"),
    ({"5": "1 999999999999999999"}, Invalid, "outside the volume"),
    ({"5": "1 9223372036854775807"}, Corrupt, "pairs of start and length for label 5; found '9223372036854775807'"),
    ({"5": "1 3 7"}, Corrupt, "last run of label 5 has no length"),
    ({"5": "-1 3"}, Corrupt, "found '-' at character 0"),
    ({"5": "1 3.5"}, Corrupt, r"found '\.' at character 3"),
    ({"5": "1 \N{ARABIC-INDIC DIGIT THREE}"}, Corrupt, "at character 2"),
    ({"5": [1, 3]}, Corrupt, "runs of label 5 as text; found list"),
    ({"cell": "1 3"}, Invalid, "labels of int64 as keys; found 'cell'"),
    ({"-5": "1 3"}, Invalid, "labels of int64 as keys"),
    ({"9223372036854775808": "1 3"}, Invalid, "labels of int64 as keys"),
])  # fmt: skip
def test_runs_that_mean_nothing_are_refused(tmp_path, masks, kind, error):
    put(tmp_path / "a.json", masks)
    with pytest.raises(kind, match=error):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(("text", "kind", "error"), [
    ("[1, 2]", Corrupt, "expected a dictionary"),
    ("{}", Corrupt, r"expected \".info\" with"),
    ('{".info": {"shape": [2, 3, 4]}}', Corrupt, r"expected \".info\" with"),
    ('{".info": {"shape": "2x3x4", "dtype": "int64"}}', Invalid, "shape of integers"),
    ('{".info": {"shape": [2, 3.5, 4], "dtype": "int64"}}', Invalid, "shape of integers"),
    ('{".info": {"shape": [2, -3, 4], "dtype": "int64"}}', Invalid, "each at least 1"),
    ('{".info": {"shape": [2, 3, 4, 5], "dtype": "int64"}}', Invalid, r"expected a shape \(z, y, x\)"),
    ('{".info": {"shape": [2, 99999999, 99999999], "dtype": "int64"}}', Invalid, "at most 536870912 in a slice"),
    ('{".info": {"shape": [99999999999999, 9, 9], "dtype": "int64"}}', Invalid, "in a volume"),
    ('{".info": {"shape": [2, 3, 4], "dtype": "float64"}}', Invalid, "labels are integers of 8 to 64 bits"),
    ('{".info": {"shape": [2, 3, 4], "dtype": "np.integer(8)"}}', Invalid, "expected an integer dtype"),
    ('{".info": {"shape": [2, 3, 4], "dtype": "int64"}, "5": "1 1", "5": "2 1"}', Corrupt, "'5' is there twice"),
    ("[" * 100_000, Corrupt, "is damaged"),
])  # fmt: skip
def test_what_is_not_such_a_dictionary_is_refused(tmp_path, text, kind, error):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(kind, match=error):
        read(tmp_path / "a.json")


def test_memory_is_for_the_runs_not_for_the_shape(tmp_path):
    put(tmp_path / "a.json", {"1": "500000000000 3"}, (2**18, 2048, 2048), "uint64")
    tracemalloc.start()
    try:
        stack = read(tmp_path / "a.json")
        assert tracemalloc.get_traced_memory()[1] < 2e5
        slab = next(stack.slabs())
        assert slab.nbytes <= 2**26 and tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


@examples(150)
@given(drawn=st.data())
def test_damage_is_an_error_or_a_stack_of_the_right_shape(tmp_path_factory, whole, drawn):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    put(path, {"1": "1 2 20 3", "2": "5 9"}, dtype="uint8")
    intact = path.read_bytes()
    at = drawn.draw(st.integers(0, len(intact) - 1))
    path.write_bytes(intact[:at] + drawn.draw(st.sampled_from([b"", b"\xff", b"9", b'"', b"}" + intact[at:]])))
    try:
        whole(read(path))
    except LabelogError as error:
        assert isinstance(error, (Corrupt, Invalid)) and path.name in str(error)
