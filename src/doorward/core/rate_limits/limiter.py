"""Budgets of requests, and the back-off after wrong passwords.

Names never reach a counter in clear: they are keyed by HMAC, so the counters of unknown logins tell nobody who tried
what.
"""

import asyncio
import hmac
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from doorward.core.clock import monotonic_clock
from doorward.core.errors import AccountLocked, StoreUnavailable, TooManyAttempts, TooManyRequests
from doorward.core.normalization import canonical
from doorward.core.ports import Backoff, Clock, CounterStore, Failures

TENANTS = "tenants"
"""The realm in which the attempts at tenants' own passwords are counted; a user's realm is its tenant's id."""

BUDGETS = ("address", "spacing", "verify", "body", "refused_verify", "refused", "write", "bulk", "login")
"""Published names of the budgets. A key of a counter begins with its budget's, and a colon, except for `verify`."""

_BULK = 10
_KILOBYTE = 1024
_POLL = 0.025
_ROUNDING_ERROR = 0.001
"""Milliseconds that sums of fractions may be off."""
_LONGEST_POLL = 0.2
_REMEMBERED_DENIALS = 50_000


@dataclass(frozen=True, slots=True)
class Budget:
    """`burst` at once, refilled one each `period` milliseconds. A burst of 0 means no limit.

    Stores count in whole milliseconds; only a budget in memory (`verify`) may have a fraction.
    """

    period: float
    burst: int


@dataclass(frozen=True, slots=True)
class Budgets:
    """Who may ask how often. `spacing` is the least time between two requests of one address, in milliseconds."""

    address: Budget = Budget(200, 5)
    spacing: int = 0
    verify: Budget = Budget(1, 2_000)
    write: Budget = Budget(20, 100)
    login: Budget = Budget(100, 30)


