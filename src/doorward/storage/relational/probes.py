"""Probe rows: tests whether a database accepts writes, and detects a clock that was set back."""

from doorward.core.model import MAX_CLOCK_SKEW
from doorward.storage.relational.database import Database, Step

_WRITTEN = "written"
_READY = "ready"


class Probes:
    """The probe rows of a database."""

    def __init__(self, database: Database) -> None:
        """Write to `database`."""
        self._db = database

    async def write(self, now: int) -> None:
        """Write a row with the time; StoreUnavailable where the database rejects it."""
        await self._db.write(Step("write_probe", {"name": _WRITTEN, "now": now}))

    async def check(self, now: int) -> None:
        """Write a row that `claim_step` ignores; StoreUnavailable where the database rejects it."""
        await self._db.write(Step("write_probe", {"name": _READY, "now": now}))

    async def claim_step(self, now: int) -> int:
        """Return the milliseconds by which the clock was set back since the last `write`, else 0.

        Steps up to `MAX_CLOCK_SKEW` are ignored. `now` replaces the stored time, so one of several concurrent callers
        gets a step.
        """
        rows = await self._db.read("probe", {"name": _WRITTEN})
        if not rows or rows[0][0] <= now + MAX_CLOCK_SKEW:
            return 0
        values = {"name": _WRITTEN, "now": now, "written": rows[0][0]}
        [replaced] = await self._db.write(Step("replace_probe", values))
        return int(rows[0][0]) - now if replaced else 0
