"""Quota of users per tenant, counted in the transactions that create and delete users.

Reasons and figures: docs/decisions/0063-quotas.md.
"""

from collections.abc import Sequence

from doorward.core.errors import QuotaExceeded, StoreUnavailable
from doorward.core.model import MAX_CLOCK_SKEW
from doorward.core.ports import Clock
from doorward.storage.relational.database import Database, Row, Step

_TRIES = 5
# A count is valid for an hour. That of a tenant at its limit is renewed after a minute.
_MAX_AGE = 3_600_000
_RECOUNT_AGE = 60_000


class UserQuota:
    """Limit on the number of users of each tenant.

    Every transaction that creates or deletes users of a tenant locks the row of its count first. So parallel creations
    are counted one after the other, without deadlocks.
    """

    def __init__(self, database: Database, max_users: int, clock: Clock) -> None:
        """Count users in `database`. `max_users` is the limit of each tenant."""
        self._db = database
        self._max_users = max_users
        self._clock = clock

    async def create(self, tenant_id: str, count: int, *steps: Step) -> list[list[Row]]:
        """Run steps that create up to `count` users of a tenant in one transaction, and return the rows of each.

        QuotaExceeded if the tenant may not have so many more; then no step runs. The caller returns the unused part of
        `count` with `release`.
        """
        reserve = self._step("reserve_users", tenant_id, places=count)
        return await self._run(reserve, count, steps)

    async def put(self, tenant_id: str, login_key: str, *steps: Step) -> list[list[Row]]:
        """Run steps that replace or create the user of a login; see `create`."""
        reserve = self._step("reserve_unless_taken", tenant_id, login_key=login_key)
        return await self._run(reserve, 1, steps, self._step("release_users", tenant_id, places=0))

    async def _run(self, reserve: Step, places: int, steps: Sequence[Step], *before: Step) -> list[list[Row]]:
        for _ in range(_TRIES):
            now = self._clock()
            bounds = {"oldest": now - _MAX_AGE, "latest": now + MAX_CLOCK_SKEW, "most": self._max_users}
            bounded = Step(reserve.statement, {**reserve.values, **bounds}, vital=True)
            results = await self._db.write(*before, bounded, *steps)
            if results[len(before)]:
                return results[len(before) + 1 :]
            if await self.remaining(str(reserve.values["tenant_id"])) < places:
                raise QuotaExceeded
        raise StoreUnavailable(retry_after=1)

    def deletion_step(self, tenant_id: str) -> Step:
        """Return the step that counts a deletion, to run before the deletion."""
        return self._step("release_users", tenant_id, places=1)

    async def release(self, tenant_id: str, count: int) -> None:
        """Return a reservation that was not used."""
        await self._db.write(self._step("release_users", tenant_id, places=count))

    async def remaining(self, tenant_id: str) -> int:
        """Return the number of users that a tenant may still create."""
        now = self._clock()
        found = await self._count(tenant_id)
        if found is not None:
            number, counted_at = found
            age = _MAX_AGE if number < self._max_users else _RECOUNT_AGE
            if now - age < counted_at <= now + MAX_CLOCK_SKEW:
                return max(0, self._max_users - number)
        # Two statements: PostgreSQL sees the users as of the start of a statement, which has to be after the lock.
        await self._db.write(
            self._step("release_users", tenant_id, places=0),
            self._step("count_users", tenant_id, now=now, before=now - _RECOUNT_AGE, latest=now + MAX_CLOCK_SKEW),
        )
        found = await self._count(tenant_id)
        return max(0, self._max_users - found[0]) if found else 0

    async def reset(self) -> None:
        """Delete the counts of all tenants; each is counted again when it is needed."""
        await self._db.write(Step("forget_user_counts", {}))

    async def _count(self, tenant_id: str) -> tuple[int, int] | None:
        rows = await self._db.read("user_count", {"tenant_id": tenant_id})
        return (rows[0][0], rows[0][1]) if rows else None

    def _step(self, statement: str, tenant_id: str, **values: object) -> Step:
        return Step(statement, {"tenant_id": tenant_id, **values})
