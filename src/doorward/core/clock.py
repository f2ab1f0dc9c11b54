"""The only place where the service learns what time it is."""

import time


def system_clock() -> int:
    """Return the time of the machine, in milliseconds since the Unix epoch (UTC). It may be set, back as well."""
    return time.time_ns() // 1_000_000


def monotonic_clock() -> int:
    """Return milliseconds since an unknown moment; they only grow, whatever the clock is set to."""
    return time.monotonic_ns() // 1_000_000
