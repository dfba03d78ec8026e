"""The description of routes: the one in docs/ is that of the server, and what breaks programs is noticed."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labelog_server.access import COOKIE
from labelog_server.describe import description

from .contract import breaking

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
AGAIN = "python -m labelog_server.describe > docs/openapi.json"
EDITS = "/api/v1/volumes/{name}/edits"
SLICE = "/api/v1/volumes/{name}/slices/{axis}/{index}"
TOOLS = {"openapi-typescript": "7.13.0", "typescript": "5.9.3"}

CLIENT = """
import type { components, paths } from "./labelog";
type Schemas = components["schemas"];
const stroke: Schemas["Paint"] = { op: "paint", label: "$a", spans: [[10, 100, 200, 240]], over: ["0"] };
const edit: Schemas["Request"] = { operations: [{ op: "new", as: "$a", class: "cell" }, stroke], seen: 41 };
const query: paths["/api/v1/volumes/{name}/slices/{axis}/{index}"]["get"]["parameters"]["query"] =
  { view: "cell", around: 2, format: "runs" };
const key: paths["/api/v1/volumes/{name}/edits"]["post"]["parameters"]["header"] = { "Idempotency-Key": "k" };
type Paths<P extends keyof paths, M extends "get" | "post"> = paths[P] extends { [m in M]: { responses: { 200: {
  content: { "application/json": infer Told } } } } } ? Told : never;
const told: Paths<"/api/v1/volumes/{name}/edits", "post"> =
  { revision: 42, labels: {}, made: ["977"], results: [null] };
