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
_SAMPLE_EVERY = 64
_MAX_ERRORS_PER_SECOND = 50
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RouteKey(NamedTuple):
    """A kind of request: method, template of the path ("" for none), and lane (a fast path, or the router)."""

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
    _responses: dict[tuple[RouteKey, int, str], int] = field(default_factory=dict)
    _counters: list[Counter] = field(default_factory=list)
    _window_start: float = 0.0
    _logged: int = 0
    _omitted: int = 0

    def counter(self, key: RouteKey) -> Counter:
        """Return the counter of successful responses of this kind; of verifications, only samples are recorded."""
        counter = Counter(key, _SAMPLE_EVERY if key.lane == VERIFY and self.access != "on" else 1)
        self._counters.append(counter)
        return counter

    def record_sample(self, counter: Counter, seconds: float, request: RequestIdentity) -> None:
        """Record the duration of a response that was counted; it stands for the responses that were not timed."""
        self._time(counter.key.lane, seconds, counter.sample_every)
        if self.access == "on":
            self._write((counter.key, HTTPStatus.OK.value, OK), seconds, request)

    def record(
        self, route: RouteKey, status: HTTPStatus | int, outcome: str, seconds: float, request: RequestIdentity
    ) -> None:
        """Record a response."""
        # An HTTPStatus hashes in Python code, which is slow.
        key = (route, int(status), outcome)
        self._responses[key] = self._responses.get(key, 0) + 1
        self._time(route.lane, seconds)
        if self.access != "off" and (self.access == "on" or key[1] >= _FAULT):
            self._write(key, seconds, request)

    @property
    def responses(self) -> dict[tuple[RouteKey, int, str], int]:
        """The number of responses by kind, status and outcome (`ok`, or the code of the error)."""
        counts = dict(self._responses)
        for counter in self._counters:
            if counter.count:
                key = (counter.key, HTTPStatus.OK.value, OK)
                counts[key] = counts.get(key, 0) + counter.count
        return counts

    def _time(self, lane: str, seconds: float, times: int = 1) -> None:
        durations = self.durations.get(lane)
        if durations is None:
            durations = self.durations[lane] = DurationHistogram()
        durations.add(seconds, times)

    def _write(self, key: tuple[RouteKey, int, str], seconds: float, request: RequestIdentity) -> None:
        route, status, outcome = key
        omitted = self._omitted_since() if self.access == "errors" else 0
        if omitted is None:
            return
        fields: dict[str, object] = {
            "request_id": request.request_id,
            "method": route.method,
            "route": route.route,
            "status": status,
            "outcome": outcome,
            "milliseconds": round(seconds * 1000, 3),
            "address": request.address,
            "lane": route.lane,
        }
        if request.tenant_id:
            fields["tenant"] = request.tenant_id
        if omitted:
            fields["left_out"] = omitted
        log.log(logging.WARNING if status >= _FAULT else logging.INFO, "answered", extra=fields)

    def _omitted_since(self) -> int | None:
        """Return the number of lines omitted since the last one; None if this one is omitted too.

        Errors often occur by the thousand, for example while a store is unavailable. Logging them must not add load.
        """
        now = monotonic()
        if now - self._window_start >= 1:
            self._window_start, self._logged = now, 0
        if self._logged >= _MAX_ERRORS_PER_SECOND:
            self._omitted += 1
            return None
        self._logged += 1
        omitted, self._omitted = self._omitted, 0
        return omitted


def route_key(method: str, route: str, lane: str) -> RouteKey:
    """Return the kind of a request. All unknown methods are one, so that clients cannot create new kinds."""
    return RouteKey(method if method in _METHODS else "other", route, lane)
