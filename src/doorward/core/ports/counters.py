"""Budgets and failures."""

from typing import NamedTuple, Protocol


class Verdict(NamedTuple):
    """Whether an attempt may go on.

    `wait` is how many milliseconds to wait, 0 for go on; `busy` says that only attempts in flight stand in the way.
    """

    wait: int
    busy: bool = False


class Backoff(NamedTuple):
    """How failures slow an identity down. Times in milliseconds."""

    free: int = 4
    first: int = 1_000
    longest: int = 900_000
    cap: int = 100
    lease: int = 10_000
    memory: int = 30 * 86_400_000


class Counters(Protocol):
    """Budgets and failures; may be lost in a power cut, never by a restart. Every method is one atomic step."""

    async def take(self, key: str, *, period: int, burst: int, now: int) -> int:
        """Take one from a budget that refills one each `period` ms and holds `burst` (GCRA).

        Returns 0 if there was one, else after how many milliseconds there will be one. A refused take costs nothing.
        """
        ...

    async def reserve(self, key: str, rule: Backoff, *, now: int) -> Verdict:
        """Ask for an attempt at a secret, before the secret is looked at. A refused one changes nothing.

        At most as many attempts are in flight as may still fail without a wait. A reservation that is neither settled
        nor released is forgotten after `rule.lease`.
        """
        ...

    async def settle(self, key: str, rule: Backoff, *, now: int) -> None:
        """Turn a reservation into a failure: the wait before the next attempt doubles beyond the free ones."""
        ...

    async def release(self, key: str) -> None:
        """Give a reservation back: the secret was never looked at."""
        ...

    async def forget(self, key: str) -> None:
        """Give a reservation back and forget all failures: the secret was right, or was replaced."""
        ...

    async def inherit(self, key: str, former: str, *, now: int) -> None:
        """Count on under `key` what failed under its former name, of which nothing is left; blocks go on as well."""
        ...

    async def sweep(self, now: int, *, limit: int) -> int:
        """Remove up to `limit` counters that say nothing any more; return how many were removed.

        A store that removes some of them by itself has that much less to do here.
        """
        ...
