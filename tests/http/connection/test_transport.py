"""HTTP/1.1 byte by byte: framing, limits, headers, origins, ids, connections."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx
import pytest

from doorward.http import middleware
from doorward.http.connection.registry import ConnectionLimits
from harness import Service, Tenant, read_settings, running
from internals import move_sessions_away, put, services
from raw_http import HungUpError, Reply, exchange, request, wire

pytestmark = pytest.mark.one_setup

EVERY_ANSWER = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""PROMISES, section 3."""

ORDINARY, EXPRESS = "/user", "/auth/verify"


class Guest(NamedTuple):
    """A tenant with one user, as somebody who writes bytes knows it."""

    service: Service
    tenant: Tenant
    token: str

    @property
    def authorization(self) -> dict[str, str]:
        return self.tenant.headers

    def verify(self, **headers: str) -> bytes:
        """Return the bytes of a question about the user's token."""
        return request("POST", EXPRESS, {**self.authorization, **headers}, json.dumps({"token": self.token}).encode())

    def create(self, login: str, **headers: str) -> bytes:
        """Return the bytes of a request that makes a user."""
        return request("POST", ORDINARY, {**self.authorization, **headers}, user(login))

    def logins(self) -> set[str]:
        """Return who is there, asked on a connection beyond doubt."""
        return {found["login"] for found in self.tenant.get("/user", limit=500).json()["users"]}


def user(login: str) -> bytes:
    return json.dumps({"login": login, "email": "a@b.example", "password": "pw", "sub": "s"}).encode()


@pytest.fixture(scope="module")
def guest(shared: Service) -> Guest:
    tenant = shared.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("alice").status_code == 200
    return Guest(shared, tenant, tenant.session("alice"))


def assert_well_dressed(answer: Reply) -> None:
    """Every answer has every general header, once, and says nothing of what made it."""
    for name, value in EVERY_ANSWER.items():
        assert answer.header(name) == value, name
    assert re.fullmatch("[A-Za-z0-9-]{1,64}", answer.header("x-request-id") or "")
    assert answer.header("date")
    assert answer.header("server") is None
    assert answer.header("x-powered-by") is None
    assert answer.header("content-type") == (None if answer.status == 204 else "application/json; charset=utf-8")


# ------------------------------------------------------------------------------------------------------- framing


def framed(*lines: str, body: str = "{body}") -> str:
    """Return a request that is ordinary but for these lines of its head."""
    return "\r\n".join(["POST {path} HTTP/1.1", "Host: localhost", "{usual}", *lines, "", ""]) + body


