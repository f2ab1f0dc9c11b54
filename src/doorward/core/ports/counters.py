"""Budgets and failures."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_WORKER_SKEW = 2_000
"""How many milliseconds the clocks of two workers may be apart: as far as `doorward doctor` lets them be."""


def max_time_ahead(period: int, burst: int) -> int:
    """Return how many milliseconds ahead a budget's time may lie before it is taken for one of a clock since set back.

    A budget that is used up lies `period * burst` ahead. What the clocks of workers differ by, and the time that a
    statement takes to reach the store, must not fill it, so it may lie further ahead by that.
    """
    whole = period * burst
    return whole + max(whole - period, MAX_WORKER_SKEW)


class AttemptPermit(NamedTuple):
    """Whether an attempt may go on.

    `wait` is how many milliseconds to wait, 0 for go on; `busy` says that only attempts in flight stand in the way,
    `locked` that no wait helps.
    """

    wait: int
    busy: bool = False
    locked: bool = False


class Failures(NamedTuple):
    """Failures in a row, and until when they block the next attempt: 0 where they do not.

    `locked` says that no wait helps.
    """

    in_a_row: int = 0
    blocked_until: int = 0
    locked: bool = False


class Backoff(NamedTuple):
    """How failures slow an identity down. Times in milliseconds.

    The first `free` failures demand no wait, the next one `first`, and each after it twice as much, up to `longest`.

    Failures are forgotten when the last one is `memory_each` times their number old, at the latest after `memory`; from
    `cap` on, after 100 times `memory`. With the defaults this admits three guesses a day for good, which is what 99
    failures in every 30 days come to. `unknown` is the number of counters a realm may have of names without an account.
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
        """How often the wait doubles before it is the longest."""
        return (self.max_wait // self.first_wait).bit_length()

    def wait(self, failures: int) -> int:
        """Return the wait that so many failures in a row demand."""
        beyond = failures - self.free_attempts
        if beyond <= 0:
            return 0
        return self.max_wait if beyond > self.doublings else self.first_wait << (beyond - 1)

    def denied_permit(self, failures: int, blocked_until: int, now: int) -> AttemptPermit:
        """Return why a counter of this state refuses an attempt."""
        if failures >= self.max_failures:
            return AttemptPermit(self.max_wait, locked=True)
        own = self.wait(failures)
        if own and now < blocked_until <= now + own + MAX_WORKER_SKEW:
            return AttemptPermit(min(blocked_until - now, own))
        return AttemptPermit(self.first_wait, busy=True)

    def failures_at(self, failures: int, blocked_until: int, expires_at: int, now: int) -> Failures:
        """Return what a counter of this state means now."""
        if expires_at <= now or not failures:
            return Failures()
        blocks = now < blocked_until <= now + self.wait(failures) + MAX_WORKER_SKEW
        return Failures(failures, blocked_until if blocks else 0, failures >= self.max_failures)


class CounterStore(Protocol):
    """Budgets and failures; may be lost in a power cut, never by a restart. Every method is one atomic step.

    A stored time that lies further ahead than the rule it comes from can put it, and `APART` beyond, is of before the
    clock was set back. It does not count.
    """

    async def consume(self, key: str, *, period: int, burst: int, now: int) -> int:
        """Take one from a budget that refills one each `period` ms and holds `burst` (GCRA).

        Returns 0 if there was one, else after how many milliseconds there will be one, at most `period * burst`. A
        refused take costs nothing. A budget whose stored time is more than `furthest` ahead is full.
        """
        ...

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> AttemptPermit:
        """Ask for an attempt at a secret, before the secret is looked at. A refused one changes nothing.

        At most as many attempts are in flight as may still fail without a wait. A reservation that is neither settled
        nor released is forgotten after `rule.lease`.
        """
        ...

    async def settle(self, key: str, rule: Backoff, *, now: int, unknown_in: str = "") -> None:
        """Turn a reservation into a failure: the wait before the next attempt doubles beyond the free ones.

        `unknown_in` is the realm of a name that belongs to no account, empty for the name of an account.
        """
        ...

    async def release(self, key: str) -> None:
        """Give a reservation back: the secret was never looked at."""
        ...

    async def failures(self, key: str, rule: Backoff, *, now: int) -> Failures:
        """Return the failures counted under `key`, changing nothing."""
        ...

    async def reset(self, key: str) -> None:
        """Give a reservation back and forget all failures: the secret was right."""
        ...

    async def clear(self, keys: Sequence[str], *, now: int) -> None:
        """Forget all failures of these names, and no reservation: a secret was replaced, or an account unlocked."""
        ...

    async def transfer(self, key: str, former: str, *, now: int) -> None:
        """Count on under `key` what failed under its former name, of which nothing is left; blocks go on as well.

        Where the former name was that of an account, `key` is that of an account from now on.
        """
        ...

    async def evict(self, rule: Backoff, *, now: int, limit: int) -> int:
        """Remove up to `limit` counters of unknown names from realms that have more than `rule.unknown` of them.

        Returns how many were removed. Those of the fewest failures go first, of these the newest, so that no flood of
        made-up names pushes out what was counted before it. One whose last failure is younger than `rule.longest` goes
        only where there is no older one: a counter that vanished at once would tell that its name is unknown. Counters
        of accounts are never removed.
        """
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` counters that say nothing any more; return how many were removed.

        A store that removes some of them by itself has that much less to do here.
        """
        ...
