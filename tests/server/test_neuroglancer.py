"""A real Neuroglancer in a real browser draws a served volume: from an origin of its own, and behind one proxy with the
server, where the browser has logged in (docs/neuroglancer.md)."""

from __future__ import annotations

import http.client
import importlib.util
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import labelog
from labelog_server.tokens import Tokens

from .browser import MISSING, PROGRAM, Browser
from .conftest import serving

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
    pytest.mark.skipif(not importlib.util.find_spec("neuroglancer"), reason="make test-clients installs neuroglancer"),
]

VIEWER = """
import sys
import neuroglancer
neuroglancer.set_server_bind_address("127.0.0.1", 0)
viewer = neuroglancer.Viewer()
print(viewer.get_viewer_url(), flush=True)
source = sys.stdin.readline().strip()
with viewer.txn() as state:
    state.layers["cells"] = neuroglancer.SegmentationLayer(source=source, not_selected_alpha=1, selected_alpha=1)
    state.layout, state.show_axis_lines = "xy", False
print("ready", flush=True)
sys.stdin.read()
"""
OURS = ("/precomputed/", "/session", "/volumes/", "/api/")


@pytest.fixture
def viewer():
    """Neuroglancer's own server: its address, and what tells it where the labels are."""
    process = subprocess.Popen([sys.executable, "-c", VIEWER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def show(source):
        process.stdin.write(f"{source}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"

    yield process.stdout.readline().strip(), show
    process.kill()
    process.communicate()


@pytest.fixture
def folder(tmp_path):
    """cells.labelog: four blocks, the last of background. Neuroglancer makes a pixel of a voxel."""
    array = np.zeros((4, 400, 400), np.uint64)
    array[:, :200, :200], array[:, :200, 200:], array[:, 200:, :200] = 7, 2**64 - 1, 300
    labelog.load(tmp_path / "cells.labelog", array, voxel_size=(1, 1, 1), author="lab").close()
    return tmp_path


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as browser:
        yield browser


def drawn(picture):
    """The areas of colours that are no grey, largest first: a label's, as Neuroglancer colours it."""
    colours, counts = np.unique(picture.astype(int) @ [1, 256, 65536], return_counts=True)
    vivid = np.ptp(colours[:, None] >> [0, 8, 16] & 255, axis=1) > 40
    return sorted((int(count) for count in counts[vivid] if count > 20_000), reverse=True)


def wait_for_blocks(browser):
    for _ in range(50):
        found = drawn(browser.picture())
        if len(found) == 3:
            break
        browser.run("new Promise(done => setTimeout(done, 200))")
    assert len(found) == 3 and min(found) > 0.9 * max(found), found


def test_from_another_origin(folder, viewer, browser):
    page, show = viewer
    with serving(folder, "--origin", page.split("/v/")[0]) as server:
        show(f"precomputed://{server.address}/precomputed/cells/instance")
        browser.open(page)
        wait_for_blocks(browser)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Streams are cut when the test is over."""


class Proxy(BaseHTTPRequestHandler):
    """What is labelog's goes there, all else to Neuroglancer, under one name."""

    protocol_version = "HTTP/1.0"

    def forward(self):
        port = self.server.ours if self.path.startswith(OURS) else self.server.others
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        connection.request(self.command, self.path, sent, headers)
        answer = connection.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        while piece := answer.read1(2**16):  # a stream of events comes bit by bit
            self.wfile.write(piece)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = forward

    def log_message(self, *_):
        pass


def test_with_a_token_behind_one_proxy(folder, viewer, browser):
    page, show = viewer
    (folder / "secrets").mkdir()
    tokens = Tokens(folder / "secrets" / "tokens.json")
    token = tokens.add("ana", "read", ["cells"])
    with serving(folder, "--tokens", str(tokens.path)) as server, Quiet(("127.0.0.1", 0), Proxy) as proxy:
        proxy.ours, proxy.others = server.port, int(page.split("/")[2].split(":")[1])
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{proxy.server_port}"
        show(f"precomputed://{root}/precomputed/cells/instance")
        browser.open(f"{root}/volumes/cells")  # which asks for the token
        browser.run(f'document.querySelector("input").value = {json.dumps(token)}')
        browser.run('document.querySelector("form button").click()')
        browser.wait('document.querySelector("h1")?.textContent == "cells" && document.images[0]?.complete')
        assert browser.run("document.cookie") == ""  # no script can read it
        browser.open(root + "/" + page.split("/", 3)[3])
        wait_for_blocks(browser)
        proxy.shutdown()