PROBES: dict[str, tuple[int, str]] = {
    "a length and chunks": (400, framed("Content-Length: {length}", "Transfer-Encoding: chunked", body="{chunked}")),
    "chunks and a length": (400, framed("Transfer-Encoding: chunked", "Content-Length: {length}", body="{chunked}")),
    "a length of nothing and chunks": (400, framed("Content-Length: 0", "Transfer-Encoding: chunked", body="{chunked}")),
    "the same length twice": (400, framed("Content-Length: {length}", "Content-Length: {length}")),
    "two lengths": (400, framed("Content-Length: {length}", "Content-Length: 1")),
    "a list of lengths": (400, framed("Content-Length: {length}, {length}")),
    "a negative length": (400, framed("Content-Length: -1")),
    "a length with a plus": (400, framed("Content-Length: +{length}")),
    "a hexadecimal length": (400, framed("Content-Length: 0x20")),
    "a length with an underscore": (400, framed("Content-Length: 1_0")),
    "a length with a fraction": (400, framed("Content-Length: {length}.0")),
    "a length with a space inside": (400, framed("Content-Length: 1 0")),
    "an empty length": (400, framed("Content-Length:")),
    "a length beyond 64 bits": (400, framed("Content-Length: 18446744073709551648")),
    "a length beyond the limit": (413, framed("Content-Length: 16385")),
    "chunked, misspelled": (400, framed("Transfer-Encoding: xchunked", body="{chunked}")),
    "chunked, quoted": (400, framed('Transfer-Encoding: "chunked"', body="{chunked}")),
    "chunked twice in one line": (400, framed("Transfer-Encoding: chunked, chunked", body="{chunked}")),
    "chunked in two lines": (400, framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="{chunked}")),
    "chunked, not last": (400, framed("Transfer-Encoding: chunked, identity", body="{chunked}")),
    "chunked after gzip": (400, framed("Transfer-Encoding: gzip, chunked", body="{chunked}")),
    "chunked with a vertical tab": (400, framed("Transfer-Encoding: \x0bchunked", body="{chunked}")),
    "chunked with a parameter": (400, framed("Transfer-Encoding: chunked;a=b", body="{chunked}")),
    "identity": (400, framed("Transfer-Encoding: identity", "Content-Length: {length}")),
    "a space before the colon": (400, framed("Transfer-Encoding : chunked", body="{chunked}")),
    "a tab before the colon": (400, framed("Content-Length\t: {length}")),
    "a space before the name": (400, framed(" Content-Length: {length}")),
    "a continued line": (400, framed("X-Long: one", " two", "Content-Length: {length}")),
    "a length on a continued line": (400, framed("Content-Length:", " {length}")),
    "a line without a colon": (400, framed("Content-Length {length}")),
    "a line without a name": (400, framed(": nameless", "Content-Length: {length}")),
    "lines that end in LF": (400, framed("Content-Length: {length}").replace("\r\n", "\n")),
    "one line that ends in LF": (400, framed("X-Odd: one\nContent-Length: {length}")),
    "a CR inside a value": (400, framed("X-Odd: one\rContent-Length: 1", "Content-Length: {length}")),
    "a NUL inside a value": (400, framed("X-Odd: one\x00two", "Content-Length: {length}")),
    "a NUL inside a name": (400, framed("X-O\x00dd: one", "Content-Length: {length}")),
    "a control character inside a value": (400, framed("X-Odd: one\x01two", "Content-Length: {length}")),
    "a chunk size that is no number": (400, framed("Transfer-Encoding: chunked", body="xyz\r\n{body}\r\n0\r\n\r\n")),
    "a chunk size with a prefix": (400, framed("Transfer-Encoding: chunked", body="0x{hex}\r\n{body}\r\n0\r\n\r\n")),
    "a negative chunk size": (400, framed("Transfer-Encoding: chunked", body="-{hex}\r\n{body}\r\n0\r\n\r\n")),
    "a chunk size after a space": (400, framed("Transfer-Encoding: chunked", body=" {hex}\r\n{body}\r\n0\r\n\r\n")),
    "a chunk size beyond 64 bits": (400, framed("Transfer-Encoding: chunked", body="1{zeros}\r\n{body}\r\n0\r\n\r\n")),
    "a chunk longer than it says": (400, framed("Transfer-Encoding: chunked", body="1\r\n{body}\r\n0\r\n\r\n")),
    "a chunk that ends in LF": (400, framed("Transfer-Encoding: chunked", body="{hex}\r\n{body}\n0\r\n\r\n")),
    "a chunk size that ends in LF": (400, framed("Transfer-Encoding: chunked", body="{hex}\n{body}\r\n0\r\n\r\n")),
    "a chunk extension with LF": (400, framed("Transfer-Encoding: chunked", body="{hex};a\n\r\n{body}\r\n0\r\n\r\n")),
    "a chunk extension with a CR": (400, framed("Transfer-Encoding: chunked", body="{hex};a\rb\r\n{body}\r\n0\r\n\r\n")),
    "no Host": (400, framed("Content-Length: {length}").replace("Host: localhost\r\n", "")),
    "two Hosts": (400, framed("Host: localhost", "Content-Length: {length}")),
    "two different Hosts": (400, framed("Host: elsewhere.example", "Content-Length: {length}")),
    "two types": (400, framed("Content-Type: application/json", "Content-Length: {length}")),
    "two credentials": (400, framed("Authorization: Bearer other", "Content-Length: {length}")),
    "HTTP/0.9": (505, "GET {path}\r\n\r\n"),
    "HTTP/0.9 with a head": (505, "POST {path}\r\nHost: localhost\r\n{usual}\r\nContent-Length: {length}\r\n\r\n{body}"),
    "HTTP/1.2": (400, framed("Content-Length: {length}").replace("HTTP/1.1", "HTTP/1.2")),
    "HTTP/2.0": (505, framed("Content-Length: {length}").replace("HTTP/1.1", "HTTP/2.0")),
    "HTTP/3.1": (400, framed("Content-Length: {length}").replace("HTTP/1.1", "HTTP/3.1")),
    "HTTP/1.01": (400, framed("Content-Length: {length}").replace("HTTP/1.1", "HTTP/1.01")),
    "http in lower case": (400, framed("Content-Length: {length}").replace("HTTP/1.1", "http/1.1")),
    "the preface of HTTP/2": (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a TLS greeting": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "a tunnel": (501, framed().replace("POST {path}", "CONNECT localhost:1")),
    "a tunnel and an upgrade": (501, framed("Connection: Upgrade", "Upgrade: h2c").replace("POST {path}", "CONNECT localhost:1")),
    "another authority in the target": (400, framed("Content-Length: {length}").replace("{path}", "http://evil.example{path}")),
    "another port in the target": (400, framed("Content-Length: {length}").replace("{path}", "http://localhost:1{path}")),
    "user information in the target": (400, framed("Content-Length: {length}").replace("{path}", "http://localhost@evil.example{path}")),
    "a target without a path": (400, framed("Content-Length: {length}").replace("{path}", "*")),
    "a relative target": (400, framed("Content-Length: {length}").replace("{path}", "auth")),
    "a space in the target": (400, framed("Content-Length: {length}").replace("{path}", "{path} x")),
    "a tab in the request line": (400, framed("Content-Length: {length}").replace("POST ", "POST\t")),
    "a NUL in the target": (400, framed("Content-Length: {length}").replace("{path}", "{path}\x00")),
    "a control character in the target": (400, framed("Content-Length: {length}").replace("{path}", "{path}\x7f")),
    "bytes beyond ASCII in the target": (400, framed("Content-Length: {length}").replace("{path}", "{path}\xe9")),
    "an unknown method": (400, framed("Content-Length: {length}").replace("POST", "STEAL")),
    "a method in lower case": (400, framed("Content-Length: {length}").replace("POST", "post")),
}  # fmt: skip


@pytest.mark.parametrize("path", [ORDINARY, EXPRESS])
@pytest.mark.parametrize("name", PROBES)
def test_TR1_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(
    guest: Guest, name: str, path: str
) -> None:
    status, template = PROBES[name]
    first, smuggled = f"first-{uuid4().hex}", f"smuggled-{uuid4().hex}"
    body = user(first).decode() if path == ORDINARY else json.dumps({"token": guest.token})
    usual = f"Authorization: Bearer {guest.tenant.token}\r\nContent-Type: application/json"
    sent = template
    for field, value in {
        "path": path,
        "usual": usual,
        "length": str(len(body)),
        "hex": f"{len(body):x}",
        "zeros": "0" * 20,
        "chunked": f"{len(body):x}\r\n{body}\r\n0\r\n\r\n",
        "body": body,
    }.items():
        sent = sent.replace("{" + field + "}", value)
    with wire(guest.service.port) as connection:
        answer = connection.send(sent.encode("latin-1") + guest.create(smuggled)).reply()
        assert answer.status == status, answer.body
        assert answer.code in {
            "bad_request", "bad_host", "payload_too_large", "not_implemented", "http_version_not_supported",
        }  # fmt: skip
        assert answer.header("connection") == "close"
        assert_well_dressed(answer)
        assert connection.is_closed()
    assert not {first, smuggled} & guest.logins()


