"""Bystanders: one of everything that stores keep, which no test of a contract may change."""

import secrets
from typing import Any
from uuid import uuid4

from doorward.core.model import Origin
from doorward.core.ports import ApiKey, Backoff, ResetCode, Revocation, SessionPolicy
from doorward.storage.relational.revocations import RelationalRevocationStore
from doorward.stores import Stores
from factories import NOW, claimed, key_session, made_event, make_tenant, make_user, tenant_session, user_session

# Older than all that tests make, so that it is the first to go, and not over before any time that they name.
_LONG_AGO = NOW - 1_000_000
_NEVER = NOW + 10**14
_PERIOD = 10**13
_RULE = Backoff(
    free_attempts=1, first_wait=_PERIOD, max_wait=_PERIOD, max_failures=5, lease=_PERIOD, max_memory=_PERIOD
)


class Bystanders:
    """A tenant with a user, sessions, an API key, a reset code, a log and counters, and what else is kept."""

    def __init__(self) -> None:
        self.tenant = make_tenant()
        self.user = make_user(self.tenant.id, last_activity=_LONG_AGO)
        self.sessions = (
            user_session(self.tenant.id, self.user.id, at=_LONG_AGO, expires_at=_NEVER)._replace(generation=1),
            tenant_session(self.tenant.id, at=_LONG_AGO),
            key_session(self.tenant.id, at=_LONG_AGO),
        )
        self.key = ApiKey(uuid4().hex, self.tenant.id, "gateway", "verify", secrets.token_bytes(32), _LONG_AGO, None)
        self.code = ResetCode(secrets.token_bytes(32), self.tenant.id, self.user.id, 1, _NEVER)
        self.name = f"bystander-{uuid4().hex}"

    async def settle(self, stores: Stores) -> None:
        """Put them into stores."""
        assert await stores.accounts.add_tenant(self.tenant)
        assert await stores.accounts.add_user(self.user, events=[made_event(self.tenant.id, at=_NEVER)])
        for session in self.sessions:
            await stores.sessions.open(session, cap=None, origin=Origin("192.0.2.1", "Firefox"))
        await stores.sessions.set_policy(self.tenant.id, SessionPolicy(idle=_PERIOD, lifetime=_PERIOD))
        assert await stores.api_keys.add(self.key, cap=1)
        await stores.reset_codes.add(self.code, events=[made_event(self.tenant.id, at=_NEVER)])
        for _ in range(2):
            await stores.counters.settle(self._failing, _RULE, now=NOW)
        await stores.counters.reserve(self._in_flight, _RULE, now=NOW)
        await stores.counters.consume(self.name, period=_PERIOD, burst=1, now=NOW)
        revocations = RelationalRevocationStore(stores.database)
        await revocations.record(Revocation("place", self.name, None))
        await revocations.trust(self.name, now=NOW)
        await stores.imports.record(self.name, NOW)

    async def look(self, stores: Stores) -> dict[str, Any]:
        """Return all that the ports tell of them. Nothing that is asked changes anything, but a code is put back."""
        tenant_id, user_id = self.tenant.id, self.user.id
        code = await stores.reset_codes.consume(tenant_id, self.code.digest)
        if code is not None:
            await stores.reset_codes.add(code)
        revocations = RelationalRevocationStore(stores.database)
        return {
            "tenant": await stores.accounts.tenant_by_id(tenant_id),
            "address": await stores.accounts.tenant_by_email(self.tenant.email),
            "user": await stores.accounts.user_by_login(tenant_id, self.user.login),
            "users": await stores.accounts.list_users(tenant_id, after="", limit=10),
            "sessions": await stores.sessions.find_many([claimed(session) for session in self.sessions]),
            "devices": await stores.sessions.list_user(tenant_id, user_id, limit=10),
            "keys": await stores.api_keys.list_of_tenant(tenant_id),
            "code": code,
            "log": await stores.audit.page(tenant_id, before=None, limit=10),
            "log's ends": [await stores.audit.base(tenant_id), await stores.audit.head(tenant_id)],
            "failures": await stores.counters.reserve(self._failing, _RULE, now=NOW),
            "attempts in flight": await stores.counters.reserve(self._in_flight, _RULE, now=NOW),
            "budget": await stores.counters.consume(self.name, period=_PERIOD, burst=1, now=NOW),
            "revocation": await revocations.page(after=self.name[:-1], limit=1),
            "trusted server": await revocations.is_trusted(self.name),
            "import": await stores.imports.last(self.name),
        }

    @property
    def _failing(self) -> str:
        return f"{self.name}-failing"

    @property
    def _in_flight(self) -> str:
        return f"{self.name}-in-flight"
