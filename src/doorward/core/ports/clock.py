"""The current time."""

from typing import Protocol


class Clock(Protocol):
    """Returns the current time."""

    def __call__(self) -> int:
        """Return milliseconds since the Unix epoch."""
        ...
