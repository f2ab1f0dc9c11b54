"""What happened."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Event

Events = Sequence[Event]


class AuditEntry(NamedTuple):
    """A line of the audit log: its number in its tenant's chain, when, the event as JSON text, and the chain's hash."""

    number: int
    at: int
    text: str
    hash: str


class AuditStore(Protocol):
    """What happened, one chain of hashes for each tenant, durable.

    An entry's hash is the SHA-256, in hex, of the hash before it, a line feed, and its own text.
    """

    async def record(self, *events: Event) -> None:
        """Keep events that tell of no change, or of one in another store.

        A failed login is only counted where failed logins take half of their tenant's quota already.
        """
        ...

    async def page(self, tenant_id: str, *, before: int | None, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries, newest first, those with a number below `before`."""
        ...

    async def follow(self, tenant_id: str, *, after: int, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries, oldest first, those with a number above `after`."""
        ...

    async def base(self, tenant_id: str) -> tuple[int, str]:
        """Return number and hash of the last entry that was swept, (0, "") if none was."""
        ...

    async def head(self, tenant_id: str) -> tuple[int, str]:
        """Return number and hash of the newest entry, (0, "") if there is none."""
        ...

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """Return up to `limit` ids of tenants that have a chain, in order, those after `after`."""
        ...

    async def sweep(self, before: int, *, limit: int) -> int:
        """Remove up to `limit` of the oldest entries, none from `before` (a time) on; return how many."""
        ...

    async def trim(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` of the oldest entries of a tenant whose entries exceed the quota; return how many.

        Each call looks at some of the tenants, and the next one goes on behind them. Less than `limit` is returned
        where nothing is left to do for now. Failed logins that were only counted get an entry, at most one an hour. The
        service's own chain has no quota.
        """
        ...
