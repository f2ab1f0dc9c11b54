"""`AuditStore` on a relational database: entries, and the ends of each tenant's hash chain."""

from itertools import accumulate

from doorward.core.audit.service import SERVICE, unrecorded
from doorward.core.model import MAX_CLOCK_SKEW, Event
from doorward.core.ports import AuditEntry
from doorward.storage.relational.database import Database, Step, audit_entry, audit_steps

_NEWEST = 2**62
# Figures and reasons: docs/measurements/0063-quotas.md.
_CHAIN_BATCH = 1_000
_COUNT_BATCH = 1_000
_UNRECORDED_EVERY = 3_600_000


class RelationalAuditStore:
    """`AuditStore` in the tables `audit` and `audit_chains`."""

    def __init__(self, database: Database, *, quota: int = 0) -> None:
        """Store the audit log in `database`, with up to `quota` bytes of entries per tenant; 0 for no limit."""
        self._db = database
        self._quota = quota
        self._trimmed = ""

    async def record(self, *events: Event) -> None:
        """See `AuditStore.record`."""
        guarded = [event for event in events if self._quota and event.is_failed_login]
        for event in guarded:
            await self._record_failed_login(event)
        if len(guarded) < len(events):
            await self._db.write(*audit_steps(event for event in events if event not in guarded))

    async def _record_failed_login(self, event: Event) -> None:
        entry = audit_entry(event)
        guarded = Step("lengthen_chain_within", {**entry, "most": self._quota // 2}, vital=True)
        lengthened, *_ = await self._db.write(guarded, Step("add_entry", entry))
        if not lengthened:
            await self._db.write(Step("note_unrecorded", entry))

    async def page(self, tenant_id: str, *, before: int | None, limit: int) -> list[AuditEntry]:
        """See `AuditStore.page`."""
        values = {"tenant_id": tenant_id, "before": _NEWEST if before is None else before, "limit": limit}
        return [AuditEntry._make(row) for row in await self._db.scan("page_audit", values)]

    async def follow(self, tenant_id: str, *, after: int, limit: int) -> list[AuditEntry]:
        """See `AuditStore.follow`."""
        values = {"tenant_id": tenant_id, "after": after, "limit": limit}
        return [AuditEntry._make(row) for row in await self._db.scan("follow_audit", values)]

    async def base(self, tenant_id: str) -> tuple[int, str]:
        """See `AuditStore.base`."""
        return await self._end("audit_base", tenant_id)

    async def head(self, tenant_id: str) -> tuple[int, str]:
        """See `AuditStore.head`."""
        return await self._end("audit_head", tenant_id)

    async def _end(self, statement: str, tenant_id: str) -> tuple[int, str]:
        rows = await self._db.read(statement, {"tenant_id": tenant_id})
        return (rows[0][0], rows[0][1]) if rows else (0, "")

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """See `AuditStore.tenants`."""
        return [row[0] for row in await self._db.scan("audit_chains", {"after": after, "limit": limit})]

    async def sweep(self, before: int, *, limit: int) -> int:
        """See `AuditStore.sweep`."""
        swept = 0
        for tenant_id, number in await self._db.scan("old_entries", {"before": before, "limit": limit}):
            values = {"tenant_id": tenant_id, "number": number}
            swept += len((await self._db.write(Step("move_base", values), Step("sweep_audit", values)))[1])
        return swept

    async def trim(self, now: int, *, limit: int) -> int:
        """See `AuditStore.trim`."""
        if not self._quota:
            return 0
        chains = await self._db.scan("page_chains", {"after": self._trimmed, "limit": _CHAIN_BATCH})
        for tenant_id, base, head, size, _, count, since in chains:
            if tenant_id != SERVICE:
                if size is None:
                    await self._count(tenant_id, base, head)
                elif size > self._quota and (removed := await self._trim(tenant_id, base, size, limit)) >= limit:
                    return removed
                if count and not now - _UNRECORDED_EVERY < since <= now + MAX_CLOCK_SKEW:
                    values = {"tenant_id": tenant_id, "count": count, "since": since, "now": now}
                    steps = audit_steps([unrecorded(tenant_id, now, count)])
                    await self._db.write(Step("take_unrecorded", values, vital=True), *steps)
            self._trimmed = tenant_id
        if len(chains) < _CHAIN_BATCH:
            self._trimmed = ""
        return 0

    async def _count(self, tenant_id: str, base: int, head: int) -> None:
        """Count the bytes of a chain that was never counted, most of them without a lock."""
        size = failed = 0
        for after in range(base, head, _COUNT_BATCH):
            part = {"trail": tenant_id, "after": after, "last": min(head, after + _COUNT_BATCH)}
            [row] = await self._db.scan("size_of_entries", part)
            size, failed = size + row[0], failed + row[1]
        values = {"tenant_id": tenant_id, "base": base, "last": head, "bytes": size, "failed_login_bytes": failed}
        await self._db.write(Step("lock_chain", values), Step("count_chain", values))

    async def _trim(self, tenant_id: str, base: int, size: int, limit: int) -> int:
        """Remove up to `limit` of the oldest entries of a chain, until it fits the quota; return their number."""
        rows = await self._db.scan("sizes_of_oldest", {"trail": tenant_id, "after": base, "limit": limit})
        if not rows or rows[0][0] != base + 1:
            # Another worker has removed entries since the size was read.
            return 0
        sizes_after = [size - removed for removed in accumulate(length for _, length in rows)]
        last = next((place for place, bytes_left in enumerate(sizes_after) if bytes_left <= self._quota), len(rows) - 1)
        values = {"tenant_id": tenant_id, "number": rows[last][0]}
        return len((await self._db.write(Step("move_base", values), Step("sweep_audit", values)))[1])
