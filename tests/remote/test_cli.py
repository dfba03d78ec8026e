"""Commands that are given an address say what they say of the same volume on disk."""

from __future__ import annotations

import json
import re

import pytest

from labelog import cli

from .conftest import worked_on


@pytest.fixture
def printed(capsys):
    """What a command prints that must succeed without a word on stderr."""

    def run(*arguments):
        code = cli.main(list(map(str, arguments)))
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out

    return run


def test_info(near, address, printed):
    worked_on(near)
    there = {"volume": address, "bytes_on_disk": None}  # the files are the server's
    assert json.loads(printed("info", address, "--json")) == json.loads(printed("info", near.address, "--json")) | there
    on_disk = printed("info", near.address).replace(near.address, address)
    assert printed("info", address) == re.sub(r"on disk .*\n", "", on_disk)


def test_compact(address, printed):
    assert re.fullmatch(r"\d+ chunks? folded\n", printed("compact", address))
    told = json.loads(printed("compact", address, "--json"))
    assert (told["bytes_before"], told["bytes_after"]) == (None, None)


def test_history_and_undo(near, address, printed):
    worked_on(near)
    here, there = printed("history", near.address), printed("history", address)
    assert there == re.sub(r" \[.*?\]", "", here)  # what was said of labels is not told by a server
    author = json.loads(printed("history", address, "--json", "--limit", "1"))["author"]
    undone = json.loads(printed("undo", address, "--author", author, "--json"))
    assert undone["kind"] == "undo"
    assert near.revision == undone["revision"]


def test_assign(near, address, printed):
    worked_on(near)
    label = next(iter(near.labels)).id
    assert printed("assign", address, label, "--name", "ada") == f"revision {near.revision}\n"
    assert near.labels[label].name == "ada"
