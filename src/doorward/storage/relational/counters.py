"""`CounterStore` on a relational database: each operation is one upsert."""

from collections.abc import Sequence

from doorward.core.ports import MAX_WORKER_SKEW, AttemptPermit, Backoff, Failures, max_time_ahead
from doorward.storage.relational.database import Database, Step


class RelationalCounterStore:
    """`CounterStore` in the tables `budgets` and `attempts`."""

    def __init__(self, database: Database) -> None:
        """Store counters in `database`."""
        self._db = database
        self._changed_realms: set[str] = set()

    async def consume(self, key: str, *, period: int, burst: int, now: int) -> int:
        """See `CounterStore.consume`."""
        capacity = period * burst
        values = {"key": key, "period": period, "burst": burst, "now": now, "furthest": max_time_ahead(period, burst)}
        consumed, state = await self._db.write(Step("take", values), Step("budget", {"key": key}))
        return 0 if consumed else min(capacity, max(1, state[0][0] + period - now - capacity))

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> AttemptPermit:
        """See `CounterStore.reserve`."""
        values = {"key": key, "now": now, "apart": MAX_WORKER_SKEW, "doublings": rule.doublings, **rule._asdict()}
        reserved, [[failures, blocked_until]] = await self._db.write(
            Step("reserve", values), Step("attempts", {"key": key})
        )
        return AttemptPermit(0) if reserved else rule.denied_permit(failures, blocked_until, now)

    async def settle(self, key: str, rule: Backoff, *, now: int, unknown_in: str = "") -> None:
        """See `CounterStore.settle`."""
        values = {
            "key": key,
            "now": now,
            "doublings": rule.doublings,
            "first_memory": min(rule.memory_per_failure, rule.max_memory),
            "unknown_in": unknown_in,
            **rule._asdict(),
        }
        await self._db.write(Step("settle", values))
        if unknown_in:
            self._changed_realms.add(unknown_in)

    async def release(self, key: str) -> None:
        """See `CounterStore.release`."""
        await self._db.write(Step("release", {"key": key}))

    async def failures(self, key: str, rule: Backoff, *, now: int) -> Failures:
        """See `CounterStore.failures`."""
        rows = await self._db.read("failures", {"key": key})
        if not rows:
            return Failures()
        [[failures, blocked_until, expires_at]] = rows
        return rule.failures_at(failures, blocked_until, expires_at, now)

    async def reset(self, key: str) -> None:
        """See `CounterStore.reset`."""
        await self._db.write(Step("forget_last", {"key": key}), Step("forget_failures", {"key": key}))

    async def clear(self, keys: Sequence[str], *, now: int) -> None:
        """See `CounterStore.clear`."""
        # Sorted, so that two processes lock the same counters in the same order.
        await self._db.write(*(Step("clear_failures", {"key": key, "now": now}) for key in sorted(keys)))

    async def transfer(self, key: str, former: str, *, now: int) -> None:
        """See `CounterStore.transfer`."""
        await self._db.write(
            # Of two concurrent processes, the second waits here for the first, and then finds no counter.
            Step("hold_attempts", {"key": former, "now": now}, vital=True),
            Step("inherit_attempts", {"key": key, "former": former, "now": now}),
            Step("drop_attempts", {"key": former}),
        )

    async def evict(self, rule: Backoff, *, now: int, limit: int) -> int:
        """See `CounterStore.evict`."""
        evicted = 0
        while self._changed_realms and evicted < limit:
            realm = self._changed_realms.pop()
            try:
                evicted += await self._evict_from(realm, rule, now, limit - evicted)
            finally:
                if evicted >= limit:
                    self._changed_realms.add(realm)
        return evicted

    async def _evict_from(self, realm: str, rule: Backoff, now: int, limit: int) -> int:
        [[count]] = await self._db.scan("count_unknown", {"realm": realm})
        if count <= rule.max_unknown:
            return 0
        values = {"realm": realm, "most": rule.max_unknown, "limit": limit, "fresh": now - rule.max_wait}
        step = Step("evict_unknown", {**values, "first_memory": min(rule.memory_per_failure, rule.max_memory)})
        [evicted] = await self._db.write(step)
        return len(evicted)

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `CounterStore.sweep`."""
        budgets, attempts = await self._db.write(
            Step("sweep_budgets", {"now": now, "limit": limit}), Step("sweep_attempts", {"now": now, "limit": limit})
        )
        return len(budgets) + len(attempts)
