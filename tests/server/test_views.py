"""Views as maps: with them a client that has labels as stored shows what the server would send."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

MAP = "/volumes/cells/views/{}/map"


def fragments(client):
    return np.load(io.BytesIO(client.get("/volumes/cells/slices/z/10?view=fragment&format=npy").content))


def through(array, known, plain):
    """An array of labels as stored, through a client's map."""
    return np.vectorize(lambda label: int(known.get(str(label), label if plain else 0)), otypes=[np.uint64])(array)


@pytest.mark.parametrize(("view", "plain"), [("instance", True), ("semantic", False), ("cell", False)])
def test_a_merge_recolours_without_a_voxel_sent(client, edit, view, plain):
    stored = fragments(client)
    told = client.get(MAP.format(view)).json()
    assert told["whole"] and told["values"] == {} and told["since"] is None
    known, colours, revision = told["values"], told["colours"], told["revision"]
    edit({"op": "assign", "label": "12", "class": "cell"}, {"op": "merge", "label": "12", "others": ["22", "32"]})
    edit({"op": "assign", "label": "42", "class": "mitochondrion", "parent": "22"})
    client.post("/volumes/cells/undo", json={})
    edit({"op": "assign", "label": "1", "parent": "32"}, {"op": "cleave", "labels": ["22"]})
    told = client.get(MAP.format(view), params={"since": revision}).json()
    assert not told["whole"] and told["revision"] == 4
    known |= told["values"]
    colours |= told["colours"]
    sent = client.get(f"/volumes/cells/slices/z/10?view={view}&format=npy").content
    assert np.array_equal(through(stored, known, plain), np.load(io.BytesIO(sent)))
    picture = np.array(Image.open(io.BytesIO(client.get(f"/volumes/cells/slices/z/10?view={view}&format=png").content)))
    there = np.argwhere(np.isin(stored[0], list(map(int, known))))
    assert len(there) > 20
    for y, x in there[:: len(there) // 20]:
        shade = colours[str(known[str(stored[0, y, x])])]
        assert "#" + bytes(picture[y, x]).hex() == shade


def test_of_some_labels(client, edit):
    edit({"op": "merge", "label": "12", "others": ["22"]})
    told = client.get(MAP.format("instance"), params={"labels": "22,5,18446744073709551615"}).json()
    assert told["values"] == {"22": "12", "5": "5", "18446744073709551615": "18446744073709551615"}
    assert set(told["colours"]) == set(told["values"].values()) and not told["whole"]
    for bad in ({"labels": "22,x"}, {"labels": "1", "since": 0}, {"since": 9}, {"since": -1}, {"rev": 0, "since": 1}):
        assert client.get(MAP.format("instance"), params=bad).status_code == 422, bad
    assert client.get(MAP.format("dog")).status_code == 404
    assert client.get(MAP.format("instance") + "?rev=9").status_code == 404
    assert client.get(MAP.format("instance"), params={"labels": ",".join(["7"] * 10_000)}).status_code == 431


def test_it_is_as_it_was_until_something_is_said(client, edit):
    first = client.get(MAP.format("instance"))
    held = {"If-None-Match": first.headers["etag"]}
    edit({"op": "box", "label": "9", "box": [[0, 0, 0], [1, 1, 1]]})
    assert client.get(MAP.format("instance"), headers=held).status_code == 304
    edit({"op": "merge", "label": "12", "others": ["22"]})
    assert client.get(MAP.format("instance"), headers=held).status_code == 200
