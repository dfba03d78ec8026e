"""The libraries that only some formats need, imported when such a format is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from labelog.errors import Unsupported


def extra(module: str, name: str) -> Any:
    """The imported `module`; Unsupported, with the command that installs it, if the extra `name` is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        message = f'{module} is not installed; this needs it: pip install "labelog[{name}]"'
        raise Unsupported(message, extra=name) from error
