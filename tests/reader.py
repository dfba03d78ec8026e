"""The reader of a chunk's body that docs/format.md has, in Python: slow, with nothing refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FORMATS = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")
SPACE: dict[str, Any] = {}
exec(re.findall(r"^```python\n(.*?)^```$", FORMATS, re.MULTILINE | re.DOTALL)[1], SPACE)
Words, read_rows = SPACE["Words"], SPACE["read_rows"]


def read_numbers(data, count):
    """The first numbers of these bytes, and what follows them."""
    found, number, shift = [], 0, 0
    for at, byte in enumerate(data):
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            found.append(number)
            if len(found) == count:
                return found, data[at + 1 :]
            number = shift = 0
    raise AssertionError(f"{len(found)} numbers, not {count}")
