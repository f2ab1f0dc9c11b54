"""`Host`: syntax, HTTP/1.0 without it, and `ALLOWED_HOSTS` on both lanes."""

import json
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from harness import Service, Tenant, read_settings, running
from raw_http import Reply, exchange, request, wire

pytestmark = pytest.mark.one_setup

NO_HOST = "none"
PATHS = ["/auth/verify", "/user", "/forward-auth", "/forward-auth/shop", "/health/live", "/nowhere"]


class Guest(NamedTuple):
    """A tenant with one user who is logged in, and the service."""

    service: Service
    tenant: Tenant
    token: str

    def send(self, path: str, fields: dict[str, str], version: str = "HTTP/1.1") -> bytes:
        """Return an ordinary request of this path, without `Host` where that is NO_HOST."""
        proof = {**self.tenant.headers, "Content-Type": "application/json"}
        method, body = "GET", b""
        if path.startswith("/forward-auth"):
            proof = {"X-Doorward-Key": self.tenant.token, "Authorization": f"Bearer {self.token}"}
        elif path == "/auth/verify":
            method, body = "POST", json.dumps({"token": self.token}).encode()
        sent = request(method, path, {**proof, **fields}, body, version=version)
        return sent.replace(b"Host: %s\r\n" % NO_HOST.encode(), b"")

    def ask(self, path: str, fields: dict[str, str], version: str = "HTTP/1.1") -> Reply:
        return exchange(self.service.port, self.send(path, fields, version))


def _guest(service: Service) -> Guest:
    tenant = service.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("alice").status_code == 200
    return Guest(service, tenant, tenant.session("alice"))


@pytest.fixture(scope="module")
def guest(shared: Service) -> Guest:
    return _guest(shared)


@pytest.fixture(scope="module")
def choosy(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest of a service that serves two hosts only."""
    folder = tmp_path_factory.mktemp("choosy")
    with running(read_settings(folder, {**store, "ALLOWED_HOSTS": "127.0.0.1,auth.example.org"})) as service:
        yield _guest(service)


MALFORMED = [
    "x/y", "a@b", "user:secret@localhost", "a b", "a,b c", "a\tb", "localhost/", "/", "?", "a?b", "a#b", "a\\b", "a|b", "a^b",
    'a"b', "<a>", "{a}", "a`b", "http://localhost", "localhost:80:80", "localhost:http", "localhost:-1", "localhost:123456",
    "localhost: 80", ":80", ":", "", "%", "%4", "%zz", "[::1", "::1", "[::1]80", "[]", "[:::]", "[::1%eth0]", "[1.2.3.4]",
    "[::g]", "[v1.]", "a\xe9", "a" * 256,
]  # fmt: skip


@pytest.mark.parametrize("host", MALFORMED)
def test_S20_a_malformed_host_is_refused_everywhere(guest: Guest, host: str) -> None:
    for path in PATHS:
        answer = guest.ask(path, {"Host": host})
        assert (answer.status, answer.code, answer.header("connection")) == (400, "bad_host", "close"), path
    assert guest.ask("/auth/verify", {"Host": host}, "HTTP/1.0").code == "bad_host"


WELL_FORMED = [
    "localhost", "LOCALHOST", "localhost:", "localhost:80", "localhost:65535", "auth.example.org.", "my_service", "a-b.c~d",
    "xn--bcher-kva.example", "a%20b", "a,b", "1.2.3.4:3000", "[::1]", "[::1]:3000", "[fe80::1:2]", "[::ffff:1.2.3.4]",
    "[v1.x:y]", "a" * 255,
]  # fmt: skip


@pytest.mark.parametrize("host", WELL_FORMED)
def test_S20_a_well_formed_host_is_served(guest: Guest, host: str) -> None:
    for path in PATHS:
        assert guest.ask(path, {"Host": host}).status == (404 if path == "/nowhere" else 200), path


@pytest.mark.parametrize("path", PATHS)
def test_F21_HTTP_1_0_without_a_host_is_answered(guest: Guest, path: str) -> None:
    answer = guest.ask(path, {"Host": NO_HOST}, "HTTP/1.0")
    assert answer.status == (404 if path == "/nowhere" else 200)
    assert answer.header("connection") == "close"


@pytest.mark.parametrize("path", PATHS)
def test_F21_HTTP_1_1_without_a_host_is_refused(guest: Guest, path: str) -> None:
    assert guest.ask(path, {"Host": NO_HOST}).code == "bad_host"


@pytest.mark.parametrize("sent", [b"OPTIONS /health/live HTTP/1.0\r\n\r\n", b"GET /health/ready HTTP/1.0\r\n\r\n"])
def test_F21_the_checks_of_load_balancers_are_answered(choosy: Guest, sent: bytes) -> None:
    assert exchange(choosy.service.port, sent).status in {200, 204}


def test_F21_two_hosts_are_too_many_in_HTTP_1_0_as_well(guest: Guest) -> None:
    assert guest.ask("/health/live", {"Host": "a\r\nHost: a"}, "HTTP/1.0").code == "bad_host"


def test_F21_an_absolute_target_without_a_host_is_refused(guest: Guest) -> None:
    sent = b"GET http://localhost/health/live HTTP/1.0\r\n\r\n"
    assert exchange(guest.service.port, sent).code == "bad_host"


def test_F21_a_page_of_another_origin_is_refused_without_a_host_too(guest: Guest) -> None:
    answer = guest.ask("/user", {"Host": NO_HOST, "Origin": "http://"}, "HTTP/1.0")
    assert (answer.status, answer.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", NO_HOST])
def test_F21_where_hosts_are_listed_only_health_is_answered_for_others(choosy: Guest, path: str, host: str) -> None:
    # At /forward-auth the host is the one of the application behind the gateway.
    served = path.startswith(("/health", "/forward-auth"))
    versions = ["HTTP/1.0"] if host == NO_HOST else ["HTTP/1.0", "HTTP/1.1"]
    for version in versions:
        answer = choosy.ask(path, {"Host": host}, version)
        assert answer.status == (200 if served else 400), version
        assert choosy.ask(path, {"Host": "auth.example.org"}, version).status == (404 if path == "/nowhere" else 200)


def test_T9_the_fast_path_serves_listed_hosts_only(choosy: Guest) -> None:
    # Both requests are of the form that the fast path takes, and differ in nothing but Host.
    with wire(choosy.service.port) as connection:
        assert connection.send(choosy.send("/auth/verify", {"Host": "auth.example.org:3000"})).reply().status == 200
        answer = connection.send(choosy.send("/auth/verify", {"Host": "evil.example"})).reply()
    assert (answer.status, answer.code, answer.header("connection")) == (400, "bad_host", "close")
