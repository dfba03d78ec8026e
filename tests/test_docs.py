"""What the documents say is what the code does: examples run, bytes and columns are those that are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labelog
from labelog import cli
from labelog.geometry import scales
from labelog.kernels import codec, spans
from labelog.kernels.runs import Runs
from labelog.storage import base
from labelog.storage.array_bytes import pack_array
from labelog.storage.connections import PRAGMAS
from labelog.storage.head import Slot
from labelog.storage.journal import pack_numbers
from labelog.storage.layout import FORMAT, SCALED_HEADER
from labelog.storage.meta import Meta
from labelog.storage.pyramid import Mark, Pyramid

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FORMATS = (ROOT / "docs" / "format.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

BEFORE = np.array([[[0, 0, 0, 7, 7, 7, 7, 0], [0, 0, 7, 7, 7, 7, 9, 9], [0, 0, 7, 7, 7, 7, 9, 9]]], np.uint64)
WRITTEN = np.array([[[7, 7], [7, 7], [9, 9]]], np.uint64)  # at x = 2


def blocks(text, language):
    """The code blocks of a document that begin with this word, or words."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def dump(data):
    """Bytes as docs/format.md shows them."""
    lines = (f"{at:04x}  " + " ".join(f"{byte:02x}" for byte in data[at : at + 16]) for at in range(0, len(data), 16))
    return "".join(f"{line}\n" for line in lines)


def run(command, folder, **variables):
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def meta():
    """The volume that docs/format.md tells about."""
    return Meta.from_bytes(blocks(FORMATS, "json")[0].encode(), Path("labelog.json"))


def test_the_readmes_python_prints_what_it_says(tmp_path):
    (example,) = blocks(README, "python")
    (printed,) = blocks(README, "text")
    assert len(example.splitlines()) <= 25
    assert run([sys.executable, "-c", example], tmp_path) == printed


@pytest.mark.parametrize("name", ["codec", "labels", "scales", "tools"])
def test_pages_in_python_print_what_they_say(tmp_path, name):
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert run([sys.executable, "-c", "".join(blocks(page, "python"))], tmp_path) == "".join(blocks(page, "text"))


