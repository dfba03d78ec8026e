"""Requests that schemathesis makes of the description of routes, right and wrong ones: no answer is a failure of the
server's own, and each is one of those that are described.

Numbers, boxes, labels and views that it makes up are seldom any of the volume's. So half of the right ones are brought
nearer to what is there.
"""

from __future__ import annotations

import os

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from labelog_server.describe import description

from .conftest import make_cells, serving

CASES = 200 if os.environ.get("LABELOG_SOAK") else 20  # of each route, right and wrong: 10,000 or 1,000 in all

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
    "dtype": st.just("uint64"),
    "confirm": st.just("dogs"),
}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A server, and a session for its requests."""
    folder = tmp_path_factory.mktemp("described")
    make_cells(folder)
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
    for place in ("path_parameters", "query"):
        found = getattr(case, place) or {}
        setattr(case, place, {name: draw(LIKELY[name]) if name in LIKELY else value for name, value in found.items()})
    if isinstance(case.body, dict):
        case.body = nearer(case.body, draw)


@pytest.mark.parametrize(("label", "mode"), [
    (label, mode) for label in OPERATIONS for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or not ("{key}" in label or label.startswith("POST /labelog"))  # no key is wrong
])  # fmt: skip
def test_answers_are_as_described(described, label, mode):
    server, session = described
    operation = OPERATIONS[label]
    fixed = {"name": "cells"} if "{name}" in operation.path else None

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink])  # fmt: skip
    @given(operation.as_strategy(mode, path_parameters=fixed), st.booleans(), st.data())
    def check(case, is_near, data):
        if is_near and mode is GenerationMode.POSITIVE:
            bring_nearer(case, data.draw)
        answer = case.call(base_url=server.address, session=session, timeout=60)
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, checks=DESCRIBED)

    try:
        check()
    except Unsatisfiable:  # nothing that is sent there could be wrong
        assert mode is GenerationMode.NEGATIVE
