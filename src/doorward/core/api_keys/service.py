"""`ApiKeyService`: create, list and revoke the API keys of a tenant."""

from dataclasses import dataclass

from doorward.core.api_keys.format import new_api_key
from doorward.core.audit.service import event
from doorward.core.errors import FieldError, KeyNotFound, TooManyKeys, ValidationFailed
from doorward.core.model import Caller, Permission
from doorward.core.ports import ApiKey, ApiKeyStore, Clock
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.service import SessionService

MAX_KEYS = 100
"""The most API keys of a tenant."""


@dataclass(frozen=True, slots=True)
class ApiKeyService:
    """Creates, lists and revokes API keys."""

    keys: ApiKeyStore
    sessions: SessionService
    rate_limits: RateLimiter
    clock: Clock

    async def create(
        self, caller: Caller, name: str, permissions: list[Permission], expires_at: int | None
    ) -> tuple[ApiKey, str]:
        """Create an API key of the calling tenant and return it with its text, which is not stored.

        Raises TooManyKeys, ValidationFailed where `expires_at` (milliseconds) is not in the future.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        now = self.clock()
        if expires_at is not None and expires_at <= now:
            raise ValidationFailed([FieldError(["expiresAt"], "date.future", '"expiresAt" must lie in the future')])
        text, known = new_api_key(caller.tenant_id)
        granted = " ".join(sorted(set(permissions)))
        key = ApiKey(known.id, caller.tenant_id, name, granted, known.digest, now, expires_at)
        if not await self.keys.add(key, cap=MAX_KEYS, events=[event(caller, now, "key.create", subject=key.id)]):
            raise TooManyKeys
        await self.sessions.session_store.open(key.session, cap=None)
        if await self.keys.find(caller.tenant_id, key.id) is None:
            # Revoked, or its tenant disabled, in the meantime.
            await self.sessions.session_store.revoke(key.session)
            raise KeyNotFound
        return key, text

    async def list_keys(self, caller: Caller) -> list[ApiKey]:
        """Return the calling tenant's keys, oldest first."""
        self.rate_limits.consume_verify(caller.tenant_id)
        return await self.keys.list_of_tenant(caller.tenant_id)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Revoke an API key at once; raises KeyNotFound where the calling tenant has none with this id."""
        await self.rate_limits.consume_write(caller.tenant_id)
        key = next((key for key in await self.keys.list_of_tenant(caller.tenant_id) if key.id == key_id), None)
        revoked = event(caller, self.clock(), "key.revoke", subject=key_id)
        # The row is deleted first: a session store that restores sessions from keys must not find it.
        if key is None or not await self.keys.delete(caller.tenant_id, key_id, events=[revoked]):
            raise KeyNotFound
        await self.sessions.session_store.revoke(key.session)
