"""Counters (see the port), each operation one upsert."""

from doorward.core.ports import Backoff, Verdict
from doorward.storage.database import Database, Step


class RelationalCounters:
    """Counters (see the port), each operation one upsert."""

    def __init__(self, database: Database) -> None:
        """Keep counters in `database`."""
        self._db = database

    async def take(self, key: str, *, period: int, burst: int, now: int) -> int:
        """See `Counters.take`."""
        taken, state = await self._db.write(
            Step("take", {"key": key, "period": period, "burst": burst, "now": now}), Step("budget", {"key": key})
        )
        return 0 if taken else max(1, state[0][0] + period - now - period * burst)

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> Verdict:
        """See `Counters.reserve`."""
        values = {"key": key, "now": now, "lease": rule.lease, "cap": rule.cap, "free": rule.free}
        reserved, state = await self._db.write(Step("reserve", values), Step("attempts", {"key": key}))
        if reserved:
            return Verdict(0)
        failures, blocked_until = state[0]
        if failures >= rule.cap:
            return Verdict(rule.longest)
        if blocked_until > now:
            return Verdict(blocked_until - now)
        return Verdict(rule.first, busy=True)

    async def settle(self, key: str, rule: Backoff, *, now: int) -> None:
        """See `Counters.settle`."""
        values = {
            "key": key,
            "now": now,
            "free": rule.free,
            "first": rule.first,
            "longest": rule.longest,
            "doublings": (rule.longest // rule.first).bit_length(),
            "cap": rule.cap,
            "memory": rule.memory,
        }
        await self._db.write(Step("settle", values))

    async def release(self, key: str) -> None:
        """See `Counters.release`."""
        await self._db.write(Step("release", {"key": key}))

    async def forget(self, key: str) -> None:
        """See `Counters.forget`."""
        await self._db.write(Step("forget_last", {"key": key}), Step("forget_failures", {"key": key}))

    async def inherit(self, key: str, former: str, *, now: int) -> None:
        """See `Counters.inherit`."""
        await self._db.write(
            # Of two processes at once, one waits here for the other, and then finds nothing.
            Step("hold_attempts", {"key": former, "now": now}, vital=True),
            Step("inherit_attempts", {"key": key, "former": former}),
            Step("drop_attempts", {"key": former}),
        )

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `Counters.sweep`."""
        budgets, attempts = await self._db.write(
            Step("sweep_budgets", {"now": now, "limit": limit}), Step("sweep_attempts", {"now": now, "limit": limit})
        )
        return len(budgets) + len(attempts)
