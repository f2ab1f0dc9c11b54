"""The time."""

from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> int:
        """Return milliseconds since the Unix epoch."""
        ...
