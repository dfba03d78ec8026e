"""The same objects as S3 has them, in path style: each volume as a bucket below /s3, or all of them in one, `s3`.

    endpoint http://127.0.0.1:8000/s3    bucket cells    key instance/s0/c/0/0/0
    endpoint http://127.0.0.1:8000       bucket s3       key cells/instance/s0/c/0/0/0

That is the same address; some clients want the name of a bucket to have three letters or more. What S3 clients need to
read and write: GET, HEAD, PUT and DELETE of objects with conditions, DeleteObjects, ListObjectsV2, HeadBucket,
GetBucketLocation. Who sends it, `access` knows from its signature; errors become XML in `s3_errors`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from hashlib import blake2b
from typing import Annotated
from urllib.parse import quote
from xml.etree import ElementTree

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

import labelog
from labelog_server.access import Annotates, Reads, Sent, Writer
from labelog_server.answers import PACKED, answer, not_modified, refuse_other
from labelog_server.asked import Condition, catalog, settings
from labelog_server.digests import refuse_damaged
from labelog_server.facts import takes
from labelog_server.listing import Asked, keys
from labelog_server.memory import share_of
from labelog_server.objects import Objects, Shown
from labelog_server.ome import Object, tagged
from labelog_server.problems import Problem, said, status_of
from labelog_server.s3_errors import CODES, NO_BUCKET, ROOT, XML, xml
from labelog_server.tokens import Token
from labelog_server.wire import RAW

ERROR = {"description": "what is wrong", "content": {XML: {"schema": {"type": "string"}}}}
MOST_KEYS = 1000
MOST_SIZED = 100  # objects that one answer to ListObjectsV2 encodes, to tell their sizes
SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ELSEWHERE = ("uploads", "uploadId", "partNumber", "acl", "tagging", "versioning", "versions")


def whole(request: Request) -> None:
    """The request is one of those that are answered here, and its body arrived as it was sent."""
    asked = [name for name in ELSEWHERE if name in request.query_params]
    if asked or "x-amz-copy-source" in request.headers:
        what = f"?{asked[0]}" if asked else "x-amz-copy-source"
        raise Problem(501, f"objects are sent whole, each in one PUT, and have no {what} here")
    if "X-Amz-Signature" in request.query_params:
        raise Problem(501, "a signature is sent in the header Authorization, not in the address")
    refuse_damaged(request.headers, request.scope["sent"].body)


router = APIRouter(prefix=ROOT, tags=["s3"], dependencies=[Depends(whole)], responses={"4XX": ERROR, "5XX": ERROR})


class Buckets(Objects):
    """The objects of volumes that are buckets."""

    def volume(self, name: str) -> Shown:
        """Raises Problem 404 if there is none of that name."""
        try:
            return super().volume(name)
        except labelog.NotFound:
            if not name or name in self._catalog.names():
                raise
            raise Problem(404, f"there is no volume {name!r} here", code=NO_BUCKET) from None


async def stored(request: Request) -> Buckets:
    return Buckets(catalog(request), share_of(request.scope))


Stored = Annotated[Buckets, Depends(stored)]
Marker = Annotated[str, Query(alias="continuation-token")]
StartAfter = Annotated[str, Query(alias="start-after")]
Most = Annotated[int, Query(alias="max-keys", ge=0)]
Version = Annotated[str | None, Query(alias="list-type", description="2: list the volume's objects")]
Encoding = Annotated[str | None, Query(alias="encoding-type")]


class Listing:
    """What ListObjectsV2 asks for."""

    def __init__(
        self, version: Version = None, prefix: str = "", delimiter: str = "", start_after: StartAfter = "",
        marker: Marker = "", most: Most = MOST_KEYS, encoding: Encoding = None,
    ) -> None:  # fmt: skip
        self.version, self.prefix, self.delimiter, self.start_after = version, prefix, delimiter, start_after
        self.marker, self.most, self.encoding = marker, min(most, MOST_KEYS), encoding

    def answered(self, bucket: str, objects: Objects, names: Callable[[str], list[str]], home: str = "") -> Response:
        """The keys below `home`, which is left out of them; `names` says what lies in a folder."""
        if self.version != "2":
            raise Problem(501, "objects are listed by ListObjectsV2: list-type=2")
        if self.delimiter not in ("", "/"):
            raise Problem(501, f"the delimiter is a slash, not {self.delimiter!r}")
        after = max(_key(self.marker), self.start_after)
        found = keys(lambda folder: names(home + folder), Asked(self.prefix, bool(self.delimiter), after))
        root = ElementTree.Element("ListBucketResult", xmlns=SPACE)
        entries, last = self._entries(found, objects, home)
        facts = {"Name": bucket, "Prefix": self._shown(self.prefix), "Delimiter": self.delimiter,
                 "MaxKeys": self.most, "KeyCount": len(entries), "IsTruncated": str(last is not None).lower(),
                 "EncodingType": self.encoding, "StartAfter": self._shown(self.start_after),
                 "ContinuationToken": self.marker, "NextContinuationToken": last and _marker(last)}  # fmt: skip
        for name, value in facts.items():
            if value not in ("", None) or name == "Prefix":
                ElementTree.SubElement(root, name).text = str(value)
        root.extend(entries)
        return Response(xml(root), media_type=XML)

    def _entries(
        self, found: Iterator[str], objects: Objects, home: str
    ) -> tuple[list[ElementTree.Element], str | None]:
        """A page of keys, and the last that was looked at if there are more."""
        entries: list[ElementTree.Element] = []
        last, sized = None, 0
        for key in found if self.most else ():
            if len(entries) == self.most or sized == MOST_SIZED:
                return entries, last
            last = key
            if key.endswith("/"):
                entry = ElementTree.Element("CommonPrefixes")
                ElementTree.SubElement(entry, "Prefix").text = self._shown(key)
                entries.append(entry)
                continue
            sized += 1
            try:
                entries.append(self._contents(key, objects.get(home + key), objects.modified(home + key)))
            except labelog.NotFound:  # a chunk that was written, and is all 0 by now
                continue
        return entries, None

    def _contents(self, key: str, found: Object, modified: datetime) -> ElementTree.Element:
        entry = ElementTree.Element("Contents")
        facts = {"Key": self._shown(key), "LastModified": f"{modified:%Y-%m-%dT%H:%M:%S.000Z}", "ETag": found.tag,
                 "Size": len(found.body), "StorageClass": "STANDARD"}  # fmt: skip
        for name, value in facts.items():
            ElementTree.SubElement(entry, name).text = str(value)
        return entry

    def _shown(self, key: str) -> str:
        return quote(key) if self.encoding == "url" else key


Listed = Annotated[Listing, Depends(Listing)]


@router.get("", response_class=Response, dependencies=[Reads])
@router.get("/", response_class=Response, dependencies=[Reads])
def list_objects(request: Request, objects: Stored, token: Sent, listing: Listed) -> Response:
    """ListObjectsV2 of all volumes; HeadBucket, GetBucketLocation."""

    def children(folder: str) -> list[str]:
        found = objects.children(folder)
        return [name for name in found if folder or token is None or token.good_for(name.rstrip("/"))]

    return _of_bucket(request) or listing.answered(ROOT.strip("/"), objects, children)


def _of_bucket(request: Request) -> Response | None:
    """The answer to what is asked of a bucket, but for what lies in it."""
    if request.scope["sent"].method == "HEAD":
        return Response(media_type=XML)
    if "location" in request.query_params:
        return Response(xml(ElementTree.Element("LocationConstraint", xmlns=SPACE)), media_type=XML)
    return None


@router.get("/{key:path}", response_class=Response, dependencies=[Reads])
def get_object(request: Request, objects: Stored, key: str, listing: Listed) -> Response:
    """GetObject, HeadObject; of a volume's name alone ListObjectsV2, HeadBucket, GetBucketLocation."""
    name = key.removesuffix("/")
    if "/" not in name:
        objects.volume(name)
        return _of_bucket(request) or listing.answered(name, objects, objects.children, f"{name}/")
    found = objects.get(key)
    refuse_other(request, found.tag)
    modified = format_datetime(objects.modified(key).replace(microsecond=0), usegmt=True)
    headers = {"Cache-Control": PACKED, "Last-Modified": modified}
    held = not_modified(request, found.tag, headers)
    return held or answer(request, found.body, found.media_type, found.tag, headers)


