"""`TenantService`: registration, settings, password, deletion; and the actions of operators on any tenant."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from doorward.core.audit.service import SERVICE, event
from doorward.core.errors import Conflict, NotAuthorized, TenantExists, require
from doorward.core.login.issuer import AccountChanged, SessionIssuer
from doorward.core.model import Caller, Session, Tenant
from doorward.core.normalization import canonical, check_email
from doorward.core.passwords.policy import tenant_password_violations
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.ports import AccountStore, ApiKeyStore, AuditStore, Clock, RevocationScope
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
_PAGE = 200


class UnknownTenant(Exception):
    """An operator named a tenant that does not exist."""


async def find_tenant(accounts: AccountStore, name: str) -> Tenant:
    """Return the tenant of this id or e-mail address, for an operator; raises UnknownTenant."""
    tenant = await (accounts.tenant_by_email(name) if "@" in name else accounts.tenant_by_id(name))
    if tenant is None:
        raise UnknownTenant(f"There is no tenant {name}.")
    return tenant


@dataclass(frozen=True, slots=True)
class TenantService:
    """Registers, changes and deletes tenants.

    Methods that take a `Caller` act for the calling tenant, or for an operator on the tenant that the caller names.
    """

    accounts: AccountStore
    api_keys: ApiKeyStore
    audit_store: AuditStore
    sessions: SessionService
    issuer: SessionIssuer
    passwords: PasswordHasherPool
    reauthenticator: Reauthenticator
    rate_limits: RateLimiter
    clock: Clock

    async def register(
        self, caller: Caller, email: str, password: str, settings: Mapping[str, object] | None = None
    ) -> tuple[Tenant, str]:
        """Register a tenant and return it with its first token.

        `caller` is where the request came from, `settings` are settings as `update_settings` takes them. Raises
        TenantExists where the address is taken, ValidationFailed for an address or a password that the rules reject.
        """
        tenant = await self.create(caller, email, password, merge_settings(TenantSettings(), settings or {}))
        lifetime = decode_settings(tenant).tenant_session_lifetime
        return tenant, (await self.sessions.open_tenant_session(tenant, lifetime=lifetime)).token

    async def create(self, caller: Caller, email: str, password: str, settings: TenantSettings) -> Tenant:
        """Create a tenant without a session; raises what `register` raises."""
        check_email(email)
        require(tenant_password_violations(password), "password")
        if await self.accounts.tenant_by_email(email):
            raise TenantExists
        tenant = Tenant(
            str(uuid4()),
            email,
            await self.passwords.hash(password, group=TENANTS),
            credentials=1,
            created_at=self.clock(),
            settings=encode_settings(settings),
        )
        created = event(caller._replace(tenant_id=tenant.id), tenant.created_at, "tenant.create")
        if not await self.accounts.add_tenant(tenant, events=[created]):
            raise TenantExists
        return tenant

    async def find(self, name: str) -> Tenant:
        """Return the tenant of this id or e-mail address, for an operator; raises UnknownTenant."""
        return await find_tenant(self.accounts, name)

    async def list_all(self) -> AsyncIterator[Tenant]:
        """Yield every tenant, by canonical e-mail address, for an operator."""
        after = ""
        while page := await self.accounts.list_tenants(after=after, limit=_PAGE):
            for tenant in page:
                yield tenant
            after = canonical(page[-1].email)

    async def get(self, caller: Caller) -> Tenant:
        """Return the calling tenant; raises NotAuthorized where it has just been deleted."""
        self.rate_limits.consume_verify(caller.tenant_id)
        return await self._get(caller.tenant_id)

    async def settings(self, tenant_id: str) -> TenantSettings:
        """Return the settings that a tenant has chosen; raises NotAuthorized where it has just been deleted."""
        return decode_settings(await self._get(tenant_id))

    async def update_settings(self, caller: Caller, changes: Mapping[str, object]) -> Tenant:
        """Change settings of the calling tenant, by attribute name; None resets one to the default of the service.

        Idle timeout and lifetime of users' sessions apply at once, also to open sessions; the number of sessions per
        user at the next login; the lifetime of the tenant's own sessions to new ones. Raises Conflict where other
        changes keep interfering.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        for _ in range(_TRIES):
            before = await self._get(caller.tenant_id)
            settings = merge_settings(decode_settings(before), changes)
            after = replace(before, settings=encode_settings(settings))
            changed = event(caller, self.clock(), "tenant.settings")
            policy = session_policy(settings, version=before.version + 1)
            if await self.accounts.change_tenant(after, events=[changed], policy=policy):
                return after
        raise Conflict

    async def change_password(self, caller: Caller, current: str, password: str, keep: Session) -> None:
        """Set a new password for the calling tenant with the current one; revoke its sessions except `keep`.

        Failures are counted for the calling session, apart from those of logins. Raises IncorrectPassword,
        TooManyAttempts, AccountLocked, Overloaded, Conflict, ValidationFailed for a password that does not meet the
        rules for tenants.
        """
        require(tenant_password_violations(password), "password")
        await self.rate_limits.consume_write(caller.tenant_id)
        before = await self._reauthenticate(caller, current, "tenant.password", keep)
        secret = await self.passwords.hash(password, group=TENANTS)
        after = replace(before, password_hash=secret, credentials=before.credentials + 1)
        revokes = RevocationScope(caller.tenant_id, keep=keep)
        changed = event(caller, self.clock(), "tenant.password")
        if not await self.accounts.change_tenant(after, events=[changed], revokes=revokes):
            raise Conflict
        await self.sessions.session_store.revoke_tenant(caller.tenant_id, keep=keep)
        await self.rate_limits.reset_failures(TENANTS, before.email)

    async def delete(self, caller: Caller, password: str, session: Session) -> None:
        """Delete the calling tenant, with its password, and all it owns.

        The tenant and its sessions are gone when this returns; a periodic task removes its data within a minute or two.
        Failures are counted for the calling session, apart from those of logins. Raises IncorrectPassword,
        TooManyAttempts, AccountLocked, Overloaded.
        """
        await self._reauthenticate(caller, password, "tenant.delete", session)
        await self.delete_as_operator(caller)

    async def delete_as_operator(self, caller: Caller) -> None:
        """Delete a tenant without its password, for an operator; raises NotAuthorized where it does not exist."""
        await self._revoke_sessions(caller.tenant_id)
        # In the service's own chain, since that of the tenant is deleted too: a restored backup must not bring it back.
        deleted = event(caller._replace(tenant_id=SERVICE), self.clock(), "tenant.delete", subject=caller.tenant_id)
        if not await self.accounts.delete_tenant(caller.tenant_id, events=[deleted]):
            raise NotAuthorized
        await self._revoke_sessions(caller.tenant_id)

    async def disable(self, caller: Caller, *, disabled: bool) -> Tenant:
        """Disable a tenant, with its API keys and users, or enable it again, for an operator.

        Revoked sessions stay revoked; API keys are valid again once the tenant is enabled. Raises NotAuthorized where
        the tenant does not exist, Conflict.
        """
        for _ in range(_TRIES):
            before = await self._get(caller.tenant_id)
            after = replace(before, disabled=disabled, credentials=before.credentials + 1)
            action = "tenant.disable" if disabled else "tenant.enable"
            revokes = RevocationScope(caller.tenant_id, include_users_and_keys=True) if disabled else None
            if await self.accounts.change_tenant(after, events=[event(caller, self.clock(), action)], revokes=revokes):
                await (self._revoke_sessions(caller.tenant_id) if disabled else self._restore(caller.tenant_id))
                return after
        raise Conflict

    async def set_password(self, caller: Caller, password: str) -> None:
        """Set a new password for a tenant, for an operator; reset its failures and revoke its own sessions.

        Raises UnknownTenant, Conflict, ValidationFailed for a password that does not meet the rules for tenants.
        """
        require(tenant_password_violations(password), "password")
        secret = await self.passwords.hash(password, group=TENANTS)
        for _ in range(_TRIES):
            before = await self.find(caller.tenant_id)
            after = replace(before, password_hash=secret, credentials=before.credentials + 1)
            changed = event(caller, self.clock(), "tenant.password")
            if await self.accounts.change_tenant(after, events=[changed], revokes=RevocationScope(before.id)):
                await self.sessions.session_store.revoke_tenant(before.id)
                await self.rate_limits.reset_failures(TENANTS, before.email)
                return
        raise Conflict

    async def unlock(self, caller: Caller, tenant: Tenant) -> None:
        """Reset the failed logins counted for a tenant, for an operator."""
        await self.audit_store.record(event(caller, self.clock(), "tenant.unlock"))
        await self.rate_limits.reset_failures(TENANTS, tenant.email)

    async def revoke_sessions(self, caller: Caller) -> None:
        """Revoke every session of a tenant and of its users, for an operator; API keys stay valid."""
        revoked = event(caller, self.clock(), "tenant.revoke_all")
        await self.sessions.session_store.revoke_users_of(caller.tenant_id, events=[revoked])
        await self.sessions.session_store.revoke_tenant(caller.tenant_id)

    async def revoke_all_sessions(self, caller: Caller) -> int:
        """Revoke every session of every tenant and user, for an operator; return the number of tenants."""
        count = 0
        async for tenant in self.list_all():
            await self.revoke_sessions(caller._replace(tenant_id=tenant.id))
            count += 1
        return count

    async def issue_token(self, caller: Caller) -> IssuedToken:
        """Open one more session of a tenant, for an operator who needs no password; other sessions stay valid.

        Raises NotAuthorized where the tenant does not exist or is disabled.
        """
        before = await self._get(caller.tenant_id)
        if before.disabled:
            raise NotAuthorized
        try:
            return await self.issuer.issue_to_tenant(before, events=[event(caller, self.clock(), "tenant.token")])
        except AccountChanged:
            raise NotAuthorized from None

    async def _restore(self, tenant_id: str) -> None:
        for key in await self.api_keys.list_of_tenant(tenant_id):
            await self.sessions.session_store.open(key.session, cap=None)

    async def _revoke_sessions(self, tenant_id: str) -> None:
        sessions = self.sessions.session_store
        await sessions.revoke_tenant(tenant_id)
        await sessions.revoke_keys(tenant_id)
        await sessions.revoke_users_of(tenant_id)

    async def _reauthenticate(self, caller: Caller, password: str, action: str, known: Session) -> Tenant:
        tenant = await self._get(caller.tenant_id)
        refused = event(caller, self.clock(), action, refused="password")
        account = TENANTS, tenant.email, password, tenant.password_hash
        await self.reauthenticator.require(*account, refused=refused, known=known)
        return tenant

    async def _get(self, tenant_id: str) -> Tenant:
        tenant = await self.accounts.tenant_by_id(tenant_id)
        if tenant is None:
            raise NotAuthorized
        return tenant
