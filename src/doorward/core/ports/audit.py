"""Store of the audit log."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from doorward.core.model import Event

Events = Sequence[Event]


class AuditEntry(NamedTuple):
    """An entry of the audit log: its number in its tenant's chain, its time, the event as JSON text, and its hash."""

    number: int
    at: int
    text: str
    hash: str


class AuditStore(Protocol):
    """The audit log: one hash chain per tenant; durable.

    The hash of an entry is the SHA-256, in hex, of the previous hash, a line feed, and its own text.
    """

    async def record(self, *events: Event) -> None:
        """Store events of no change, or of a change in another store.

        A failed login is only counted where failed logins already take half of the tenant's quota.
        """
        ...

    async def page(self, tenant_id: str, *, before: int | None, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries, newest first, those with a number below `before`."""
        ...

    async def follow(self, tenant_id: str, *, after: int, limit: int) -> list[AuditEntry]:
        """Return up to `limit` entries, oldest first, those with a number above `after`."""
        ...

    async def base(self, tenant_id: str) -> tuple[int, str]:
        """Return number and hash of the last entry that was removed, (0, "") if none was."""
        ...

    async def head(self, tenant_id: str) -> tuple[int, str]:
        """Return number and hash of the newest entry, (0, "") if there is none."""
        ...

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """Return up to `limit` ids of tenants with a chain, in order, those after `after`."""
        ...

    async def sweep(self, before: int, *, limit: int) -> int:
        """Remove up to `limit` of the oldest entries that are older than `before` (a time); return the number."""
        ...

    async def trim(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` of the oldest entries of tenants whose entries exceed the quota; return the number.

        Each call examines some of the tenants, and the next call continues after them. A result below `limit` means
        that nothing is left to do for now. Failed logins that were only counted get one entry an hour at most. The
        service's own chain has no quota.
        """
        ...