@pytest.fixture
def shell(tmp_path):
    """Runs a script in a folder where commands and sample are found as in the clone."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "bin").mkdir()
    for name, command in (("labelog", '-m labelog.cli "$@"'), ("python", '"$@"')):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\nexec '{sys.executable}' {command}\n")
        path.chmod(0o755)
    return lambda script: run(["bash", "-c", script], tmp_path, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")


def test_the_page_on_pictures_prints_what_it_says(shell, tmp_path):
    """All of its blocks in one shell, which goes on where `check` finds something and ends with 1."""
    page = (ROOT / "docs" / "pictures.md").read_text()
    steps = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", page, re.MULTILINE | re.DOTALL)
    script = "".join(f"exec > {number} 2>> errors\n{commands}" for number, (commands, _) in enumerate(steps))
    assert shell(f"{script}\ntrue") == ""
    assert (tmp_path / "errors").read_text() == ""
    assert len([shown for _, shown in steps if shown]) == len(blocks(page, "text")) > 5
    for number, (commands, shown) in enumerate(steps):
        assert not shown or (tmp_path / str(number)).read_text() == shown, commands


def test_the_readmes_commands_run(shell, tmp_path):
    (walk,) = (block for block in blocks(README, "sh") if "labelog import" in block)
    printed = shell(walk.replace('PATH="$PWD/.venv/bin:$PATH"\n', "set -e\n"))
    assert "a box, by mistake" in printed
    assert "object 10255 (of 10255, 10370)" in printed
    assert "now label 10255 has no class; label 10255 has no name" in printed
    assert printed.rstrip().endswith("all is well")
    assert (tmp_path / "slices.tif").exists()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_are_there(path, capsys):
    assert cli.main(["--help"]) == 0
    known = set(re.findall(r"^    (\w+)(?:  |$)", capsys.readouterr().out, re.MULTILINE))
    text = path.read_text()
    named = set(re.findall(r"`labelog\s+(\w+)", text))
    for block in blocks(text, "sh"):
        named |= set(re.findall(r"^labelog (\w+)", block, re.MULTILINE))
    assert named <= known
    assert named == known or path != ROOT / "README.md"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


def test_make_targets_named_are_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.MULTILINE)) <= targets, path


def test_the_code_map_is_whole():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"[\w/]+\.(?:py|pyx|pxd)\b", text))
    source = ROOT / "src" / "labelog"
    files = [path for pattern in ("*.py", "*.pyx", "*.pxd") for path in source.rglob(pattern)]
    missing = [str(path.relative_to(source)) for path in files
               if path.name != "__init__.py" and path.name not in named]  # fmt: skip
    assert not missing, "name them in ARCHITECTURE.md"


def test_the_chunk(meta):
    (shown,) = blocks(FORMATS, "hex chunk")
    assert shown == dump(base.pack(Runs.from_dense(BEFORE), meta.key, (0, 2, 0), 5))


def test_the_plain_array():
    (shown,) = blocks(FORMATS, "hex array")
    assert shown == dump(pack_array(BEFORE[0].astype("<i2")))


def test_the_chunk_of_a_coarser_scale(meta, tmp_path):
    (shown,) = blocks(FORMATS, "hex scaled")
    found = scales(meta.grid, meta.voxel_size)
    mark = Mark(5, bytes(range(16)))
    data = Pyramid(tmp_path, found).pack(found[1], 0, mark, Runs.from_dense(BEFORE))
    assert shown == dump(data[: SCALED_HEADER.size])
    assert f"header of {SCALED_HEADER.size} bytes" in FORMATS


def test_the_delta(meta):
    (shown,) = blocks(FORMATS, "hex delta")
    delta = spans.diff(Runs.from_dense(BEFORE), spans.array_spans(meta.chunks, (0, 0, 2), WRITTEN))
    assert shown == dump(codec.encode_delta(delta, meta.chunks[2]))


def test_the_head():
    (shown,) = blocks(FORMATS, "hex head")
    assert shown == dump(Slot(5, bytes(range(16))).to_bytes())


def test_packed_numbers():
    assert f"`{pack_numbers((3, 4, 300)).hex(' ')}`" in FORMATS


def test_labelog_json_and_the_zarr_documents(meta):
    whole, group, array = blocks(FORMATS, "json")
    assert meta.to_bytes().decode() == whole
    assert json.loads(group) == base.group_document(meta)
    assert json.loads(array) == base.array_document(meta.grid)
    assert f"# Format {FORMAT}:" in FORMATS


@pytest.fixture
def volume(tmp_path):
    """Edits of voxels and of the label table, each kind undone."""
    with labelog.create(tmp_path / "v.labelog", (2, 8, 20), chunks=(2, 8, 8), classes="platelet") as volume:
        for author, label in (("ana", 1), ("bo", 2)):
            with volume.edit(author, session="left", message="é") as edit:
                edit[0, 0, 4:12] = label
        volume.undo("ana")
        with volume.edit("ana") as edit:
            edit[1, 0, :3] = 2**64 - 1
            cell = edit.new(cls="cell", name="é", quality=[1, None])
            edit.assign(2, cls="mitochondrion", parent=cell)
            edit.merge(2, [2**64 - 1])
            edit.set_region("a part", "gold", ((0, 0, 0), (1, 1, 2)), [[[True, False]]])
        with volume.edit("bo") as edit:
            edit.assign(2, name="B", parent=None)
        volume.undo("bo")
        yield volume


def test_tables_and_columns(volume):
    told = {}
    for name, body in re.findall(r"^### Table `(\w+)`[^\n]*\n(.*?)(?=^#)", FORMATS, re.MULTILINE | re.DOTALL):
        told[name] = re.findall(r"^\| `(\w+)` \| [A-Z]", body, re.MULTILINE)
    with volume.store.journal.reading() as journal:
        tables = [name for (name,) in journal.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        assert told == {table: [row[1] for row in journal.rows(f"PRAGMA table_info({table})")] for table in tables}
        indexes = journal.rows("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL")
    assert all(f"`{name}`" in FORMATS for (name,) in indexes)
    assert all(f"`{name}`" in FORMATS for name in PRAGMAS)


def test_the_chain_hash(volume):
    space = {}
    exec(blocks(FORMATS, "python")[0], space)
    before, said = bytes.fromhex(volume.id), []
    with volume.store.journal.reading() as journal:
        names = [row[1] for row in journal.rows("PRAGMA table_info(edits)")]
        edits = journal.rows("SELECT * FROM edits ORDER BY revision")
        columns = [row[1] for row in journal.rows("PRAGMA table_info(facts)")]
        for edit in (dict(zip(names, row, strict=True)) for row in edits):
            revision = edit["revision"]
            (edit["author"],) = journal.rows("SELECT name FROM authors WHERE id = ?", edit["author"])[0]
            targets = [
                target for (target,) in journal.rows("SELECT target FROM takes_out WHERE revision = ?", revision)
            ]
            deltas = dict(journal.rows("SELECT chunk, data FROM deltas WHERE revision = ? ORDER BY chunk", revision))
            rows = journal.rows("SELECT * FROM facts WHERE revision = ?", revision)
            facts = [dict(zip(columns, row, strict=True)) for row in rows]
            before = space["chain_hash"](before, edit, targets, deltas, facts)
            assert before == edit["hash"]
            said += facts
    assert len(edits) == 7
    assert volume.check().ok
    assert {fact["space"] for fact in said} == {0, 1, 2}
    assert {type(fact["value"]) for fact in said} == {int, str, type(None)}
