"""docs/http.md: its decoders run in Node, its routes are those that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from .conftest import labels

TEXT = (Path(__file__).parents[2] / "docs" / "http.md").read_text()


def fenced(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed (Debian's package nodejs)")
@pytest.mark.parametrize(("format", "decoder"), [("indexed", "decodeIndexed"), ("runs", "decodeRuns")])
def test_the_decoders_run_in_node(shared, format, decoder):
    (code,) = fenced("js")
    program = f"""{code}
    fetch("{shared.address}/api/v1/volumes/cells/slices/z/6?format={format}&around=2").then(async answer => {{
      const {{shape, palette, index}} = {decoder}(await answer.arrayBuffer());
      console.log(JSON.stringify({{shape, labels: Array.from(index, i => palette[i].toString())}}));
    }});"""
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    array = np.array(list(map(int, found["labels"])), np.uint64).reshape(found["shape"])
    assert np.array_equal(array, labels()[4:9])


def test_all_routes_are_named(shared):
    with shared.client() as client:
        paths = client.get(shared.address + "/openapi.json").json()["paths"]
    assert len(paths) > 15
    groups = re.findall(r"`(/[^`]+/)\.\.\.`", TEXT)
    for path in paths:
        last = path.removeprefix("/api/v1").split("/")[-1]
        named = last.strip("{}") in TEXT or path.removeprefix("/api/v1") in TEXT
        assert named or path.startswith(tuple(groups)), path


def test_the_edit_shown_is_one(client):
    (request,) = fenced("http")
    body = request.split("\n\n", 1)[1]
    operations = json.loads(body)["operations"]
    operations[1]["spans"] = [[10, 10, 20, 40], [10, 11, 19, 43]]  # within the small volume of the tests
    answer = client.post("/volumes/cells/edits", json=json.loads(body) | {"operations": operations})
    (shown,) = fenced("json")
    assert answer.status_code == 200 and set(answer.json()) == set(json.loads(shown))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_requests_shown_are_answered(server, client, tmp_path):
    (_, text, *_) = fenced("sh")
    smaller = {"100:300,200:400": "10:30,20:40", "[10, 100, 200, 240]": "[10, 10, 20, 40]",
               "http://127.0.0.1:8000": server.address, "curl -N": "timeout 2 curl -N"}  # fmt: skip
    for shown, here in smaller.items():
        assert shown in text
        text = text.replace(shown, here)
    program = text.replace("curl ", "curl -sSf ")
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr and '"voxels":20' in done.stdout and "event: commit" in done.stdout, done
    assert (tmp_path / "slice.png").read_bytes().startswith(b"\x89PNG")
    part = np.load(tmp_path / "part.npy")
    assert np.array_equal(part, labels()[10:11, 10:30, 20:40])
    assert client.get("/volumes/cells/history/1").json()["author"] == "ana"
