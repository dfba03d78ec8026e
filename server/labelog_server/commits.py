"""How long commits wait for their turn, and take in it: for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def timed(registry: CollectorRegistry) -> Callable[[float, float], None]:
    """What a volume tells of each commit: seconds that it waited, seconds until it was on disk."""
    waits = Histogram("labelog_commit_wait_seconds", "From a commit's request to its turn", registry=registry,
                      buckets=SECONDS)  # fmt: skip
    takes = Histogram("labelog_commit_seconds", "A turn: all commits that wait for it are made, and flushed to disk",
                      registry=registry, buckets=SECONDS)  # fmt: skip

    def tell(waited: float, took: float) -> None:
        waits.observe(waited)
        takes.observe(took)

    return tell
