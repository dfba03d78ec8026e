"""Feeds damaged bytes to every decoder: the outcome is Corrupt, or something whole of the declared shape.

    python tests/fuzz/decoders.py COUNT [SEED]     so many mutants of chunks, and a third as many of all else
    python tests/fuzz/decoders.py --only INDEX [SEED]

A process of its own, for that a crash is an outcome too. It fails if its memory, touched or not, was ever above what it
had at first, the largest declared size and 16 MiB (but under a sanitizer, which takes memory of its own). It prints
what became of the mutants, as JSON; of a failure the index is on the standard error, of a crash in the file that
LABELOG_FUZZ_AT names.
"""

from __future__ import annotations

import collections
import json
import math
import mmap
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from containers import Body, delta_body, delta_bytes, sealed
from mutants import mutated, mutated_count

from labelog.errors import Corrupt, Unsupported
from labelog.kernels import codec, extents
from labelog.kernels import spans as kernel
from labelog.kernels.runs import Runs
from labelog.storage.array_bytes import pack_array, unpack_array
from labelog.storage.base import pack, unpack
from labelog.storage.layout import ARRAY_HEADER, ARRAY_LENGTH, CHUNK_HEADER

ROOM = 16 << 20
PARTICULARS = re.compile(r"""(?<!\S)(?:b['"]|[^\s\d]*\d)\S*""")
SHAPES = [(3, 4, 11), (1, 1, 1), (1, 1, 140), (1, 9, 5), (3, 3, 7)]


class Seed(NamedTuple):
    data: bytes
    shape: tuple[int, ...]


class Kind(NamedTuple):
    """A sort of bytes: some of them, how they are damaged deep inside, and how they are read and found sound."""

    seeds: list[Seed]
    inside: Callable[[Seed, Random, Seed], bytes]
    read: Callable[[bytes, tuple[int, ...]], None]


# Chunks


