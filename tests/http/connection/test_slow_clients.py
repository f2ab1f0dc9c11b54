"""Slow clients are disconnected, and do not delay others."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doorward.http.connection.registry import ConnectionLimits
from harness import Service, Tenant, read_settings, running
from internals import connections, move_sessions_away
from raw_http import Reply, Wire, request, wire

pytestmark = pytest.mark.one_setup

QUICK = ConnectionLimits(first_byte=0.3, head_time=0.3, body_time=0.3, handler_time=0.3, idle=0.3, linger=0.2)
"""A tick of the timer is a second, so everything slow has to be over a little more than that later."""
LATEST = 10.0
"""Generous, because the machine may be busy; without a deadline these clients would hold on for a minute."""


@pytest.fixture(scope="module")
def brisk(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits for nobody."""
    with running(read_settings(tmp_path_factory.mktemp("brisk"), store), limits=QUICK) as service:
        yield service


@pytest.fixture(scope="module")
def tenant(brisk: Service) -> Tenant:
    return brisk.tenant("slow@example.org")


def head(path: str, length: int = 100) -> bytes:
    return request("POST", path, {"Content-Type": "application/json", "Content-Length": str(length)})


def say_nothing(_: Wire) -> None:
    return


def send(data: bytes) -> Callable[[Wire], None]:
    def speak(connection: Wire) -> None:
        connection.send(data)

    return speak


def trickle(begin: bytes, data: bytes) -> Callable[[Wire], None]:
    def speak(connection: Wire) -> None:
        connection.send(begin).trickle(data, pause=0.1, seconds=LATEST)

    return speak


