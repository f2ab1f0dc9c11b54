"""Requests that hash passwords: their deadline, and the response where it is not enough."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_contract import assert_refused, fresh
from doorward.core.errors import Overloaded
from doorward.core.passwords.hashing import Hasher
from doorward.http import middleware
from doorward.http.api.routes import ENDPOINTS
from doorward.http.connection.registry import ConnectionLimits
from harness import CHEAP, PASSWORD, Service, Tenant, read_settings, running
from internals import HeldHasher, move_sessions_away, services

pytestmark = pytest.mark.one_setup

HURRIED = 0.3


@pytest.fixture
def hurried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service whose handlers have 0.3 seconds, and 3 more where they hash; in HTTP/1.1 as seen from outside."""
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT", HURRIED)
    limits = ConnectionLimits(handler_time=HURRIED, hash_queue_time=3.0)
    with running(read_settings(tmp_path, {"HASH_QUEUE_TIMEOUT": "3000"}), limits=limits) as service:
        yield service


def hold_hashes(service: Service) -> HeldHasher:
    """Let every comparison wait for its release."""
    passwords: Any = services(service).passwords
    held = passwords._hasher = HeldHasher(passwords._hasher)
    return held


def test_the_table_says_of_each_endpoint_whether_it_hashes() -> None:
    hashing = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.hashes_password}
    assert ("POST", "/auth") in hashing
    assert ("POST", "/tenant/login") in hashing
    assert ("POST", "/auth/verify") not in hashing
    for endpoint in ENDPOINTS:
        assert (Overloaded in endpoint.all_errors) == endpoint.hashes_password


REQUESTS: dict[str, Callable[[Tenant], httpx.Response]] = {
    "a login, before the router": lambda tenant: tenant.login(),
    "a login, by the router": lambda tenant: tenant.post(
        "/auth?", {"login": "alice", "password": "pw", "deviceId": "laptop"}
    ),
    "a tenant's login": lambda tenant: tenant.http.post(
        "/tenant/login", json={"email": tenant.email, "password": PASSWORD}
    ),
    "a change": lambda tenant: tenant.post("/user/alice/password", {"current": "pw", "password": "pw"}),
    "a user that is put": lambda tenant: tenant.http.put(
        "/user/alice", json={"email": "a@b", "sub": "s", "password": "pw"}, headers=tenant.headers
    ),
    "the farewell": lambda tenant: tenant.http.request(
        "DELETE", "/tenant", json={"password": PASSWORD}, headers=tenant.headers
    ),
}


@pytest.mark.parametrize("ask", REQUESTS.values(), ids=REQUESTS)
def test_S21_OV1_a_request_that_waits_for_its_hash_has_more_time_than_others(
    hurried: Service, ask: Callable[[Tenant], httpx.Response]
) -> None:
    tenant = fresh(hurried)
    tenant.create()
    held = hold_hashes(hurried)
    # Well beyond the deadline of other handlers; connections are looked at once a second.
    threading.Timer(1.6, held.released.set).start()
    assert ask(tenant).status_code == 200


def test_S21_a_request_behind_a_login_on_one_connection_does_not_cut_it_short(hurried: Service) -> None:
    tenant = fresh(hurried)
    tenant.create()
    held = hold_hashes(hurried)
    threading.Timer(1.6, held.released.set).start()
    body = b'{"login":"alice","password":"pw","deviceId":"laptop"}'
    login = (
        f"POST /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    with socket.create_connection(("127.0.0.1", hurried.port), 10) as client:
        client.sendall(login + b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := client.recv(1 << 16):
            received += piece
    assert received.count(b"HTTP/1.1 200") == 2
    assert b"accessToken" in received


def test_S21_requests_that_do_not_hash_keep_their_deadline(hurried: Service) -> None:
    tenant = fresh(hurried)
    move_sessions_away(hurried, 4.0)
    began = time.monotonic()
    assert_refused(
        tenant.get("/tenant"), 503, "deadline_exceeded", "The request took too long to answer, try again shortly"
    )
    assert_refused(
        tenant.verify(tenant.token), 503, "deadline_exceeded", "The request took too long to answer, try again shortly"
    )
    assert time.monotonic() - began < 7


def test_S21_a_login_that_waits_for_longer_than_the_queue_allows_is_told_that_the_service_is_busy(
    tmp_path: Path,
) -> None:
    with running(read_settings(tmp_path, {"HASH_QUEUE_TIMEOUT": "500", "HASH_THREADS": "1"})) as service:
        tenant = fresh(service)
        tenant.create()
        held = hold_hashes(service)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(Tenant(service.client(), tenant.id, "", "", tenant.token).login)
            service.eventually(lambda: held.order)
            second = tenant.login("nobody")
            held.released.set()
            assert first.result(10).status_code == 200
    assert_refused(second, 503, "overloaded", "The service is busy, try again shortly")
    assert second.headers["retry-after"] == "1"


def test_S21_ordinary_logins_that_come_all_at_once_are_slow_and_not_refused(tmp_path: Path) -> None:
    # A second of hashing, for one thread: more than the queue took before it was bounded by five.
    logins = 60
    with running(read_settings(tmp_path, {"HASH_THREADS": "1"})) as service:
        tenant = fresh(service)
        tenant.create()
        passwords: Any = services(service).passwords
        passwords._hasher = SlowHasher(CHEAP)
        with ThreadPoolExecutor(logins) as pool:
            clients = [Tenant(service.client(), tenant.id, "", "", tenant.token) for _ in range(logins)]
            answers = [pool.submit(client.login, f"nobody-{number}") for number, client in enumerate(clients)]
            assert {answer.result(30).status_code for answer in answers} == {404}


class SlowHasher(Hasher):
    """A hasher whose comparisons take 25 ms, of which a cheap one knows nothing."""

    def compare(self, password: str, against: Any) -> Any:
        time.sleep(0.025)
        return super().compare(password, against)
