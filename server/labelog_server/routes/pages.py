"""What a person sees who opens the server, or a volume's address, in a browser; programs get JSON there."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

import labelog
from labelog_server.access import Reads, Sent, visible
from labelog_server.asked import Name, Served, Shelf
from labelog_server.manual import manual
from labelog_server.ome import has_image, view_names
from labelog_server.pages import LOG_OUT, link, page, table, wanted
from labelog_server.routes.volumes import list_volumes, metadata

router = APIRouter(include_in_schema=False)

SHOWN = 2**20  # pixels of the picture of a slice, at most, if there is a scale that has no more
PROGRAM = """\
import labelog

volume = labelog.open("{address}"){token}
volume[{place}]"""


@router.get("/", dependencies=[Reads])
@router.get("/volumes", dependencies=[Reads])
def show_volumes(request: Request, shelf: Shelf, token: Sent) -> Response:
    """All volumes that the token is good for."""
    if not wanted(request):
        return JSONResponse(list_volumes(request, shelf, token), headers={"Vary": "Accept"})
    names = visible(shelf.names(), token)
    rows = [f"<tr><td>{link(_path(name), name)}<td>{escape(_summary(shelf, name))}" for name in names]
    listed = f"<table>{''.join(rows)}</table>" if rows else "<p>There is no volume yet."
    if token is not None:
        listed += f"<p>You are {escape(token.name)} ({token.role}). <button>Log out</button>"
    more = f"<p>{link('/docs', 'All routes')} · {link('/openapi.json', 'openapi.json')} · {link('/healthz', 'health')}"
    return page("labelog", f"<p>Label volumes on this server</p>{listed}{more}", "" if token is None else LOG_OUT)


@router.get("/volumes/{name}", dependencies=[Reads])
def show_volume(request: Request, name: Name, volume: Served) -> Response:
    """What a volume is, how it looks, and where programs find it."""
    if not wanted(request):
        return JSONResponse(metadata(name, volume), headers={"Vary": "Accept"})
    snapshot = volume.at()
    commit = volume.commit(snapshot.revision)
    rows = [
        ("Shape (z, y, x)", _by(volume.shape, "voxels")),
        ("Voxel size", _by(volume.voxel_size, volume.unit)),
        ("Chunks", _by(volume.chunks, "voxels")),
        ("Revision", f"{snapshot.revision}, {commit.kind.value} by {commit.author}, {commit.time:%Y-%m-%d %H:%M} UTC"),
    ]  # fmt: skip
    facts = table((what, escape(text)) for what, text in rows)
    guarded = request.app.state.tokens is not None
    body = f"<p>A label volume</p>{_picture(name, snapshot)}{facts}{_addresses(request, name, snapshot, guarded)}"
    return page(name, f"{body}<p>{link('/', 'All volumes')}")


@router.get("/docs")
def show_routes(request: Request) -> Response:
    """All routes."""
    also = f"{link('/openapi.json', 'openapi.json')} describes them for programs, docs/http.md of labelog what holds " \
           "between requests."  # fmt: skip
    return page("Routes of labelog", f"<p>{also}{manual(request.app.openapi())}")


def _summary(shelf: Shelf, name: str) -> str:
    """What is told of a volume in a list of many, one of which may be damaged."""
    try:
        volume = shelf[name]
        return f"{_by(volume.shape, 'voxels')}, revision {volume.revision}"
    except labelog.LabelogError as error:
        return f"cannot be opened: {type(error).__name__}"


def _picture(name: str, snapshot: labelog.Snapshot) -> str:
    """The slice in the middle, as large as voxels are."""
    scale = next((each for each in snapshot.scales if each.shape[1] * each.shape[2] <= SHOWN), snapshot.scales[-1])
    (nz, ny, nx), (_, dy, dx) = scale.shape, scale.voxel_size
    source = f"/api/v1{_path(name)}/slices/z/{nz // 2}?format=png&scale={scale.number}"
    caption = f"Slice z = {snapshot.shape[0] // 2}{f', at scale {scale.number}' if scale.number else ''}"
    shown = f'<img src="{escape(source)}" alt="its labels" style="aspect-ratio: {nx * dx:g} / {ny * dy:g}">'
    return f'<figure><a href="{escape(source)}">{shown}</a><figcaption>{caption}</figcaption></figure>'


def _addresses(request: Request, name: str, snapshot: labelog.Snapshot, guarded: bool) -> str:
    """Where programs find the volume."""
    root, path = str(request.base_url).rstrip("/"), _path(name)
    key = path.removeprefix("/volumes/")
    program = PROGRAM.format(address=root + path, place=snapshot.shape[0] // 2,
                             token='  # token="labelog_..."' if guarded else "")  # fmt: skip
    views = [*view_names(snapshot), *(["image"] if has_image(snapshot) else [])]
    api = " · ".join(link(f"/api/v1{path}{end}", text) for end, text in (
        ("", "metadata"), ("/history", "history"), ("/labels", "labels"), ("/labels.csv", "labels as CSV"),
        ("/classes", "classes"), ("/regions", "regions")))  # fmt: skip
    rows = [
        ("HTTP", f"<code>{escape(root)}/api/v1{escape(path)}</code><br>{api}<br>{link('/docs', 'all routes')}"),
        ("Neuroglancer", _listed(f"precomputed://{root}/precomputed/{key}/{quote(view, safe='')}" for view in views)),
        ("Zarr", _listed(f"{root}/zarr/{key}/{quote(view, safe='')}" for view in views)),
        ("S3", f"endpoint <code>{escape(root)}/s3</code>, bucket <code>{escape(name)}</code>"),
    ]  # fmt: skip
    return f"<h2>In Python</h2><pre>{escape(program)}</pre><h2>Addresses</h2>{table(rows)}"


def _listed(addresses: Iterable[str]) -> str:
    return "<br>".join(f"<code>{escape(each)}</code>" for each in addresses)


def _by(numbers: Iterable[float], unit: str) -> str:
    return f"{' × '.join(f'{number:g}' if isinstance(number, float) else str(number) for number in numbers)} {unit}"


def _path(name: str) -> str:
    return f"/volumes/{quote(name, safe='')}"
