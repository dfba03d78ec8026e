"""The pilot's slice: what its layers are known to disagree about comes out, and all else as it went in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from labelog.formats import Stack, read, write
from labelog.layers import combine, read_layers

NAMES = {"semantic": "semantic", "cell": "instance-cell", "organelle": "instance-organelle"}
FRAME = "#242424ff"
"""The colour, in the organelle file, of a frame one pixel wide around the whole slice."""


@pytest.fixture(scope="module")
def files(pytestconfig):
    folder = pytestconfig.rootpath / "tests" / "data" / "platelet"
    return {layer: folder / f"{name}.png" for layer, name in NAMES.items()}


@pytest.fixture(scope="module")
def results(files, classes):
    layers = read_layers(files, classes)
    return {trust: combine(layers.semantic, layers.objects, classes, trust=trust) for trust in ("instance", "semantic")}


def pixels(path):
    return np.asarray(Image.open(path).convert("RGBA"))


def painted(view, combined, name):
    """A view in colours, as it would be exported."""
    if name == "semantic":
        shades = {entry.id: entry.colour for entry in combined.classes if entry.colour}
    else:
        shades = combined.colours
    shades = {label: tuple(bytes.fromhex(shade[1:].ljust(8, "f"))) for label, shade in shades.items()}
    out = np.zeros((*view.shape[1:], 4), np.uint8)
    for label in np.unique(view).tolist():
        if label:
            out[view[0] == label] = shades[label]
    return out


def test_the_disagreements_are_those_known(results):
    report = results["instance"].report
    assert report.objects == {"cell": 17, "organelle": 107}
    told = {(one.kind, one.colour, one.cls, one.found): one.voxels for one in report.disagreements}
    assert told == {
        ("class", FRAME, "organelle", "background"): 1859,
        ("class", FRAME, "organelle", "cell"): 1141,
        ("class", FRAME, "organelle", "canalicular vessel"): 141,
        ("class", FRAME, "organelle", "alpha granule"): 42,
        ("class", FRAME, "organelle", "mitochondrion"): 13,
        ("class", "#802000ff", "alpha granule", "canalicular vessel"): 239,
    }
    frame = [one.voxels for one in report.disagreements if one.colour == FRAME]
    assert (sum(frame), len(frame)) == (3196, 5)
    assert report.voxels == 3196 + 239
    [core] = report.parts
    assert (core.cls, core.voxels, core.whole) == ("dense granule core", 112, 1031)
    assert not [one for one in report.disagreements if one.kind in ("across", "outside", "hidden")]


@pytest.mark.parametrize("trust", ["instance", "semantic"])
def test_views_are_the_source_pictures_wherever_layers_agree(results, files, views, trust):
    combined = results[trust]
    seen, agree = views(combined), combined.report.marks(0) & 127 == 0
    assert np.count_nonzero(~agree) == combined.report.voxels
    for name, path in files.items():
        np.testing.assert_array_equal(painted(seen[name], combined, name)[agree], pixels(path)[agree])
    organelles = pixels(files["organelle"])
    both = np.where(organelles[..., 3:] > 0, organelles, pixels(files["cell"]))
    cores = seen["semantic"][0] == 6
    assert np.count_nonzero(cores) == 112
    np.testing.assert_array_equal(painted(seen["instance"], combined, "instance")[agree & ~cores], both[agree & ~cores])


def test_what_is_trusted_comes_out_as_it_went_in(results, files, views):
    seen = views(results["instance"])
    for name in ("cell", "organelle"):
        np.testing.assert_array_equal(painted(seen[name], results["instance"], name), pixels(files[name]))
    seen = views(results["semantic"])
    np.testing.assert_array_equal(painted(seen["semantic"], results["semantic"], "semantic"), pixels(files["semantic"]))


def test_the_table(results):
    combined = results["instance"]
    table, report = combined.table, combined.report
    cells = [label for label, entry in table.items() if entry["cls"] == "cell"]
    assert cells == list(range(1, 18)) and all("parent" not in table[cell] for cell in cells)
    organelles = {label: entry for label, entry in table.items() if entry["cls"] not in ("cell", "dense granule core")}
    assert len(organelles) == 107 and {entry["parent"] for entry in organelles.values()} <= set(cells)
    [core] = [entry for entry in table.values() if entry["cls"] == "dense granule core"]
    assert table[core["parent"]]["cls"] == "dense granule body"
    assert len(report.renumbered["organelle"]) == 17
    assert set(combined.colours) == set(table)


def test_semantic_alone(files, classes, views):
    layers = read_layers({"semantic": files["semantic"]}, classes)
    combined = combine(layers.semantic, {}, classes)
    seen = views(combined)
    np.testing.assert_array_equal(painted(seen["semantic"], combined, "semantic"), pixels(files["semantic"]))
    made = combined.report.made
    assert (made["mitochondrion"], made["dense granule body"], made["dense granule core"]) == (7, 1, 1)
    assert combined.report.disagreements == []


def test_the_report_in_words_and_numbers(results):
    report = results["instance"].report
    text = str(report)
    assert "objects given: 17 of cell, 107 of organelle; made by components: 1 dense granule core" in text
    assert "the layers disagree at 3,435 of 640,000 voxels:" in text
    lines = text.split("\n")
    head = next(line for line in lines if line.startswith("kind "))
    [row] = [line for line in lines if " 1,859 " in line]
    assert row[head.index("found") :].startswith("background")
    assert row[: head.index("voxels") + len("voxels")].endswith("1,859")
    facts = json.loads(report.to_json())
    assert facts["disagreements"][0] | {"object": 1, "label": 108} == {
        "kind": "class", "layer": "organelle", "object": 1, "label": 108, "colour": FRAME, "cls": "organelle",
        "found": "background", "voxels": 1859, "box": [[0, 0, 0], [1, 800, 800]], "example": [0, 0, 0], "done": "kept",
    }  # fmt: skip
    assert facts["voxels"] == 3435 and facts["slices"] == {"0": 3435} and facts["shape"] == [1, 800, 800]
    assert facts["parts"][0]["voxels"] == 112


def test_files_of_another_format_say_the_same(results, files, classes, tmp_path):
    other = {}
    for layer, path in files.items():
        stack = read(path, colours={entry.id: entry.colour for entry in classes}) if layer == "semantic" else read(path)
        labels = Stack.of(np.concatenate(list(stack.slabs())))
        other[layer] = tmp_path / f"{layer}.{ {'semantic': 'tif', 'cell': 'json', 'organelle': 'h5'}[layer] }"
        write(labels, other[layer])
    layers = read_layers(other, classes)
    combined = combine(layers.semantic, layers.objects, classes)
    expected = results["instance"]
    assert combined.table == expected.table and combined.colours == {}
    for ours, theirs in zip(combined.slabs(), expected.slabs(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
