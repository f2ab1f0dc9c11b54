"""The only place where the service learns what time it is."""

import time
from collections.abc import Callable

_STEP = 1_000
_JUMP = 300_000
_SETTLED = 3_600_000
_READ = 100


def system_clock() -> int:
    """Return the time of the machine, in milliseconds since the Unix epoch (UTC). It may be set, back as well."""
    return time.time_ns() // 1_000_000


def monotonic_clock() -> int:
    """Return milliseconds since an unknown moment; they only grow, whatever the clock is set to."""
    return time.monotonic_ns() // 1_000_000


class ClockStepDetector:
    """Notices when the clock is set, by comparing it with one that only runs forward. All times in milliseconds."""

    def __init__(self, clock: Callable[[], int], monotonic: Callable[[], int], moved: Callable[[int], object]) -> None:
        """Watch `clock` from now on; `moved` is called with how far it was set, back or far forward, once each time."""
        self._clock = clock
        self._monotonic = monotonic
        self._moved = moved
        self._offset = clock() - monotonic()
        self._since = clock()
        self._jumped: int | None = None

    def check(self) -> None:
        """Compare the clocks; often enough that what they drift apart in between is no step."""
        began = self._monotonic()
        now = self._clock()
        offset, late = now - began, self._monotonic() - began
        if late > _READ:
            # The process was held up between the two readings, which say nothing then.
            return
        moved, self._offset = offset - self._offset, offset
        if moved <= -_STEP:
            self._since = now
        if moved >= _JUMP:
            self._jumped = began
        if moved <= -_STEP or moved >= _JUMP:
            self._moved(moved)

    def since(self) -> int:
        """Return since when the clock, as it is now, has not been set back: at the earliest since this was made."""
        self.check()
        return self._since

    def is_settled(self) -> bool:
        """Tell whether the clock was not set far forward within the last hour: then what is over may be removed."""
        self.check()
        return self._jumped is None or self._monotonic() - self._jumped >= _SETTLED
