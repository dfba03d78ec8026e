"""The S3 face: what it lists, how it says no, who may sign."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zlib
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import obstore
import pytest
import zarr
import zstandard
from zarr.storage import ObjectStore

import labelog
from labelog_server.tokens import Tokens
from serving import get

from .conftest import guarding, labels

CHUNK = "cells/instance/s0/c/0/1/1"
BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def web(server):
    with server.client("") as client:
        yield client


def told(answer):
    """The code and the message of an error."""
    root = ElementTree.fromstring(answer.content)
    assert answer.headers["content-type"] == "application/xml" and root.tag == "Error"
    return root.find("Code").text, root.find("Message").text


def listed(web, path="/s3", **parameters):
    answer = web.get(path, params={"list-type": "2", **parameters})
    assert answer.status_code == 200, answer.text
    root = ElementTree.fromstring(answer.content)

    def texts(name):
        return [element.text for element in root.iter() if element.tag.endswith(f"}}{name}")]

    prefixes = [text for group in root if group.tag.endswith("}CommonPrefixes") for text in [group[0].text]]
    assert texts("KeyCount") == [str(len(texts("Key")) + len(prefixes))]
    return texts("Key"), prefixes, next(iter(texts("NextContinuationToken")), None)


def test_listing(web):
    assert listed(web, delimiter="/") == ([], ["cells/"], None)
    keys, prefixes, _ = listed(web, prefix="cells/instance/", delimiter="/")
    assert (keys, prefixes) == (["cells/instance/zarr.json"], [f"cells/instance/s{n}/" for n in range(3)])
    whole, _, token = listed(web, prefix="cells/instance/s0/")
    assert token is None and CHUNK in whole and whole == sorted(whole) and len(whole) == 3 * 4 * 3 + 1
    found, token = [], ""
    while token is not None:
        keys, _, token = listed(web, prefix="cells/instance/s0/", **{"max-keys": "7"} | (
            {"continuation-token": token} if token else {}))  # fmt: skip
        found += keys
    assert found == whole
    assert listed(web, prefix=CHUNK)[0] == [CHUNK]
    assert listed(web, prefix="cells/instance/s0/", **{"start-after": whole[4]})[0] == whole[5:]
    assert listed(web, prefix="cells/instance/s0/", **{"max-keys": "0"}) == ([], [], None)
    below = listed(web, "/s3/cells", prefix="instance/s0/")[0]
    assert below == [key.removeprefix("cells/") for key in whole]
    spaced = listed(web, "/s3/cells/", delimiter="/", **{"encoding-type": "url"})[1]
    assert "alpha%20granule/" in spaced


def test_a_long_key_is_none(web):
    """What is said of it is long enough to be compressed."""
    for key in ("x" * 2000, "\u00a1" * 400):
        for encoding in ("gzip", "zstd", "identity"):
            for method in ("GET", "HEAD", "PUT", "DELETE"):
                status, code = (405, "MethodNotAllowed") if method in ("PUT", "DELETE") else (404, "NoSuchKey")
                answer = web.request(method, f"/s3/cells/{key}", headers={"Accept-Encoding": encoding} | BINARY)
                assert answer.status_code == status and "content-encoding" not in answer.headers, (key[:3], method)
                if method != "HEAD":
                    assert told(answer)[0] == code and len(told(answer)[1]) > 400


def test_what_is_listed_is_there(web):
    """Sizes and tags are those of GET, and what has become all 0 is not listed."""
    values = np.zeros((8, 16, 32), "<u8")
    assert web.put(f"/s3/{CHUNK}", content=zstandard.compress(values.tobytes()), headers=BINARY).status_code == 200
    token, seen = "", 0
    while token is not None:
        parameters = {"list-type": "2"} | ({"continuation-token": token} if token else {})
        root = ElementTree.fromstring(web.get("/s3", params=parameters).content)
        facts = [{e.tag.split("}")[1]: e.text for e in each} for each in root if each.tag.endswith("}Contents")]
        token = next((e.text for e in root if e.tag.endswith("}NextContinuationToken")), None)
        for fact in facts:
            got = web.get(f"/s3/{fact['Key']}")
            assert (fact["Size"], fact["ETag"]) == (str(len(got.content)), got.headers["etag"])
            assert fact["Key"] != CHUNK and fact["LastModified"].startswith("20")
        seen += len(facts)
    assert seen > 100  # more than the server encodes for one page


def test_of_a_bucket(web):
    for bucket in ("/s3", "/s3/", "/s3/cells"):
        assert web.head(bucket).status_code == 200
        assert "LocationConstraint" in web.get(f"{bucket}?location").text
    xml = {"Content-Type": "application/xml"}
    for method, path in (
        ("GET", "dogs?list-type=2"), ("GET", "dogs/zarr.json"), ("POST", "dogs?delete"),
    ):  # fmt: skip
        body = b"<Delete><Object><Key>zarr.json</Key></Object></Delete>" if method == "POST" else None
        answer = web.request(method, f"/s3/{path}", content=body, headers=xml)
        assert (answer.status_code, *told(answer)) == (404, "NoSuchBucket", "there is no volume 'dogs' here"), path
    for method in ("PUT", "DELETE"):  # a 404 tensorstore takes for a lost race, and writes again without end
        answer = web.request(method, "/s3/dogs/instance/s0/c/0/0/0", headers=xml)
        assert answer.status_code == 405 and "there is no volume 'dogs' here" in answer.text
    for path in ("dogs", "dogs/zarr.json"):
        assert web.head(f"/s3/{path}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "cells/instance/s0/c/9/9/9", {}, 404, "NoSuchKey"),
        ("GET", "cells/dog/zarr.json", {}, 404, "NoSuchKey"),
        ("GET", CHUNK, {"If-Match": '"other"'}, 412, "PreconditionFailed"),
        ("GET", CHUNK, {"Range": "bytes=999999999-"}, 416, "InvalidRange"),
        ("GET", "?prefix=cells", {}, 501, "NotImplemented"),
        ("GET", "?list-type=2&delimiter=.", {}, 501, "NotImplemented"),
        ("GET", "?list-type=2&continuation-token=%C3%A9", {}, 400, "InvalidArgument"),
        ("GET", "?list-type=2&max-keys=many", {}, 400, "InvalidArgument"),
        ("GET", f"{CHUNK}?X-Amz-Signature=0", {}, 501, "NotImplemented"),
        ("GET", CHUNK, {"Host": "evil.example"}, 403, "AccessDenied"),
        ("GET", CHUNK, {"Origin": "http://evil.example"}, 403, "AccessDenied"),
        ("POST", f"{CHUNK}?uploads", {"Content-Type": "application/xml"}, 501, "NotImplemented"),
        ("PUT", f"{CHUNK}?partNumber=1&uploadId=2", BINARY, 501, "NotImplemented"),
        ("PUT", CHUNK, {"x-amz-copy-source": "/s3/x"}, 501, "NotImplemented"),
        ("PUT", CHUNK, {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, 501, "NotImplemented"),
        ("PUT", CHUNK, {"Content-Encoding": "aws-chunked"}, 501, "NotImplemented"),
        ("PUT", CHUNK, {"x-amz-content-sha256": "0" * 64}, 400, "XAmzContentSHA256Mismatch"),
        ("PUT", CHUNK, {"x-amz-content-sha256": "abc"}, 400, "XAmzContentSHA256Mismatch"),
        ("PUT", CHUNK, {"Content-MD5": "AAAA"}, 400, "BadDigest"),
        ("PUT", CHUNK, {"x-amz-checksum-crc32c": "AAAAAA=="}, 400, "BadDigest"),
        ("PUT", "cells/instance/s1/c/0/0/0", {}, 405, "MethodNotAllowed"),
        ("PUT", "cells/instance/s0/zarr.json", {}, 405, "MethodNotAllowed"),
        ("PATCH", CHUNK, {}, 405, "MethodNotAllowed"),
    ],
)
def test_errors_are_xml(web, client, method, path, headers, status, code):
    answer = web.request(method, f"/s3/{path}", headers=headers, content=b"some bytes" if method == "PUT" else None)
    assert (answer.status_code, *told(answer)[:1]) == (status, code)
    assert client.get("/volumes/cells").json()["revision"] == 0


def test_bodies_that_arrive_whole(web):
    body = zstandard.compress(labels()[:8, :16, :32].astype("<u8").tobytes())
    headers = BINARY | {
        "Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    assert web.put("/s3/cells/instance/s0/c/0/0/0", content=body, headers=headers).status_code == 200


# Signed


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for tokens, with key pairs."""

    def give(tokens):
        return {
            "annotate": tokens.add_pair("vendor-b", "annotate", ["cells"]),
            "read": tokens.add_pair("guest", "read"),
        }

    with guarding(tmp_path_factory, give) as server:
        yield server