@pytest.mark.parametrize("name", PROBES)
def test_TR1_it_does_not_matter_how_the_bytes_are_cut(guest: Guest, name: str) -> None:
    status, template = PROBES[name]
    body = '{"token":"x"}'
    usual = "Authorization: Bearer x\r\nContent-Type: application/json"
    sent = template.replace("{usual}", usual).replace("{path}", EXPRESS)
    sent = sent.replace("{chunked}", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n").replace("{body}", body)
    sent = sent.replace("{length}", str(len(body))).replace("{hex}", f"{len(body):x}").replace("{zeros}", "0" * 20)
    with wire(guest.service.port) as connection:
        for byte in sent.encode("latin-1"):
            connection.send(bytes([byte]))
        answer = connection.reply()
        assert answer.status == status
        assert connection.is_closed()


@pytest.mark.parametrize(
    "form",
    [
        "{hex};name=value\r\n{body}\r\n0\r\n\r\n",
        '{hex};name="value"\r\n{body}\r\n0\r\n\r\n',
        "{one by one}0\r\n\r\n",
        "000{hex}\r\n{body}\r\n00\r\n\r\n",
        "{hex}\r\n{body}\r\n0\r\nX-Sum: 1\r\n\r\n",
    ],
    ids=["an extension", "a quoted extension", "one by one", "leading zeros", "a trailer"],
)
def test_chunks_of_every_lawful_form_are_read(guest: Guest, form: str) -> None:
    body = json.dumps({"token": guest.token})
    single = "".join(f"1\r\n{character}\r\n" for character in body)
    sent = form.replace("{one by one}", single).replace("{hex}", f"{len(body):x}").replace("{body}", body)
    fields = {**guest.authorization, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with wire(guest.service.port) as connection:
        connection.send(request("POST", EXPRESS, fields) + sent.encode())
        assert connection.reply().json()["decoded"]["login"] == "alice"
        assert connection.send(guest.verify()).reply().status == 200


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Authorization", "{good}", 401),
        ("Content-Type", "application/json", 415),
        ("X-Request-Id", "from-the-trailer", 401),
        ("Host", "elsewhere.example", 401),
        ("Origin", "https://evil.example", 401),
    ],
)
def test_TR1_a_trailer_is_never_taken_for_a_header(guest: Guest, name: str, value: str, status: int) -> None:
    body = json.dumps({"token": guest.token})
    fields = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    if name == "Content-Type":
        fields = {**guest.authorization, "Transfer-Encoding": "chunked"}
    trailer = value.replace("{good}", f"Bearer {guest.tenant.token}")
    sent = f"{len(body):x}\r\n{body}\r\n0\r\n{name}: {trailer}\r\n\r\n"
    answer = exchange(guest.service.port, request("POST", EXPRESS, fields) + sent.encode())
    assert answer.status == status
    assert answer.header("x-request-id") != "from-the-trailer"


def test_an_absolute_target_of_the_right_authority_is_served(guest: Guest) -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1:80", "[::1]:8080"):
        answer = exchange(guest.service.port, request("GET", f"http://{host}/health/live", {"Host": host}))
        assert answer.json() == {"status": "live"}, host


# ---------------------------------------------------------------------------------------------------------- Host


