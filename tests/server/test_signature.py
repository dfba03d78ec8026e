"""Signatures: the example that Amazon publishes, and everything that must not pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from labelog_server.problems import Problem
from labelog_server.signature import Claim, verify

# "Example: GET Object" and "GET Bucket (List Objects)" of "Signature Calculations for the Authorization Header:
# Transferring Payload in a Single Chunk", Amazon S3 API Reference.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, 0, 0, 0, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
CREDENTIAL = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
HEADERS = {"host": "examplebucket.s3.amazonaws.com", "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"}
GET = f"{CREDENTIAL},SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," + (
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
)
LIST = f"{CREDENTIAL}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, " + (
    "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
)


def check(authorization=GET, secret=SECRET, method="GET", path=b"/test.txt", query=b"", now=NOW, **headers):
    sent = {**HEADERS, **({"range": "bytes=0-9"} if ";range;" in authorization else {})}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in sent.items() if value]
    verify(Claim.of(authorization), secret, method, path, query, pairs, now)


def test_amazons_examples():
    check()
    check(LIST, path=b"/", query=b"max-keys=2&prefix=J")
    check(LIST, path=b"/", query=b"prefix=%4a&max-keys=2")  # order and spelling do not matter
    check(now=NOW + timedelta(minutes=14), range="bytes=0-9 ")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"secret": SECRET[:-1]}, "SignatureDoesNotMatch"),
        ({"method": "PUT"}, "SignatureDoesNotMatch"),
        ({"method": "HEAD"}, "SignatureDoesNotMatch"),
        ({"path": b"/other.txt"}, "SignatureDoesNotMatch"),
        ({"query": b"acl="}, "SignatureDoesNotMatch"),
        ({"range": "bytes=0-99"}, "SignatureDoesNotMatch"),
        ({"host": "evil.example"}, "SignatureDoesNotMatch"),
        ({"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}, "SignatureDoesNotMatch"),
        ({"authorization": GET.replace("us-east-1", "eu-west-1")}, "SignatureDoesNotMatch"),
        ({"authorization": GET[:-1] + "0"}, "SignatureDoesNotMatch"),
        ({"authorization": GET[:-1] + "é"}, "SignatureDoesNotMatch"),
        ({"range": None}, "AccessDenied"),
        ({"x_amz_acl": "public-read"}, "AccessDenied"),  # not signed
        ({"authorization": GET.replace("host;", "")}, "AccessDenied"),
        ({"x_amz_date": "20130525T000000Z"}, "AccessDenied"),
        ({"x_amz_date": "20130524"}, "AccessDenied"),
        ({"now": NOW + timedelta(minutes=16)}, "RequestTimeTooSkewed"),
        ({"now": NOW - timedelta(minutes=16)}, "RequestTimeTooSkewed"),
        ({"authorization": GET.replace("/s3/", "/ec2/")}, "AuthorizationHeaderMalformed"),
        ({"authorization": "AWS4-HMAC-SHA256 nothing"}, "AuthorizationHeaderMalformed"),
        ({"authorization": CREDENTIAL}, "AuthorizationHeaderMalformed"),
    ],
)
def test_what_does_not_pass(changed, code):
    with pytest.raises(Problem) as raised:
        check(**changed)
    assert raised.value.facts["code"] == code
    assert SECRET not in str(raised.value)