def signed(server, pair, **options):
    key, secret = pair
    return obstore.store.S3Store("s3", endpoint=server.address, region="us-east-1", access_key_id=key,
                                 secret_access_key=secret, client_options={"allow_http": True}, **options)  # fmt: skip


def test_signed_reading_and_writing(guarded):
    store = signed(guarded, guarded.given["annotate"], prefix="cells/instance")
    array = zarr.open_group(ObjectStore(store), mode="r+")["s0"]
    array[3:9, 10:40, 5:60] = 4321
    array[0:8, 0:16, 0:32] = 0
    expected = labels()
    expected[3:9, 10:40, 5:60] = 4321
    expected[0:8, 0:16, 0:32] = 0
    assert np.array_equal(array[:], expected)
    with labelog.open(guarded.folder / "cells.labelog", "r") as volume:
        assert {commit.author for commit in volume.history(limit=3)} == {"vendor-b"}
    keys = [entry["path"] for page in store.list(prefix="s0/c/0") for entry in page]
    assert "s0/c/0/1/1" in keys and "s0/c/0/0/0" not in keys
    assert {entry.rstrip("/") for entry in store.list_with_delimiter(prefix="s0")["common_prefixes"]} == {"s0/c"}


def test_tensorstore_signs(guarded):
    program = f"""
import tensorstore as ts
array = ts.open({{"driver": "zarr3", "kvstore": {{
    "driver": "s3", "bucket": "cells", "path": "instance/s0/", "endpoint": "{guarded.address}/s3",
    "aws_region": "us-east-1", "aws_credentials": {{"type": "environment"}}}}}}).result()
array[12, 3:5, 7] = 99
print(array[12, 4, 7].read().result())
"""
    key, secret = guarded.given["annotate"]
    environment = os.environ | {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}

    def run():
        command = [sys.executable, "-c", program]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    done = run()
    assert done.stdout.strip() == "99", done.stderr
    assert secret not in done.stderr
    environment["AWS_SECRET_ACCESS_KEY"] = secret[:-1]
    refused = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "SignatureDoesNotMatch" in refused.stderr or "403" in refused.stderr


