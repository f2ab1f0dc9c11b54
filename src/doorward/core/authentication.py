"""Who are you: the logins of tenants and of their users."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from doorward.core.errors import IncorrectCredentials, IncorrectPassword, LoginRefused, Refusal, UserNotFound
from doorward.core.model import Tenant, User
from doorward.core.passwords import Match, Passwords
from doorward.core.ports import Accounts
from doorward.core.sessions import Issued, SessionDoor
from doorward.core.throttle import TENANTS, Throttle

Account = TypeVar("Account", Tenant, User)


@dataclass(frozen=True, slots=True)
class Authentication:
    """Checks passwords and opens sessions.

    `uniform` gives one refusal for unknown users and wrong passwords. `failure_time` is how many seconds a refused
    login takes at least, so that hashes of different cost (a decoy, a ready bcrypt hash) look alike to a stopwatch.
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
        user, match = await self._prove(
            tenant_id, login, password, lambda: self.accounts.user_by_login(tenant_id, login)
        )
        if user is None or not match.right:
            raise self._refusal(user)
        if match.outdated:
            await self._upgrade(lambda new: self.accounts.set_user_hash(user, new), password, tenant_id)
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
        tenant, match = await self._prove(TENANTS, email, password, lambda: self.accounts.tenant_by_email(email))
        if tenant is None or not match.right:
            raise IncorrectCredentials
        if match.outdated:
            await self._upgrade(lambda new: self.accounts.set_tenant_hash(tenant, new), password, TENANTS)
        issued = await self.sessions.open_tenant(tenant)
        now = await self.accounts.tenant_by_id(tenant.id)
        if now is None or now.credentials != tenant.credentials:
            await self.sessions.sessions.close(issued.session)
            raise IncorrectCredentials
        return issued

    async def _prove(
        self, realm: str, name: str, password: str, find: Callable[[], Awaitable[Account | None]]
    ) -> tuple[Account | None, Match]:
        """Compare a password with that of the account, if there is one: one reservation, one look-up, one hash."""
        started = monotonic()
        # In a flood most are refused for want of a thread: asked before anything is reserved, that writes nothing. The
        # hasher asks once more, and its word counts.
        self.passwords.check_room(realm)
        async with self.throttle.attempt(realm, name) as attempt:
            account = await find()
            stored = account.password_hash if account else None
            match = await self.passwords.match(password, stored, group=realm)
            attempt.right = match.right
        if not match.right:
            await asyncio.sleep(max(0.0, started + self.failure_time - monotonic()))
        return account, match

    def _refusal(self, user: User | None) -> Refusal:
        if self.uniform:
            return LoginRefused()
        return UserNotFound() if user is None else IncorrectPassword()

    async def _upgrade(self, keep: Callable[[str], Awaitable[bool]], password: str, group: str) -> None:
        try:
            await keep(await self.passwords.hash(password, group=group))
        except Refusal:
            # The password was right; a hash that could not be renewed today is renewed at the next login.
            return
