"""Equal time for rejected logins, with any stored hash and without a user."""

import asyncio
import secrets
import string
from dataclasses import dataclass, field
from time import monotonic

from doorward.core.errors import Refusal
from doorward.core.passwords.formats import HashCost
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.ports import AccountStore, Clock
from doorward.core.rate_limits.limiter import TENANTS

_MARGIN = 1.5
_LONGEST = 5.0
_SAMPLE = 250
_AT_A_TIME = 25
_SAMPLED_EVERY = 60_000
_REMEMBERED_FOR = 3_600_000
_REMEMBERED = 10_000


@dataclass(slots=True)
class _CostliestHash:
    """The costliest hash of a realm, when it was last seen, and when the last sample was taken."""

    cost: HashCost | None = None
    seen_at: int = 0
    sampled_at: int | None = None


@dataclass(frozen=True, slots=True)
class LoginTiming:
    """Delays rejected logins until at least the time of the tenant's costliest stored hash has passed.

    A comparison with an imported hash can take many times as long as the decoy of a user that does not exist. The
    costliest hash of a tenant is known from its logins, and from a random sample of its users, which a rejected login
    takes when the last one is more than a minute old; a login that succeeds reads nothing. A costly hash is forgotten
    an hour after it was last seen.

    `least` is the minimum time of a rejected login in seconds.
    """

    accounts: AccountStore
    passwords: PasswordHasherPool
    clock: Clock
    least: float = 0.2
    _known: dict[str, _CostliestHash] = field(default_factory=dict)

    def record_cost(self, realm: str, cost: HashCost) -> None:
        """Record that an account of a realm (a tenant id, or TENANTS) has a stored hash of this cost."""
        known, now = self._costliest_of(realm), self.clock()
        if known.cost is None or cost.seconds >= known.cost.seconds or now - known.seen_at > _REMEMBERED_FOR:
            known.cost, known.seen_at = cost, now

    async def delay(self, realm: str, started: float) -> None:
        """Wait until a rejected login of the realm that began at `started` (`time.monotonic`) has taken its time."""
        takes = await self.duration(realm)
        await asyncio.sleep(takes - (monotonic() - started))

    async def duration(self, realm: str) -> float:
        """Return the seconds that a rejected login of the realm has to take now."""
        known, now = self._costliest_of(realm), self.clock()
        if known.sampled_at is None or now - known.sampled_at > _SAMPLED_EVERY:
            known.sampled_at = now
            await self._sample(realm)
        takes = 0.0
        if known.cost and now - known.seen_at <= _REMEMBERED_FOR:
            takes = _MARGIN * self.passwords.duration(known.cost)
        return max(self.least, min(takes, _LONGEST))

    async def _sample(self, realm: str) -> None:
        after = secrets.choice(string.ascii_lowercase + string.digits)
        try:
            found = await self._hashes(realm, after, _SAMPLE)
            if len(found) < _SAMPLE:
                found += await self._hashes(realm, "", _SAMPLE - len(found))
        except Refusal:
            # The login was rejected already; the costs known so far have to suffice.
            return
        for number, stored in enumerate(found):
            self.record_cost(realm, self.passwords.cost(stored))
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)

    async def _hashes(self, realm: str, after: str, limit: int) -> list[str]:
        if realm == TENANTS:
            return [tenant.password_hash for tenant in await self.accounts.list_tenants(after=after, limit=limit)]
        return await self.accounts.list_password_hashes(realm, after=after, limit=limit)

    def _costliest_of(self, realm: str) -> _CostliestHash:
        known = self._known.get(realm)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            known = self._known[realm] = _CostliestHash()
        return known