def test_curl_signs(guarded):
    def curl(key, secret, *options, path=f"s3/{CHUNK}"):
        url = f"{guarded.address}/{path}"
        command = ["curl", "-s", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{key}:{secret}", *options]
        command += ["-w", "%{http_code}", "-o", os.devnull, url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    key, secret = guarded.given["read"]
    assert curl(key, secret) == "200"
    assert curl(key, secret, "--head") == "200"
    assert curl(key, secret[::-1]) == "403"
    assert curl("LABELOG_00000000", secret) == "403"
    assert curl(key, secret, "-T", os.devnull) == "403"  # it may read
    for elsewhere in ("api/v1/volumes", f"zarr/{CHUNK}", "session"):
        assert curl(key, secret, path=elsewhere) == "403", "a signature is for S3 only"


def test_a_wrong_signature_is_called_that_whatever_it_is_on(guarded):
    key, secret = guarded.given["annotate"]
    for options in ([], ["-X", "PUT", "--data-binary", "x", "-H", "Content-Type: application/octet-stream"]):
        command = ["curl", "-s", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{key}:{secret[::-1]}", *options]
        done = subprocess.run([*command, f"{guarded.address}/s3/{CHUNK}"], capture_output=True, check=True, timeout=60)
        assert ElementTree.fromstring(done.stdout).find("Code").text == "SignatureDoesNotMatch", options


def test_of_another_bucket(guarded, server):
    """An S3 client, known by its signature, asks for a bucket that is at no path of ours; others are told as ever."""
    for at, pair in ((guarded, guarded.given["read"]), (server, ("none", "none"))):
        key, secret = pair
        command = ["curl", "-s", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{key}:{secret}"]
        for path in ("dogs?list-type=2", "dogs/zarr.json"):
            done = subprocess.run([*command, f"{at.address}/{path}"], capture_output=True, check=True, timeout=60)
            assert ElementTree.fromstring(done.stdout).find("Code").text == "NoSuchBucket"
    for headers in ({}, {"Authorization": "Bearer none"}, {"x-amz-cf-id": "1"}):
        answer = get(f"{server.address}/dogs", headers=headers)
        assert answer.status_code == 404 and answer.json()["status"] == 404


def test_roles_hold(guarded):
    reader, writer = (signed(guarded, guarded.given[role]) for role in ("read", "annotate"))
    assert reader.get("other/zarr.json").bytes()
    with pytest.raises(Exception, match="AccessDenied"):
        reader.put("cells/instance/s0/c/0/0/0", b"x")
    with pytest.raises(Exception, match="AccessDenied"):
        writer.get("other/zarr.json")
    names = [str(entry).rstrip("/") for entry in writer.list_with_delimiter()["common_prefixes"]]
    assert names == ["cells"]


def test_keys_that_are_not_good(guarded):
    key, secret = guarded.tokens.add_pair("brief", "read", days=1e-9)
    bearer = guarded.tokens.add("someone", "admin").split("_")
    gone = guarded.tokens.add_pair("gone", "read")
    guarded.tokens.revoke(gone[0].removeprefix("LABELOG_").lower())
    for pair in ((key, secret), gone, (f"LABELOG_{bearer[1].upper()}", bearer[2]), ("AKIA", "x")):
        with pytest.raises(Exception, match="InvalidAccessKeyId"):
            signed(guarded, pair).get("cells/zarr.json")
    with guarded.client() as client:  # a secret is no token
        for text in (secret, f"labelog_{key[-8:].lower()}_{secret}"):
            answer = client.get("/volumes", headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == 401


def test_a_file_of_secrets_is_its_owners(guarded, tmp_path):
    assert guarded.tokens.path.stat().st_mode & 0o777 == 0o600
    path = tmp_path / "tokens.json"
    path.write_bytes(guarded.tokens.path.read_bytes())
    path.chmod(0o640)
    with pytest.raises(labelog.Corrupt, match="chmod 600"):
        Tokens(path).all()
    path.chmod(0o600)
    assert len(Tokens(path).all()) >= 2


def test_a_key_pair_on_the_command_line(tmp_path):
    command = [sys.executable, "-m", "labelog.cli", "token"]
    options = ["--tokens", str(tmp_path / "t.json")]
    done = subprocess.run([*command, "add", "ana", "--s3", *options], capture_output=True, text=True, check=True)
    lines = dict(line.split("=", 1) for line in done.stdout.split())
    pair = Tokens(tmp_path / "t.json").key_pair(lines["AWS_ACCESS_KEY_ID"])
    assert pair.secret == lines["AWS_SECRET_ACCESS_KEY"] and pair.name == "ana" and pair.hash == ""
    shown = subprocess.run([*command, "list", "--json", *options], capture_output=True, text=True, check=True).stdout
    assert '"s3"' in shown and pair.secret not in shown
    assert datetime.fromisoformat(pair.made) > datetime.now(UTC) - timedelta(minutes=5)