@router.put("/{key:path}", response_class=Response, dependencies=[Annotates], openapi_extra=takes(RAW))
async def put_object(request: Request, objects: Stored, author: Writer, key: str, if_match: Condition = None,
                     if_none_match: Condition = None) -> Response:  # fmt: skip
    """PutObject: a chunk of `instance/s0`."""
    body = await request.body()
    tag = await run_in_threadpool(objects.put, key, body, author, if_match, if_none_match)
    # Clients insist on a tag. If the chunk is not what was sent, it is one that no object has: what they keep under it
    # they ask for again before they go by it.
    return Response(status_code=200, headers={"ETag": tag or tagged(blake2b(body, digest_size=16).digest())})


@router.delete("/{key:path}", response_class=Response, status_code=204, dependencies=[Annotates])
def delete_object(objects: Stored, author: Writer, key: str, if_match: Condition = None,
                  if_none_match: Condition = None) -> Response:  # fmt: skip
    """DeleteObject: all voxels of a chunk become 0."""
    objects.delete(key, author, if_match, if_none_match)
    return Response(status_code=204)


@router.post("", response_class=Response, dependencies=[Annotates])
@router.post("/", response_class=Response, dependencies=[Annotates])
async def delete_objects(request: Request, objects: Stored, author: Writer, token: Sent) -> Response:
    """DeleteObjects: each key is an edit of its own, and may fail alone."""
    return await _delete_all(request, objects, author, token, "")


