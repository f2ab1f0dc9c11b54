"""What only an operator does: tenants by name, everybody's sessions, and the log of what was done to the service."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import uuid4

from doorward.core.audit.service import SERVICE, event, parse_entry
from doorward.core.errors import Conflict, TenantExists, require
from doorward.core.model import Caller, Event, Tenant
from doorward.core.normalization import canonical, check_email, email_violations, login_violations
from doorward.core.passwords.hashing import PasswordHasherPool
from doorward.core.passwords.policy import tenant_password_violations
from doorward.core.ports import AccountStore, AuditStore, Clock, RevocationScope, SessionStore
from doorward.core.rate_limits.limiter import TENANTS, RateLimiter
from doorward.core.tenants.settings import PasswordPolicy, TenantSettings, decode_settings, encode_settings

_PAGE = 200
_TRIES = 5


class UnknownTenant(Exception):  # noqa: N818 - the sentence is for an operator, who knows it is an error
    """An operator named a tenant that there is not."""


async def find_tenant(accounts: AccountStore, name: str) -> Tenant:
    """Return the tenant of this id or e-mail address; NoSuchTenant."""
    tenant = await (accounts.tenant_by_email(name) if "@" in name else accounts.tenant_by_id(name))
    if tenant is None:
        raise UnknownTenant(f"There is no tenant {name}.")
    return tenant


@dataclass(frozen=True, slots=True)
class OperatorService:
    """Acts on any tenant, for an operator."""

    accounts: AccountStore
    sessions: SessionStore
    audit: AuditStore
    passwords: PasswordHasherPool
    rate_limits: RateLimiter
    clock: Clock

    async def find_tenant(self, name: str) -> Tenant:
        """Return the tenant of this id or e-mail address; NoSuchTenant."""
        return await find_tenant(self.accounts, name)

    async def list_tenants(self) -> AsyncIterator[Tenant]:
        """Yield every tenant, by canonical e-mail address."""
        after = ""
        while page := await self.accounts.list_tenants(after=after, limit=_PAGE):
            for tenant in page:
                yield tenant
            after = canonical(page[-1].email)

    async def create_tenant(self, email: str, password: str, policy: PasswordPolicy | None = None) -> Tenant:
        """Create a tenant, with a policy for its users' passwords and no session yet.

        TenantExists where the address is taken; ValidationFailed for an address or a password that no tenant may be
        given.
        """
        check_email(email)
        require(tenant_password_violations(password), "password")
        if await self.accounts.tenant_by_email(email):
            raise TenantExists
        secret = await self.passwords.hash(password, group=TENANTS)
        settings = encode_settings(TenantSettings(password_policy=policy or PasswordPolicy()))
        tenant = Tenant(str(uuid4()), email, secret, credentials=1, created_at=self.clock(), settings=settings)
        created = event(operator_caller(tenant.id), tenant.created_at, "tenant.create")
        if not await self.accounts.add_tenant(tenant, events=[created]):
            raise TenantExists
        return tenant

    async def set_tenant_password(self, tenant: Tenant, password: str) -> None:
        """Give a tenant a new password, forgive its failures, and end its own sessions; NoSuchTenant, Conflict.

        ValidationFailed for a password that does not meet the tenants' rule.
        """
        require(tenant_password_violations(password), "password")
        secret = await self.passwords.hash(password, group=TENANTS)
        for _ in range(_TRIES):
            before = await self.find_tenant(tenant.id)
            after = replace(before, password_hash=secret, credentials=before.credentials + 1)
            changed = event(operator_caller(tenant.id), self.clock(), "tenant.password")
            if await self.accounts.change_tenant(after, events=[changed], revokes=RevocationScope(tenant.id)):
                await self.sessions.revoke_tenant(tenant.id)
                await self.rate_limits.reset_failures(TENANTS, before.email)
                return
        raise Conflict

    async def unlock_tenant(self, tenant: Tenant) -> None:
        """Clear the failed logins counted for a tenant."""
        await self.audit.record(event(operator_caller(tenant.id), self.clock(), "tenant.unlock"))
        await self.rate_limits.reset_failures(TENANTS, tenant.email)

    async def revoke_sessions(self, tenant_id: str) -> None:
        """End every session of a tenant and of its users; its API keys go on."""
        ended = event(operator_caller(tenant_id), self.clock(), "tenant.revoke_all")
        await self.sessions.revoke_users_of(tenant_id, events=[ended])
        await self.sessions.revoke_tenant(tenant_id)

    async def revoke_all_sessions(self) -> int:
        """End every session of every tenant and user; return how many tenants there are. API keys go on."""
        count = 0
        async for tenant in self.list_tenants():
            await self.revoke_sessions(tenant.id)
            count += 1
        return count

    async def record_event(self, done: Event) -> None:
        """Keep in the service's own log what was done to it (the events below)."""
        await self.audit.record(done)


