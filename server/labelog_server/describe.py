"""Prints the description of all routes: python -m labelog_server.describe > docs/openapi.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from labelog_server.app import create_app
from labelog_server.settings import Settings


def description() -> dict[str, Any]:
    """OpenAPI, as a server that serves nothing gives it."""
    with tempfile.TemporaryDirectory() as folder:
        return create_app(Settings((Path(folder),))).openapi()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(description(), indent=1, sort_keys=True) + "\n")
