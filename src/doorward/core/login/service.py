"""Who are you: the logins of tenants and of their users."""

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
from doorward.core.model import Caller, Event, Origin, Session, Tenant, User
from doorward.core.passwords.hashing import PasswordHasherPool, PasswordProof
from doorward.core.ports import UNKNOWN_ORIGIN, AccountStore, AuditStore, Clock
from doorward.core.rate_limits.limiter import TENANTS, RateLimiter
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import IssuedToken, SessionService
from doorward.core.tenants.settings import SettingsResolver, decode_settings

Account = TypeVar("Account", Tenant, User)


class LoginAttempt(NamedTuple):
    """What somebody claims to be, and on which device.

    `known` is a live session of the one it claims to be, if it has shown one. Its failures are counted apart, so that
    whoever fails on purpose from elsewhere locks nobody out of a device that is logged in.
    """

    login: str
    password: str
    device_id: str
    known: Session | None = None


class LoginResult(NamedTuple):
    """An access token, how many seconds it lives, and a refresh token where one was asked for."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class AuthenticationService:
    """Checks passwords and opens sessions.

    `uniform` gives one refusal for unknown users and wrong passwords. `timing` gives all refusals the same time.
    """

    account_store: AccountStore
    sessions: SessionService
    passwords: PasswordHasherPool
    rate_limits: RateLimiter
    settings_resolver: SettingsResolver
    refresh_service: RefreshService
    audit_store: AuditStore
    clock: Clock
    timing: LoginTiming
    uniform: bool = False

    async def login_user(
        self, caller: Caller, attempt: LoginAttempt, *, origin: Origin = UNKNOWN_ORIGIN, refresh: bool = False
    ) -> LoginResult:
        """Open a session for a user of the calling tenant; with `refresh`, one of short tokens that can be renewed.

        Raises UserNotFound or IncorrectPassword (or LoginRefused for both), UserDisabled where the password was right,
        TooManyRequests, TooManyAttempts, AccountLocked, Overloaded, StoreUnavailable.
        """
        tenant_id, login = caller.tenant_id, attempt.login
        await self.rate_limits.consume_login(tenant_id)
        started = monotonic()
        user, proof = await self._verify_password(
            tenant_id,
            login,
            attempt.password,
            lambda: self.account_store.user_by_login(tenant_id, login),
            attempt.known,
        )
        if user is None or not proof.match.right:
            subject = user.id if user else self.rate_limits.alias(tenant_id, login)
            failure = event(caller, self.clock(), "user.login", subject=subject, refused="password")
            await self._failed(tenant_id, started, failure)
            raise self._refusal(user)
        if user.disabled:
            failure = event(caller, self.clock(), "user.login", subject=user.id, refused="disabled")
            await self._failed(tenant_id, started, failure)
            raise UserDisabled
        if proof.renewed:
            await _run_logged(self.account_store.set_user_hash(user, proof.renewed))
        tenant = await self.account_store.tenant_by_id(tenant_id)
        if tenant is None:
            raise self._refusal(user)
        issued = await self.sessions.open_user_session(
            user,
            attempt.device_id,
            options=self.settings_resolver.session_options(tenant, refresh=refresh),
            origin=origin,
            events=[event(caller, self.clock(), "user.login", subject=user.id)],
        )
        # The session is in the store before user and tenant are read again, and whoever changes or removes one of them
        # ends sessions after that. So one of the two sees the other: no login outlives what it was checked against.
        now = await self.account_store.user_by_id(tenant_id, user.id)
        tenant = await self.account_store.tenant_by_id(tenant_id)
        if now is None or now.credentials != user.credentials or tenant is None or tenant.disabled:
            await self.sessions.session_store.revoke(issued.session)
            raise self._refusal(now)
        if refresh:
            return LoginResult(*self.refresh_service.issue(user, issued.session))
        return LoginResult(issued.token, issued.expires_in)

    async def logout(self, caller: Caller, session: Session) -> bool:
        """End a session of the calling tenant's, or one of its own; False where it had ended already."""
        action = "tenant.logout" if session.user_id is None else "user.logout"
        events = [event(caller, self.clock(), action, subject=session.user_id or "", session=session)]
        return await self.sessions.session_store.revoke(session, events=events)

    async def login_tenant(
        self, caller: Caller, email: str, password: str, *, known: Session | None = None
    ) -> IssuedToken:
        """Open a session for a tenant; `caller` says where the request came from, its tenant is not known yet.

        `known` is a live session of the tenant that the client has proven; its failures are counted apart, so that
        failures from elsewhere do not lock the tenant out. Raises IncorrectCredentials, whether the address is unknown,
        the tenant disabled, or the password wrong, TooManyAttempts, AccountLocked, Overloaded, StoreUnavailable.
        """
        started = monotonic()
        tenant, proof = await self._verify_password(
            TENANTS, email, password, lambda: self.account_store.tenant_by_email(email), known
        )
        if tenant is not None:
            caller = caller._replace(tenant_id=tenant.id)
        if tenant is None or not proof.match.right or tenant.disabled:
            # Nobody's log has room for an address that is nobody's.
            told = [event(caller, self.clock(), "tenant.login", refused="password")] if tenant else []
            await self._failed(TENANTS, started, *told)
            raise IncorrectCredentials
        if proof.renewed:
            await _run_logged(self.account_store.set_tenant_hash(tenant, proof.renewed))
        issued = await self.sessions.open_tenant_session(
            tenant,
            lifetime=decode_settings(tenant).tenant_session_lifetime,
            events=[event(caller, self.clock(), "tenant.login")],
        )
        now = await self.account_store.tenant_by_id(tenant.id)
        if now is None or now.credentials != tenant.credentials:
            await self.sessions.session_store.revoke(issued.session)
            raise IncorrectCredentials
        return issued

    async def _failed(self, realm: str, started: float, *events: Event) -> None:
        """Note a failure, and let it take as long as every other."""
        if events:
            await self.audit_store.record(*events)
        await self.timing.delay(realm, started)

    async def _verify_password(
        self,
        realm: str,
        name: str,
        password: str,
        find: Callable[[], Awaitable[Account | None]],
        known: Session | None = None,
    ) -> tuple[Account | None, PasswordProof]:
        """Compare a password with that of the account, if there is one: one reservation, one look-up, one hash."""
        # In a flood most are refused for want of a thread: asked before anything is reserved, that writes nothing. The
        # hasher asks once more, and its word counts.
        self.passwords.check_capacity(realm)
        async with self.rate_limits.attempt(realm, name, session=known.id if known else "") as attempt:
            account = await find()
            if known and (account is None or account.id != (known.user_id or known.tenant_id)):
                # Somebody else's session proves nothing here, so no password will do.
                account = None
            attempt.known = account is not None
            stored = account.password_hash if account else None
            proof = await self.passwords.verify(password, stored, group=realm)
            attempt.succeeded = proof.match.right
        self.timing.record_cost(realm, proof.cost)
        return account, proof

    def _refusal(self, user: User | None) -> Refusal:
        if self.uniform:
            return LoginRefused()
        return UserNotFound() if user is None else IncorrectPassword()


async def _run_logged(renewal: Awaitable[bool]) -> None:
    try:
        await renewal
    except Refusal:
        # The password was right; a hash that could not be kept today is renewed at the next login.
        return
