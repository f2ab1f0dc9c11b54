"""The password as a first factor, for users and tenants."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple, TypeVar

from doorward.core.audit.service import event
from doorward.core.errors import (
    IncorrectCredentials,
    IncorrectPassword,
    LoginRefused,
    Refusal,
    UserDisabled,
    UserNotFound,
)
from doorward.core.login.timing import LoginTiming
from doorward.core.model import Caller, Event, Session, Tenant, User
from doorward.core.passwords.pool import PasswordHasherPool, PasswordProof
from doorward.core.ports import AccountStore, AuditStore, Clock
from doorward.core.rate_limits.limiter import TENANTS, RateLimiter

Account = TypeVar("Account", Tenant, User)


class PasswordCredentials(NamedTuple):
    """A name and a password, as a client presents them.

    `name` is a user's login or a tenant's e-mail address. `known` is a live session of the same account that the client
    has proven, if any: its failures are counted separately, so that an attacker who fails on purpose does not lock out
    a device that is logged in.
    """

    name: str
    password: str
    known: Session | None = None


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """Verifies passwords: one reservation of an attempt, one look-up, one hash, equal time for all failures.

    `uniform` gives unknown users and wrong passwords the same error.
    """

    accounts: AccountStore
    passwords: PasswordHasherPool
    rate_limits: RateLimiter
    audit_store: AuditStore
    timing: LoginTiming
    clock: Clock
    uniform: bool = False

    async def authenticate_user(self, caller: Caller, credentials: PasswordCredentials) -> User:
        """Return the user of the calling tenant whose password this is.

        Failures are counted and logged. Raises UserNotFound or IncorrectPassword (or LoginRefused for both),
        UserDisabled where the password was right, TooManyAttempts, AccountLocked, Overloaded, StoreUnavailable.
        """
        tenant_id, started = caller.tenant_id, monotonic()
        user, proof = await self._verify(
            tenant_id, credentials, lambda: self.accounts.user_by_login(tenant_id, credentials.name)
        )
        if user is None or not proof.match.right:
            subject = user.id if user else self.rate_limits.alias(tenant_id, credentials.name)
            failure = event(caller, self.clock(), "user.login", subject=subject, refused="password")
            await self._fail(tenant_id, started, failure)
            raise self.refusal(user)
        if user.disabled:
            failure = event(caller, self.clock(), "user.login", subject=user.id, refused="disabled")
            await self._fail(tenant_id, started, failure)
            raise UserDisabled
        if proof.renewed:
            await _best_effort(self.accounts.set_user_hash(user, proof.renewed))
        return user

    async def authenticate_tenant(self, caller: Caller, credentials: PasswordCredentials) -> Tenant:
        """Return the tenant whose password this is; `caller` is where the request came from, without a tenant.

        Raises IncorrectCredentials, whether the address is unknown, the tenant disabled, or the password wrong,
        TooManyAttempts, AccountLocked, Overloaded, StoreUnavailable.
        """
        started = monotonic()
        tenant, proof = await self._verify(
            TENANTS, credentials, lambda: self.accounts.tenant_by_email(credentials.name)
        )
        if tenant is None:
            # An unknown address belongs to no tenant, so no audit log has the failure.
            await self._fail(TENANTS, started)
            raise IncorrectCredentials
        if not proof.match.right or tenant.disabled:
            caller = caller._replace(tenant_id=tenant.id)
            await self._fail(TENANTS, started, event(caller, self.clock(), "tenant.login", refused="password"))
            raise IncorrectCredentials
        if proof.renewed:
            await _best_effort(self.accounts.set_tenant_hash(tenant, proof.renewed))
        return tenant

    def refusal(self, user: User | None) -> Refusal:
        """Return the error of a failed login of this user, None for an unknown one."""
        if self.uniform:
            return LoginRefused()
        return UserNotFound() if user is None else IncorrectPassword()

    async def _fail(self, realm: str, started: float, *events: Event) -> None:
        if events:
            await self.audit_store.record(*events)
        await self.timing.delay(realm, started)

    async def _verify(
        self, realm: str, credentials: PasswordCredentials, find: Callable[[], Awaitable[Account | None]]
    ) -> tuple[Account | None, PasswordProof]:
        # A flood is mostly rejected for want of a hashing slot. Checked before the reservation, that costs no write;
        # the pool checks again.
        self.passwords.check_capacity(realm)
        known = credentials.known
        async with self.rate_limits.attempt(realm, credentials.name, session=known.id if known else "") as attempt:
            account = await find()
            if known and (account is None or account.id != (known.user_id or known.tenant_id)):
                # The session is of another account, which proves nothing for this one: no password is right.
                account = None
            attempt.known = account is not None
            stored = account.password_hash if account else None
            proof = await self.passwords.verify(credentials.password, stored, group=realm)
            attempt.succeeded = proof.match.right
        self.timing.record_cost(realm, proof.cost)
        return account, proof


async def _best_effort(renewal: Awaitable[bool]) -> None:
    try:
        await renewal
    except Refusal:
        # The password was right; the next login renews the hash.
        return
