"""Errors and log lines for writes that a full store rejects."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from doorward.core.errors import StoreUnavailable

log = logging.getLogger(__name__)

DATABASE_DISK = "the disk of the database"
REDIS_MEMORY = "the memory of Redis"
_LOG_SECONDS = 60.0


@dataclass(slots=True)
class FullStoreReporter:
    """Creates the errors for writes that a full `resource` rejects, and logs them at most once a minute."""

    resource: str
    monotonic: Callable[[], float] = monotonic
    _rejected: int = 0
    _logged_at: float | None = None

    def error(self) -> StoreUnavailable:
        """Return the error for one write, and count it in the log."""
        self._rejected += 1
        now = self.monotonic()
        if self._logged_at is None or now - self._logged_at >= _LOG_SECONDS:
            reason = f"{self.resource} is full; make room, a restart is not needed"
            log.error("store full: writes rejected", extra={"reason": reason, "refused": self._rejected})
            self._rejected, self._logged_at = 0, now
        return StoreUnavailable(retry_after=1, full=self.resource)