const page = (found: Paths<"/api/v1/volumes/{name}/labels", "get">): string[] => found.labels.map(each => each.label);
export const all = { edit, query, key, told, page };
"""
WRONG = [
    ('op: "paint"', 'op: "dance"'),
    ('format: "runs"', 'format: "jpeg"'),
    ("around: 2", "arounds: 2"),
    ('made: ["977"]', "made: [977]"),
    ("each.label)", "each.voxels)"),
]


def test_nothing_breaks_programs_that_know_the_committed_one():
    assert list(breaking(json.loads(COMMITTED.read_text()), description())) == []


def test_the_committed_one_has_all_that_the_server_has():
    missing = list(breaking(description(), json.loads(COMMITTED.read_text())))
    assert missing == [], f"routes changed; if programs still work: {AGAIN}"


def test_how_a_token_is_sent_is_described():
    for found in (description(), json.loads(COMMITTED.read_text())):
        schemes = found["components"]["securitySchemes"]
        assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
        assert (schemes["cookie"]["in"], schemes["cookie"]["name"]) == ("cookie", COOKIE)
        assert found["security"] == [{}, {"bearer": []}, {"cookie": []}]


def test_arrays_beside_the_json_are_described():
    for path in (EDITS, f"{EDITS}/voxels"):
        taken = description()["paths"][path]["post"]["requestBody"]["content"]
        assert set(taken) == {"application/json", "multipart/related"}
        parts = taken["multipart/related"]["schema"]["properties"]
        assert parts["json"] == taken["application/json"]["schema"]
    taken = description()["paths"]["/api/v1/volumes/{name}/jobs"]["post"]["requestBody"]["content"]
    edit = taken["multipart/related"]["schema"]["properties"]["json"]
    assert edit in taken["application/json"]["schema"]["oneOf"] and edit["$ref"].endswith("/Edits")


def bodies_of_json(found):
    """Method, path and schema of each body that is JSON, or of each that it may be."""
    for path, methods in found["paths"].items():
        for method, told in methods.items():
            taken = told.get("requestBody", {}).get("content", {}).get("application/json")
            for schema in [] if taken is None else taken["schema"].get("oneOf", [taken["schema"]]):
                yield method, path, found["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]


def test_each_body_of_json_has_examples_which_a_server_takes(server, client):
    """It may be that nothing is there to take back, or that no token is asked for; but nothing is wrong with them."""
    told = sorted(bodies_of_json(description()), key=lambda body: body[1])
    assert len(told) >= 12 and told[0][1] == "/api/v1/volumes"
    for method, path, schema in told:
        assert schema["examples"], path
        for example in schema["examples"]:
            where = server.address + path.format(name="pilot") + "?box=:1,:,:" * path.endswith("/voxels")
            answer = client.request(method, where, json=example)
            expected = (200, 201, 202, 204, 404, 409)
            assert answer.status_code in expected, (path, example, answer.text)
            assert client.request(method, where, json={**example, "more": 1}).status_code == 422, (path, example)


def changed(what):
    new = copy.deepcopy(description())
    what(new)
    return list(breaking(description(), new))


def test_what_breaks_is_noticed():
    schemas = "components", "schemas"

    def schema(new, name):
        return new[schemas[0]][schemas[1]][name]

    assert changed(lambda new: None) == []
    assert changed(lambda new: new["paths"].pop(EDITS)) == [f"POST {EDITS} is gone"]
    assert changed(lambda new: new["paths"][SLICE].pop("put")) == [f"PUT {SLICE} is gone"]
    assert changed(lambda new: new["paths"][SLICE]["get"]["parameters"].pop()) != []
    for required, said in ((True, [f"GET {SLICE}: more is required"]), (False, [])):
        more = {"in": "query", "name": "more", "required": required, "schema": {}}
        assert changed(lambda new, more=more: new["paths"][SLICE]["get"]["parameters"].append(more)) == said
    assert any("radius" in said for said in changed(lambda new: schema(new, "Brush")["properties"].pop("radius")))
    assert any("view" in said for said in changed(lambda new: schema(new, "Flood")["required"].append("view")))
    assert changed(lambda new: schema(new, "Flood")["properties"].update(more={"type": "string"})) == []
    op = ("Paint", "properties", "op")
    assert changed(lambda new: schema(new, op[0])[op[1]][op[2]].update(const="daub")) != []
    assert changed(lambda new: schema(new, op[0])[op[1]][op[2]].update(enum=["paint"])) == []
    assert changed(lambda new: schema(new, "Place")["properties"]["seconds"].update(maximum=10)) != []


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """TypeScript's tools, from npm: kept between runs, as they are fetched."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (Debian's packages nodejs and npm)")
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "labelog-tests" / "npm"
    if not (folder / "node_modules" / ".bin" / "tsc").exists():
        folder.mkdir(parents=True, exist_ok=True)
        named = [f"{name}@{version}" for name, version in TOOLS.items()]
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *named],
                              capture_output=True, text=True, timeout=300)  # fmt: skip
        if done.returncode:
            pytest.skip(f"npm could not fetch TypeScript's tools: {done.stderr[-200:]}")
    return folder / "node_modules"


def test_a_client_in_typescript_is_made_of_it(modules, tmp_path):
    subprocess.run(["node", modules / ".bin" / "openapi-typescript", COMMITTED, "-o", tmp_path / "labelog.d.ts",
                    "--default-non-nullable=false"], check=True, capture_output=True, timeout=120)  # fmt: skip

    def compiled(text):
        (tmp_path / "client.ts").write_text(text)
        return subprocess.run(["node", modules / ".bin" / "tsc", "--strict", "--target", "es2022", "--module", "es2022",
                               "--outDir", tmp_path / "out", tmp_path / "client.ts"],
                              capture_output=True, text=True, timeout=120)  # fmt: skip

    done = compiled(CLIENT)
    assert done.returncode == 0, done.stdout
    program = f'import("{tmp_path}/out/client.js").then(m => console.log(JSON.stringify(m.all.edit.seen)))'
    (tmp_path / "package.json").write_text('{"type": "module"}')
    ran = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "41"
    for right, wrong in WRONG:
        assert "error TS" in compiled(CLIENT.replace(right, wrong)).stdout