def boxes() -> list[np.ndarray]:
    """Labels as they are drawn, as they are not, and enormous ones."""
    draw = np.random.default_rng(1)
    found = []
    for shape in SHAPES:
        z, y, x = np.indices(shape)
        seeds = draw.uniform(0, 1, (9, 3)) * shape
        near = np.argmin([(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 for a, b, c in seeds], axis=0)
        found += [near.astype(np.uint64) << np.uint64(59), draw.integers(0, 3, shape).astype(np.uint64)]
    found.append(np.arange(2 * 3 * 7, dtype=np.uint64).reshape(2, 3, 7) + np.uint64(2**64 - 42))
    found.append(np.zeros((2, 5, 9), np.uint64))
    return found


def inside_chunk(seed: Seed, random: Random, other: Seed) -> bytes:
    """One part, or a count, or both of them damaged."""
    body = some_body(seed.data[CHUNK_HEADER.size :], seed.shape, random)
    what = random.random()
    if what < 0.9:
        others = Body.of(other.data[CHUNK_HEADER.size :], other.shape)
        body = body._replace(parts=with_one_damaged(body, random, others))
    if what > 0.8:
        at = random.randrange(len(body.counts))
        damaged = mutated_count(body.counts[at], random)
        body = body._replace(counts=(*body.counts[:at], damaged, *body.counts[at + 1 :]))
    return sealed(seed.data[: CHUNK_HEADER.size] + body.bytes())


def some_body(data: bytes, shape: tuple[int, ...], random: Random) -> Body:
    body = Body.of(data, shape)
    return body if random.random() < 0.5 else body.even()


def with_one_damaged(body: Body, random: Random, other: Body) -> tuple[bytes, ...]:
    """Its parts, the rows damaged as often as palette and odds together."""
    at = random.choice((0, 1, 2, 2))
    damaged = mutated(body.parts[at], random, other.parts[at])
    return (*body.parts[:at], damaged, *body.parts[at + 1 :])


def read_chunk(data: bytes, shape: tuple[int, ...]) -> None:
    found = unpack(data, shape, "a mutant").runs
    Runs(found.shape, found.palette, found.offsets, found.ends, found.index)
    assert found.shape == shape
    assert found.dense().shape == shape


# Plain arrays, deltas, counts of labels


def arrays() -> list[np.ndarray]:
    draw = np.random.default_rng(2)
    few = np.repeat(draw.integers(-2, 3, (2, 3, 8, 5)), 4, axis=3)
    return [few.astype("<i2"), np.asfortranarray(few[0]).astype(">u4"), few[0, 0] > 0, few[:0]]


def inside_array(seed: Seed, random: Random, other: Seed) -> bytes:
    """A part of its first volume damaged, or the header."""
    data = bytearray(seed.data)
    if random.random() < 0.3 or len(data) == ARRAY_HEADER.size:
        at = random.randrange(12, ARRAY_HEADER.size)
        data[at] = random.randrange(256) if random.random() < 0.5 else data[at] ^ 1 << random.randrange(8)
        return sealed(bytes(data))
    shape = ARRAY_HEADER.unpack_from(data)[-3:]
    (n,) = ARRAY_LENGTH.unpack_from(data, ARRAY_HEADER.size)
    start = ARRAY_HEADER.size + ARRAY_LENGTH.size
    body = some_body(bytes(data[start : start + n]), shape, random)
    new = body._replace(parts=with_one_damaged(body, random, body)).bytes()
    return sealed(bytes(data[: ARRAY_HEADER.size]) + ARRAY_LENGTH.pack(len(new)) + new + bytes(data[start + n :]))


def read_array(data: bytes, shape: tuple[int, ...]) -> None:
    lengths = ARRAY_HEADER.unpack_from(data)[-4:] if len(data) >= ARRAY_HEADER.size else ()
    if 8 * math.prod(lengths) > ROOM // 2:
        return  # what it declares it may take, which is not to be measured here
    found = unpack_array(data, "a mutant")
    assert found.dtype.kind in "iub" and 1 <= found.ndim <= 4
    pack_array(found)


def deltas() -> list[Seed]:
    found = []
    for array in boxes():
        for patch in (np.roll(array, 3, axis=1), np.full_like(array, 5)):
            delta = kernel.diff(Runs.from_dense(array), kernel.array_spans(array.shape, (0, 0, 0), patch))
            found.append(Seed(codec.encode_delta(delta, array.shape[2]), array.shape))
    return found


def inside_delta(seed: Seed, random: Random, other: Seed) -> bytes:
    return delta_bytes(mutated(delta_body(seed.data), random, delta_body(other.data)), random.random() < 0.5)


def read_delta(data: bytes, shape: tuple[int, ...]) -> None:
    found = codec.decode_delta(data, shape)
    kernel.Delta(found.old.start, found.old.stop, found.old.value, found.new.value)
    assert len(found) == 0 or int(found.old.stop[-1]) <= int(np.prod(shape))


def counts() -> list[Seed]:
    return [Seed(extents.encode(extents.counted(Runs.from_dense(array))), array.shape) for array in boxes()]


def inside_counts(seed: Seed, random: Random, other: Seed) -> bytes:
    return mutated(seed.data, random, other.data)


def read_counts(data: bytes, shape: tuple[int, ...]) -> None:
    found = extents.decode(data, shape)
    assert (np.diff(found.labels.astype(object)) > 0).all()
    for label in found.labels[:1].tolist():
        assert extents.look_up(data, label) is not None


KINDS = {
    "chunk": Kind([Seed(pack(Runs.from_dense(box), bytes(16), (0, 0, 0), 1), box.shape) for box in boxes()],
                  inside_chunk, read_chunk),
    "array": Kind([Seed(pack_array(array), array.shape) for array in arrays()], inside_array, read_array),
    "delta": Kind(deltas(), inside_delta, read_delta),
    "counts": Kind(counts(), inside_counts, read_counts),
}  # fmt: skip
OTHERS = ["array", "delta", "counts"]


def mutant(index: int, seed: str) -> tuple[str, str, bytes, tuple[int, ...]]:
    """The mutant of this number: its kind, how deep its damage lies, its bytes, its shape."""
    random = Random(f"{seed} {index}")
    name = "chunk" if index % 4 else OTHERS[index // 4 % len(OTHERS)]
    kind = KINDS[name]
    one, other = random.choice(kind.seeds), random.choice(kind.seeds)
    depth = ("inside", "bytes", "inside", "sealed")[index // 4 % 4]
    if depth == "inside":
        return name, depth, kind.inside(one, random, other), one.shape
    data = mutated(one.data, random, other.data)
    return name, depth, sealed(data) if depth == "sealed" and name in ("chunk", "array") else data, one.shape


def outcome(name: str, data: bytes, shape: tuple[int, ...]) -> str:
    """What became of it: what the error says, without its numbers and bytes, or `whole`."""
    try:
        KINDS[name].read(data, shape)
    except (Corrupt, Unsupported) as error:
        return PARTICULARS.sub("#", str(error).removeprefix("a mutant is damaged: "))
    return "whole"


def memory(field: str) -> int:
    """Addresses that the process has (VmSize), or had at most (VmPeak): what was allocated, touched or not."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) << 10


def most_memory() -> float:
    """What there is now, the largest of the declared sizes, and 16 MiB. A sanitizer takes what it wants."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return math.inf
    most = memory("VmPeak") + max(8 * math.prod(seed.shape) for kind in KINDS.values() for seed in kind.seeds) + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most + 64 * ROOM, resource.RLIM_INFINITY))  # for the sake of the machine
    return most


def main(arguments: list[str]) -> None:
    only = arguments[0] == "--only"
    number, seed = int(arguments[only]), (arguments[only + 1 :] or ["0"])[0]
    place = mmap.mmap(-1, 8)
    if path := os.environ.get("LABELOG_FUZZ_AT"):
        with open(path, "w+b") as file:
            file.truncate(8)
            place = mmap.mmap(file.fileno(), 8)
    for index in range(200):  # what is allocated once is there before it is measured
        name, _, data, shape = mutant(index, "warm")
        outcome(name, data, shape)
    most = most_memory()
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for index in [number] if only else range(-(-4 * number // 3)):
        place[:8] = index.to_bytes(8, "little")
        name, depth, data, shape = mutant(index, seed)
        try:
            found[f"{name} {depth}"][outcome(name, data, shape)] += 1
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise SystemExit(f"mutant {index} of seed {seed}, {name} {depth}: {what}\n{data.hex()}") from error
        if (only or index % 64 == 63) and memory("VmPeak") > most:
            raise SystemExit(f"one of the 64 mutants up to {index} of seed {seed} took more memory than it declares")
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    if "MALLOC_ARENA_MAX" not in os.environ:  # a library's thread would take addresses of its own, whenever it begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"MALLOC_ARENA_MAX": "1"})
    main(sys.argv[1:])
