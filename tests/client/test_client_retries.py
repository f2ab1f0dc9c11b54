"""Retries of the Python client; an unclear result never authenticates."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from client.conftest import Connect
from client.scripted_server import BreakOff, HangUp, Say, Step, Wait, stubborn
from doorward_client import (
    BadAnswer,
    Doorward,
    NotAuthorized,
    Refused,
    TooManyAttempts,
    TooManyRequests,
    Unavailable,
)
from doorward_client.calls import NoAnswer
from doorward_client.calls import verify as verify_call
from doorward_client.retries import Effort, Patience

CLAIMS = {
    "id": "1",
    "login": "alice",
    "tenant": "2",
    "deviceId": "laptop",
    "sub": "s",
    "aud": "doorward",
    "jti": "3",
    "iat": 1,
    "exp": 2,
}
USER = {"id": "1", "login": "a", "email": "a@b", "tenant": "2", "sub": "s", "registrationDate": 1, "lastActivity": 1}
TENANT = {
    "id": "1",
    "email": "a@b",
    "login": "tenant:a@b",
    "createdAt": 1,
    "settings": {
        "sessionLifetime": 1,
        "sessionIdle": None,
        "sessionsPerUser": 1,
        "tenantSessionLifetime": None,
        "passwordPolicy": {"minLength": None, "requireClasses": False, "blockCommon": False},
    },
}
LIVE = Say(200, {"decoded": CLAIMS})


def refusal(status: int, code: str, after: str | None = None) -> Say:
    body = {"error": "a sentence", "code": code, "status": status}
    return Say(status, body, {} if after is None else {"Retry-After": after})


AWAY = refusal(503, "store_unavailable", "0")
BUSY = refusal(503, "overloaded", "0")
SLOW_DOWN = refusal(429, "too_many_requests", "0")

QUESTIONS: dict[str, tuple[Callable[[Doorward], Any], Say]] = {
    "verify": (lambda doorward: doorward.verify("t"), LIVE),
    "verify_batch": (
        lambda doorward: doorward.verify_batch(["t"]),
        Say(200, {"results": [{"active": True, "decoded": CLAIMS}]}),
    ),
    "introspect": (lambda doorward: doorward.introspect("t"), Say(200, {"active": True})),
    "users.get": (lambda doorward: doorward.users.get("a"), Say(200, USER)),
    "users.page": (lambda doorward: doorward.users.page(), Say(200, {"users": [USER], "nextCursor": "0"})),
    "sessions.list": (lambda doorward: doorward.sessions.list("a"), Say(200, {"sessions": []})),
    "tenant.get": (lambda doorward: doorward.tenant.get(), Say(200, TENANT)),
    "keys.list": (lambda doorward: doorward.keys.list(), Say(200, {"keys": []})),
    "audit": (lambda doorward: list(doorward.audit()), Say(200, {"events": [], "nextCursor": "0"})),
}
CHANGES: dict[str, tuple[Callable[[Doorward], Any], Say]] = {
    "login": (lambda doorward: doorward.login("a", "p", "d"), Say(200, {"accessToken": "t", "expiresIn": 1})),
    "refresh": (lambda doorward: doorward.refresh("r"), Say(200, {"accessToken": "t", "expiresIn": 1})),
    "logout": (lambda doorward: doorward.logout("t"), Say(200, {"result": 1})),
    "revoke": (lambda doorward: doorward.revoke("t"), Say(200, {})),
    "users.create": (lambda doorward: doorward.users.create("a", "a@b", "p", "s"), Say(200, USER)),
    "users.put": (lambda doorward: doorward.users.put("a", "a@b", "p", "s"), Say(200, USER)),
    "users.patch": (lambda doorward: doorward.users.patch("a", password="p"), Say(200, USER)),
    "users.delete": (lambda doorward: doorward.users.delete("a"), Say(200, {"result": 1})),
    "users.change_password": (lambda doorward: doorward.users.change_password("a", "p", "q"), Say(200, {"result": 1})),
    "users.reset_code": (lambda doorward: doorward.users.reset_code("a"), Say(200, {"code": "c", "expiresIn": 1})),
    "users.reset": (lambda doorward: doorward.users.reset("c", "p"), Say(200, {"result": 1})),
    "users.import_users": (
        lambda doorward: doorward.users.import_users([]),
        Say(200, {"created": 0, "refused": 0, "results": []}),
    ),
    "sessions.end": (lambda doorward: doorward.sessions.end("a", "1"), Say(200, {"result": 1})),
    "sessions.end_everybody": (lambda doorward: doorward.sessions.end_everybody(), Say(200, {"result": 1})),
    "tenant.login": (lambda doorward: doorward.tenant.login("a@b", "p"), Say(200, {"token": "t"})),
    "tenant.settings": (lambda doorward: doorward.tenant.settings(session_idle=1), Say(200, TENANT)),
    "tenant.change_password": (lambda doorward: doorward.tenant.change_password("p", "q"), Say(200, {"result": 1})),
    "tenant.delete": (lambda doorward: doorward.tenant.delete("p"), Say(200, {"result": 1})),
    "keys.create": (
        lambda doorward: doorward.keys.create("n", ["verify"]),
        Say(
            201,
            {
                "id": "1",
                "name": "n",
                "permissions": ["verify"],
                "createdAt": 1,
                "expiresAt": None,
                "lastUsed": None,
                "key": "k",
            },
        ),
    ),
    "keys.revoke": (lambda doorward: doorward.keys.revoke("1"), Say(200, {"result": 1})),
}
EVERYTHING = QUESTIONS | CHANGES


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("failure", [AWAY, HangUp(), Say(502, b"<html>"), Say(504, b"")], ids=str)
def test_a_question_is_asked_again_after_a_failure(connect: Connect, name: str, failure: Step) -> None:
    ask, answer = QUESTIONS[name]
    with stubborn(failure, answer) as server:
        assert ask(connect(server.url, key="k")) is not None
        assert len(server.seen) == 2
        assert server.seen[0].body == server.seen[1].body


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(
    "failure", [AWAY, refusal(503, "deadline_exceeded", "0"), HangUp(), Say(502, b""), Say(500, b"")], ids=str
)
def test_a_change_whose_fate_is_open_is_never_sent_again(connect: Connect, name: str, failure: Step) -> None:
    ask, answer = CHANGES[name]
    with stubborn(failure, answer) as server:
        with pytest.raises(Unavailable):
            ask(connect(server.url, key="k"))
        assert len(server.seen) == 1


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("failure", [BUSY, SLOW_DOWN], ids=str)
def test_what_was_refused_before_anything_was_done_is_sent_again(connect: Connect, name: str, failure: Step) -> None:
    ask, answer = EVERYTHING[name]
    with stubborn(failure, answer) as server:
        ask(connect(server.url, key="k"))
        assert len(server.seen) == 2


def test_it_waits_as_long_as_it_is_told_to(connect: Connect) -> None:
    with stubborn(refusal(429, "too_many_requests", "1"), LIVE) as server:
        before = time.monotonic()
        assert connect(server.url, key="k").verify("t")
        assert time.monotonic() - before >= 1


@pytest.mark.parametrize("after", ["2", "3600", "1e999", "-1", "soon", ""])
def test_it_does_not_wait_longer_than_a_call_may_take(connect: Connect, after: str) -> None:
    with stubborn(refusal(429, "too_many_requests", after), LIVE) as server:
        with pytest.raises(TooManyRequests) as refused:
            connect(server.url, key="k", verify_timeout=1.5).verify("t")
        assert refused.value.retry_after == (float(after) if after in {"2", "3600"} else 1.0)
        assert len(server.seen) == 1


def test_wrong_passwords_are_for_the_person_to_wait_for(connect: Connect) -> None:
    with stubborn(refusal(429, "too_many_attempts", "0"), LIVE) as server:
        with pytest.raises(TooManyAttempts):
            connect(server.url, key="k").login("a", "p", "d")
        assert len(server.seen) == 1


def test_it_gives_up_after_the_tries_it_has(connect: Connect) -> None:
    with stubborn(AWAY) as server:
        with pytest.raises(Unavailable) as error:
            connect(server.url, key="k").verify("t")
        assert len(server.seen) == 3
        assert error.value.retry_after == 0
        with pytest.raises(Unavailable):
            connect(server.url, key="k", attempts=1).verify("t")
        assert len(server.seen) == 4


@pytest.mark.parametrize(
    "failure", [refusal(400, "bad_host"), refusal(403, "forbidden"), refusal(500, "internal_error")], ids=str
)
def test_what_would_be_refused_again_is_not_asked_again(connect: Connect, failure: Step) -> None:
    with stubborn(failure) as server:
        with pytest.raises((Refused, Unavailable)):
            connect(server.url, key="k").verify("t")
        assert len(server.seen) == 1


def test_a_silent_doorward_is_unavailable_within_the_time_of_a_question(connect: Connect) -> None:
    with stubborn(Wait()) as server:
        before = time.monotonic()
        with pytest.raises(Unavailable):
            connect(server.url, key="k", verify_timeout=0.3).verify("t")
        assert 0.25 < time.monotonic() - before < 15


def test_a_question_may_take_two_seconds_unless_told_otherwise() -> None:
    with Doorward("http://127.0.0.1") as doorward:
        assert doorward._sender.patience == Patience(attempts=3, seconds=10.0, quick_seconds=2.0)


def test_a_change_has_its_own_time(connect: Connect) -> None:
    with stubborn(Wait()) as server:
        with pytest.raises(Unavailable):
            connect(server.url, key="k", timeout=0.3, verify_timeout=60).login("a", "p", "d")
        assert len(server.seen) == 1


@pytest.mark.parametrize("name", EVERYTHING)
def test_nobody_home_is_unavailable(connect: Connect, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound and not listening: whoever connects is refused.
        doorward = connect(f"http://127.0.0.1:{taken.getsockname()[1]}", key="k", attempts=1)
        with pytest.raises(Unavailable):
            EVERYTHING[name][0](doorward)
        assert doorward.live() is False


STRANGE: list[Step] = [
    Say(200, b""),
    Say(200, b"<html>login here</html>"),
    Say(200, b"[" * 100_000),
    Say(200, []),
    Say(200, {}),
    Say(200, {"decoded": None}),
    Say(200, {"decoded": {}}),
    Say(200, {"decoded": CLAIMS | {"login": None}}),
    Say(200, {"decoded": CLAIMS | {"id": 7}}),
    Say(200, {"decoded": CLAIMS | {"exp": True}}),
    Say(200, {"active": True}),
    Say(302, b"", {"Location": "http://127.0.0.1:1/"}),
    Say(400, b"no"),
    Say(400, {"error": "invalid token"}),
    Say(404, b"not here"),
    BreakOff(b'{"decoded":'),
]


@pytest.mark.parametrize("step", STRANGE, ids=str)
def test_what_does_not_speak_like_doorward_lets_nobody_in(connect: Connect, step: Step) -> None:
    with stubborn(step) as server:
        doorward = connect(server.url, key="k", attempts=1)
        with pytest.raises(Unavailable):
            doorward.verify("t")
        with pytest.raises(Unavailable):
            doorward.tenant.verify("t")
        with pytest.raises(Unavailable):
            doorward.verify_batch(["t"])


@pytest.mark.parametrize(
    "results", [[], [{"active": True}], [{"active": 1, "decoded": CLAIMS}], [{"active": False}] * 2, ["x"]]
)
def test_half_an_answer_to_many_questions_is_none(connect: Connect, results: Any) -> None:
    with stubborn(Say(200, {"results": results})) as server, pytest.raises(BadAnswer):
        connect(server.url, key="k").verify_batch(["t"])


def test_a_credential_does_not_follow_a_redirection(connect: Connect) -> None:
    with stubborn(LIVE) as elsewhere, stubborn(Say(307, b"", {"Location": elsewhere.url})) as server:
        with pytest.raises(Unavailable):
            connect(server.url, key="k").verify("t")
        assert elsewhere.seen == []


def test_connections_are_used_again(connect: Connect) -> None:
    with stubborn(LIVE) as server:
        doorward = connect(server.url, key="k")
        for _ in range(3):
            doorward.verify("t")
        assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer k"}
        assert len(server.seen) == 3
        assert len({seen.port for seen in server.seen}) == 1


def test_a_service_below_a_path_is_found_there(connect: Connect) -> None:
    with stubborn(LIVE) as server:
        connect(f"{server.url}/doorward/", key="k").verify("t")
        assert server.seen[0].path == "/doorward/auth/verify"


def test_pauses_grow_and_differ_and_fit_into_what_is_left() -> None:
    now = 0.0
    call = verify_call("t")

    def pauses() -> list[float | None]:
        effort = Effort(call, Patience(4, 10, 1.0), lambda: now)
        return [effort.pause(NoAnswer("ReadTimeout", sent=True)) for _ in range(4)]

    many = [pauses() for _ in range(50)]
    for first, second, third, last in many:
        assert first is not None
        assert second is not None
        assert third is not None
        assert last is None
        assert 0.05 <= first <= 0.1 <= second <= 0.2 <= third <= 0.4
    assert len({first for first, *_ in many}) > 40
    effort = Effort(call, Patience(4, 10, 1.0), lambda: now)
    now = 0.99
    assert effort.pause(NoAnswer("ReadTimeout", sent=True)) is None
    now = 5.0
    assert effort.remaining > 0


def test_a_bad_key_is_told_apart_from_a_dead_token(connect: Connect) -> None:
    with stubborn(refusal(401, "not_authorized")) as server, pytest.raises(NotAuthorized):
        connect(server.url, key="k").verify("t")
    with stubborn(refusal(400, "invalid_token")) as server:
        assert connect(server.url, key="k").verify("t") is None
