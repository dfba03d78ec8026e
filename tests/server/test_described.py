"""Requests that schemathesis makes of the description of routes, right and wrong ones: no answer is a failure of the
server's own, and each is one of those that are described.

Numbers, boxes, labels and views that it makes up are seldom any of the volume's. So half of the right ones are brought
nearer to what is there.

How many are sent is seen to: by each test, of its own, and by one, of them all.
"""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.transport.serialization import Binary

import labelog
from labelog.image import import_image
from labelog_server.describe import description

from .conftest import labels, make_cells, serving

CASES, IN_ALL = (200, 10_000) if os.environ.get("LABELOG_SOAK") else (20, 1_000)  # of each route, right and wrong

load_all_checks()
DESCRIBED = CHECKS.get_by_names([
    "status_code_conformance", "content_type_conformance", "response_schema_conformance", "response_headers_conformance"
])  # fmt: skip
OPERATIONS = {
    found.ok().label: found.ok()
    for found in schemathesis.openapi.from_dict(description()).get_all_operations()
    if not found.ok().path.endswith("/events")  # they have no end
}

LIKELY = {
    "name": st.just("cells"),
    "index": st.integers(0, 19),
    "rev": st.integers(0, 3),
    "since": st.integers(0, 3),
    "revision": st.integers(0, 3),
    "seen": st.integers(0, 3),
    "scale": st.integers(0, 1),
    "view": st.sampled_from(["instance", "fragment", "semantic", "cell"]),
    "box": st.sampled_from([":,:,:", "0:2,10:20,30:40", ":,10:20", "3:4,:,:"]),
    "label": st.integers(0, 30).map(str),
    "labels": st.just("1,2,18446744073709551615"),
    "key": st.sampled_from(["cells/instance/s0/zarr.json", "cells/cell/s0/c/0/0/0", "cells/instance/s0/c/1/1/1"]),
    "chunk": st.just("0-32_0-16_0-8"),
    "dtype": st.just("uint64"),
    "confirm": st.just("dogs"),
}
LIKELY_PLACES = LIKELY | {"scale": st.sampled_from(["s0", "s1"])}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A server, and a session for its requests."""
    folder = tmp_path_factory.mktemp("described")
    make_cells(folder)
    image = import_image(labels().astype(np.uint16), folder / "image", voxel_size=(40, 10, 10), unit="nm", scales=2)
    with labelog.open(folder / "cells.labelog") as volume:
        volume.attach_image(image.address, author="lab")
    with serving(folder) as server, requests.Session() as session:
        yield server, session


def nearer(value, draw):
    """What a client that knows the volume would rather send: small numbers, labels that are there."""
    if isinstance(value, dict):
        return {
            name: draw(LIKELY[name]) if isinstance(inner, (int, str)) and name in LIKELY else nearer(inner, draw)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [nearer(inner, draw) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return value % 20
    if isinstance(value, str) and value.isdecimal():
        return str(int(value) % 30)
    return value


def bring_nearer(case, draw):
    for place, likely in (("path_parameters", LIKELY_PLACES), ("query", LIKELY)):
        found = getattr(case, place) or {}
        setattr(case, place, {name: draw(likely[name]) if name in likely else value for name, value in found.items()})
    if isinstance(case.body, dict):
        case.body = nearer(case.body, draw)
    if (
        isinstance(case.body, Binary)
        and case.media_type == "application/octet-stream"
        and "key" not in case.path_parameters
    ):
        sides = {"z": "0:2", "y": "10:20", "x": "30:40"}
        sides.pop(case.path_parameters.get("axis"), None)
        case.query = {"box": ",".join(sides.values())}
        case.body = Binary(bytes(8 * math.prod({"0:2": 2}.get(side, 10) for side in sides.values())))


def varies(operation) -> bool:
    """Whether requests of it differ: something is asked beside the volume."""
    return bool(operation.query or operation.headers or operation.body or set(places(operation)) - {"name"})


def can_be_wrong(operation) -> bool:
    """Whether a request of it can be against the description: any text in a path or header is right, any bytes are."""
    typed = [schema for schema in places(operation).values() if schema["type"] != "string" or "enum" in schema]
    return bool(operation.query or typed or any(body.media_type.endswith("json") for body in operation.body))


def places(operation) -> dict[str, dict]:
    return {each.name: each.definition["schema"] for each in operation.path_parameters}


KINDS = [
    (label, mode) for label, operation in OPERATIONS.items() for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or can_be_wrong(operation)
]  # fmt: skip


def test_so_many_are_sent():
    assert sum(CASES for label, _ in KINDS if varies(OPERATIONS[label])) >= IN_ALL


@pytest.mark.parametrize(("label", "mode"), KINDS)
def test_answers_are_as_described(described, label, mode):
    server, session = described
    operation = OPERATIONS[label]
    fixed = {"name": "cells"} if "{name}" in operation.path else None
    sent = 0

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink])  # fmt: skip
    @given(operation.as_strategy(mode, path_parameters=fixed), st.booleans(), st.data())
    def check(case, is_near, data):
        nonlocal sent
        if is_near and mode is GenerationMode.POSITIVE:
            bring_nearer(case, data.draw)
        answer = case.call(base_url=server.address, session=session, timeout=60)
        sent += 1
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, checks=DESCRIBED)

    check()
    assert sent >= (CASES if varies(operation) else 1)
