"""Lets libFuzzer look for bytes that reach new parts of a decoder, from those that a writer makes.

    python tests/fuzz/guided.py chunk|delta|counts [CORPUS] [LIBFUZZER'S OPTIONS]

`make fuzz` builds what it needs: the kernels by clang, with coverage and AddressSanitizer. What libFuzzer changes is
the inside: counts and parts, out of which a chunk with a CRC that fits is made here. By itself it would
never get past that.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
from containers import Body, delta_body, delta_bytes, sealed
from decoders import KINDS, SHAPES, outcome

from labelog.kernels.runs import Runs
from labelog.storage.base import pack
from labelog.storage.layout import CHUNK_HEADER

FIRST = Body.of(KINDS["chunk"].seeds[0].data[CHUNK_HEADER.size :], KINDS["chunk"].seeds[0].shape)
COUNTS = struct.Struct(f"<{len(FIRST.counts)}I")
HEADS = {shape: pack(Runs.full(shape, 1), bytes(16), (0, 0, 0), 1)[: CHUNK_HEADER.size] for shape in SHAPES}


def flat_chunk(data: bytes, shape: tuple[int, ...]) -> bytes:
    """Counts, then each part after its length."""
    body = Body.of(data[CHUNK_HEADER.size :], shape)
    return COUNTS.pack(*body.counts) + b"".join(len(s).to_bytes(2, "little") + s for s in body.parts)


def chunk_of(flat: bytes, shape: tuple[int, ...]) -> bytes:
    """The chunk of bytes that are, or once were, those of `flat_chunk`."""
    at, parts = COUNTS.size, []
    for _ in FIRST.parts:
        n = int.from_bytes(flat[at : at + 2], "little")
        parts.append(flat[at + 2 : at + 2 + n])
        at += 2 + n
    counts = COUNTS.unpack(flat[: COUNTS.size].ljust(COUNTS.size, b"\0"))
    body = Body(counts, tuple(parts), shape)
    return sealed(HEADS[shape] + (body if len(flat) % 2 == 0 else body.even()).bytes())


Form = Callable[[bytes, tuple[int, ...]], bytes]
FORMS: dict[str, tuple[Form, Form]] = {
    "chunk": (flat_chunk, chunk_of),
    "delta": (lambda data, shape: delta_body(data), lambda flat, shape: delta_bytes(flat, len(flat) % 2 == 0)),
    "counts": (lambda data, shape: data, lambda flat, shape: flat),
}


def main(arguments: list[str]) -> None:
    name = arguments[1]
    flatten, made = FORMS[name]

    def read(data: bytes) -> None:
        """The first byte says which shape the others are read in."""
        shape = SHAPES[data[0] % len(SHAPES)] if data else SHAPES[0]
        outcome(name, made(data[1:], shape), shape)

    corpus = next((Path(word) for word in arguments[2:] if not word.startswith("-")), None)
    if corpus is not None:
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(KINDS[name].seeds):
            if seed.shape in SHAPES:
                (corpus / f"seed{number}").write_bytes(
                    bytes([SHAPES.index(seed.shape)]) + flatten(seed.data, seed.shape)
                )
    atheris.Setup([arguments[0], *arguments[2:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in FORMS:
        raise SystemExit(__doc__)
    main(sys.argv)
