"""Slots for reads that may take a while, shared fairly between tenants."""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic

from doorward.core.errors import Overloaded, StoreUnavailable
from doorward.core.fairness import FairSemaphore
from doorward.storage.database import Row

_EXPECTED = 0.005
"""Seconds that a scan is taken for before it has run."""

_PATIENCE = 4.0
"""Seconds of work ahead of a scan; less than the deadline of a handler, so that others are not kept waiting for it."""


class ScanSlots:
    """Runs a few scans of a database at a time. Each tenant has its share of the time that they take.

    Scans that name no tenant share one group.
    """

    def __init__(self, slots: int) -> None:
        """Run at most `slots` scans at a time."""
        self._slots = FairSemaphore(slots, patience=_PATIENCE)

    async def run(self, values: Mapping[str, object], scan: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
        """Return what `scan` returns, for the tenant in `values`; StoreUnavailable where the wait would be too long."""
        try:
            async with self._slots.acquire(str(values.get("tenant_id", "")), _EXPECTED) as job:
                began = monotonic()
                try:
                    return await scan()
                finally:
                    job.spent = monotonic() - began
        except Overloaded as overloaded:
            raise StoreUnavailable(retry_after=overloaded.retry_after) from None
