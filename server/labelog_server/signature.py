"""Signatures of AWS, version 4, in a request's Authorization: who sent it, and that it is as it was sent.

    AWS4-HMAC-SHA256 Credential=LABELOG_1F3C9A20/20261126/us-east-1/s3/aws4_request,
                     SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=...

See "Authenticating Requests (AWS Signature Version 4)" in the API reference of Amazon S3. What a body's hash says is
signed here, and compared with the body by `digests`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import quote_from_bytes, unquote_to_bytes

from labelog_server.problems import Problem

ALGORITHM = "AWS4-HMAC-SHA256"
SCOPE_END = "aws4_request"
SKEW = timedelta(minutes=15)
"""How far a client's clock may be off; also how long a signed request can be sent again by who has overheard it."""

FIELD = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^\s,]+)\s*")


@dataclass(frozen=True)
class Claim:
    """What an Authorization says.

    Attributes
    ----------
    key : the id of the key pair.
    day, region, service : what the signing key is good for.
    headers : the names of the headers that are signed, ascending.
    signature : 64 hex digits.
    """

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str

    @classmethod
    def of(cls, authorization: str) -> Claim:
        """Raises Problem 400."""
        _, _, rest = authorization.partition(" ")
        found = (FIELD.fullmatch(part) for part in rest.split(","))
        fields = {match[1]: match[2] for match in found if match}
        scope = fields.get("Credential", "").split("/")
        if len(fields) != 3 or len(scope) != 5 or scope[3:] != ["s3", SCOPE_END]:
            raise Problem(400, f"expected {ALGORITHM} Credential=key/day/region/s3/{SCOPE_END}, SignedHeaders=..., "
                          "Signature=...", code="AuthorizationHeaderMalformed")  # fmt: skip
        return cls(
            scope[0], scope[1], scope[2], scope[3], tuple(fields["SignedHeaders"].split(";")), fields["Signature"]
        )


def verify(claim: Claim, secret: str, method: str, path: bytes, query: bytes,
           headers: Iterable[tuple[bytes, bytes]], now: datetime) -> None:  # fmt: skip
    """Whether a request is signed with a secret. Raises Problem 403 if not, and if its time is not about now.

    `path` and `query` are as they were sent, and the names of headers in lower case. Without a hash the body is empty.
    """
    known = _together(headers)
    missing = [name for name in known if name == "host" or name.startswith("x-amz-") if name not in claim.headers]
    if missing or any(name not in known for name in claim.headers):
        raise Problem(403, f"the host and all x-amz- headers are signed, and no others than were sent; not so: "
                      f"{', '.join(missing) or 'a header that was not sent'}", code="AccessDenied")  # fmt: skip
    time = known.get("x-amz-date", "")
    if not claim.day or not time.startswith(claim.day):
        raise Problem(403, f"the signing key is of {claim.day}, x-amz-date is {time}", code="AccessDenied")
    if abs(_moment(time) - now) > SKEW:
        raise Problem(403, f"the request was signed at {time}, and it is {now:%Y%m%dT%H%M%SZ} here: clocks may differ "
                      f"by {SKEW.seconds // 60} minutes", code="RequestTimeTooSkewed")  # fmt: skip
    payload = known.get("x-amz-content-sha256") or sha256().hexdigest()
    signed = [f"{name}:{known[name]}" for name in claim.headers]
    lines = [method, _encoded(path, b"/"), _sorted(query), *signed, "", ";".join(claim.headers), payload]
    scope = f"{claim.day}/{claim.region}/{claim.service}/{SCOPE_END}"
    text = "\n".join([ALGORITHM, time, scope, sha256("\n".join(lines).encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex().encode(), claim.signature.encode()):
        raise Problem(403, "the signature is not that of this request by this secret", code="SignatureDoesNotMatch")


def _together(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name, their white space and those of one name made one."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1"), []).append(" ".join(value.decode("latin-1").split()))
    return {name: ",".join(values) for name, values in found.items()}


def _moment(time: str) -> datetime:
    try:
        return datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Problem(403, f"expected a time such as 20261126T101500Z in x-amz-date, found {time!r}",
                      code="AccessDenied") from None  # fmt: skip


def _encoded(text: bytes, safe: bytes = b"") -> str:
    """Percent-encoded anew, so that all but letters, digits and -._~ are."""
    return quote_from_bytes(unquote_to_bytes(text), safe.decode())


def _sorted(query: bytes) -> str:
    pairs = (pair.partition(b"=") for pair in query.split(b"&") if pair)
    return "&".join("=".join(pair) for pair in sorted((_encoded(name), _encoded(value)) for name, _, value in pairs))
