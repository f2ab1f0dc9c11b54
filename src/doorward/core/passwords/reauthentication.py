"""Reauthentication: the current password, before an action that a stolen token alone must not allow."""

from dataclasses import dataclass

from doorward.core.errors import IncorrectPassword
from doorward.core.model import Event, Session
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.ports import AuditStore
from doorward.core.rate_limits.limiter import RateLimiter


@dataclass(frozen=True, slots=True)
class Reauthenticator:
    """Verifies the current password of a logged-in account, with the rate limits and the audit log of a login."""

    passwords: PasswordHasherPool
    rate_limits: RateLimiter
    audit_store: AuditStore

    async def require(
        self,
        realm: str,
        name: str,
        password: str,
        stored: str | None,
        *,
        refused: Event,
        known: Session | None = None,
    ) -> None:
        """Return if the password of `name` in `realm` (see `RateLimiter.attempt`) is right.

        `known` is a live session of this account that the client has proven; its failures are counted separately.
        Raises IncorrectPassword, which counts as a failed login and records `refused`, TooManyAttempts, AccountLocked,
        Overloaded.
        """
        async with self.rate_limits.attempt(realm, name, session=known.id if known else "") as attempt:
            match = await self.passwords.matches(password, stored, group=realm)
            attempt.succeeded = match.right
        if not match.right:
            await self.audit_store.record(refused)
            raise IncorrectPassword
