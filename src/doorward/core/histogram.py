"""How long things took: counted in a few numbers, for whoever watches the service."""

from bisect import bisect_left
from dataclasses import dataclass, field

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The upper bounds that durations are counted below."""


@dataclass(slots=True)
class DurationHistogram:
    """How many took how long: a count for each of `SECONDS`, one for what took longer, and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration; as `times` of them, where it was measured for others too."""
        self.counts[bisect_left(BUCKETS, seconds)] += times
        self.total += seconds * times
