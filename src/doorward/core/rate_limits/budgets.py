"""Rate limits of a service: their names, and how many requests each admits."""

from dataclasses import dataclass

BUDGETS = ("address", "spacing", "verify", "body", "refused_verify", "refused", "write", "bulk", "login")
"""Published names of the rate limits. The key of a counter begins with the name and a colon, except for `verify`."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A rate limit: `burst` requests at once, refilled one per `period` milliseconds. A burst of 0 means no limit.

    Stores count in whole milliseconds; only a budget in memory (`verify`) may have a fraction.
    """

    period: float
    burst: int


@dataclass(frozen=True, slots=True)
class Budgets:
    """The rate limits of a service.

    `spacing` is the least time between two requests of one address, in milliseconds.
    """

    address: Budget = Budget(200, 5)
    spacing: int = 0
    verify: Budget = Budget(1, 2_000)
    write: Budget = Budget(20, 100)
    login: Budget = Budget(100, 30)
