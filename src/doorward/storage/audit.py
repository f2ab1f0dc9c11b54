"""The audit log (see the port): entries in one table, the end of each tenant's chain in another."""

from doorward.core.model import Event
from doorward.core.ports import Entry
from doorward.storage.database import Database, Step, happened

_NEWEST = 2**62


class RelationalAuditLog:
    """The audit log (see the port)."""

    def __init__(self, database: Database) -> None:
        """Keep the log in `database`."""
        self._db = database

    async def record(self, *events: Event) -> None:
        """See `AuditLog.record`."""
        await self._db.write(*happened(events))

    async def page(self, tenant_id: str, *, before: int | None, limit: int) -> list[Entry]:
        """See `AuditLog.page`."""
        values = {"tenant_id": tenant_id, "before": _NEWEST if before is None else before, "limit": limit}
        return [Entry._make(row) for row in await self._db.scan("page_audit", values)]

    async def follow(self, tenant_id: str, *, after: int, limit: int) -> list[Entry]:
        """See `AuditLog.follow`."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit}
        return [Entry._make(row) for row in await self._db.scan("follow_audit", values)]

    async def base(self, tenant_id: str) -> tuple[int, str]:
        """See `AuditLog.base`."""
        return await self._end("audit_base", tenant_id)

    async def head(self, tenant_id: str) -> tuple[int, str]:
        """See `AuditLog.head`."""
        return await self._end("audit_head", tenant_id)

    async def _end(self, statement: str, tenant_id: str) -> tuple[int, str]:
        rows = await self._db.read(statement, {"tenant_id": tenant_id})
        return (rows[0][0], rows[0][1]) if rows else (0, "")

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """See `AuditLog.tenants`."""
        return [row[0] for row in await self._db.scan("audit_chains", {"after": after, "limit": limit})]

    async def sweep(self, before: int, *, limit: int) -> int:
        """See `AuditLog.sweep`."""
        swept = 0
        for tenant_id, number in await self._db.scan("old_entries", {"before": before, "limit": limit}):
            values = {"tenant_id": tenant_id, "number": number}
            swept += len((await self._db.write(Step("move_base", values), Step("sweep_audit", values)))[1])
        return swept
