"""Store of rate limits and failed attempts."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_WORKER_SKEW = 2_000
"""Milliseconds that the clocks of two workers may differ; `doorward doctor` accepts no more."""


def max_time_ahead(period: int, burst: int) -> int:
    """Return how many milliseconds ahead the time of a rate limit may lie; beyond, the clock was set back since.

    The time of an exhausted budget lies `period * burst` ahead. The skew between workers, and the time that a statement
    takes to reach the store, must not fill the budget, so more is tolerated.
    """
    whole = period * burst
    return whole + max(whole - period, MAX_WORKER_SKEW)


class AttemptPermit(NamedTuple):
    """Permission for an attempt, or the reason against it.

    `wait` is the number of milliseconds to wait, 0 for a permitted attempt. `busy`: only concurrent attempts are in the
    way. `locked`: no wait helps.
    """

    wait: int
    busy: bool = False
    locked: bool = False


class Failures(NamedTuple):
    """Failures in a row, and the time until which they block the next attempt, 0 for none.

    `locked`: no wait helps.
    """

    in_a_row: int = 0
    blocked_until: int = 0
    locked: bool = False


class Backoff(NamedTuple):
    """Waits after failed attempts. Times in milliseconds.

    After the first `free_attempts` failures, the next one requires a wait of `first_wait`, and each further one twice
    as much, up to `max_wait`.

    Failures expire when the last one is `memory_per_failure` times their number old, at the latest after `max_memory`;
    from `max_failures` on, after 100 times `max_memory`. With the defaults this admits three guesses a day in the long
    run, which is what 99 failures in every 30 days come to. `max_unknown` is the number of counters per realm for names
    without an account.
    """

    free_attempts: int = 4
    first_wait: int = 1_000
    max_wait: int = 900_000
    max_failures: int = 100
    lease: int = 10_000
    max_memory: int = 30 * 86_400_000
    memory_per_failure: int = 8 * 3_600_000
    max_unknown: int = 10_000

    @property
    def doublings(self) -> int:
        """The number of doublings until the wait is the longest."""
        return (self.max_wait // self.first_wait).bit_length()

    def wait(self, failures: int) -> int:
        """Return the wait after this number of failures in a row."""
        beyond = failures - self.free_attempts
        if beyond <= 0:
            return 0
        return self.max_wait if beyond > self.doublings else self.first_wait << (beyond - 1)

    def denied_permit(self, failures: int, blocked_until: int, now: int) -> AttemptPermit:
        """Return the permit that a counter in this state denies an attempt with."""
        if failures >= self.max_failures:
            return AttemptPermit(self.max_wait, locked=True)
        own = self.wait(failures)
        if own and now < blocked_until <= now + own + MAX_WORKER_SKEW:
            return AttemptPermit(min(blocked_until - now, own))
        return AttemptPermit(self.first_wait, busy=True)

    def failures_at(self, failures: int, blocked_until: int, expires_at: int, now: int) -> Failures:
        """Return the failures that a counter in this state stands for at `now`."""
        if expires_at <= now or not failures:
            return Failures()
        blocks = now < blocked_until <= now + self.wait(failures) + MAX_WORKER_SKEW
        return Failures(failures, blocked_until if blocks else 0, failures >= self.max_failures)


class CounterStore(Protocol):
    """Rate limits and failed attempts; may be lost in a power cut, never by a restart. Every method is one atomic step.

    A stored time that lies further ahead than its rule can put it, plus `MAX_WORKER_SKEW`, is from before the clock was
    set back and does not count.
    """

    async def consume(self, key: str, *, period: int, burst: int, now: int) -> int:
        """Consume one from a budget that refills one per `period` ms and holds `burst` (GCRA).

        Returns 0 on success, else the milliseconds until one is available, at most `period * burst`. A denied request
        costs nothing. A budget whose stored time is more than `max_time_ahead` ahead is full.
        """
        ...

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> AttemptPermit:
        """Reserve an attempt at a secret, before the secret is compared. A denied reservation changes nothing.

        The number of concurrent attempts is at most the number that may still fail without a wait. A reservation that
        is neither settled nor released expires after `rule.lease`.
        """
        ...

    async def settle(self, key: str, rule: Backoff, *, now: int, unknown_in: str = "") -> None:
        """Turn a reservation into a failure; beyond the free attempts, the wait before the next one doubles.

        `unknown_in` is the realm of a name without an account, "" for the name of an account.
        """
        ...

    async def release(self, key: str) -> None:
        """Release a reservation: the secret was never compared."""
        ...

    async def failures(self, key: str, rule: Backoff, *, now: int) -> Failures:
        """Return the failures counted under `key`, without a change."""
        ...

    async def reset(self, key: str) -> None:
        """Release a reservation and reset all failures: the secret was right."""
        ...

    async def clear(self, keys: Sequence[str], *, now: int) -> None:
        """Reset all failures of these names, but no reservation: a secret was replaced, or an account unlocked."""
        ...

    async def transfer(self, key: str, former: str, *, now: int) -> None:
        """Move the failures and waits of `former` to `key`; nothing stays under `former`.

        Where `former` was the name of an account, `key` is that of an account from now on.
        """
        ...

    async def evict(self, rule: Backoff, *, now: int, limit: int) -> int:
        """Remove up to `limit` counters of unknown names from realms with more than `rule.max_unknown` of them.

        Returns the number. Those with the fewest failures are removed first, of these the newest, so that a flood of
        random names does not displace earlier counters. A counter whose last failure is younger than `rule.max_wait` is
        removed only where no older one exists: one that vanished at once would reveal that its name is unknown.
        Counters of accounts are never removed.
        """
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` counters without effect; return the number.

        A store that removes some of them by itself has less to do here.
        """
        ...