class NameSurvey(NamedTuple):
    """Existing names that no new account would be given, among the `examined`; `complete` if those are all there are.

    `examples` are the first few of the `refused`: a tenant's address, and a login or None for the address itself.
    """

    examined: int
    complete: bool
    refused: int
    examples: list[tuple[str, str | None]]


async def survey_names(accounts: AccountStore, *, most: int, examples: int) -> NameSurvey:
    """Look at tenants' addresses and users' logins, `most` of them at most.

    A tenant's logins come in the order of their canonical forms, in which spaces, dots and slashes are first.
    """
    examined, refused, found = 0, 0, list[tuple[str, str | None]]()
    async for tenant_email, login in _names(accounts):
        if examined == most:
            return NameSurvey(examined, complete=False, refused=refused, examples=found)
        examined += 1
        if email_violations(tenant_email) if login is None else login_violations(login):
            refused += 1
            if len(found) < examples:
                found.append((tenant_email, login))
    return NameSurvey(examined, complete=True, refused=refused, examples=found)


async def _names(accounts: AccountStore) -> AsyncIterator[tuple[str, str | None]]:
    """Yield each tenant's address, and then its users' logins."""
    after_tenant = ""
    while tenants := await accounts.list_tenants(after=after_tenant, limit=_PAGE):
        for tenant in tenants:
            yield tenant.email, None
            after = ""
            while users := await accounts.list_users(tenant.id, after=after, limit=_PAGE):
                for user in users:
                    yield tenant.email, user.login
                after = canonical(users[-1].login)
        after_tenant = canonical(tenants[-1].email)


async def longest_session_lifetime(accounts: AccountStore, default: int) -> int:
    """Return the longest lifetime in seconds that a new session of any user may have, at least the `default` one."""
    longest, after = default, ""
    while tenants := await accounts.list_tenants(after=after, limit=_PAGE):
        longest = max(longest, *(decode_settings(tenant).session_lifetime or 0 for tenant in tenants))
        after = canonical(tenants[-1].email)
    return longest


async def signing_stopped_at(log: AuditStore, kid: str) -> int | None:
    """Return when another master key replaced this one as the signing key; None where the log has no record of it."""
    replaced: int | None = None
    before: int | None = None
    while page := await log.page(SERVICE, before=before, limit=_PAGE):
        for entry in page:
            noted = parse_entry(entry)
            if noted["action"] == "operator.key_activate":
                if noted["subject"] == kid:
                    return replaced
                replaced = entry.at
            elif noted["action"] == "operator.key_add" and noted["subject"] == kid:
                return None  # it never signed
        before = page[-1].number
    return replaced


def operator_caller(tenant_id: str = SERVICE) -> Caller:
    """Return the operator, acting on a tenant or on the service."""
    return Caller(tenant_id, "operator")


def key_added_event(at: int, kid: str) -> Event:
    """Return the event of a master key that verifies from now on."""
    return event(operator_caller(), at, "operator.key_add", subject=kid)


def key_activated_event(at: int, kid: str) -> Event:
    """Return the event of a master key that signs from now on."""
    return event(operator_caller(), at, "operator.key_activate", subject=kid)


def key_retired_event(at: int, kid: str) -> Event:
    """Return the event of a master key that is worth nothing any more."""
    return event(operator_caller(), at, "operator.key_retire", subject=kid)


def restored_event(at: int, taken_at: int) -> Event:
    """Return the event of a backup, taken at `taken_at`, that was put back."""
    return event(operator_caller(), at, "operator.restore", subject=str(taken_at))