def alias_keys(masters: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the keys that names of counters are hidden with, each derived from a master key."""
    return tuple(hmac.digest(master, b"doorward/counters", "sha256") for master in masters)


def _alias(key: bytes, realm: str, name: str) -> str:
    return hmac.digest(key, f"{realm}\x00{canonical(name)}".encode(), "sha256").hex()


def _seconds(milliseconds: float) -> int:
    return math.ceil(milliseconds / 1000)


class Attempt:
    """One attempt at a secret. Without a verdict in `right` it ends as never made.

    `known` is False where the name belongs to no account: the counters of such names are bounded in number.
    """

    def __init__(self) -> None:
        """Begin undecided."""
        self.succeeded: bool | None = None
        self.known = True


@dataclass(slots=True)
class RateLimiter:
    """Says wait, by raising. Collaborators are fields; the first of `peppers` keys the names of counters.

    What was counted under the other ones, of former keys or of the next one, is counted on when a name is used.

    `patience` is how many seconds an attempt waits for others in flight, since right passwords in parallel are no
    attack; only then is it refused. `clock` is for what is stored, `monotonic` for waits in memory, which no change of
    the clock may lengthen.
    """

    counter_store: CounterStore
    clock: Clock
    alias_keys: tuple[bytes, ...]
    budgets: Budgets = field(default_factory=Budgets)
    backoff: Backoff = field(default_factory=Backoff)
    max_wait: float = 2.0
    monotonic: Clock = monotonic_clock
    _denied: dict[str, int] = field(default_factory=dict)
    _local: dict[str, float] = field(default_factory=dict)

    async def consume_address(self, address: str) -> None:
        """Charge a request that proves no tenant credential to its address; TooManyRequests when that is empty.

        While the counters cannot be reached, each process counts for itself: the limit holds per worker, never not.
        """
        spacing = f"spacing:{address}"
        if self.budgets.spacing:
            # Asked before the budget is charged, since a refused request must not use anything up.
            self._refuse_known(spacing)
        await self._consume_shared_or_local(f"address:{address}", self.budgets.address)
        if self.budgets.spacing:
            await self._consume_shared_or_local(spacing, Budget(self.budgets.spacing, 1))
            self._remember(spacing, self.budgets.spacing)

    async def consume_write(self, tenant_id: str) -> None:
        """Charge a change of a tenant's users to the tenant.

        While the counters refuse writes, each process counts for itself: what ends sessions must not wait for them.
        """
        await self._consume_shared_or_local(f"write:{tenant_id}", self.budgets.write)

    async def consume_bulk(self, tenant_id: str) -> None:
        """Charge an import or an export of users to the tenant: as much as ten changes, counted apart from them."""
        budget = self.budgets.write
        await self._consume_shared(f"bulk:{tenant_id}", Budget(budget.period * _BULK, -(-budget.burst // _BULK)))

    async def consume_login(self, tenant_id: str) -> None:
        """Charge a login of one of the tenant's users to the tenant."""
        await self._consume_shared(f"login:{tenant_id}", self.budgets.login)

    def consume_verify(self, tenant_id: str, tokens: int = 1) -> None:
        """Charge questions to the tenant: in memory, per process, because asking must not cost a write."""
        self._consume_in_memory(tenant_id, self.budgets.verify, tokens)

    def consume_body(self, tenant_id: str, size: int) -> None:
        """Charge a large body of so many bytes to the tenant, a kilobyte like a question, but counted apart."""
        self._consume_in_memory(f"body:{tenant_id}", self.budgets.verify, -(-size // _KILOBYTE))

    def consume_refused(self, tenant_id: str, size: int, *, is_verification: bool) -> None:
        """Charge a refused request with a body of so many bytes to the tenant, counted apart from all others.

        A `question` about a token has a counter of its own: clients of a tenant's application cause such refusals with
        made-up tokens, and must not use up what the tenant's other requests need.
        """
        amount = 1 + size // _KILOBYTE
        if is_verification:
            self._consume_in_memory(f"refused_verify:{tenant_id}", self.budgets.verify, amount)
        else:
            self._consume_in_memory(f"refused:{tenant_id}", self.budgets.verify, amount, all_that_is_left=True)

    def check_refused(self, tenant_id: str) -> None:
        """Let a tenant go on, unless too many of its requests were refused: TooManyRequests, before more is done."""
        budget = self.budgets.verify
        wait = self._local.get(f"refused:{tenant_id}", 0) + budget.period * (1 - budget.burst) - self.monotonic()
        if budget.burst and wait > 0:
            raise TooManyRequests("refused", retry_after=_seconds(wait))

    def _consume_in_memory(self, key: str, budget: Budget, amount: int = 1, *, all_that_is_left: bool = False) -> None:
        """Take from a budget in memory; TooManyRequests where there is less. `all_that_is_left`: that is taken then."""
        if not budget.burst:
            return
        now = self.monotonic()
        # What costs more than there ever is costs as much as there is.
        amount = min(amount, budget.burst)
        full_at = max(self._local.get(key, 0), now) + budget.period * amount
        excess = full_at - now - budget.period * budget.burst
        if excess > _ROUNDING_ERROR:
            if all_that_is_left:
                self._local[key] = full_at - excess
            raise TooManyRequests(_budget_of(key), retry_after=_seconds(excess))
        self._local[key] = full_at
        if len(self._local) > _REMEMBERED_DENIALS:
            self._local = {known: at for known, at in self._local.items() if at > now}

    async def _consume_shared_or_local(self, key: str, budget: Budget) -> None:
        try:
            await self._consume_shared(key, budget)
        except StoreUnavailable:
            self._consume_in_memory(key, budget)

    async def _consume_shared(self, key: str, budget: Budget) -> None:
        if not budget.burst:
            return
        # A refusal holds until its moment whoever asks, so until then nobody has to be asked.
        self._refuse_known(key)
        wait = await self.counter_store.consume(key, period=int(budget.period), burst=budget.burst, now=self.clock())
        if wait > 0:
            self._remember(key, wait)
            raise TooManyRequests(_budget_of(key), retry_after=_seconds(wait))
        self._denied.pop(key, None)

    def alias(self, realm: str, name: str) -> str:
        """Return what stands for a name in a realm (a tenant's id, or TENANTS); one for all its spellings."""
        return _alias(self.alias_keys[0], realm, name)

    def replace_keys(self, alias_keys: Sequence[bytes]) -> None:
        """Hide names with the first of these from now on, without forgetting what was counted before."""
        self.alias_keys = tuple(dict.fromkeys([*alias_keys, *self.alias_keys]))

    def _refuse_known(self, key: str) -> None:
        until = self._denied.get(key)
        if until is not None and (wait := until - self.monotonic()) > 0:
            raise TooManyRequests(_budget_of(key), retry_after=_seconds(wait))

    def _remember(self, key: str, wait: int) -> None:
        now = self.monotonic()
        if len(self._denied) >= _REMEMBERED_DENIALS:
            self._denied = {known: at for known, at in self._denied.items() if at > now}
        self._denied[key] = now + wait

    def counter_key(self, realm: str, name: str, session: str = "") -> str:
        """Return the counter of a name in a realm; with a session that was proven, the one of its attempts alone."""
        return f"attempts:{self.alias(_scope(realm, session), name)}"

    async def _counter(self, realm: str, name: str, session: str = "") -> str:
        key = self.counter_key(realm, name, session)
        for other in self.alias_keys[1:]:
            former = f"attempts:{_alias(other, _scope(realm, session), name)}"
            await self.counter_store.transfer(key, former, now=self.clock())
        return key

    @asynccontextmanager
    async def attempt(self, realm: str, name: str, *, session: str = "") -> AsyncIterator[Attempt]:
        """Reserve an attempt at the secret of a name, whether or not the name exists, before the secret is looked at.

        `session` is the id of a live session that the client has proven. Its attempts are counted apart, so that
        failures from elsewhere lock no client out that is logged in. TooManyAttempts where earlier failures demand a
        wait, AccountLocked where there were too many.
        """
        key = await self._counter(realm, name, session)
        await self._reserve(key)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            # Shielded: a client that hangs up must not get its failure back.
            await asyncio.shield(self._settle(key, realm, attempt))

    async def _reserve(self, key: str) -> None:
        waited, pause = 0.0, _POLL
        while True:
            verdict = await self.counter_store.reserve(key, self.backoff, now=self.clock())
            if not verdict.wait:
                return
            if verdict.locked:
                raise AccountLocked
            if not verdict.busy or waited >= self.max_wait:
                raise TooManyAttempts(retry_after=max(1, _seconds(verdict.wait)))
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, _LONGEST_POLL)

    async def _settle(self, key: str, realm: str, attempt: Attempt) -> None:
        if attempt.succeeded is None:
            await self.counter_store.release(key)
        elif attempt.succeeded:
            await self.counter_store.reset(key)
        else:
            unknown_in = "" if attempt.known else self.alias(realm, "")
            await self.counter_store.settle(key, self.backoff, now=self.clock(), unknown_in=unknown_in)

    async def failures(self, realm: str, name: str) -> Failures:
        """Return the failures of a name, changing nothing; also those counted under former keys."""
        found = [
            await self.counter_store.failures(f"attempts:{_alias(pepper, realm, name)}", self.backoff, now=self.clock())
            for pepper in self.alias_keys
        ]
        return Failures(
            sum(one.in_a_row for one in found),
            max(one.blocked_until for one in found),
            any(one.locked for one in found),
        )

    async def reset_failures(self, realm: str, name: str, sessions: Iterable[str] = ()) -> None:
        """Forget the failures of a name, and those counted apart for these sessions of its account."""
        keys = [await self._counter(realm, name, session) for session in ("", *sessions)]
        await self.counter_store.clear(keys, now=self.clock())

    async def rename_identity(self, realm: str, name: str, other: str) -> None:
        """Count on under another name what failed under the name of an account."""
        former, key = await self._counter(realm, name), await self._counter(realm, other)
        if key != former:
            await self.counter_store.transfer(key, former, now=self.clock())


def _budget_of(key: str) -> str:
    """Return the name of the budget that a counter is of."""
    name, colon, _ = key.partition(":")
    return name if colon else "verify"


def _scope(realm: str, session: str) -> str:
    return f"{realm}/{session}" if session else realm
