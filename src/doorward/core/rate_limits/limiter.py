"""`RateLimiter`: decides whether a request or an attempt is allowed; counts in a `CounterStore` or in memory.

Counters never contain a name in clear: names are hidden by an HMAC, so counters of unknown logins do not reveal who
tried what.
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
from doorward.core.rate_limits.budgets import Budget, Budgets

TENANTS = "tenants"
"""The realm of attempts at tenants' own passwords; the realm of a user is its tenant's id."""

_BULK = 10
_KILOBYTE = 1024
_POLL = 0.025
_ROUNDING_ERROR = 0.001
"""Milliseconds that sums of fractions may be off."""
_MAX_POLL = 0.2
_REMEMBERED_DENIALS = 50_000


def alias_keys(masters: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the keys of the HMAC that hides names, each derived from a master key."""
    return tuple(hmac.digest(master, b"doorward/counters", "sha256") for master in masters)


def _alias(key: bytes, realm: str, name: str) -> str:
    return hmac.digest(key, f"{realm}\x00{canonical(name)}".encode(), "sha256").hex()


def _seconds(milliseconds: float) -> int:
    return math.ceil(milliseconds / 1000)


class Attempt:
    """One attempt at a secret. While `succeeded` is None the attempt does not count.

    `known` is False where the name has no account: the number of counters of such names is bounded.
    """

    def __init__(self) -> None:
        """Start without a result."""
        self.succeeded: bool | None = None
        self.known = True


