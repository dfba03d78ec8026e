"""What all topics share: the labels, a folder for each, and the table that is printed at the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import datasets, machine, report, settings
from benchmarks.datasets import Labels
from benchmarks.loading import Loaded, loaded
from benchmarks.table import Table

ORDER = (
    "slices",
    "strokes",
    "undo",
    "load",
    "codec",
    "precomputed",
    "components",
    "fill",
    "overlap",
    "shape",
    "scales",
    "threads",
    "labels",
    "http",
    "journal_growth",
    "volume_growth",
    "large",
    "memory",
)
START = time.perf_counter()
TABLE = pytest.StashKey[Table]()
LABELS = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-report", action="store_true", help="write docs/benchmarks.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Topics in the table's order; those that it does not name come last."""
    topics = [item.path.stem.removeprefix("bench_") for item in items]
    place = {topic: ORDER.index(topic) if topic in ORDER else len(ORDER) for topic in topics}
    items.sort(key=lambda item: place[item.path.stem.removeprefix("bench_")])


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    """Where rows go."""
    return request.config.stash[TABLE]


@pytest.fixture(scope="session")
def labels(request: pytest.FixtureRequest) -> Labels:
    """connectomics-512, or what stands in for it."""
    found = datasets.connectomics()
    request.config.stash[LABELS] = f"{found.name}, {' x '.join(map(str, found.array.shape))}"
    return found


@pytest.fixture(scope="session")
def platelets() -> Iterator[Loaded]:
    """A gigavoxel of synthetic platelets, as a volume."""
    with tempfile.TemporaryDirectory(prefix="labelog-bench-") as path:
        yield loaded(Path(path) / "platelets", settings.PLATELETS)


@pytest.fixture(scope="session")
def samples(labels: Labels, platelets: Loaded) -> dict[str, NDArray[np.uint32]]:
    """Dense labels of several kinds: what to call them in the table, nothing for the first, which decides."""
    return {"": labels.array.astype(np.uint32), ", fib25": datasets.fib25(), ", platelets": datasets.dense(platelets)}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for a topic's volumes, gone when the topic ends."""
    with tempfile.TemporaryDirectory(prefix="labelog-bench-") as path:
        yield Path(path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash[TABLE]
    if not table.rows:
        return
    labels = config.stash.get(LABELS, "synthetic")
    write = terminalreporter.write_line
    for line in ("", f"labels: {labels}", f"machine: {machine.machine()}", f"versions: {machine.versions()}", "",
                 table.text(), ""):  # fmt: skip
        write(line)
    if config.getoption("--write-report"):
        path = report.write(table, labels, (time.perf_counter() - START) / 60)
        write(f"written: {path.relative_to(path.parents[1])}")
    write(f'{len(table.rows)} rows, {len(table.below)} below "at least"')


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if settings.CHECK and exitstatus == pytest.ExitCode.OK and session.config.stash[TABLE].below:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
