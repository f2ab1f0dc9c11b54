"""Histograms of durations, for metrics."""

from bisect import bisect_left
from dataclasses import dataclass, field

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The upper bounds of the buckets, in seconds."""


@dataclass(slots=True)
class DurationHistogram:
    """A histogram of durations: a count per bucket, one for longer durations, and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Add a duration; `times` times, where it stands for others that were not measured."""
        self.counts[bisect_left(BUCKETS, seconds)] += times
        self.total += seconds * times
