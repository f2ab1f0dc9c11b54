"""What a forgetful store of sessions must be reminded of."""

from typing import NamedTuple, Protocol


class Revocation(NamedTuple):
    """Something that was ended and must stay so: one session (`name` is its id), or all of an epoch (`name` is that).

    `place` is where the store keeps it. After `expires_at` it could not count any more; None: it always could.
    """

    place: str
    name: str
    expires_at: int | None


class RevocationStore(Protocol):
    """What a store of sessions that may lose writes cannot be trusted to remember; durable.

    Such a store notes every ending here before it is carried out and acknowledged. A server of it that nobody vouched
    for (restarted, failed over) is told all of it again before a single answer of it is believed.
    """

    async def record(self, ended: Revocation) -> None:
        """Remember an ending."""
        ...

    async def page(self, *, after: str, limit: int) -> list[Revocation]:
        """Return up to `limit` endings by `name`, those after `after`."""
        ...

    async def is_trusted(self, server: str) -> bool:
        """Tell whether this server, in its present life, was told everything."""
        ...

    async def trust(self, server: str, *, now: int) -> None:
        """Remember that this server, in its present life, was told everything."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` endings of what would be over by now anyway; return how many were removed."""
        ...