@router.post("/{key:path}", response_class=Response, dependencies=[Annotates])
async def delete_of_volume(request: Request, objects: Stored, author: Writer, token: Sent, key: str) -> Response:
    """DeleteObjects, of a volume as a bucket."""
    return await _delete_all(request, objects, author, token, f"{key.removesuffix('/')}/")


async def _delete_all(request: Request, objects: Objects, author: str, token: Token | None,
                      home: str) -> Response:  # fmt: skip
    if "delete" not in request.query_params:
        raise Problem(501, "of POST requests only DeleteObjects is taken")
    try:
        asked = ElementTree.fromstring(await request.body())
    except ElementTree.ParseError as error:
        raise Problem(400, f"the body is no XML: {error}", code="MalformedXML") from None
    found = [home + (element.text or "") for element in asked.iter() if element.tag.split("}")[-1] == "Key"]
    if not 1 <= len(found) <= MOST_KEYS:
        raise Problem(400, f"DeleteObjects takes 1 to {MOST_KEYS} keys, not {len(found)}")
    return await run_in_threadpool(_deleted, objects, found, author, token, home, settings(request).folders)


def _deleted(objects: Objects, found: list[str], author: str, token: Token | None, home: str,
             folders: tuple[str, ...]) -> Response:  # fmt: skip
    if home:
        objects.volume(home.split("/")[0])
    root = ElementTree.Element("DeleteResult", xmlns=SPACE)
    for key in found:
        try:
            if token is not None and not token.good_for(key.split("/")[0]):
                raise Problem(403, f"the token is not good for {key}")
            objects.delete(key, author, None, None)
            entry = ElementTree.SubElement(root, "Deleted")
        except (labelog.LabelogError, Problem) as error:
            entry = ElementTree.SubElement(root, "Error")
            status = status_of(error)
            ElementTree.SubElement(entry, "Code").text = CODES.get(status, (status, "InternalError"))[1]
            ElementTree.SubElement(entry, "Message").text = said(error, folders)
        ElementTree.SubElement(entry, "Key").text = key.removeprefix(home)
    return Response(xml(root), media_type=XML)


def _marker(key: str) -> str:
    """The continuation token that goes on after a key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key(marker: str) -> str:
    try:
        return base64.b64decode(marker.encode(), b"-_", validate=True).decode()
    except ValueError:
        raise Problem(400, "the continuation token is none that was given here", code="InvalidArgument") from None
