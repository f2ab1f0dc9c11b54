"""Slots for work that keeps a database busy for a while, shared fairly between tenants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Final, TypeVar

from doorward.core.errors import Overloaded, StoreUnavailable
from doorward.core.fair_queue import FairSemaphore
from doorward.storage.relational.database import Row, Step

Result = TypeVar("Result")

_SCAN_COST: Final = 0.005
"""Seconds that a scan is taken for before it has run."""

_STEP_COST: Final = 0.0002
"""Seconds that a step of a large write is taken for."""

LARGE: Final = 100
"""Steps of a write that is large."""

_MAX_WAIT: Final = 4.0
"""Seconds of work ahead, less than a handler has: what would be too late anyway is refused at once."""


class LongWorkQueue:
    """Runs a few scans and large writes of a database at a time. Each tenant has its share of the time they take.

    Work that names no tenant shares one group. StoreUnavailable is raised where the wait would be too long.
    """

    def __init__(self, slots: int) -> None:
        """Run at most `slots` of them at a time."""
        self._slots = FairSemaphore(slots, max_wait=_MAX_WAIT)

    async def scan(self, values: Mapping[str, object], scan: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
        """Return what `scan` returns, a statement with these values."""
        return await self._run(str(values.get("tenant_id", "")), _SCAN_COST, scan)

    async def write(self, steps: Sequence[Step], write: Callable[[], Awaitable[list[list[Row]]]]) -> list[list[Row]]:
        """Return what `write` returns, a transaction of these steps; at once unless it is a large one of a tenant."""
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
