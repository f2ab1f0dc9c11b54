"""Tenants come to be, choose, and go."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from doorward.core.audit.service import SERVICE, event
from doorward.core.errors import Conflict, NotAuthorized, TenantExists, require
from doorward.core.model import Caller, Session, Tenant
from doorward.core.normalization import check_email
from doorward.core.passwords.hashing import PasswordHasherPool
from doorward.core.passwords.policy import tenant_password_violations
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.ports import AccountStore, ApiKeyStore, Clock, RevocationScope
from doorward.core.rate_limits.limiter import TENANTS, RateLimiter
from doorward.core.sessions.service import IssuedToken, SessionService
from doorward.core.tenants.settings import (
    TenantSettings,
    decode_settings,
    encode_settings,
    merge_settings,
    session_policy,
)

_TRIES = 5


@dataclass(frozen=True, slots=True)
class TenantService:
    """Keeps tenants."""

    accounts: AccountStore
    keys: ApiKeyStore
    sessions: SessionService
    passwords: PasswordHasherPool
    reauthenticator: Reauthenticator
    rate_limits: RateLimiter
    clock: Clock

    async def register(
        self, caller: Caller, email: str, password: str, chosen: Mapping[str, object] | None = None
    ) -> tuple[Tenant, str]:
        """Register a tenant and return it with its first token.

        `caller` says where the request came from, `chosen` are settings as `choose` takes them. TenantExists where the
        address is taken; ValidationFailed for an address or a password that no tenant may be given.
        """
        check_email(email)
        require(tenant_password_violations(password), "password")
        if await self.accounts.tenant_by_email(email):
            raise TenantExists
        password_hash = await self.passwords.hash(password, group=TENANTS)
        settings = encode_settings(merge_settings(TenantSettings(), chosen or {}))
        tenant = Tenant(str(uuid4()), email, password_hash, credentials=1, created_at=self.clock(), settings=settings)
        created = event(caller._replace(tenant_id=tenant.id), tenant.created_at, "tenant.create")
        if not await self.accounts.add_tenant(tenant, events=[created]):
            raise TenantExists
        lifetime = decode_settings(tenant).tenant_session_lifetime
        return tenant, (await self.sessions.open_tenant_session(tenant, lifetime=lifetime)).token

    async def get(self, caller: Caller) -> Tenant:
        """Return the calling tenant; NotAuthorized where it has just gone."""
        self.rate_limits.consume_verify(caller.tenant_id)
        return await self._get(caller.tenant_id)

    async def settings(self, tenant_id: str) -> TenantSettings:
        """Return what a tenant has chosen; NotAuthorized where it has just gone."""
        return decode_settings(await self._get(tenant_id))

    async def update_settings(self, caller: Caller, changes: Mapping[str, object]) -> Tenant:
        """Change some of the calling tenant's settings, by their attribute names; None: back to the service's own.

        Bounds on its users' sessions count at once, for those that are open too; the number of sessions a user may
        have, at the next login; the lifetime of its own sessions, for new ones.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        for _ in range(_TRIES):
            before = await self._get(caller.tenant_id)
            chosen = merge_settings(decode_settings(before), changes)
            after = replace(before, settings=encode_settings(chosen))
            changed = event(caller, self.clock(), "tenant.settings")
            holds = session_policy(chosen, version=before.version + 1)
            if await self.accounts.change_tenant(after, events=[changed], policy=holds):
                return after
        raise Conflict

    async def change_password(self, caller: Caller, current: str, password: str, keep: Session) -> None:
        """Set a new password for the calling tenant that proves the current one; its other sessions end.

        Failures are counted for the calling session, apart from those of logins. IncorrectPassword, TooManyAttempts,
        AccountLocked, Overloaded, ValidationFailed for a password that does not meet the tenants' rule.
        """
        require(tenant_password_violations(password), "password")
        await self.rate_limits.consume_write(caller.tenant_id)
        before = await self._reauthenticate(caller, current, "tenant.password", keep)
        secret = await self.passwords.hash(password, group=TENANTS)
        after = replace(before, password_hash=secret, credentials=before.credentials + 1)
        ends = RevocationScope(caller.tenant_id, keep=keep)
        told = event(caller, self.clock(), "tenant.password")
        if not await self.accounts.change_tenant(after, events=[told], revokes=ends):
            raise Conflict
        await self.sessions.session_store.revoke_tenant(caller.tenant_id, keep=keep)
        await self.rate_limits.reset_failures(TENANTS, before.email)

    async def delete(self, caller: Caller, password: str, session: Session) -> None:
        """Remove the calling tenant that proves its password, and all it owns, for good.

        It and its sessions are gone when this returns; what lay behind them is removed within the minute.
        Failures are counted for the calling session, apart from those of logins. IncorrectPassword, TooManyAttempts,
        AccountLocked, Overloaded.
        """
        await self._reauthenticate(caller, password, "tenant.delete", session)
        await self.delete_unconditionally(caller)

    async def delete_unconditionally(self, caller: Caller) -> None:
        """Remove a tenant and all it owns, for good; NotAuthorized where there is none."""
        await self._revoke_sessions(caller.tenant_id)
        # Told in the service's own chain, since the tenant's goes with it: whoever restores a backup has to know.
        gone = event(caller._replace(tenant_id=SERVICE), self.clock(), "tenant.delete", subject=caller.tenant_id)
        if not await self.accounts.delete_tenant(caller.tenant_id, events=[gone]):
            raise NotAuthorized
        await self._revoke_sessions(caller.tenant_id)

    async def disable(self, caller: Caller, *, disabled: bool) -> Tenant:
        """Shut a tenant out, with its keys and its users, or let it in again; NotAuthorized where there is none.

        Sessions that ended stay so; its API keys live again when it is let in.
        """
        for _ in range(_TRIES):
            before = await self._get(caller.tenant_id)
            after = replace(before, disabled=disabled, credentials=before.credentials + 1)
            action = "tenant.disable" if disabled else "tenant.enable"
            ends = RevocationScope(caller.tenant_id, include_users_and_keys=True) if disabled else None
            if await self.accounts.change_tenant(after, events=[event(caller, self.clock(), action)], revokes=ends):
                await (self._revoke_sessions(caller.tenant_id) if disabled else self._restore(caller.tenant_id))
                return after
        raise Conflict

    async def issue_token(self, caller: Caller) -> IssuedToken:
        """Open one more session of the calling tenant, for an operator who needs no password; other sessions go on.

        NotAuthorized where there is no such tenant, or it is disabled.
        """
        before = await self._get(caller.tenant_id)
        if before.disabled:
            raise NotAuthorized
        issued = await self.sessions.open_tenant_session(
            before,
            lifetime=decode_settings(before).tenant_session_lifetime,
            events=[event(caller, self.clock(), "tenant.token")],
        )
        # As after a login: a change that began meanwhile ends sessions after it is stored, and is seen here.
        now = await self.accounts.tenant_by_id(before.id)
        if now is None or now.credentials != before.credentials:
            await self.sessions.session_store.revoke(issued.session)
            raise NotAuthorized
        return issued

    async def _restore(self, tenant_id: str) -> None:
        for key in await self.keys.list_of_tenant(tenant_id):
            await self.sessions.session_store.open(key.session, cap=None)

    async def _revoke_sessions(self, tenant_id: str) -> None:
        sessions = self.sessions.session_store
        await sessions.revoke_tenant(tenant_id)
        await sessions.revoke_keys(tenant_id)
        await sessions.revoke_users_of(tenant_id)

    async def _reauthenticate(self, caller: Caller, password: str, action: str, known: Session) -> Tenant:
        tenant = await self._get(caller.tenant_id)
        refused = event(caller, self.clock(), action, refused="password")
        proven = TENANTS, tenant.email, password, tenant.password_hash
        await self.reauthenticator.require(*proven, refused=refused, known=known)
        return tenant

    async def _get(self, tenant_id: str) -> Tenant:
        tenant = await self.accounts.tenant_by_id(tenant_id)
        if tenant is None:
            raise NotAuthorized
        return tenant
