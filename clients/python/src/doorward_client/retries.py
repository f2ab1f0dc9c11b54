"""Retries of calls that are safe to repeat, within the number of attempts and the timeout of a call."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import SystemRandom
from typing import Any

from doorward_client.calls import Answer, Call, NoAnswer, code_of, retry_after

_UNDONE = {"too_many_requests", "overloaded", "too_many_connections"}
"""Errors that Doorward returns before it processes a request, so that changes can be retried as well."""

_AWAY = {502, 503, 504}
_FIRST_PAUSE = 0.05
_jitter = SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """Maximum attempts of a call, and the seconds that it may take with all attempts and pauses."""

    attempts: int
    seconds: float
    quick_seconds: float


class Effort:
    """The attempts of one call."""

    def __init__(self, call: Call[Any], patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the timeout of the call."""
        self._call = call
        self._attempts = patience.attempts
        self._tries = 0
        self._clock = clock
        self._end = clock() + (patience.quick_seconds if call.quick else patience.seconds)

    @property
    def remaining(self) -> float:
        """The remaining seconds; always positive, since httpx requires a positive timeout."""
        return max(self._end - self._clock(), 0.001)

    def pause(self, outcome: Answer | NoAnswer) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is none."""
        self._tries += 1
        if self._tries >= self._attempts or not _harmless(self._call, outcome):
            return None
        delay = (retry_after(outcome) or 0.0) if isinstance(outcome, Answer) else 0.0
        # Random jitter keeps clients from retrying at the same time.
        pause = delay + _jitter.uniform(0.5, 1.0) * _FIRST_PAUSE * 2.0**self._tries
        return pause if pause < self._end - self._clock() else None


def _harmless(call: Call[Any], outcome: Answer | NoAnswer) -> bool:
    if isinstance(outcome, NoAnswer):
        return call.question or not outcome.sent
    if outcome.status < 400:  # noqa: PLR2004 - where errors begin
        return False
    if code_of(outcome) in _UNDONE:
        return retry_after(outcome) is not None
    return call.question and outcome.status in _AWAY
