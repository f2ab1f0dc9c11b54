"""Who is logged in proves its password once more, before what a stolen token alone must not do."""

from dataclasses import dataclass

from doorward.core.errors import IncorrectPassword
from doorward.core.model import Event, Session
from doorward.core.passwords import Passwords
from doorward.core.ports import AuditStore
from doorward.core.throttle import Throttle


@dataclass(frozen=True, slots=True)
class CurrentPassword:
    """Compares the password of who is logged in, as a login would: counted, in turn, and told where it is wrong."""

    passwords: Passwords
    throttle: Throttle
    audit: AuditStore

    async def demand(
        self,
        realm: str,
        name: str,
        password: str,
        stored: str | None,
        *,
        refused: Event,
        known: Session | None = None,
    ) -> None:
        """Return where the password of `name` in `realm` (see `Throttle.attempt`) is right.

        `known` is a live session of this account that the client has proven; its failures are counted apart. Raises
        IncorrectPassword (which counts as a failed login; `refused` is kept in the log), TooManyAttempts,
        AccountLocked, Overloaded.
        """
        async with self.throttle.attempt(realm, name, session=known.id if known else "") as attempt:
            match = await self.passwords.match(password, stored, group=realm)
            attempt.right = match.right
        if not match.right:
            await self.audit.record(refused)
            raise IncorrectPassword
