"""Interface of clocks; `core/clock.py` has the implementation."""

from typing import Protocol


class Clock(Protocol):
    """Returns the current time."""

    def __call__(self) -> int:
        """Return milliseconds since the Unix epoch."""
        ...
