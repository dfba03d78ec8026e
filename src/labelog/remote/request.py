"""An edit as a request: operations as JSON, arrays beside it in parts (multipart/related)."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, NamedTuple, Self

import numpy as np

from labelog.errors import Invalid

MOST = 10_000
"""Operations of one edit."""


class Operation(NamedTuple):
    """What is to be done, and the arrays that it takes: media type and bytes of each."""

    op: str
    fields: dict[str, Any]
    arrays: tuple[tuple[str, bytes], ...]

    def told(self, number: int) -> dict[str, Any]:
        """It as JSON has it; its array is the part of that number."""
        meant = self.op in ("assign", "assign_class")  # there None takes away
        fields = {name: value for name, value in self.fields.items() if value is not None or meant or name == "over"}
        if self.arrays:
            part = {"part": str(number)}
            if self.op == "write":
                fields["voxels"] = part
            elif self.op == "set_region":
                fields["mask"] = fields["mask"] | part
            else:
                fields["spans"] = part
        return {"op": self.op, **fields}


@dataclass
class Request:
    """Operations that are to be one edit.

    Attributes
    ----------
    at : the revision as of which they choose voxels.
    labels : that were set aside for the objects that they make.
    """

    message: str
    session: str | None
    seen: int | None
    operations: list[Operation]
    at: int | None = None
    labels: list[int] = field(default_factory=list)

    def copy(self) -> Self:
        """As it is now."""
        found = copy(self)
        found.operations = list(self.operations)
        return found

    def body(self, more: dict[str, Any]) -> tuple[bytes, str]:
        """Its bytes, and their media type."""
        return self._body(self.operations, {
            "at": self.at, "message": self.message, "session": self.session, "seen": self.seen,
            "labels": list(map(str, self.labels)), **more,
        })  # fmt: skip

    def rest(self, after: int, more: dict[str, Any]) -> tuple[bytes, str]:
        """The operations after so many, for who knows the others."""
        return self._body(self.operations[after:], more)

    def _body(self, operations: list[Operation], more: dict[str, Any]) -> tuple[bytes, str]:
        if len(self.operations) > MOST:
            raise Invalid(f"an edit from afar may have {MOST} operations; this one has {len(self.operations)}")
        told = {"operations": [each.told(number) for number, each in enumerate(operations)], **more}
        text = json.dumps(told, default=_plain).encode()
        parts = [(number, *array) for number, each in enumerate(operations) for array in each.arrays]
        if not parts:
            return text, "application/json"
        boundary = token_hex(16)
        pieces = [b"Content-Type: application/json\r\n\r\n" + text]
        pieces += [f"Content-Type: {kind}\r\nContent-ID: <{number}>\r\n\r\n".encode() + data
                   for number, kind, data in parts]  # fmt: skip
        line = f"\r\n--{boundary}".encode()
        return b"".join([b"%s\r\n%s" % (line, piece) for piece in pieces] + [line, b"--\r\n"]), (
            f"multipart/related; boundary={boundary}"
        )


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's. Raises Invalid."""
    if isinstance(value, np.generic):
        return value.item()
    raise Invalid(f"{value!r} is nothing that can be sent")
