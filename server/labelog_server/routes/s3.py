"""The same objects as one S3 bucket, `labelog`, in path style: what S3 clients need to read and write volumes.

GET, HEAD, PUT and DELETE of objects with conditions, DeleteObjects, ListObjectsV2, and S3's errors in XML. Requests
are taken unsigned; what a signature says is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated
from xml.etree import ElementTree

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

import labelog
from labelog_server import problems
from labelog_server.access import Annotates, Reads, Sent, Writer
from labelog_server.answers import PACKED, answer, matches, not_modified
from labelog_server.asked import Shelf
from labelog_server.objects import Objects
from labelog_server.problems import Problem, status_of
from labelog_server.tokens import Token

BUCKET = "labelog"  # S3 wants three letters or more
XML = "application/xml"
ERROR = {"description": "what is wrong", "content": {XML: {"schema": {"type": "string"}}} | problems.ANSWER["content"]}
router = APIRouter(prefix=f"/{BUCKET}", tags=["s3"], responses={"4XX": ERROR, "5XX": ERROR})

CODES = {400: "InvalidRequest", 404: "NoSuchKey", 405: "MethodNotAllowed", 412: "PreconditionFailed",
         416: "InvalidRange", 422: "InvalidRequest", 501: "NotImplemented"}  # fmt: skip
MOST_KEYS = 1000
SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

Condition = Annotated[str | None, Header()]


@router.get("", response_class=Response, dependencies=[Reads])
@router.get("/", response_class=Response, dependencies=[Reads])
def list_objects(
    shelf: Shelf, token: Sent, prefix: str = "", delimiter: str = "",
    start_after: Annotated[str, Query(alias="start-after")] = "",
    on_from: Annotated[str, Query(alias="continuation-token")] = "",
    most: Annotated[int, Query(alias="max-keys", ge=1, le=MOST_KEYS)] = MOST_KEYS,
) -> Response:  # fmt: skip
    """ListObjectsV2."""
    after = max(on_from, start_after)
    found = list(islice(_rolled(_seen(Objects(shelf), prefix, token), prefix, delimiter, after), most + 1))
    root = ElementTree.Element("ListBucketResult", xmlns=SPACE)
    facts = {"Name": BUCKET, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": most, "KeyCount": len(found[:most]),
             "IsTruncated": str(len(found) > most).lower()}  # fmt: skip
    if len(found) > most:
        facts["NextContinuationToken"] = found[most - 1]
    for name, value in facts.items():
        ElementTree.SubElement(root, name).text = str(value)
    for key in found[:most]:
        if delimiter and key.endswith(delimiter):
            ElementTree.SubElement(ElementTree.SubElement(root, "CommonPrefixes"), "Prefix").text = key
        else:
            ElementTree.SubElement(ElementTree.SubElement(root, "Contents"), "Key").text = key
    return Response(ElementTree.tostring(root, xml_declaration=True, encoding="UTF-8"), media_type=XML)


def _seen(objects: Objects, prefix: str, token: Token | None) -> list[str]:
    """The keys of what a token is good for, ascending."""
    return sorted(key for key in objects.keys(prefix) if token is None or token.good_for(key.split("/")[0]))


def _rolled(keys: Iterable[str], prefix: str, delimiter: str, after: str) -> Iterator[str]:
    """Keys after one, ascending; those that share what comes up to a delimiter as one, which ends in it."""
    last = ""
    for key in keys:
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        shown = key if cut < 0 else key[: cut + len(delimiter)]
        if shown > after and shown != last:
            last = shown
            yield shown


@router.get("/{key:path}", response_class=Response, dependencies=[Reads])
def get_object(request: Request, shelf: Shelf, key: str) -> Response:
    """GetObject, HeadObject."""
    try:
        found = Objects(shelf).get(key)
        if "if-match" in request.headers and not matches(request.headers["if-match"], found.tag):
            raise Problem(412, "the object is not what If-Match says")
    except (labelog.LabelogError, Problem) as error:
        return failed(error)
    headers = {"Cache-Control": PACKED, "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    held = not_modified(request, found.tag, headers)
    return held or answer(request, found.body, found.media_type, found.tag, headers)


@router.put("/{key:path}", response_class=Response, dependencies=[Annotates])
async def put_object(request: Request, shelf: Shelf, author: Writer, key: str, if_match: Condition = None,
                     if_none_match: Condition = None) -> Response:  # fmt: skip
    """PutObject."""
    body = await request.body()
    try:
        tag = await run_in_threadpool(Objects(shelf).put, key, body, author, if_match, if_none_match)
    except (labelog.LabelogError, Problem) as error:
        return failed(error)
    return Response(status_code=200, headers={"ETag": tag} if tag else None)


@router.delete("/{key:path}", response_class=Response, status_code=204, dependencies=[Annotates])
def delete_object(shelf: Shelf, author: Writer, key: str, if_match: Condition = None) -> Response:
    """DeleteObject."""
    try:
        Objects(shelf).delete(key, author, if_match)
    except labelog.NotFound:
        pass
    except (labelog.LabelogError, Problem) as error:
        return failed(error)
    return Response(status_code=204)


@router.post("", response_class=Response, dependencies=[Annotates])
@router.post("/", response_class=Response, dependencies=[Annotates])
async def delete_objects(request: Request, shelf: Shelf, author: Writer, token: Sent) -> Response:
    """DeleteObjects: each key is an edit of its own, and may fail alone."""
    if "delete" not in request.query_params:
        return failed(Problem(501, "of a bucket's POST requests only DeleteObjects is taken"))
    try:
        asked = ElementTree.fromstring(await request.body())
    except ElementTree.ParseError as error:
        return failed(Problem(400, f"the body is no XML: {error}"))
    keys = [element.text or "" for element in asked.iter() if element.tag.split("}")[-1] == "Key"]
    if not 1 <= len(keys) <= MOST_KEYS:
        return failed(Problem(400, f"DeleteObjects takes 1 to {MOST_KEYS} keys, not {len(keys)}"))
    return await run_in_threadpool(_delete_all, Objects(shelf), keys, author, token)


def _delete_all(objects: Objects, keys: list[str], author: str | None, token: Token | None) -> Response:
    root = ElementTree.Element("DeleteResult", xmlns=SPACE)
    for key in keys:
        try:
            if token is not None and not token.good_for(key.split("/")[0]):
                raise Problem(403, f"the token is not good for {key}")
            objects.delete(key, author, None)
            entry = ElementTree.SubElement(root, "Deleted")
        except (labelog.LabelogError, Problem) as error:
            entry = ElementTree.SubElement(root, "Error")
            ElementTree.SubElement(entry, "Message").text = str(error)
        ElementTree.SubElement(entry, "Key").text = key
    return Response(ElementTree.tostring(root, xml_declaration=True, encoding="UTF-8"), media_type=XML)


def failed(error: labelog.LabelogError | Problem) -> Response:
    """An error as S3 tells it."""
    status = error.status if isinstance(error, Problem) else status_of(error)
    status = 400 if status == 422 else status
    root = ElementTree.Element("Error")
    ElementTree.SubElement(root, "Code").text = CODES.get(status, "InternalError")
    ElementTree.SubElement(root, "Message").text = str(error)
    return Response(ElementTree.tostring(root, xml_declaration=True, encoding="UTF-8"), status, media_type=XML)
