"""Connection limits: eviction, rejection, and shares of addresses."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doorward.http.connection.registry import ConnectionLimits
from harness import Service, read_settings, running
from internals import connections, move_sessions_away
from raw_http import HungUpError, Wire, request

pytestmark = pytest.mark.one_setup

ALIVE = request("GET", "/health/live")
Connect = Callable[..., Wire]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to a service; every connection is closed in the end."""
    with contextlib.ExitStack() as stack:

        def connect(service: Service, source: str = "127.0.0.1") -> Wire:
            wire = Wire(service.port, source=source)
            stack.callback(wire.close)
            return wire

        yield connect


@contextlib.contextmanager
def crowded(store: dict[str, str], folder: Path, limits: ConnectionLimits, **settings: str) -> Iterator[Service]:
    with running(read_settings(folder, {**store, **settings}), limits=limits) as service:
        yield service


def is_alive(wire: Wire) -> bool:
    try:
        return wire.send(ALIVE).reply().status == 200
    except HungUpError:
        return False


def accepted(service: Service, number: int) -> None:
    """Wait until the service has accepted so many connections."""
    deadline = time.monotonic() + 10
    while len(connections(service)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_S19_when_all_connections_are_open_the_longest_idle_one_makes_room(
    store: dict[str, str], tmp_path: Path, connect: Connect
) -> None:
    with crowded(store, tmp_path, ConnectionLimits(max_connections=3)) as service:
        first, second, third = [connect(service) for _ in range(3)]
        for wire in (second, third, first):
            assert is_alive(wire)
            # The clock of the event loop counts milliseconds.
            time.sleep(0.005)
        assert is_alive(connect(service))
        assert second.is_closed()
        assert is_alive(third)
        assert is_alive(connect(service))
        assert first.is_closed()
        assert is_alive(third)


def test_S19_silent_strangers_keep_nobody_out(store: dict[str, str], tmp_path: Path, connect: Connect) -> None:
    with crowded(store, tmp_path, ConnectionLimits(max_connections=20)) as service:
        served = connect(service)
        assert is_alive(served)
        strangers = [connect(service) for _ in range(19)]
        accepted(service, 20)
        # Those that never sent anything go first, however long the other one has been idle.
        for number in range(19):
            assert is_alive(connect(service)), number
        assert all(stranger.is_closed() for stranger in strangers)
        assert is_alive(served)


def test_S19_OV4_whoever_is_served_is_never_closed_for_another(
    store: dict[str, str], tmp_path: Path, connect: Connect
) -> None:
    with crowded(store, tmp_path, ConnectionLimits(max_connections=3, linger=0.1)) as service:
        tenant = service.tenant()
        tenant.http.close()
        move_sessions_away(service, 1.5)
        asked = request("POST", "/auth/verify", tenant.headers, b'{"token":"x"}')
        waiting, listing, arriving = [connect(service) for _ in range(3)]
        waiting.send(asked)
        listing.send(request("GET", "/user", tenant.headers))
        arriving.send(asked[:-5])
        accepted(service, 3)
        time.sleep(0.2)
        for _ in range(5):
            refused = connect(service)
            answer = refused.reply()
            assert (answer.status, answer.code) == (503, "too_many_connections")
            assert (answer.header("retry-after"), answer.header("connection")) == ("1", "close")
            assert refused.is_closed()
        arriving.send(asked[-5:])
        assert [wire.reply().status for wire in (waiting, listing, arriving)] == [400, 200, 400]
        assert is_alive(connect(service))


def test_S19_one_address_has_its_share_and_no_more(store: dict[str, str], tmp_path: Path, connect: Connect) -> None:
    with crowded(store, tmp_path, ConnectionLimits(max_connections=10, max_per_address=4, linger=0.1)) as service:
        held = [connect(service) for _ in range(4)]
        assert all(is_alive(wire) for wire in held)
        for _ in range(3):
            refused = connect(service)
            assert refused.reply().code == "too_many_connections"
            assert refused.is_closed()
        assert is_alive(connect(service, "127.0.0.2"))
        assert all(is_alive(wire) for wire in held)
        held.pop().close()
        assert service.eventually(lambda: is_alive(connect(service)))


def test_S19_trusted_proxies_have_no_share(store: dict[str, str], tmp_path: Path, connect: Connect) -> None:
    limits = ConnectionLimits(max_connections=10, max_per_address=2)
    with crowded(store, tmp_path, limits, TRUSTED_PROXIES="127.0.0.8/30") as service:
        for source in ("127.0.0.9", "127.0.0.10"):
            assert all(is_alive(connect(service, source)) for _ in range(4))
        assert [is_alive(connect(service)) for _ in range(2)] == [True] * 2
        assert connect(service).reply().code == "too_many_connections"


def test_S19_a_flood_of_refused_connections_leaves_room(
    store: dict[str, str], tmp_path: Path, connect: Connect
) -> None:
    with crowded(store, tmp_path, ConnectionLimits(max_connections=20, max_per_address=5, linger=30)) as service:
        held = [connect(service) for _ in range(5)]
        assert all(is_alive(wire) for wire in held)
        flood = [connect(service) for _ in range(200)]
        # They do not go away by themselves, but for others they do.
        for number in range(10):
            assert is_alive(connect(service, f"127.0.0.{number // 4 + 2}")), number
        assert all(is_alive(wire) for wire in held)
        assert len(connections(service)) < 20 + 64 + 5
        assert len(flood) == 200


def test_S19_connections_that_limits_close_are_counted_by_the_limit(
    store: dict[str, str], tmp_path: Path, connect: Connect
) -> None:
    def closed(service: Service) -> dict[str, float]:
        text = service.client().get("/metrics").text
        return {
            one: float(n) for one, n in re.findall(r'doorward_connections_closed_total{reason="(\w+)"} (\S+)', text)
        }

    short = ConnectionLimits(max_connections=4, max_per_address=3, first_byte=0.5, head_time=0.5, linger=0.1)
    with crowded(store, tmp_path, short, METRICS_WHITE_LIST="127.0.0.1") as service:
        held = [connect(service, "127.0.0.2") for _ in range(3)]
        assert all(is_alive(wire) for wire in held)
        assert connect(service, "127.0.0.2").reply().code == "too_many_connections"
        assert is_alive(connect(service, "127.0.0.3"))
        assert is_alive(connect(service, "127.0.0.4")), "the longest idle one makes room"
        silent = connect(service, "127.0.0.3")
        assert silent.is_closed()
        slow = connect(service, "127.0.0.3")
        slow.send(b"GET /")
        assert slow.reply().code == "request_timeout"
        service.eventually(lambda: closed(service).get("slow") == 1)
        found = closed(service)
        assert (found["address"], found["silent"]) == (1, 1)
        assert found["evicted"] >= 1