@dataclass(slots=True)
class RateLimiter:
    """Raises an error where a caller has to wait.

    The first of `alias_keys` hides the names of counters. Counts under the others, of former master keys or of the next
    one, move to the first when a name is used.

    `max_wait` is how many seconds an attempt waits for concurrent ones, since right passwords in parallel are no
    attack; then it is rejected. `clock` is for stored times, `monotonic` for waits in memory, which no change of the
    clock may lengthen.
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
        """Charge a request without a tenant credential to its address; raises TooManyRequests.

        While the counters are unavailable, each process counts for itself: the limit then holds per worker.
        """
        spacing = f"spacing:{address}"
        if self.budgets.spacing:
            # Checked before the budget is charged, since a rejected request must not consume anything.
            self._refuse_known(spacing)
        await self._consume_shared_or_local(f"address:{address}", self.budgets.address)
        if self.budgets.spacing:
            await self._consume_shared_or_local(spacing, Budget(self.budgets.spacing, 1))
            self._remember(spacing, self.budgets.spacing)

    async def consume_write(self, tenant_id: str) -> None:
        """Charge a change of a tenant's users to the tenant; raises TooManyRequests.

        While the counters reject writes, each process counts for itself: revocations must not wait for them.
        """
        await self._consume_shared_or_local(f"write:{tenant_id}", self.budgets.write)

    async def consume_bulk(self, tenant_id: str) -> None:
        """Charge an import or an export of users to the tenant; raises TooManyRequests.

        It costs as much as ten changes, and is counted separately.
        """
        budget = self.budgets.write
        await self._consume_shared(f"bulk:{tenant_id}", Budget(budget.period * _BULK, -(-budget.burst // _BULK)))

    async def consume_login(self, tenant_id: str) -> None:
        """Charge a login of one of the tenant's users to the tenant; raises TooManyRequests."""
        await self._consume_shared(f"login:{tenant_id}", self.budgets.login)

    def consume_verify(self, tenant_id: str, tokens: int = 1) -> None:
        """Charge verifications of tokens to the tenant; raises TooManyRequests.

        In memory, per process, so that a verification writes nothing.
        """
        self._consume_in_memory(tenant_id, self.budgets.verify, tokens)

    def consume_body(self, tenant_id: str, size: int) -> None:
        """Charge a large body of `size` bytes to the tenant; raises TooManyRequests.

        A kilobyte costs one verification, counted separately.
        """
        self._consume_in_memory(f"body:{tenant_id}", self.budgets.verify, -(-size // _KILOBYTE))

    def consume_refused(self, tenant_id: str, size: int, *, is_verification: bool) -> None:
        """Charge a rejected request with a body of `size` bytes to the tenant, counted separately from all others.

        Rejected verifications have a counter of their own: clients of an application cause them with made-up tokens,
        and must not exhaust the rate limit of the tenant's other requests.
        """
        amount = 1 + size // _KILOBYTE
        if is_verification:
            self._consume_in_memory(f"refused_verify:{tenant_id}", self.budgets.verify, amount)
        else:
            self._consume_in_memory(f"refused:{tenant_id}", self.budgets.verify, amount, all_that_is_left=True)

    def check_refused(self, tenant_id: str) -> None:
        """Raise TooManyRequests where too many of the tenant's requests were rejected, before more work is done."""
        budget = self.budgets.verify
        wait = self._local.get(f"refused:{tenant_id}", 0) + budget.period * (1 - budget.burst) - self.monotonic()
        if budget.burst and wait > 0:
            raise TooManyRequests("refused", retry_after=_seconds(wait))

    def _consume_in_memory(self, key: str, budget: Budget, amount: int = 1, *, all_that_is_left: bool = False) -> None:
        """Consume from a budget in memory; raises TooManyRequests where less is left.

        With `all_that_is_left`, the rest is consumed in that case.
        """
        if not budget.burst:
            return
        now = self.monotonic()
        # A cost above the burst counts as the burst.
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
        # A denial holds until its time for every caller, so until then the store is not read.
        self._refuse_known(key)
        wait = await self.counter_store.consume(key, period=int(budget.period), burst=budget.burst, now=self.clock())
        if wait > 0:
            self._remember(key, wait)
            raise TooManyRequests(_budget_of(key), retry_after=_seconds(wait))
        self._denied.pop(key, None)

    def alias(self, realm: str, name: str) -> str:
        """Return the alias of a name in a realm (a tenant id, or TENANTS); the same for all its spellings."""
        return _alias(self.alias_keys[0], realm, name)

    def replace_keys(self, alias_keys: Sequence[bytes]) -> None:
        """Hide names with the first of these keys from now on; earlier counts stay."""
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
        """Return the counter of a name in a realm; with a proven session, the counter of its attempts alone."""
        return f"attempts:{self.alias(_scope(realm, session), name)}"

    async def _counter(self, realm: str, name: str, session: str = "") -> str:
        key = self.counter_key(realm, name, session)
        for former_key in self.alias_keys[1:]:
            former = f"attempts:{_alias(former_key, _scope(realm, session), name)}"
            await self.counter_store.transfer(key, former, now=self.clock())
        return key

    @asynccontextmanager
    async def attempt(self, realm: str, name: str, *, session: str = "") -> AsyncIterator[Attempt]:
        """Reserve an attempt at the secret of a name, known or not, before the secret is compared.

        `session` is the id of a live session that the client has proven: its attempts are counted separately, so that
        failures from elsewhere do not lock out a client that is logged in. Raises TooManyAttempts where earlier
        failures require a wait, AccountLocked where there were too many.
        """
        key = await self._counter(realm, name, session)
        await self._reserve(key)
        attempt = Attempt()
        try:
            yield attempt
        finally:
            # Shielded: a client that disconnects must not undo its failure.
            await asyncio.shield(self._settle(key, realm, attempt))

    async def _reserve(self, key: str) -> None:
        waited, pause = 0.0, _POLL
        while True:
            permit = await self.counter_store.reserve(key, self.backoff, now=self.clock())
            if not permit.wait:
                return
            if permit.locked:
                raise AccountLocked
            if not permit.busy or waited >= self.max_wait:
                raise TooManyAttempts(retry_after=max(1, _seconds(permit.wait)))
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, _MAX_POLL)

    async def _settle(self, key: str, realm: str, attempt: Attempt) -> None:
        if attempt.succeeded is None:
            await self.counter_store.release(key)
        elif attempt.succeeded:
            await self.counter_store.reset(key)
        else:
            unknown_in = "" if attempt.known else self.alias(realm, "")
            await self.counter_store.settle(key, self.backoff, now=self.clock(), unknown_in=unknown_in)

    async def failures(self, realm: str, name: str) -> Failures:
        """Return the failures of a name, without a change; includes those under former keys."""
        failures = [
            await self.counter_store.failures(
                f"attempts:{_alias(alias_key, realm, name)}", self.backoff, now=self.clock()
            )
            for alias_key in self.alias_keys
        ]
        return Failures(
            sum(counted.in_a_row for counted in failures),
            max(counted.blocked_until for counted in failures),
            any(counted.locked for counted in failures),
        )

    async def reset_failures(self, realm: str, name: str, sessions: Iterable[str] = ()) -> None:
        """Reset the failures of a name, and those counted separately for these sessions of its account."""
        keys = [await self._counter(realm, name, session) for session in ("", *sessions)]
        await self.counter_store.clear(keys, now=self.clock())

    async def rename_identity(self, realm: str, name: str, new_name: str) -> None:
        """Move the failures of an account to its new name."""
        former, key = await self._counter(realm, name), await self._counter(realm, new_name)
        if key != former:
            await self.counter_store.transfer(key, former, now=self.clock())


def _budget_of(key: str) -> str:
    """Return the name of the rate limit that a counter belongs to."""
    name, colon, _ = key.partition(":")
    return name if colon else "verify"


def _scope(realm: str, session: str) -> str:
    return f"{realm}/{session}" if session else realm
