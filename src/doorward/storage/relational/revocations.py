"""`RevocationStore` on a relational database."""

from doorward.core.ports import Revocation
from doorward.storage.relational.database import Database, Step


class RelationalRevocationStore:
    """`RevocationStore` in the tables `revocations` and `trusted_servers`."""

    def __init__(self, database: Database) -> None:
        """Store revocations in `database`."""
        self._db = database

    async def record(self, revocation: Revocation) -> None:
        """See `RevocationStore.record`."""
        await self._db.write(Step("note_revocation", revocation._asdict()))

    async def page(self, *, after: str, limit: int) -> list[Revocation]:
        """See `RevocationStore.page`."""
        return [Revocation(*row) for row in await self._db.scan("page_revocations", {"after": after, "limit": limit})]

    async def is_trusted(self, server: str) -> bool:
        """See `RevocationStore.is_trusted`."""
        return bool(await self._db.read("trusted_server", {"server": server}))

    async def trust(self, server: str, *, now: int) -> None:
        """See `RevocationStore.trust`."""
        await self._db.write(Step("trust_server", {"server": server, "now": now}))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `RevocationStore.sweep`."""
        [swept] = await self._db.write(Step("sweep_revocations", {"now": now, "limit": limit}))
        return len(swept)
