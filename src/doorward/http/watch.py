"""What is seen of requests on both lanes: counted, timed, and written as a line each where that is asked for.

Nothing of a request is kept that its sender chose freely: no path, no query, no header, no body, no name.
"""

import logging
from bisect import bisect_left
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple, Protocol

log = logging.getLogger("doorward.access")

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The upper bounds that durations are counted below."""

YES = "ok"
_FAULT = 500
_ERRORS_A_SECOND = 50
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Asked(NamedTuple):
    """What was asked: the method and the template of the path, "" where there is none, and the lane it took."""

    method: str
    route: str
    lane: str


class Sender(Protocol):
    """What a log line says of a request beyond what it asked: its id, the tenant that it proved, its address."""

    @property
    def request_id(self) -> str: ...  # noqa: D102 - the class says it

    @property
    def tenant_id(self) -> str: ...  # noqa: D102 - likewise

    @property
    def address(self) -> str: ...  # noqa: D102 - likewise


class Stranger(NamedTuple):
    """The sender of a request that was answered before anybody looked at what it asks."""

    request_id: str = ""
    address: str = ""
    tenant_id: str = ""


@dataclass(slots=True)
class Watch:
    """Sees every answer. `access` says which of them are logged: `on` all, `errors` those that are ours to mend, `off`.

    `answers` counts by what was asked, status and outcome (`ok`, or the code of the refusal); `durations` by lane: one
    number for each of `SECONDS`, one for what took longer, and the sum in seconds. Both are plain numbers: a question
    is answered so fast that anything more would be felt.
    """

    access: str = "errors"
    answers: dict[tuple[Asked, int, str], int] = field(default_factory=dict)
    durations: dict[str, list[float]] = field(default_factory=dict)
    _second: float = 0.0
    _written: int = 0
    _left_out: int = 0

    def saw(self, asked: Asked, status: HTTPStatus | int, outcome: str, seconds: float, sender: Sender) -> None:
        """Note an answer."""
        # An HTTPStatus hashes in Python code, which is slow; so does int of one, and almost every answer is this one.
        key = (asked, 200 if status is HTTPStatus.OK else int(status), outcome)
        answers = self.answers
        answers[key] = answers.get(key, 0) + 1
        counts = self.durations.get(asked.lane)
        if counts is None:
            counts = self.durations[asked.lane] = [0] * (len(SECONDS) + 2)
        counts[bisect_left(SECONDS, seconds)] += 1
        counts[-1] += seconds
        if self.access != "off" and (self.access == "on" or key[1] >= _FAULT):
            self._write(key, seconds, sender)

    def _write(self, key: tuple[Asked, int, str], seconds: float, sender: Sender) -> None:
        asked, status, outcome = key
        left_out = self._skip() if self.access == "errors" else 0
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

    def _skip(self) -> int | None:
        """Return how many lines were left out since the last, or None where this one is to be left out too.

        What goes wrong for one goes wrong for thousands, and then the log must not be what brings the service down.
        """
        now = monotonic()
        if now - self._second >= 1:
            self._second, self._written = now, 0
        if self._written >= _ERRORS_A_SECOND:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def ask(method: str, route: str, lane: str) -> Asked:
    """Return what was asked. Methods that nobody serves are one, so that strangers cannot make up new ones."""
    return Asked(method if method in _METHODS else "other", route, lane)
