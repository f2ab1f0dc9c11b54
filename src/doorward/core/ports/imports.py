"""Store of finished imports."""

from typing import Protocol


class ImportStore(Protocol):
    """When each source was last brought in completely; durable."""

    async def last(self, source: str) -> int | None:
        """Return when the last complete run from a source began, None if there was none."""
        ...

    async def record(self, source: str, begun_at: int) -> None:
        """Remember when a complete run began; an older one than is known changes nothing."""
        ...
