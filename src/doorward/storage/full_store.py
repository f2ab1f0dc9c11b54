"""Stores without room for another write: what callers get, and one log line for many refused writes."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from doorward.core.errors import StoreUnavailable

log = logging.getLogger(__name__)

DATABASE_DISK = "the disk of the database"
REDIS_MEMORY = "the memory of Redis"
_EVERY = 60.0


@dataclass(slots=True)
class FullStoreReporter:
    """Refusals of writes for want of room in `part`, logged once a minute at most."""

    part: str
    monotonic: Callable[[], float] = monotonic
    _refused: int = 0
    _logged_at: float | None = None

    def refusal(self) -> StoreUnavailable:
        """Return the refusal of one write; count it in the log."""
        self._refused += 1
        now = self.monotonic()
        if self._logged_at is None or now - self._logged_at >= _EVERY:
            reason = f"{self.part} is full; make room, a restart is not needed"
            log.error("the store refuses writes", extra={"reason": reason, "refused": self._refused})
            self._refused, self._logged_at = 0, now
        return StoreUnavailable(retry_after=1, full=self.part)
