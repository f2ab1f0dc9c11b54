"""`system_clock`, `monotonic_clock`, and `ClockStepDetector`; only this module reads the time of the machine."""

import time
from collections.abc import Callable

_STEP = 1_000
_JUMP = 300_000
_SETTLED = 3_600_000
_READ = 100


def system_clock() -> int:
    """Return the time of the machine, in milliseconds since the Unix epoch (UTC). Operators may set it, also back."""
    return time.time_ns() // 1_000_000


def monotonic_clock() -> int:
    """Return milliseconds since an unknown start; they only grow, also when the system time is changed."""
    return time.monotonic_ns() // 1_000_000


class ClockStepDetector:
    """Detects steps of a clock by comparing it with a monotonic one. All times in milliseconds."""

    def __init__(self, clock: Callable[[], int], monotonic: Callable[[], int], moved: Callable[[int], object]) -> None:
        """Observe `clock` from now on; call `moved` once per step, back or far forward, with its size."""
        self._clock = clock
        self._monotonic = monotonic
        self._moved = moved
        self._offset = clock() - monotonic()
        self._since = clock()
        self._jumped: int | None = None

    def check(self) -> None:
        """Compare the clocks; to be called so often that their drift in between is no step."""
        began = self._monotonic()
        now = self._clock()
        offset, late = now - began, self._monotonic() - began
        if late > _READ:
            # The process was delayed between the two readings, so they are not comparable.
            return
        moved, self._offset = offset - self._offset, offset
        if moved <= -_STEP:
            self._since = now
        if moved >= _JUMP:
            self._jumped = began
        if moved <= -_STEP or moved >= _JUMP:
            self._moved(moved)

    def since(self) -> int:
        """Return since when the clock has not been set back: at the earliest since this detector was created."""
        self.check()
        return self._since

    def is_settled(self) -> bool:
        """Return whether the clock was not set far forward within the last hour: then expired rows may be removed."""
        self.check()
        return self._jumped is None or self._monotonic() - self._jumped >= _SETTLED
