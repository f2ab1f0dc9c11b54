"""Durable log of revocations, replayed to session stores that can lose writes (Redis)."""

from typing import NamedTuple, Protocol


class Revocation(NamedTuple):
    """A revocation of one session (`name` is its id), or of all sessions of an epoch (`name` is the epoch).

    `place` is the key under which the session store holds it. `expires_at` is when the revoked sessions expire anyway,
    None for never.
    """

    place: str
    name: str
    expires_at: int | None


class RevocationStore(Protocol):
    """Revocations that a session store may forget; durable.

    Such a store records every revocation here before it applies and acknowledges it. A server that is not
    trusted (restarted, failed over) receives all of them before any of its replies is used.
    """

    async def record(self, revocation: Revocation) -> None:
        """Store a revocation."""
        ...

    async def page(self, *, after: str, limit: int) -> list[Revocation]:
        """Return up to `limit` revocations by `name`, those after `after`."""
        ...

    async def is_trusted(self, server: str) -> bool:
        """Return whether this server, since its last start, has received every revocation."""
        ...

    async def trust(self, server: str, *, now: int) -> None:
        """Store that this server, since its last start, has received every revocation."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` revocations of sessions that have expired by now; return the number."""
        ...
