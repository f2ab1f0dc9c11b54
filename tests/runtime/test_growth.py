"""Memory does not grow with the number of requests.

Counted are the blocks that Python's allocator has given out, after all cycles were collected: any leak leaves at least
one of them for each request, session or failure. What is remembered on purpose has its bounds made small, so that
seconds reach them, and a bound that is not kept shows.
"""

import gc
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from doorward.core.errors import Refusal
from doorward.core.model import Session
from doorward.core.rate_limits import limiter
from doorward.core.sessions import activity
from doorward.core.sessions.activity import ActivityRecorder
from doorward.core.tokens import codec as tokens
from harness import PASSWORD, TurnableClock, read_settings, running
from raw_http import Wire, exchange, request

TORTURE = os.environ.get("DOORWARD_TORTURE") == "1"
ALLOWED = 0.5
"""Blocks for each story, of fourteen requests. Whatever is kept of a story takes one at least."""


class Length(NamedTuple):
    """How many stories are told before anything is counted, how many between two counts, and how often that is done."""

    warm: int
    stories: int
    windows: int


# The long one is an hour's worth of stories, told one after the other.
WHOLE = Length(2000, 10_000, 12) if TORTURE else Length(120, 120, 5)
SHORT = Length(80, 60, 1)

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(7200 if TORTURE else 120)]


class Visitor:
    """A tenant's application on one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire = Wire(port)
        self._headers: dict[str, str] = {}
        token = self._send("POST", "/tenant", {"email": "shop@example.org", "password": PASSWORD})["token"]
        self._headers["Authorization"] = f"Bearer {token}"
        body = {"login": "alice", "email": "a@example.org", "password": "pw", "sub": "1"}
        self._send("POST", "/user", body)

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        return request(method, path, self._headers, json.dumps(body).encode() if body is not None else b"")

    def _send(self, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
        reply = self._wire.send(self._ask(method, path, body)).reply()
        assert reply.status == expected, reply
        return reply.json()

    def live(self, number: int) -> None:
        """Log in, ask, guess, list, and leave; a password and two tokens on the way are wrong. It is always a new session."""
        device = f"device-{number}"
        token = self._send("POST", "/auth", {"login": "alice", "password": "pw", "deviceId": device})["accessToken"]
        for _ in range(3):
            self._send("POST", "/auth/verify", {"token": token})
        self._send("POST", "/auth/verify", {"token": token[:-4] + "AAAA"}, 400)
        self._send("POST", "/auth/verify", {"token": f"nonsense-{number}"}, 400)
        self._send("POST", "/auth/verify/batch", {"tokens": [token, "nonsense"]})
        self._send("POST", "/auth", {"login": f"nobody-{number}", "password": "no", "deviceId": device}, 404)
        self._send("POST", "/auth", {"login": "alice"}, 422)
        self._send("GET", "/user/alice/sessions")
        self._send("GET", "/user?limit=5")
        self._send("POST", "/auth/logout", {"token": token})
        self._send("POST", "/auth/logout", {"token": token}, 400)
        assert exchange(self._port, self._ask("GET", f"/nothing-{number}")).status == 404


def blocks() -> int:
    """Return how many blocks of memory Python has given out and not taken back, cycles aside."""
    # Once more for what only the first collection has let go.
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks()


def growth(folder: Path, length: Length) -> float:
    """Return the blocks that each story leaves behind: the median of the slopes between any two counts (Theil, Sen)."""
    clock = TurnableClock()
    numbers = itertools.count()
    found: list[int] = []
    with running(read_settings(folder, {"METRICS_WHITE_LIST": "127.0.0.0/8"}), clock) as service:
        visitor = Visitor(service.port)
        for stories in [length.warm, *[length.stories] * length.windows]:
            for number in itertools.islice(numbers, stories):
                visitor.live(number)
                clock.turn(seconds=1)
            clock.turn(seconds=3600)
            # What was seen is written down every two seconds, and what was counted is added up every second.
            time.sleep(2.5)
            found.append(blocks())
    return statistics.median(
        (later - earlier) / ((after - before) * length.stories)
        for (before, earlier), (after, later) in itertools.combinations(enumerate(found), 2)
    )


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((tokens, "_MAX_REMEMBERED"), (activity, "_MAX_REMEMBERED"), (limiter, "_REMEMBERED_DENIALS")):
        monkeypatch.setattr(module, name, 50)


def test_mixed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    assert growth(tmp_path, WHOLE) < ALLOWED


def keep_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Session] = []
    saw = ActivityRecorder.record

    def keep(self: ActivityRecorder, session: Session) -> None:
        kept.append(session)
        saw(self, session)

    monkeypatch.setattr(ActivityRecorder, "record", keep)


def keep_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Refusal] = []
    refuse = Refusal.__init__

    def keep(self: Refusal, **details: Any) -> None:
        kept.append(self)
        refuse(self, **details)

    monkeypatch.setattr(Refusal, "__init__", keep)


def keep_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MAX_REMEMBERED", 1_000_000)


@pytest.mark.parametrize("leak", [keep_sessions, keep_refusals, keep_tokens])
def test_a_leak_would_be_seen(
    leak: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(monkeypatch)
    assert growth(tmp_path, SHORT) > 10 * ALLOWED
