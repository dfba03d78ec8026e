"""`mesh`: the surface of an object, as a file."""

from __future__ import annotations

import argparse
from pathlib import Path

import labelog
from labelog.cli.arguments import Commands, add_command, add_revision, add_view, add_volume
from labelog.cli.files import viewed
from labelog.errors import NotFound
from labelog.formats.output import new_file
from labelog.formats.ply import to_ply


def add(commands: Commands) -> None:
    parser = add_command(
        commands, "mesh", run_mesh, "write the surface of an object to a PLY file",
        "PLY is read by Blender, MeshLab, trimesh and others. Vertices are x, y, z in the volume's\n"
        "unit. The surface is taken at the finest scale at which the bounds of the object have\n"
        "2^24 voxels or fewer. With --view of a class an object comes with all that lies in it.\n"
        "Needs the extra meshes.",
        "  labelog mesh cells.labelog 7 -o cell.ply\n"
        "  labelog mesh cells.labelog 7 --view cell -o whole.ply\n"
        "  labelog mesh cells.labelog 2 --view semantic -o mitochondria.ply",
    )  # fmt: skip
    add_volume(parser)
    parser.add_argument("label", metavar="LABEL", type=int, help="of the object; with --view semantic a class's id")
    parser.add_argument("-o", "--output", metavar="PLY", required=True, help="the file to write")
    add_view(parser)
    add_revision(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")


def run_mesh(arguments: argparse.Namespace) -> None:
    with labelog.open(arguments.volume, "r") as volume:
        seen = viewed(volume, arguments)
        found = labelog.mesh(seen, arguments.label)
        if not len(found.faces):
            raise NotFound(f"label {arguments.label} has no voxels there", label=arguments.label)
        comment = f"label {arguments.label}, revision {seen.revision}, scale {found.scale}, {volume.unit}"
    data = to_ply(found.vertices[:, ::-1], found.faces[:, ::-1], comment)
    target = Path(arguments.output)
    with new_file(target, overwrite=arguments.overwrite) as temporary:
        temporary.write_bytes(data)
    print(f"{target}: {len(found.vertices):,} vertices, {len(found.faces):,} triangles, of scale {found.scale}")
