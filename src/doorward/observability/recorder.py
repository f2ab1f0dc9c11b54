"""What is seen of requests on both lanes: counted, timed, and written as a line each where that is asked for.

Nothing of a request is kept that its sender chose freely: no path, no query, no header, no body, no name.
"""

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple, Protocol

from doorward.core.histogram import DurationHistogram

log = logging.getLogger("doorward.access")

VERIFY, LOGIN = "express", "login"
"""The lanes before the router: for questions, which take microseconds, and for logins, which take a hash."""

OK = "ok"
_FAULT = 500
_TIMED = 64
_MAX_ERRORS_PER_SECOND = 50
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RouteKey(NamedTuple):
    """What was asked: the method and the template of the path, "" where there is none, and the lane it took."""

    method: str
    route: str
    lane: str


class RequestIdentity(Protocol):
    """What a log line says of a request beyond what it asked: its id, the tenant that it proved, its address."""

    @property
    def request_id(self) -> str: ...  # noqa: D102 - the class says it

    @property
    def tenant_id(self) -> str: ...  # noqa: D102 - likewise

    @property
    def address(self) -> str: ...  # noqa: D102 - likewise


@dataclass(slots=True)
class Counter:
    """How often something that is asked all the time was answered with 200 and yes; one in `every` of them is timed.

    The rest is the number's owner to count, in place: a call for it would cost more than the counting.
    """

    key: RouteKey
    sample_every: int
    count: int = 0


@dataclass(slots=True)
class RequestRecorder:
    """Sees every answer. `access` says which of them are logged: `on` all, `errors` those that are ours to mend, `off`.

    Both counts and `durations`, by lane, are plain numbers: a question is answered so fast that anything more would be
    felt.
    """

    access: str = "errors"
    durations: dict[str, DurationHistogram] = field(default_factory=dict)
    _answers: dict[tuple[RouteKey, int, str], int] = field(default_factory=dict)
    _tallies: list[Counter] = field(default_factory=list)
    _second: float = 0.0
    _written: int = 0
    _left_out: int = 0

    def counter(self, asked: RouteKey) -> Counter:
        """Return where to count what is answered with yes; of questions only some are shown to `sampled`."""
        tally = Counter(asked, _TIMED if asked.lane == VERIFY and self.access != "on" else 1)
        self._tallies.append(tally)
        return tally

    def record_sample(self, tally: Counter, seconds: float, sender: RequestIdentity) -> None:
        """Note how long one of the answers took that are counted already; it stands for all that were not timed."""
        self._time(tally.key.lane, seconds, tally.sample_every)
        if self.access == "on":
            self._write((tally.key, HTTPStatus.OK.value, OK), seconds, sender)

    def record(
        self, asked: RouteKey, status: HTTPStatus | int, outcome: str, seconds: float, sender: RequestIdentity
    ) -> None:
        """Note an answer."""
        # An HTTPStatus hashes in Python code, which is slow.
        key = (asked, int(status), outcome)
        self._answers[key] = self._answers.get(key, 0) + 1
        self._time(asked.lane, seconds)
        if self.access != "off" and (self.access == "on" or key[1] >= _FAULT):
            self._write(key, seconds, sender)

    @property
    def responses(self) -> dict[tuple[RouteKey, int, str], int]:
        """How many answers there were, by what was asked, status and outcome (`ok`, or the code of the refusal)."""
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
        """Return how many lines were left out since the last, or None where this one is to be left out too.

        What goes wrong for one goes wrong for thousands, and then the log must not be what brings the service down.
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
    """Return what was asked. Methods that nobody serves are one, so that strangers cannot make up new ones."""
    return RouteKey(method if method in _METHODS else "other", route, lane)
