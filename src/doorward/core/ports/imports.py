"""Store of finished imports from other systems, so that a repeated import reads only what changed."""

from typing import Protocol


class ImportStore(Protocol):
    """The start of the last complete import of each source; durable."""

    async def last(self, source: str) -> int | None:
        """Return when the last complete import of a source started, None if there was none."""
        ...

    async def record(self, source: str, begun_at: int) -> None:
        """Store when a complete import started; an older time than the stored one changes nothing."""
        ...
