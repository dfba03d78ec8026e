"""Settings for all tests.

Property tests are derandomized; with LABELOG_SOAK=1 they are random and many more.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SOAK = bool(os.environ.get("LABELOG_SOAK"))
DATA = Path(__file__).parent / "data"

# Started in the background or by nohup, commands under test would ignore these as well.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

_common = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("default", derandomize=True, database=None, **_common)
settings.register_profile("soak", derandomize=False, max_examples=5_000, **_common)
settings.load_profile("soak" if SOAK else "default")


def examples(cases: int) -> settings:
    """A property test of so many cases, and of ten times as many in `make soak`."""
    return settings(max_examples=10 * cases if SOAK else cases)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a server running, or clients beside Python, is told by its folder."""
    for item in items:
        if item.path.relative_to(DATA.parent).parts[0] in ("consistency", "remote", "server"):
            item.add_marker(pytest.mark.services)


@pytest.fixture
def data() -> Path:
    """The folder of real samples."""
    return DATA
