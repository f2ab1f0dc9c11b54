"""Queue of scans and large writes, which share the database fairly between tenants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Final, TypeVar

from doorward.core.errors import Overloaded, StoreUnavailable
from doorward.core.fair_queue import FairSemaphore
from doorward.storage.relational.database import Row, Step

Result = TypeVar("Result")

_SCAN_COST: Final = 0.005
"""Estimated seconds of a scan."""

_STEP_COST: Final = 0.0002
"""Estimated seconds of a step of a large write."""

LARGE: Final = 100
"""Number of steps from which a write is large."""

_MAX_WAIT: Final = 4.0
"""Seconds of work ahead from which new work is rejected: less than the deadline of a handler."""


class LongWorkQueue:
    """Runs a few scans or large writes of a database at a time, with an equal share of the time for each tenant.

    Jobs without a tenant share one group. Raises StoreUnavailable where the wait would be too long.
    """

    def __init__(self, slots: int) -> None:
        """Run at most `slots` jobs at a time."""
        self._slots = FairSemaphore(slots, max_wait=_MAX_WAIT)

    async def scan(self, values: Mapping[str, object], scan: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
        """Return the result of `scan`, a statement with these values."""
        return await self._run(str(values.get("tenant_id", "")), _SCAN_COST, scan)

    async def write(self, steps: Sequence[Step], write: Callable[[], Awaitable[list[list[Row]]]]) -> list[list[Row]]:
        """Return the result of `write`, a transaction of these steps. Only large writes of a tenant are queued."""
        if len(steps) < LARGE or "tenant_id" not in steps[0].values:
            return await write()
        return await self._run(str(steps[0].values["tenant_id"]), _STEP_COST * len(steps), write)

    async def _run(self, tenant_id: str, expected: float, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            async with self._slots.acquire(tenant_id, expected) as job:
                began = monotonic()
                try:
                    return await work()
                finally:
                    job.spent = monotonic() - began
        except Overloaded as overloaded:
            raise StoreUnavailable(retry_after=overloaded.retry_after) from overloaded