ALIVE = request("GET", "/health/live")
SLOW: dict[str, tuple[Callable[[Wire], None], list[int]]] = {
    "says nothing": (say_nothing, []),
    "stops in the request line": (send(b"POST /auth/ver"), [408]),
    "stops in the head": (send(b"POST /auth/verify HTTP/1.1\r\nHost: loc"), [408]),
    "stops before the last line": (send(head("/auth/verify")[:-2]), [408]),
    "sends the head byte by byte": (trickle(b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50), [408]),
    "sends empty lines": (trickle(b"", b"\r\n" * 500), []),
    "stops before the body": (send(head("/auth")), [408]),
    "stops before the body, express": (send(head("/auth/verify")), [408]),
    "stops in the body": (send(head("/auth") + b'{"login":'), [408]),
    "stops in the body, express": (send(head("/auth/verify") + b'{"token":'), [408]),
    "sends the body byte by byte": (trickle(head("/auth"), b" " * 99), [408]),
    "sends the body byte by byte, express": (trickle(head("/auth/verify"), b" " * 99), [408]),
    "sends chunks byte by byte": (
        trickle(request("POST", "/auth", {"Transfer-Encoding": "chunked"}), b"1\r\nx\r\n" * 99),
        [408],
    ),
    "sends trailers byte by byte": (
        trickle(request("POST", "/auth", {"Transfer-Encoding": "chunked"}) + b"0\r\n", b"X: y\r\n" * 99),
        [408],
    ),
    "says no more after an answer": (send(ALIVE), [200]),
    "says no more after an express answer": (send(request("POST", "/auth/verify", body=b'{"token":"x"}')), [401]),
    "begins a head behind a whole request": (send(ALIVE + b"GET / HTTP/1.1\r\nHo"), [200, 408]),
    "begins a body behind a whole request": (send(ALIVE + head("/auth") + b"{"), [200, 408]),
    "is answered before its body has come": (
        trickle(request("POST", "/auth?token=x", {"Content-Length": "99"}), b" " * 98),
        [400],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_TR3_who_is_too_slow_is_cut_off(brisk: Service, name: str) -> None:
    speak, statuses = SLOW[name]
    started = time.monotonic()
    with wire(brisk.port) as connection:
        speak(connection)
        answers: list[Reply] = [connection.reply() for _ in statuses]
        assert [answer.status for answer in answers] == statuses
        if 408 in statuses:
            assert answers[-1].code == "request_timeout"
            assert answers[-1].header("connection") == "close"
            assert answers[-1].header("x-frame-options") == "DENY"
            assert connection.is_closed(LATEST)
        else:
            assert connection.is_closed(LATEST)
    assert time.monotonic() < started + LATEST


def test_TR3_a_deadline_stands_behind_an_answer_that_came_meanwhile(store: dict[str, str], tmp_path: Path) -> None:
    limits = ConnectionLimits(head_time=0.3, idle=75.0)
    with running(read_settings(tmp_path, store), limits=limits) as service:
        tenant = service.tenant()
        move_sessions_away(service, 0.1)
        for first in (
            request("POST", "/auth/verify", tenant.headers, b'{"token":"x"}'),
            request("GET", "/user", tenant.headers),
        ):
            with wire(service.port) as connection:
                connection.send(first + b"GET /health/live HTTP/1.1\r\nHost:")
                assert connection.reply().status in {200, 400}
                assert connection.reply().status == 408
                assert connection.is_closed(LATEST)


def test_TR3_many_slow_clients_are_in_nobodys_way(brisk: Service, tenant: Tenant) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    slow = [Wire(brisk.port) for _ in range(200)]
    for number, connection in enumerate(slow):
        connection.send(
            [b"P", b"POST /auth/verify HTTP/1.1\r\n", head("/auth/verify"), head("/auth") + b"{"][number % 4]
        )
    answers = [tenant.verify(token).status_code for _ in range(20)]
    assert answers == [200] * 20
    for connection in slow:
        assert connection.reply().status == 408
        assert connection.is_closed(LATEST)
        connection.close()


@pytest.mark.parametrize("lane", ["ordinary", "express"])
def test_TR3_who_does_not_read_is_cut_off_and_costs_little_memory(brisk: Service, lane: str) -> None:
    ask = (
        request("GET", "/openapi.json")
        if lane == "ordinary"
        else request("POST", "/auth/verify", body=b'{"token":"x"}')
    )
    known = set(connections(brisk))
    with wire(brisk.port, receive_buffer=4096) as connection:
        connection.socket.settimeout(0.2)
        deadline = time.monotonic() + LATEST
        most = 0
        new: set[object] = set()
        gone = False
        unsent = b""
        while not gone and time.monotonic() < deadline:
            try:
                with contextlib.suppress(TimeoutError):
                    unsent = unsent or ask * 500
                    unsent = unsent[connection.socket.send(unsent) :]
            except ConnectionError:
                gone = True
            for served in set(connections(brisk)) - known:
                new.add(served)
                most = max(most, served.transport.get_write_buffer_size())
                assert len(served.pipeline) <= QUICK.pipeline
        assert new
        assert gone
        assert most < 2_000_000


def test_a_slow_answer_on_the_express_lane_is_a_503(store: dict[str, str], tmp_path: Path) -> None:
    with running(read_settings(tmp_path, store)) as service:
        # Registered without haste: on a busy machine a first connection to a store takes longer than the limit below.
        tenant = service.tenant("slow-answer@example.org")
    with running(read_settings(tmp_path, store), limits=ConnectionLimits(handler_time=1.0)) as service:
        move_sessions_away(service, 60)
        with wire(service.port) as connection:
            answer = connection.send(request("POST", "/auth/verify", tenant.headers, b'{"token":"x"}')).reply()
            assert (answer.status, answer.code) == (503, "deadline_exceeded")
            assert answer.header("retry-after") == "1"
            assert connection.send(ALIVE).reply().status == 200


def test_a_client_that_takes_its_time_within_the_limits_is_served(shared: Service) -> None:
    with wire(shared.port) as connection:
        sent = head("/auth/verify", 13) + b'{"token":"x"}'
        for number in range(0, len(sent), 12):
            connection.send(sent[number : number + 12])
            time.sleep(0.01)
        assert connection.reply().status == 401
