"""Imports point down, from right to left; the server's point to formats and below, and only `labelog serve` imports it.

errors, geometry <- kernels <- arrays <- storage <- image <- engine <- remote <- formats <- layers <- cli
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import labelog
import labelog_server

SOURCE = Path(labelog.__file__).parent
LAYERS = ["errors", "progress", "extras", "damage", "geometry", "synthetic", "indexing", "kernels", "arrays", "storage",
          "image", "engine", "remote", "opening", "formats", "layers", "cli"]  # fmt: skip


def imported(path):
    """The labelog modules that a file imports."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{name.name}" for name in node.names]
                yield from names if all(map(layer, names)) else [node.module, *names]
            elif isinstance(node, ast.Import):
                yield from (name.name for name in node.names)
    else:
        yield from re.findall(r"^(?:from|cimport|import)\s+(labelog[\w.]*)", text, re.MULTILINE)


def layer(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "labelog" and len(parts) > 1 and parts[1] in LAYERS else None


def test_imports_point_down():
    wrong, seen = [], 0
    for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyx"), *SOURCE.rglob("*.pxd")]:
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if own not in LAYERS:
            continue
        for module in imported(path):
            target = layer(module)
            seen += target is not None
            if target is not None and LAYERS.index(target) > LAYERS.index(own):
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
            if own != "cli" and (module == "labelog" or module.startswith("labelog_server")):
                wrong.append(f"{path.relative_to(SOURCE)} imports {module}")
    assert not wrong
    assert seen > 50


def test_the_server_is_beside_the_command_line():
    paths = list((Path(labelog_server.__file__).parent).rglob("*.py"))
    assert len(paths) > 10
    assert not [path for path in paths for module in imported(path) if layer(module) in ("cli", "layers")]


def test_kernels_know_no_files():
    for path in [*(SOURCE / "kernels").glob("*.pyx"), *(SOURCE / "kernels").glob("*.pxd")]:
        assert not re.search(r"^\s*(import|from|cimport)\s+(os|pathlib|threading|io)\b", path.read_text(), re.MULTILINE)
