"""Recording of requests: counts, durations, and the access log.

Records nothing that a client chooses freely: no path, no query, no header, no body, no name.
"""

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple, Protocol

from doorward.core.histogram import DurationHistogram

log = logging.getLogger("doorward.access")

VERIFY, LOGIN = "express", "login"
"""The kinds of fast path: verifications take microseconds, logins a password hash."""

OK = "ok"
_FAULT = 500
_TIMED = 64
_MAX_ERRORS_PER_SECOND = 50
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RouteKey(NamedTuple):
    """A kind of request: the method, the template of the path, "" for none, and the lane that handled it."""

    method: str
    route: str
    lane: str


class RequestIdentity(Protocol):
    """The identity of a request in a log line: its id, its tenant, its client address."""

    @property
    def request_id(self) -> str: ...  # noqa: D102 - the class says it

    @property
    def tenant_id(self) -> str: ...  # noqa: D102 - likewise

    @property
    def address(self) -> str: ...  # noqa: D102 - likewise


@dataclass(slots=True)
class Counter:
    """The number of successful responses of a frequent kind of request; one in `sample_every` is timed.

    The owner increments `count` in place: a call would cost more than the increment.
    """

    key: RouteKey
    sample_every: int
    count: int = 0


@dataclass(slots=True)
class RequestRecorder:
    """Records every response. `access` selects the logged ones: `on` all, `errors` those with a 5xx status, `off` none.

    Counts and `durations`, by lane, are plain numbers: a verification is so fast that more would be noticeable.
    """

    access: str = "errors"
    durations: dict[str, DurationHistogram] = field(default_factory=dict)
    _answers: dict[tuple[RouteKey, int, str], int] = field(default_factory=dict)
    _tallies: list[Counter] = field(default_factory=list)
    _second: float = 0.0
    _written: int = 0
    _left_out: int = 0

    def counter(self, asked: RouteKey) -> Counter:
        """Return the counter of successful responses of this kind; of verifications, only samples are recorded."""
        tally = Counter(asked, _TIMED if asked.lane == VERIFY and self.access != "on" else 1)
        self._tallies.append(tally)
        return tally

    def record_sample(self, tally: Counter, seconds: float, sender: RequestIdentity) -> None:
        """Record the duration of a response that was counted; it stands for the responses that were not timed."""
        self._time(tally.key.lane, seconds, tally.sample_every)
        if self.access == "on":
            self._write((tally.key, HTTPStatus.OK.value, OK), seconds, sender)

    def record(
        self, asked: RouteKey, status: HTTPStatus | int, outcome: str, seconds: float, sender: RequestIdentity
    ) -> None:
        """Record a response."""
        # An HTTPStatus hashes in Python code, which is slow.
        key = (asked, int(status), outcome)
        self._answers[key] = self._answers.get(key, 0) + 1
        self._time(asked.lane, seconds)
        if self.access != "off" and (self.access == "on" or key[1] >= _FAULT):
            self._write(key, seconds, sender)

    @property
    def responses(self) -> dict[tuple[RouteKey, int, str], int]:
        """The number of responses by kind, status and outcome (`ok`, or the code of the error)."""
        found = dict(self._answers)
        for tally in self._tallies:
            if tally.count:
                key = (tally.key, HTTPStatus.OK.value, OK)
                found[key] = found.get(key, 0) + tally.count
        return found

    def _time(self, lane: str, seconds: float, times: int = 1) -> None:
        durations = self.durations.get(lane)
        if durations is None:
            durations = self.durations[lane] = DurationHistogram()
        durations.add(seconds, times)

    def _write(self, key: tuple[RouteKey, int, str], seconds: float, sender: RequestIdentity) -> None:
        asked, status, outcome = key
        left_out = self._omitted_since() if self.access == "errors" else 0
        if left_out is None:
            return
        told: dict[str, object] = {
            "request_id": sender.request_id,
            "method": asked.method,
            "route": asked.route,
            "status": status,
            "outcome": outcome,
            "milliseconds": round(seconds * 1000, 3),
            "address": sender.address,
            "lane": asked.lane,
        }
        if sender.tenant_id:
            told["tenant"] = sender.tenant_id
        if left_out:
            told["left_out"] = left_out
        log.log(logging.WARNING if status >= _FAULT else logging.INFO, "answered", extra=told)

    def _omitted_since(self) -> int | None:
        """Return the number of lines omitted since the last one, or None where this one is to be omitted too.

        An error of one request is often one of thousands, and then logging must not overload the service.
        """
        now = monotonic()
        if now - self._second >= 1:
            self._second, self._written = now, 0
        if self._written >= _MAX_ERRORS_PER_SECOND:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def route_key(method: str, route: str, lane: str) -> RouteKey:
    """Return the kind of a request. All unknown methods are one, so that clients cannot create new kinds."""
    return RouteKey(method if method in _METHODS else "other", route, lane)
