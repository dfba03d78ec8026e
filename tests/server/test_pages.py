"""What a browser shows: pages that need no script and nothing from elsewhere, and a login where tokens are asked."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape

import numpy as np
import pytest

import labelog
from serving import get

from .browser import MISSING, PROGRAM, Browser
from .conftest import guarding, make_cells, serving

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
STRANGE = 'a<script>&"b c'


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A server with volumes of usual and unusual names, one of them damaged."""
    folder = tmp_path_factory.mktemp("shown")
    make_cells(folder)
    labelog.create(folder / f"{STRANGE}.labelog", (4, 1100, 1000), voxel_size=(2, 0.5, 1), unit="um").close()
    labelog.create(folder / "broken.labelog", (1, 1, 1)).close()
    (folder / "broken.labelog" / "journal.sqlite").write_bytes(b"no database")
    with serving(folder) as server:
        yield server


def test_all_volumes_are_listed(shown):
    answer = get(shown.address, headers=BROWSER)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    paths = re.findall(r'href="(/volumes/[^"]*)"', answer.text)
    assert len(paths) == 3 and "/volumes/cells" in paths
    assert "20 × 60 × 70 voxels, revision 0" in answer.text and "cannot be opened" in answer.text
    assert "<script" not in answer.text and str(shown.folder) not in answer.text


def test_the_address_in_the_browser_is_the_one_that_programs_open(shown):
    for name in ("cells", STRANGE):
        listed = get(shown.address, headers=BROWSER).text
        path = unescape(
            re.search(rf'href="(/volumes/[^"]*{"cells" if name == "cells" else "script"}[^"]*)"', listed)[1]
        )
        page = get(shown.address + path, headers=BROWSER)
        assert page.status_code == 200 and "<script" not in page.text
        address = re.search(r'labelog\.open\("(.*?)"\)', unescape(page.text))[1]
        assert address == shown.address + path
        with labelog.open(address) as volume, labelog.open(shown.folder / f"{name}.labelog", "r") as own:
            assert volume.id == own.id
        picture = get(shown.address + unescape(re.search(r'<img src="(.*?)"', page.text)[1]))
        assert picture.status_code == 200 and picture.headers["content-type"] == "image/png"
        for link in re.findall(r'href="(/[^"]*)"', page.text):
            assert get(shown.address + unescape(link), headers=BROWSER).status_code == 200, link
        for source in re.findall(r"precomputed://(.*?)<", page.text):
            assert get(f"{source}/info").status_code == 200
        for group in re.findall(r"<code>([^<]*/zarr/[^<]*)<", page.text):
            assert get(f"{group}/zarr.json").status_code == 200
    assert "2 × 0.5 × 1 um" in page.text and "scale=1" in page.text


def test_programs_get_json_there(shown):
    with shown.client() as client:
        told = client.get("/volumes/cells").json()
    for accept in ({}, {"Accept": "application/json"}, {"Accept": "text/html;q=0.5, application/json"}):
        assert get(f"{shown.address}/volumes/cells", headers=accept).json() == told
    answer = get(f"{shown.address}/volumes/cells")
    assert "Accept" in answer.headers["vary"]
    assert get(f"{shown.address}/volumes/none", headers=BROWSER).status_code == 404


def test_pages_load_nothing_from_elsewhere(shown):
    for path in ("/", "/volumes/cells", "/docs"):
        answer = get(shown.address + path, headers=BROWSER)
        assert not re.search(r'(src|href)="(?!/|#)', answer.text), path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "script-src 'none'" in answer.headers["content-security-policy"]
    assert get(f"{shown.address}/redoc").status_code == 404


def test_all_routes_and_objects_are_on_a_page(shown):
    text = unescape(get(f"{shown.address}/docs", headers=BROWSER).text)
    described = get(f"{shown.address}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in text
    anchors = set(re.findall(r'id="(.*?)"', text))
    assert set(re.findall(r'href="#(.*?)"', text)) <= anchors == set(described["components"]["schemas"])
    assert "rows of z, y, x0, x1 (half-open)" in text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for tokens, and one for one of its volumes."""
    with guarding(tmp_path_factory, lambda tokens: tokens.add("ana<b>", "read", ["cells"])) as server:
        yield server


def test_a_person_is_asked_for_a_token(guarded):
    for path in ("/", "/volumes/cells", "/api/v1/volumes/cells", "/volumes/none"):
        page = get(guarded.address + path, headers=BROWSER)
        assert page.status_code == 401 and page.headers["www-authenticate"] == "Bearer"
        (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
        digest = b64encode(sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in page.headers["content-security-policy"]
        other = get(guarded.address + path)
        assert other.status_code == 401 and other.headers["content-type"] == "application/problem+json"
    with guarded.client("", headers=BROWSER) as browser:
        browser.post("/session", json={"token": guarded.given})
        listed = browser.get("/").text
        assert "/volumes/cells" in listed and "other" not in listed and "ana&lt;b&gt;" in listed
        assert browser.get("/volumes/cells").status_code == 200
        assert browser.get("/volumes/other").status_code == 403
        browser.delete("/session")
        assert browser.get("/").status_code == 401


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
def test_a_real_browser_draws_the_slice_and_logs_in(shown, guarded, tmp_path):
    """The policy of the pages lets through what they need: their style, the picture, the script that logs in."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{shown.address}/volumes/cells")
        browser.wait("document.images[0].complete")
        assert np.count_nonzero(np.ptp(browser.picture().astype(int), axis=2) > 100) > 100_000
        browser.open(f"{guarded.address}/volumes/cells")
        for token, found in (("labelog_no", "no longer, good"), (guarded.given, "A label volume")):
            browser.run(f'document.querySelector("input").value = "{token}"')
            browser.run('document.querySelector("form button").click()')
            browser.wait(f'document.body?.innerText.includes("{found}")')
        browser.open(guarded.address)
        browser.run('document.querySelector("button").click()')
        browser.wait('document.querySelector("h1")?.textContent == "Log in"')
