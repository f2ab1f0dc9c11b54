"""Who are you: the logins of tenants and of their users."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from doorward.core.errors import IncorrectCredentials, IncorrectPassword, LoginRefused, Refusal, UserNotFound
from doorward.core.model import Tenant, User
from doorward.core.passwords import Passwords
from doorward.core.ports import Accounts
from doorward.core.sessions import Issued, SessionDoor
from doorward.core.throttle import TENANTS, Throttle


@dataclass(frozen=True, slots=True)
class Authentication:
    """Checks passwords and opens sessions.

    `uniform` gives one refusal for unknown users and wrong passwords. `failure_time` is how many seconds a refused login
    takes at least, so that hashes of different cost (a decoy, a ready bcrypt hash) cannot be told apart by a stopwatch.
    """

    accounts: Accounts
    sessions: SessionDoor
    passwords: Passwords
    throttle: Throttle
    uniform: bool = False
    failure_time: float = 0.2

    async def login_user(self, tenant_id: str, login: str, password: str, device_id: str) -> Issued:
        """Open a session for a user of the tenant.

        Raises UserNotFound or IncorrectPassword (or LoginRefused for both), TooManyRequests, TooManyAttempts,
        Overloaded, StoreUnavailable.
        """
        await self.throttle.login(tenant_id)
        started = monotonic()
        async with self.throttle.attempt(tenant_id, login) as attempt:
            user = await self.accounts.user_by_login(tenant_id, login)
            match = await self.passwords.match(password, user.password_hash if user else None, group=tenant_id)
            attempt.right = match.right
        if user is None or not match.right:
            await self._even_out(started)
            raise self._refusal(user)
        if match.outdated:
            await self._upgrade_user(user, password)
        issued = await self.sessions.open_user(user, device_id)
        # The session is in the store before the user is read again, and whoever changes or removes the user ends
        # sessions after that. So one of the two sees the other, and no login outlives what it was checked against.
        now = await self.accounts.user_by_id(tenant_id, user.id)
        if now is None or now.credentials != user.credentials:
            await self.sessions.sessions.close(issued.session)
            raise self._refusal(now)
        return issued

    async def login_tenant(self, email: str, password: str) -> Issued:
        """Open a session for a tenant.

        Raises IncorrectCredentials, whether the address is unknown or the password wrong, TooManyAttempts, Overloaded,
        StoreUnavailable.
        """
        started = monotonic()
        async with self.throttle.attempt(TENANTS, email) as attempt:
            tenant = await self.accounts.tenant_by_email(email)
            match = await self.passwords.match(password, tenant.password_hash if tenant else None, group=TENANTS)
            attempt.right = match.right
        if tenant is None or not match.right:
            await self._even_out(started)
            raise IncorrectCredentials
        if match.outdated:
            await self._upgrade_tenant(tenant, password)
        issued = await self.sessions.open_tenant(tenant)
        now = await self.accounts.tenant_by_id(tenant.id)
        if now is None or now.credentials != tenant.credentials:
            await self.sessions.sessions.close(issued.session)
            raise IncorrectCredentials
        return issued

    async def _even_out(self, started: float) -> None:
        await asyncio.sleep(max(0.0, started + self.failure_time - monotonic()))

    def _refusal(self, user: User | None) -> Refusal:
        if self.uniform:
            return LoginRefused()
        return UserNotFound() if user is None else IncorrectPassword()

    async def _upgrade_user(self, user: User, password: str) -> None:
        try:
            await self.accounts.set_user_hash(user, await self.passwords.hash(password, group=user.tenant_id))
        except Refusal:
            # The password was right; a hash that could not be renewed today is renewed at the next login.
            return

    async def _upgrade_tenant(self, tenant: Tenant, password: str) -> None:
        try:
            await self.accounts.set_tenant_hash(tenant, await self.passwords.hash(password, group=TENANTS))
        except Refusal:
            return
