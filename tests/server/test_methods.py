"""Methods that a path does not take: Allow and the detail name all that it does."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(("path", "allowed"), [
    ("/api/v1/volumes/cells", {"GET", "HEAD", "DELETE"}),
    ("/api/v1/volumes", {"GET", "HEAD", "POST"}),
    ("/api/v1/volumes/cells/voxels", {"GET", "HEAD", "PUT"}),
    ("/api/v1/volumes/cells/edits", {"POST"}),
    ("/zarr/cells/instance/s0/c/0/0/0", {"GET", "HEAD", "PUT", "DELETE"}),
    ("/session", {"GET", "HEAD", "POST", "DELETE"}),
])  # fmt: skip
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS"])
def test_what_is_allowed_is_all_that_works(client, server, path, allowed, method):
    answer = client.request(method, server.address + path)
    assert answer.status_code == 405 and answer.headers["content-type"] == "application/problem+json"
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert all(each in answer.json()["detail"] for each in allowed)


def test_head_where_nothing_is_read(client):
    assert client.head("/volumes/cells/edits").headers["allow"] == "POST"
