"""`labelog import` with layers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import labelog
from labelog import cli


@pytest.fixture
def loaded(monkeypatch):
    """What `load` is called with."""
    calls, load = [], labelog.load

    def taken(path, slabs, *, classes, table, **options):
        calls.append({"classes": classes, "table": table, **options})
        return load(path, slabs, classes=classes, table=table, **options)

    monkeypatch.setattr(labelog, "load", taken)
    return calls


@pytest.fixture
def words(data):
    folder = data / "platelet"
    return [f"semantic={folder}/semantic.png", f"cell={folder}/instance-cell.png",
            f"organelle={folder}/instance-organelle.png"]  # fmt: skip


def test_import_of_layers(loaded, words, tmp_path, capsys):
    image = tmp_path / "em.png"
    Image.fromarray(np.arange(640000, dtype=np.uint16).reshape(800, 800)).save(image)
    target, report, picture = (str(tmp_path / name) for name in ("a.labelog", "r.json", "r.png"))
    arguments = ["import", *words, f"image={image}", target, "--report", report, "--picture", picture,
                 "--voxel-size", "40,10,10"]  # fmt: skip
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "the layers disagree at 3,435 of 640,000 voxels:" in said and "objects     125" in said
    assert json.loads((tmp_path / "r.json").read_text())["voxels"] == 3435
    assert Image.open(picture).width == 1600
    [call] = loaded
    assert len(call["table"]) == 125 and len(call["classes"]) == 8 and call["voxel_size"] == (40, 10, 10)
    with labelog.open(target, "r") as volume:
        assert volume.shape == (1, 800, 800)
        assert set(np.unique(volume[:]).tolist()) - {0} <= set(call["table"])
        assert len(volume.colours) == 125
        assert volume.image.shape == volume.shape
        assert volume.commit(0).message.startswith("imported from semantic=semantic.png, cell=instance-cell.png")


def test_as_json_and_as_text(loaded, words, tmp_path, capsys):
    report = tmp_path / "r.txt"
    code = cli.main(["import", *words, str(tmp_path / "a"), "--trust", "semantic", "--json", "--report", str(report)])
    facts = json.loads(capsys.readouterr().out)
    assert code == 0 and facts["objects"] == 128 and facts["report"]["trust"] == "semantic"
    assert "the layers disagree at 3,294 of 640,000 voxels" in report.read_text()
    assert cli.main(["import", *words, str(tmp_path / "b"), "--report", str(report)]) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err and not (tmp_path / "b").exists()
    assert cli.main(["import", *words, str(tmp_path / "b"), "--report", str(report), "--overwrite"]) == 0


def test_own_classes_and_snapped_colours(loaded, tmp_path, capsys):
    Image.fromarray(np.array([[(10, 10, 10, 255), (11, 10, 10, 255)]], np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "c.toml").write_text('[[class]]\nid = 3\nname = "neuron"\ncolour = "#0a0a0a"\n')
    arguments = ["import", f"semantic={tmp_path}/a.png", str(tmp_path / "v"), "--classes", str(tmp_path / "c.toml")]
    assert cli.main(arguments) == 1
    assert "--snap 1 would take it for #0a0a0aff" in capsys.readouterr().err
    assert cli.main([*arguments, "--snap", "1"]) == 0
    assert "semantic: #0b0a0aff taken for #0a0a0aff: 1 voxel\n" in capsys.readouterr().out
    assert loaded[0]["table"] == {1: {"cls": "neuron"}}


def test_a_single_file_is_imported_as_before(tmp_path, capsys):
    np.save(tmp_path / "cell=1.npy", np.ones((1, 2, 3), int))
    assert cli.main(["import", str(tmp_path / "cell=1.npy"), str(tmp_path / "v")]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.png", "b.png"], "expected one SOURCE, or layers such as cell=a.png; found 'a.png'"),
        (["cell=a.png", "b.png"], "found 'b.png'"),
        (["cell=a.png", "cell=b.png"], "layer cell is there twice"),
        (["a.png", "--trust", "semantic"], "--trust is for layers"),
        (["cell=a.png", "--gaps"], "--gaps is not for layers"),
    ],
)
def test_what_is_wrong_usage(words, said, tmp_path, capsys):
    assert cli.main(["import", *words, str(tmp_path / "v")]) == 2
    assert said in capsys.readouterr().err


def test_what_is_refused(words, tmp_path, capsys):
    target = str(tmp_path / "v")
    for extra, said in (
        ([f"nucleus={words[1].split('=')[1]}"], "layer 'nucleus': expected semantic, image or a class"),
        ([f"mitochondrion={tmp_path}/none.png"], "none.png does not exist"),
        (["--classes", "nobody"], "nobody does not exist; the classes that come with labelog are: platelet"),
        (["--report", f"{tmp_path}/no/r.json"], "folder"),
    ):
        assert cli.main(["import", *words, *extra, target] if "=" in extra[0] else
                        ["import", *words, target, *extra]) == 1  # fmt: skip
        assert said in capsys.readouterr().err
    assert not (tmp_path / "v").exists()
