"""labelog alone, for comparing with itself over time: `python -m pytest benchmarks/bench_engine.py`.

pytest-benchmark keeps what was measured with `--benchmark-autosave` and compares with `--benchmark-compare`. Not part
of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import labelog
from benchmarks import datasets
from benchmarks.bench_strokes import painter

SHAPE = (64, 512, 512)


@pytest.fixture(scope="module")
def volume(folder: Path) -> Iterator[labelog.Volume]:
    with labelog.load(folder / "labelog", datasets.synthetic(SHAPE), threads=1) as loaded:
        loaded.read()
        yield loaded


def bench_stroke(benchmark: Any, volume: labelog.Volume) -> None:
    strokes = datasets.strokes(volume.shape, seed=20)
    benchmark.pedantic(painter(volume), setup=lambda: ((next(strokes),), {}), rounds=300, warmup_rounds=20)


def bench_undo(benchmark: Any, volume: labelog.Volume) -> None:
    strokes, paint = datasets.strokes(volume.shape, seed=21), painter(volume)

    def setup() -> tuple[tuple[str], dict[str, str]]:
        paint(next(strokes))
        return ("ana",), {}

    benchmark.pedantic(volume.undo, setup=setup, rounds=300, warmup_rounds=20)


def bench_slice(benchmark: Any, volume: labelog.Volume) -> None:
    benchmark.pedantic(volume.__getitem__, args=(10,), rounds=300, warmup_rounds=20)


def bench_open(benchmark: Any, volume: labelog.Volume) -> None:
    benchmark.pedantic(lambda: labelog.open(volume.address).close(), rounds=100, warmup_rounds=5)


def bench_old_revision(benchmark: Any, volume: labelog.Volume) -> None:
    benchmark.pedantic(lambda: volume.at(0)[10], rounds=100, warmup_rounds=5)