@pytest.fixture(scope="module")
def choosy(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with hosts and origins of its own."""
    more = {
        "ALLOWED_HOSTS": "auth.example.org, other.example.org:8443, [::1]",
        "CORS_ORIGINS": "https://app.example.org,http://localhost:5173",
    }
    with running(read_settings(tmp_path_factory.mktemp("choosy"), {**store, **more})) as service:
        yield service


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("auth.example.org", True),
        ("AUTH.example.org", True),
        ("auth.example.org:3000", True),
        ("other.example.org:8443", True),
        ("[::1]", True),
        ("[::1]:3000", True),
        ("other.example.org", False),
        ("other.example.org:1", False),
        ("evil.example", False),
        ("auth.example.org.evil.example", False),
        ("evil.example:auth.example.org", False),
        ("xauth.example.org", False),
        ("auth.example.org, evil.example", False),
        ("localhost", False),
        ("", False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", EXPRESS), ("POST", "/auth"), ("GET", "/openapi.json"), ("GET", "/x")])  # fmt: skip
def test_TR2_only_hosts_of_the_list_are_served(
    choosy: Service, method: str, path: str, host: str, *, served: bool
) -> None:
    answer = exchange(choosy.port, request(method, path, {"Host": host}, b"{}" if method == "POST" else b""))
    assert (answer.status == 400) == (not served)
    if not served:
        assert answer.code == "bad_host"
        assert answer.header("connection") == "close"
    assert_well_dressed(answer)


# --------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", [ORDINARY, EXPRESS])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ({f"X-{number}": "v" for number in range(94)}, 0),
        ({f"X-{number}": "v" for number in range(120)}, 431),
        ({"X-Long": "v" * 15_000}, 0),
        ({"X-Long": "v" * 17_000}, 431),
        ({"X-Long": "v" * 100_000}, 431),
        ({"X" * 17_000: "v"}, 431),
        ({f"X-{number}": "v" * 4_000 for number in range(5)}, 431),
    ],
    ids=["94 lines", "120 lines", "15 kB", "17 kB", "100 kB", "a long name", "5 x 4 kB"],
)
def test_TR3_a_head_has_its_limits(guest: Guest, path: str, lines: dict[str, str], status: int) -> None:
    sent = guest.verify(**lines) if path == EXPRESS else guest.create(uuid4().hex, **lines)
    with wire(guest.service.port) as connection:
        answer = connection.send(sent).reply()
        assert answer.status == (status or 200)
        assert_well_dressed(answer)
        if status:
            assert answer.code == "headers_too_large"
            assert connection.is_closed()


@pytest.mark.parametrize("piece", [b"x" * 70_000, b"X: " + b"v" * 70_000])
@pytest.mark.parametrize("step", [1_000, 70_003])
def test_TR3_a_line_that_never_ends_is_cut_off(guest: Guest, piece: bytes, step: int) -> None:
    with wire(guest.service.port) as connection:
        connection.send(b"POST /auth HTTP/1.1\r\nHost: localhost\r\n")
        for start in range(0, len(piece), step):
            connection.send(piece[start : start + step])
        assert connection.reply().status == 431
        assert connection.is_closed()


@pytest.mark.parametrize("trailer", [b"X-Endless: " + b"v" * 600_000, b"X: v\r\n" * 100_000], ids=["line", "lines"])
def test_TR3_trailers_have_limits_too(guest: Guest, trailer: bytes) -> None:
    fields = {**guest.authorization, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with wire(guest.service.port) as connection:
        connection.send(request("POST", "/auth", fields) + b"2\r\n{}\r\n0\r\n" + trailer)
        assert connection.reply().status in {413, 431}
        assert connection.is_closed()


@pytest.mark.parametrize(("length", "status"), [(8_192, 404), (8_193, 414), (100_000, 414)])
def test_TR3_a_target_has_its_limit(guest: Guest, length: int, status: int) -> None:
    with wire(guest.service.port) as connection:
        answer = connection.send(request("GET", "/" + "a" * (length - 1))).reply()
        assert answer.status == status
        assert_well_dressed(answer)
        assert connection.is_closed(within=5 if status == 414 else 0.05) == (status == 414)


@pytest.mark.parametrize("path", ["/auth", EXPRESS, "/user"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(16_384, 0), (16_385, 413), (200_000, 413)])
def test_IN1_a_body_has_its_limit_however_it_comes(
    guest: Guest, path: str, size: int, status: int, *, chunked: bool
) -> None:
    body = b'{"token":"' + b"x" * (size - 12) + b'"}'
    if chunked:
        fields = {**guest.authorization, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 5000]), body[i : i + 5000]) for i in range(0, size, 5000))
        sent = request("POST", path, fields) + pieces + b"0\r\n\r\n"
    else:
        sent = request("POST", path, guest.authorization, body)
    with wire(guest.service.port) as connection:
        answer = connection.send(sent).reply()
        assert_well_dressed(answer)
        if status:
            assert (answer.status, answer.code) == (413, "payload_too_large")
            assert connection.is_closed()
        else:
            assert answer.status in {400, 422}
            assert connection.send(guest.verify()).reply().status == 200


def test_a_request_that_is_refused_on_its_head_is_answered_once(guest: Guest) -> None:
    fields = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with wire(guest.service.port) as connection:
        connection.send(request("POST", "/auth?token=x", fields))
        assert connection.reply().code == "token_in_url"
        connection.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n4000\r\n" + b"x" * 0x4000)
        assert connection.is_closed()


# ------------------------------------------------------------------------------------------------------- methods


ALLOWED = {
    "/tenant": "DELETE, GET, HEAD, OPTIONS, PATCH, POST",
    "/tenant/login": "OPTIONS, POST",
    "/tenant/verify": "OPTIONS, POST",
    "/tenant/logout": "OPTIONS, POST",
    "/user": "GET, HEAD, OPTIONS, POST",
    "/user/alice": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "/user/alice/password": "OPTIONS, POST",
    "/user/alice/sessions": "DELETE, GET, HEAD, OPTIONS",
    "/user/alice/sessions/x": "DELETE, OPTIONS",
    "/tenant/sessions": "DELETE, OPTIONS",
    "/tenant/key": "GET, HEAD, OPTIONS, POST",
    "/tenant/key/x": "DELETE, OPTIONS",
    "/tenant/audit": "GET, HEAD, OPTIONS",
    "/oauth/revoke": "OPTIONS, POST",
    "/auth": "OPTIONS, POST",
    "/auth/verify": "OPTIONS, POST",
    "/auth/logout": "OPTIONS, POST",
    "/health/live": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", ALLOWED)
@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "LOCK", "PUT", "PATCH", "GET", "HEAD", "POST", "DELETE"])
def test_TR4_a_method_that_is_not_there_is_refused_and_the_others_are_named(
    guest: Guest, path: str, method: str
) -> None:
    if method in ALLOWED[path]:
        return
    before = guest.logins()
    with wire(guest.service.port) as connection:
        connection.send(request(method, path, guest.authorization, b"{}" if method == "POST" else b""))
        answer = connection.reply(to_head=method == "HEAD")
        assert answer.status == 405
        assert set((answer.header("allow") or "").split(", ")) >= set(ALLOWED[path].split(", "))
        assert method not in (answer.header("allow") or "").split(", ")
        assert_well_dressed(answer)
        assert connection.send(guest.verify()).reply().status == 200
    assert guest.logins() == before


@pytest.mark.parametrize("path", ALLOWED)
def test_TR4_OPTIONS_says_what_is_there_and_changes_nothing(guest: Guest, path: str) -> None:
    before = guest.logins()
    for slash in ("", "/"):
        answer = exchange(guest.service.port, request("OPTIONS", path + slash, guest.authorization))
        assert (answer.status, answer.body) == (204, b"")
        assert set((answer.header("allow") or "").split(", ")) >= set(ALLOWED[path].split(", "))
        assert_well_dressed(answer)
    assert guest.logins() == before


@pytest.mark.parametrize(
    "path", ["/user", "/user?limit=1", "/health/live", "/openapi.json", "/user?limit=x", "/nowhere"]
)
def test_TR4_HEAD_is_GET_without_the_body(guest: Guest, path: str) -> None:
    def ask(method: str) -> Reply:
        with wire(guest.service.port) as connection:
            connection.send(request(method, path, {**guest.authorization, "X-Request-Id": "same"}))
            answer = connection.reply(to_head=method == "HEAD")
            # Were a body sent after all, the next answer would begin with it.
            assert connection.send(guest.verify()).reply().status == 200
            return answer

    head, get = ask("HEAD"), ask("GET")
    assert (head.status, head.body) == (get.status, b"")
    if path != "/nowhere":  # its body says the method again
        assert _without_date(head) == _without_date(get)


def _without_date(answer: Reply) -> list[tuple[str, str]]:
    return sorted(pair for pair in answer.headers if pair[0] != "date")


# ------------------------------------------------------------------------------------------------------- headers


Case = Callable[[Guest], bytes]

CASES: dict[str, tuple[int, Case]] = {
    "a verified token": (200, lambda guest: guest.verify()),
    "a verified token, the long way": (200, lambda guest: guest.verify(Expect="nothing")),
    "a list": (200, lambda guest: request("GET", "/user", guest.authorization)),
    "a document": (200, lambda _: request("GET", "/openapi.json")),
    "options": (204, lambda _: request("OPTIONS", "/user")),
    "malformed JSON": (400, lambda guest: request("POST", "/auth", guest.authorization, b"{")),
    "a dead token": (400, lambda guest: request("POST", EXPRESS, guest.authorization, b'{"token":"x"}')),
    "not HTTP": (400, lambda _: b"what is this\r\n\r\n"),
    "no Host": (400, lambda _: b"GET / HTTP/1.1\r\n\r\n"),
    "no credential": (401, lambda _: request("POST", "/auth", body=b"{}")),
    "no credential, express": (401, lambda _: request("POST", EXPRESS, body=b'{"token":"x"}')),
    "another origin": (403, lambda _: request("GET", "/user", {"Origin": "https://evil.example"})),
    "nowhere": (404, lambda _: request("GET", "/nowhere")),
    "nowhere, with odd bytes": (404, lambda _: request("GET", "/%00%ff%0d%0aX:%20y")),
    "a wrong method": (405, lambda _: request("PUT", "/user")),
    "no JSON wanted": (406, lambda guest: request("GET", "/user", {**guest.authorization, "Accept": "text/plain"})),
    "a large body": (413, lambda guest: request("POST", "/auth", guest.authorization, b" " * 20_000)),
    "a long target": (414, lambda _: request("GET", "/" + "a" * 9_000)),
    "a form": (415, lambda guest: request("POST", "/auth", {**guest.authorization, "Content-Type": "text/plain"}, b"{}")),
    "an invalid body": (422, lambda guest: request("POST", "/auth", guest.authorization, b"{}")),
    "a missing token": (422, lambda guest: request("POST", EXPRESS, guest.authorization, b"{}")),
    "a large head": (431, lambda _: request("GET", "/", {"X": "v" * 20_000})),
    "a tunnel": (501, lambda _: request("CONNECT", "localhost:1")),
    "another version": (505, lambda _: request("GET", "/", version="HTTP/2.0")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_TR5_every_answer_has_every_security_header(guest: Guest, name: str) -> None:
    status, case = CASES[name]
    answer = exchange(guest.service.port, case(guest))
    assert answer.status == status
    assert_well_dressed(answer)
    if status >= 400:
        assert answer.json()["status"] == status
    assert (answer.header("www-authenticate") == "Bearer") == (status == 401)


def test_TR5_the_page_for_people_has_a_policy_of_its_own_that_is_as_strict(guest: Guest) -> None:
    answer = exchange(guest.service.port, request("GET", "/docs"))
    assert answer.header("content-type") == "text/html; charset=utf-8"
    policy = answer.header("content-security-policy") or ""
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    for name, value in EVERY_ANSWER.items():
        if name != "content-security-policy":
            assert answer.header(name) == value


def test_TR5_a_fault_of_ours_is_a_500_of_the_same_shape_that_tells_nothing(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = service.tenant()
    tenant.create()
    token = tenant.session()
    put(services(service), "descriptions", None)
    put(services(service), "activity", None)
    long_way = exchange(service.port, request("GET", "/openapi.json", {"X-Request-Id": "find-me"}))
    express = exchange(service.port, Guest(service, tenant, token).verify())
    for answer in (long_way, express):
        assert answer.json() == {"error": "Something went wrong on our side", "code": "internal_error", "status": 500}
        assert_well_dressed(answer)
    assert long_way.header("x-request-id") == "find-me"
    failed = [record.__dict__["request_id"] for record in caplog.records if record.message == "request failed"]
    assert failed == ["find-me", express.header("x-request-id")]
    assert token not in caplog.text


def test_TR5_a_store_that_does_not_answer_is_a_503_of_the_same_shape(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services(service), "store_checks", {"database": lambda: asyncio.sleep(60)})
    unready = exchange(service.port, request("GET", "/health/ready"))
    assert (unready.status, unready.json()) == (503, {"status": "unready", "stores": {"database": "away"}})
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT", 0.05)
    late = exchange(service.port, request("GET", "/health/ready"))
    assert (late.status, late.code) == (503, "deadline_exceeded")
    for answer in (unready, late):
        assert answer.header("retry-after") == "1"
        assert_well_dressed(answer)


# ------------------------------------------------------------------------------------------------------- origins


@pytest.mark.parametrize("path", [EXPRESS, "/auth", "/user"])
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.org", True),
        ("http://localhost:5173", True),
        ("null", False),
        ("*", False),
        ("", False),
        ("https://app.example.org/", False),
        ("https://APP.example.org", False),
        ("http://app.example.org", False),
        ("https://app.example.org:443", False),
        ("https://app.example.org.evil.example", False),
        ("https://evil.example#https://app.example.org", False),
        ("https://evil-app.example.org", False),
        ("https://app.example.org, https://evil.example", False),
        ("https://auth.example.org", False),
    ],
)
def test_TR6_only_listed_origins_may_call(choosy: Service, path: str, origin: str, *, allowed: bool) -> None:
    fields = {"Host": "auth.example.org", "Origin": origin}
    answer = exchange(choosy.port, request("POST", path, fields, b'{"token":"x"}'))
    preflight = exchange(choosy.port, request("OPTIONS", path, {**fields, "Access-Control-Request-Method": "POST"}))
    assert answer.status == (401 if allowed else 403)
    assert preflight.status == (204 if allowed else 403)
    for one in (answer, preflight):
        assert one.header("access-control-allow-origin") == (origin if allowed else None)
        assert one.header("access-control-allow-credentials") is None
        assert one.header("vary") == ("Origin" if allowed else None)
        assert_well_dressed(one)
    if allowed:
        assert "POST" in (preflight.header("access-control-allow-methods") or "").split(", ")
        assert "authorization" in (preflight.header("access-control-allow-headers") or "").split(", ")
        assert "x-request-id" in (answer.header("access-control-expose-headers") or "").split(", ")
    else:
        assert answer.code == "origin_not_allowed"


def test_TR6_by_default_no_origin_but_our_own_may_call(guest: Guest) -> None:
    own = exchange(guest.service.port, guest.verify(Origin="http://localhost"))
    assert own.status == 200
    for origin in ("https://localhost", "http://localhost:3000", "null", "https://evil.example"):
        answer = exchange(guest.service.port, guest.verify(Origin=origin))
        assert (answer.status, answer.code) == (403, "origin_not_allowed")
        assert answer.header("access-control-allow-origin") is None
    assert own.header("access-control-allow-origin") is None


def test_TR6_an_origin_that_may_not_call_changes_nothing(guest: Guest) -> None:
    login = uuid4().hex
    with wire(guest.service.port) as connection:
        assert connection.send(guest.create(login, Origin="https://evil.example")).reply().status == 403
        assert connection.send(guest.verify()).reply().status == 200
    assert login not in guest.logins()


def test_TR6_refusals_carry_the_origin_too_so_that_the_page_may_read_them(choosy: Service) -> None:
    fields = {"Host": "auth.example.org", "Origin": "https://app.example.org"}
    for target in ("/nowhere", "/user?a=1&a=2", "/user?token=x"):
        answer = exchange(choosy.port, request("GET", target, fields))
        assert answer.status >= 400
        if target == "/nowhere":
            assert answer.header("access-control-allow-origin") == "https://app.example.org"


def test_TR7_no_answer_sends_anybody_elsewhere(guest: Guest) -> None:
    for target in ("/user/", "//user", "/user/..", "/docs/", "/health//live", "/tenant/", "//evil.example/"):
        answer = exchange(guest.service.port, request("GET", target, {"Host": "evil.example"}))
        assert not 300 <= answer.status < 400
        assert answer.header("location") is None
        assert b"evil" not in answer.body.replace(b"//evil.example", b"")


# --------------------------------------------------------------------------------------------------- request ids


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a", True),
        ("0b7c6e2e-0d6d-4d0f-8f52-0b7c6e2e0d6d", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("a b", False),
        ("a%0d%0aSet-Cookie: x=1", False),
        ("a\tb", False),
        ("a_b", False),
        ("\xe9", False),
        ("<script>", False),
        ("a;b", False),
    ],
)
@pytest.mark.parametrize("target", [EXPRESS, "/auth", "/nowhere", "http-error"])
def test_TR10_a_request_id_is_said_again_only_where_it_is_harmless(
    guest: Guest,
    target: str,
    given: str,
    *,
    kept: bool,
) -> None:
    fields = {"X-Request-Id": given}
    if target == "http-error":
        sent = request("GET", "/", {**fields, "Content-Length": "99999"})
    else:
        sent = request("POST", target, fields, b'{"token":"x"}')
    answer = exchange(guest.service.port, sent)
    assert (answer.header("x-request-id") == given) == kept
    assert_well_dressed(answer)


def test_TR10_every_answer_has_an_id_of_its_own(guest: Guest) -> None:
    with wire(guest.service.port) as connection:
        ids = [connection.send(guest.verify()).reply().header("x-request-id") for _ in range(20)]
        ids += [connection.send(request("GET", "/nowhere")).reply().header("x-request-id") for _ in range(20)]
    assert len(set(ids)) == 40


@pytest.mark.parametrize(
    "target",
    ["/%0d%0aSet-Cookie:%20a=b", "/a%00b", "/a%0ab", "/%e2%80%a8", "/a'b", '/a"b', "/<script>alert(1)</script>"],
)
def test_TR10_a_path_is_said_again_only_where_it_is_harmless(guest: Guest, target: str) -> None:
    answer = exchange(guest.service.port, request("GET", target))
    assert answer.status == 404
    assert answer.header("set-cookie") is None
    assert answer.json()["error"] == "Cannot find this path"


# ------------------------------------------------------------------------------------------------ tokens in URLs


@pytest.mark.parametrize(
    "query", ["token={token}", "access_token={token}", "a=b&token={token}", "%74oken={token}", "token="]
)
@pytest.mark.parametrize(("method", "path"), [("POST", EXPRESS), ("POST", "/tenant/verify"), ("GET", "/user"), ("POST", "/auth/logout")])  # fmt: skip
def test_TR11_a_token_in_the_URL_is_refused(guest: Guest, method: str, path: str, query: str) -> None:
    for authorization in ({}, guest.authorization):
        target = f"{path}?{query.replace('{token}', guest.token)}"
        answer = exchange(
            guest.service.port, request(method, target, authorization, b"{}" if method == "POST" else b"")
        )
        assert (answer.status, answer.code) == (400, "token_in_url")
        assert guest.token.encode() not in answer.body
        assert_well_dressed(answer)


def test_TR11_a_tenant_token_in_the_URL_proves_nothing(guest: Guest) -> None:
    for name in ("authorization", "bearer", "jwt", "Token"):
        answer = exchange(guest.service.port, request("GET", f"/user?{name}={guest.tenant.token}"))
        assert answer.status == 401


# --------------------------------------------------------------------------------------------------- connections


@pytest.mark.parametrize("order", ["eeee", "oooo", "eoeo", "oeoe", "eeoo", "ooee", "cece", "eceoce"])
@pytest.mark.parametrize("away", [0, 0.01])
def test_pipelined_requests_are_answered_in_order_on_both_lanes(service: Service, order: str, away: float) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    if away:
        move_sessions_away(service, away)
    sent = {
        "e": lambda name: guest.verify(**{"X-Request-Id": name}),
        "o": lambda name: request("GET", "/user", {**guest.authorization, "X-Request-Id": name}),
        "c": lambda name: guest.create(name, **{"X-Request-Id": name}),
    }
    names = [f"{kind}-{number}" for number, kind in enumerate(order * 3)]
    with wire(service.port) as connection:
        connection.send(b"".join(sent[name[0]](name) for name in names))
        answers = [connection.reply() for _ in names]
        assert [answer.header("x-request-id") for answer in answers] == names
        assert {answer.status for answer in answers} == {200}
        for name, answer in zip(names, answers, strict=True):
            assert {"e": "decoded", "o": "users", "c": "login"}[name[0]] in answer.json()
        assert connection.send(guest.verify()).reply().status == 200


def test_a_long_pipeline_is_no_long_head(guest: Guest) -> None:
    names = [str(number) for number in range(150)]
    sent = b"".join(guest.verify(**{"X-Request-Id": name}) for name in names)
    assert len(sent) > 65_536
    with wire(guest.service.port) as connection:
        connection.send(sent[:-900])
        time.sleep(0.05)
        connection.send(sent[-900:])
        assert [connection.reply().header("x-request-id") for _ in names] == names


def test_OV5_more_than_a_pipeline_holds_is_not_executed_and_the_client_is_told_where_it_ended(
    store: dict[str, str], tmp_path: Path
) -> None:
    with running(read_settings(tmp_path, store), limits=ConnectionLimits(pipeline=5)) as service:
        guest = Guest(service, service.tenant(), "")
        logins = [f"user-{number}" for number in range(20)]
        with wire(service.port) as connection:
            connection.send(b"".join(guest.create(login) for login in logins))
            answers: list[Reply] = []
            while not answers or answers[-1].header("connection") != "close":
                answers.append(connection.reply())
            assert connection.is_closed()
        assert [answer.status for answer in answers] == [200] * len(answers)
        assert 5 <= len(answers) < 20
        assert guest.logins() == set(logins[: len(answers)])


@pytest.mark.parametrize("lane", [EXPRESS, ORDINARY])
@pytest.mark.parametrize("queued", [0, 2])
@pytest.mark.parametrize("bad", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 9_000])
def test_TR1_what_came_before_a_bad_request_is_answered_and_nothing_behind_it(
    service: Service, lane: str, queued: int, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    move_sessions_away(service, 0.05)
    first = guest.verify() if lane == EXPRESS else guest.create("first")
    with wire(service.port) as connection:
        connection.send(first + request("GET", "/user", guest.authorization) * queued + bad + guest.create("after"))
        answers = [connection.reply() for _ in range(1 + queued)]
        assert [answer.status for answer in answers] == [200] * (1 + queued)
        assert [answer.header("connection") for answer in answers] == [None] * queued + ["close"]
        assert connection.is_closed()
    assert guest.logins() == ({"alice"} if lane == EXPRESS else {"alice", "first"})
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


UNREADABLE = {
    "a target beyond ASCII": request("GET", "/user/\xe9"),
    "a method that nobody knows": request("FOO", ORDINARY),
    "a line without a colon": b"GET /user HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a target beyond its limit": request("GET", "/" + "x" * 9_000),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("before", ["nothing", "express", "ordinary"])
def test_whoever_cannot_be_understood_is_told_so_wherever_it_happens(guest: Guest, name: str, before: str) -> None:
    with wire(guest.service.port) as connection:
        if before == "express":
            assert connection.send(guest.verify()).reply().status == 200
        elif before == "ordinary":
            assert connection.send(request("GET", "/health/live")).reply().status == 200
        answer = connection.send(UNREADABLE[name]).reply()
        assert answer.status == (414 if "limit" in name else 400)
        assert answer.header("connection") == "close"
        assert connection.is_closed()


def test_one_connection_serves_many_requests(guest: Guest) -> None:
    with wire(guest.service.port) as connection:
        for _ in range(30):
            assert connection.send(guest.verify()).reply().header("connection") is None
            assert connection.send(request("GET", "/health/live")).reply().header("connection") is None


@pytest.mark.parametrize("value", ["close", "Close", "CLOSE", "close, x", "x,close"])
@pytest.mark.parametrize("express", [True, False])
def test_a_client_may_ask_for_the_end_of_the_connection(guest: Guest, value: str, *, express: bool) -> None:
    fields = {"Connection": value}
    with wire(guest.service.port) as connection:
        connection.send(
            guest.verify(**fields) if express else request("GET", "/user", {**guest.authorization, **fields})
        )
        answer = connection.reply()
        assert answer.status == 200
        assert answer.header("connection") == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("lane", [EXPRESS, ORDINARY])
@pytest.mark.parametrize("away", [0, 0.05])
def test_what_follows_a_last_request_is_neither_executed_nor_in_its_way(
    service: Service, lane: str, away: float
) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    if away:
        move_sessions_away(service, away)
    last = guest.verify(Connection="close") if lane == EXPRESS else guest.create("last", Connection="close")
    with wire(service.port) as connection:
        answer = connection.send(last + guest.create("after")).reply()
        assert answer.status == 200
        assert answer.header("connection") == "close"
        assert connection.is_closed()
    assert guest.logins() == ({"alice"} if lane == EXPRESS else {"alice", "last"})


@pytest.mark.parametrize(("extra", "stays"), [({}, False), ({"Connection": "keep-alive"}, False)])
def test_HTTP_1_0_is_answered_and_ended(guest: Guest, extra: dict[str, str], *, stays: bool) -> None:
    body = json.dumps({"token": guest.token}).encode()
    with wire(guest.service.port) as connection:
        connection.send(request("POST", EXPRESS, {**guest.authorization, **extra}, body, version="HTTP/1.0"))
        answer = connection.reply()
        assert answer.json()["decoded"]["login"] == "alice"
        assert (answer.header("connection") != "close") == stays
        assert connection.is_closed(within=5) != stays


def test_who_expects_to_be_told_to_go_on_is_told(guest: Guest) -> None:
    body = json.dumps({"token": guest.token}).encode()
    sent = request("POST", EXPRESS, {**guest.authorization, "Expect": "100-continue"}, body)
    with wire(guest.service.port) as connection:
        assert connection.send(sent[: -len(body)]).reply().status == 100
        assert connection.send(body).reply().json()["decoded"]["login"] == "alice"
        assert connection.send(guest.verify()).reply().status == 200


def test_who_expects_to_be_told_to_go_on_with_too_much_is_told_not_to(guest: Guest) -> None:
    fields = {**guest.authorization, "Expect": "100-continue", "Content-Length": "20000"}
    with wire(guest.service.port) as connection:
        assert connection.send(request("POST", "/auth", fields)).reply().status == 413
        assert connection.is_closed()


def _eventually(happens: Callable[[], bool], within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("cut", [10, 60, 200, -1])
def test_a_client_that_goes_away_in_the_middle_has_asked_for_nothing(guest: Guest, cut: int) -> None:
    login = uuid4().hex
    for sent in (guest.create(login), guest.verify()):
        with wire(guest.service.port) as connection:
            connection.send(sent[:cut])
            time.sleep(0.02)
    assert login not in guest.logins()
    assert exchange(guest.service.port, guest.verify()).status == 200


def test_what_a_whole_request_asked_for_is_done_though_its_client_went_away(guest: Guest) -> None:
    login = uuid4().hex
    with wire(guest.service.port) as connection:
        connection.send(guest.create(login))
    assert _eventually(lambda: login in guest.logins())


@pytest.mark.parametrize("lane", [EXPRESS, ORDINARY])
def test_DU4_what_is_under_way_when_the_service_stops_is_finished(service: Service, lane: str) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    move_sessions_away(service, 0.6)
    with wire(service.port) as busy, wire(service.port) as arriving, wire(service.port) as idle:
        busy.send(guest.verify() if lane == EXPRESS else guest.create("bob"))
        late = guest.verify() if lane == EXPRESS else guest.create("carol")
        arriving.send(late[:-5])
        idle.send(request("GET", "/health/live")).reply()
        time.sleep(0.1)
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        assert idle.is_closed()
        arriving.send(late[-5:])
        for connection in (busy, arriving):
            answer = connection.reply()
            assert answer.status == 200
            assert answer.header("connection") == "close"
            assert connection.is_closed()
        stopping.join(10)
        assert not stopping.is_alive()
    with pytest.raises((ConnectionError, HungUpError)):
        exchange(service.port, request("GET", "/health/live"))


@pytest.mark.parametrize("lane", [EXPRESS, ORDINARY])
@pytest.mark.parametrize("cut", [1, 40])
def test_T9_a_request_that_begins_before_the_service_stops_is_answered_and_the_client_told_that_it_ends(
    service: Service, lane: str, cut: int
) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    sent = guest.verify() if lane == EXPRESS else guest.create("bob")
    with wire(service.port) as arriving, wire(service.port) as idle:
        arriving.send(sent[:cut])
        idle.send(request("GET", "/health/live")).reply()
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        assert idle.is_closed()
        answer = arriving.send(sent[cut:]).reply()
        assert answer.status == 200
        assert answer.header("connection") == "close"
        assert arriving.is_closed()
        stopping.join(10)
        assert not stopping.is_alive()


@pytest.mark.parametrize("lane", [EXPRESS, ORDINARY])
def test_T9_requests_that_wait_when_the_service_stops_are_all_answered(service: Service, lane: str) -> None:
    tenant = service.tenant()
    tenant.create()
    guest = Guest(service, tenant, tenant.session())
    move_sessions_away(service, 0.3)
    with wire(service.port) as busy, wire(service.port) as idle:
        first = guest.verify() if lane == EXPRESS else guest.create("bob")
        busy.send(first + guest.create("carol") + guest.create("dave"))
        idle.send(request("GET", "/health/live")).reply()
        stopping = threading.Thread(target=service.stop)
        stopping.start()
        assert idle.is_closed()
        answers = [busy.reply() for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert [answer.header("connection") for answer in answers] == [None, None, "close"]
        assert busy.is_closed()
        stopping.join(10)
        assert not stopping.is_alive()


@pytest.mark.parametrize("chunked", [False, True])
def test_IN1_a_path_that_takes_more_takes_all_of_it_and_not_a_byte_beyond(tenant: Tenant, *, chunked: bool) -> None:
    tokens = ["x" * 8190] * 127
    largest = json.dumps({"tokens": tokens}).encode().ljust(1 << 20)
    assert len(largest) == 1 << 20
    headers = {**tenant.headers, "Content-Type": "application/json"}

    def post(body: bytes) -> httpx.Response:
        content: bytes | Iterator[bytes] = (
            (body[at : at + 9999] for at in range(0, len(body), 9999)) if chunked else body
        )
        return tenant.http.post("/auth/verify/batch", content=content, headers=headers)

    assert post(largest).json() == {"results": [{"active": False}] * 127}
    assert post(largest + b" ").status_code == 413
