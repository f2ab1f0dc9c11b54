"""Rows that are written to see whether a database takes writes. They also say up to when it did."""

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
        """Write a row; StoreUnavailable where the database refuses that."""
        await self._db.write(Step("write_probe", {"name": _WRITTEN, "now": now}))

    async def check(self, now: int) -> None:
        """Write a row that `claim_step` does not compare with; StoreUnavailable where the database refuses that."""
        await self._db.write(Step("write_probe", {"name": _READY, "now": now}))

    async def claim_step(self, now: int) -> int:
        """Return by how many milliseconds the clock was set back since the last write; 0 where it was not.

        Steps of up to `AHEAD` are none. `now` is written instead, so of several callers at once one is told of a step.
        """
        rows = await self._db.read("probe", {"name": _WRITTEN})
        if not rows or rows[0][0] <= now + MAX_CLOCK_SKEW:
            return 0
        values = {"name": _WRITTEN, "now": now, "written": rows[0][0]}
        [replaced] = await self._db.write(Step("replace_probe", values))
        return int(rows[0][0]) - now if replaced else 0
