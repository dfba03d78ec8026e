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
