"""Damaged bytes: an error, or labels of the declared shape; no crash, and no memory beyond what is declared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from containers import Body
from decoders import KINDS, mutant

from conftest import SOAK
from labelog.errors import Corrupt
from labelog.kernels import codec
from labelog.kernels.runs import Runs
from labelog.storage.layout import CHUNK_HEADER

SCRIPT = Path(__file__).parent / "decoders.py"
ROUNDS, MUTANTS = (8, 1_250_000) if SOAK else (2, 50_000)  # mutants of chunks; there are as many again / 3 of others
UNDER_ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_damaged_bytes(tmp_path, seed):
    place = tmp_path / "at"
    variables = os.environ | {"LABELOG_FUZZ_AT": str(place)}
    done = subprocess.run([sys.executable, SCRIPT, str(MUTANTS), str(seed)], capture_output=True, text=True,
                          env=variables)  # fmt: skip
    index = int.from_bytes(place.read_bytes(), "little")
    assert done.returncode == 0, f"exit {done.returncode} at mutant {index} of seed {seed}\n{done.stderr[-4000:]}"
    found = {name: Counter(counts) for name, counts in json.loads(done.stdout).items()}
    chunks = {name: counts for name, counts in found.items() if name.startswith("chunk")}
    inside = found["chunk inside"]
    assert sum(map(Counter.total, chunks.values())) == MUTANTS
    assert 2 * inside.total() >= MUTANTS
    assert inside["whole"] > inside.total() / 20  # many are the labels of another chunk; the others fail
    assert len([error for error, n in inside.items() if n > 2]) > 10  # at many checks, none of which is the CRC
    assert not [error for error in inside if "CRC" in error]
    assert all(found[f"{name} inside"].total() > MUTANTS / 50 for name in ("array", "delta", "counts"))


def test_a_mutant_follows_from_its_number():
    forth = [mutant(index, "5") for index in range(400)]
    assert [mutant(index, "5") for index in reversed(range(400))] == forth[::-1]


def test_what_is_damaged_inside_is_other_bytes():
    sound = set()
    for seed in KINDS["chunk"].seeds:
        body = Body.of(seed.data[CHUNK_HEADER.size :], seed.shape)
        sound |= {body.bytes(), body.even().bytes()}
    found = [mutant(index, "5") for index in range(4000)]
    inside = [data[CHUNK_HEADER.size :] for kind, depth, data, _ in found if (kind, depth) == ("chunk", "inside")]
    assert len(sound.intersection(inside)) > 3  # a symbol's value, modulo how many there are, may be what it was
    assert sum(data in sound for data in inside) < len(inside) / 10
    assert len(set(inside)) > 0.8 * len(inside)


def taken(data, shape):
    """What becomes of bytes, and the most memory that the decoder took for them, touched or not."""
    script = """
import sys
from labelog.errors import Corrupt
from labelog.kernels import codec
from labelog.kernels.runs import Runs
def memory(field):
    return int(open("/proc/self/status").read().split(field + ":")[1].split()[0]) << 10
shape, data = tuple(map(int, sys.argv[1:])), sys.stdin.buffer.read()
codec.decode(codec.encode(Runs.full((1, 1, 1), 1)), (1, 1, 1))
before = memory("VmSize")
assert memory("VmPeak") - before < 2**20
try:
    found = codec.decode(data, shape)
except (Corrupt, MemoryError) as error:
    found = error
print(type(found).__name__, memory("VmPeak") - before)
"""
    command = [sys.executable, "-c", script, *map(str, shape)]
    alone = os.environ | {"MALLOC_ARENA_MAX": "1"}  # of other threads
    done = subprocess.run(command, input=data, capture_output=True, check=True, env=alone)
    kind, memory = done.stdout.decode().split()
    return kind, int(memory)


SHAPE = (16, 256, 256)


@pytest.mark.skipif(UNDER_ASAN, reason="the sanitizer takes memory of its own")
@pytest.mark.parametrize("runs", [2**12, 2**20])
def test_few_bytes_that_declare_much_take_no_more_than_their_runs(runs):
    data = Body((1, runs), (bytes(1), b"", bytes(99)), SHAPE).even().bytes()
    assert len(data) < 300
    kind, memory = taken(data, SHAPE)
    assert kind == "Corrupt"
    assert memory < max(8 * int(np.prod(SHAPE)), 64 * runs) + 2**24


@pytest.mark.skipif(UNDER_ASAN, reason="the sanitizer takes memory of its own")
def test_that_memory_is_seen():
    """All distinct: as many runs as voxels, of 16 bytes each with its label, and the words."""
    labels = np.arange(2**20, dtype=np.uint64).reshape(SHAPE)
    kind, memory = taken(codec.encode(Runs.from_dense(labels)), SHAPE)
    assert kind == "Runs"
    assert 16 * 2**20 < memory < 64 * 2**20 + 2**24


def test_the_bodies_made_here_are_a_writers():
    """Taken apart and put together, the bytes are the same: mutants differ from them by their damage alone."""
    labels = np.repeat(np.arange(2 * 9 * 5, dtype=np.uint64), 6).reshape(2, 9, 30)
    data = codec.encode(Runs.from_dense(labels))
    body = Body.of(data, labels.shape)
    assert body.bytes() == data
    assert codec.decode(body.even().bytes(), labels.shape) == Runs.from_dense(labels)
    with pytest.raises(Corrupt):
        codec.decode(body._replace(counts=(1, 1)).bytes(), labels.shape)
