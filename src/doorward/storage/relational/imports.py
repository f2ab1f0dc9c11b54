"""`ImportStore` on a relational database."""

from doorward.storage.relational.database import Database, Step


class RelationalImportStore:
    """`ImportStore` in the table `imports`."""

    def __init__(self, database: Database) -> None:
        """Store the times of imports in `database`."""
        self._db = database

    async def last(self, source: str) -> int | None:
        """See `ImportStore.last`."""
        rows = await self._db.read("last_import", {"source": source})
        return int(rows[0][0]) if rows else None

    async def record(self, source: str, begun_at: int) -> None:
        """See `ImportStore.record`."""
        await self._db.write(Step("note_import", {"source": source, "begun_at": begun_at}))
