"""CPU time of password hashes on this machine: estimated from their parameters, corrected by measurement."""

from doorward.core.passwords.formats import HashCost

_LEAST_MEASURED = 0.001
"""Seconds; below, the overhead of a call would dominate the cost of the algorithm."""

_WEIGHT = 1 / 8
"""Share of a new measurement: settles within some dozen hashes, and one outlier moves little."""


class CostModel:
    """Estimates of CPU seconds. `native` is the cost of the service's own hashes.

    Each algorithm has a factor by which this machine is slower than the reference of `HashCost`. It starts as that of
    the service's own hash, since a machine that is slow at one algorithm is slow at others too, and then follows
    measurements of the algorithm.
    """

    def __init__(self, native: HashCost, seconds: float) -> None:
        """Start from one measured hash: the service's own, of cost `native`, took `seconds`."""
        self.native = native
        self._factors: dict[str, tuple[float, int]] = {native.algorithm: (seconds / native.seconds, 1)}

    def estimate(self, cost: HashCost) -> float:
        """Return the expected CPU seconds of a comparison of this cost."""
        factor, _ = self._factors.get(cost.algorithm) or self._factors[self.native.algorithm]
        return cost.seconds * factor

    def observe(self, cost: HashCost, seconds: float) -> None:
        """Correct the estimates by a comparison of this cost that took `seconds` of CPU time."""
        if seconds < _LEAST_MEASURED:
            return
        factor, count = self._factors.get(cost.algorithm, (0.0, 0))
        weight = max(_WEIGHT, 1 / (count + 1))
        self._factors[cost.algorithm] = (factor + (seconds / cost.seconds - factor) * weight, count + 1)
