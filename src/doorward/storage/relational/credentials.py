"""`ApiKeyStore` and `ResetCodeStore` on a relational database."""

from collections.abc import Mapping

from doorward.core.model import MAX_CLOCK_SKEW
from doorward.core.ports import ApiKey, Events, ResetCode
from doorward.storage.relational.database import Database, Step, audit_steps

_BATCH = 500


class RelationalApiKeyStore:
    """`ApiKeyStore` in the table `api_keys`."""

    def __init__(self, database: Database) -> None:
        """Store API keys in `database`."""
        self._db = database

    async def add(self, key: ApiKey, *, cap: int, events: Events = ()) -> bool:
        """See `ApiKeyStore.add`."""
        step = Step("add_api_key", {**key._asdict(), "cap": cap}, vital=True)
        added, *_ = await self._db.write(step, *audit_steps(events))
        return bool(added)

    async def list_of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """See `ApiKeyStore.list_of_tenant`."""
        return [ApiKey._make(row) for row in await self._db.scan("list_api_keys", {"tenant_id": tenant_id})]

    async def find(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """See `ApiKeyStore.find`."""
        rows = await self._db.read("find_api_key", {"tenant_id": tenant_id, "id": key_id})
        return ApiKey._make(rows[0]) if rows else None

    async def delete(self, tenant_id: str, key_id: str, *, events: Events = ()) -> bool:
        """See `ApiKeyStore.delete`."""
        step = Step("delete_api_key", {"tenant_id": tenant_id, "id": key_id}, vital=True)
        deleted, *_ = await self._db.write(step, *audit_steps(events))
        return bool(deleted)

    async def touch(self, seen: Mapping[str, int], *, now: int) -> None:
        """See `ApiKeyStore.touch`."""
        latest = now + MAX_CLOCK_SKEW
        steps = [Step("touch_api_key", {"id": key, "seen": at, "latest": latest}) for key, at in sorted(seen.items())]
        for start in range(0, len(steps), _BATCH):
            await self._db.write(*steps[start : start + _BATCH])


class RelationalResetCodeStore:
    """`ResetCodeStore` in the table `reset_codes`."""

    def __init__(self, database: Database) -> None:
        """Store reset codes in `database`."""
        self._db = database

    async def add(self, code: ResetCode, *, events: Events = ()) -> None:
        """See `ResetCodeStore.add`."""
        await self._db.write(Step("add_reset_code", code._asdict()), *audit_steps(events))

    async def consume(self, tenant_id: str, digest: bytes) -> ResetCode | None:
        """See `ResetCodeStore.consume`."""
        values = {"tenant_id": tenant_id, "digest": digest, "spent": _consumed_key(digest)}
        [rows] = await self._db.write(Step("take_reset_code", values))
        return ResetCode(digest, *rows[0]) if rows else None

    async def restore(self, code: ResetCode) -> None:
        """See `ResetCodeStore.restore`."""
        await self._db.write(Step("put_back_reset_code", {**code._asdict(), "spent": _consumed_key(code.digest)}))

    async def sweep(self, now: int, *, limit: int) -> int:
        """See `ResetCodeStore.sweep`."""
        [swept] = await self._db.write(Step("sweep_reset_codes", {"now": now, "limit": limit}))
        return len(swept)


def _consumed_key(digest: bytes) -> bytes:
    """Return the key of a consumed code: longer than every digest, so it matches no code."""
    return digest + b"spent"
