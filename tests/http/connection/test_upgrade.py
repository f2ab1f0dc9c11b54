"""Protocol upgrade offers are ignored (RFC 9110, section 7.8)."""

import json
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from harness import Service, Tenant
from raw_http import Reply, Wire, request, wire

pytestmark = pytest.mark.one_setup

OFFERS: dict[str, dict[str, str]] = {
    "h2c": {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    },
    "WebSocket": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    },
    "in lower case": {"connection": "upgrade", "upgrade": "websocket"},
    "among others": {"Connection": "keep-alive, Upgrade", "Upgrade": "TLS/1.0, websocket, h2c"},
    "something unknown": {"Connection": "upgrade", "Upgrade": "no/such-protocol"},
    "nothing": {"Connection": "upgrade", "Upgrade": ""},
    "without a connection option": {"Upgrade": "h2c"},
    "a connection option alone": {"Connection": "upgrade"},
}


class Guest(NamedTuple):
    """A tenant with one user who is logged in, and the port to speak to."""

    port: int
    tenant: Tenant
    token: str

    def logins(self) -> set[str]:
        return {user["login"] for user in self.tenant.get("/user", limit=500).json()["users"]}


@pytest.fixture(scope="module")
def guest(shared: Service) -> Guest:
    tenant = shared.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("alice").status_code == 200
    return Guest(shared.port, tenant, tenant.session("alice"))


@pytest.fixture
def line(guest: Guest) -> Iterator[Wire]:
    with wire(guest.port) as connection:
        yield connection


def user(login: str) -> bytes:
    return json.dumps({"login": login, "email": "a@b.example", "password": "pw", "sub": "s"}).encode()


def chunked(body: bytes, size: int = 50) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def requests(guest: Guest, more: dict[str, str]) -> dict[str, tuple[bytes, str]]:
    """Return a request of every kind, each with `more` in its head, and a field that its answer has."""
    fields = {**guest.tenant.headers, **more}
    question = json.dumps({"token": guest.token}).encode()
    many = json.dumps({"tokens": [guest.token] * 60}).encode()
    key = {"X-Doorward-Key": guest.tenant.token, "Authorization": f"Bearer {guest.token}", **more}
    in_chunks = {**fields, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    return {
        "fast path": (request("POST", "/auth/verify", fields, question), "decoded"),
        "fast path, in chunks": (request("POST", "/auth/verify", in_chunks) + chunked(question), "decoded"),
        "a body": (request("POST", "/user", fields, user(uuid4().hex)), "login"),
        "a body in chunks": (request("POST", "/user", in_chunks) + chunked(user(uuid4().hex)), "login"),
        "a large body": (request("POST", "/auth/verify/batch", fields, many), "results"),
        "a large body in chunks": (request("POST", "/auth/verify/batch", in_chunks) + chunked(many), "results"),
        "no body": (request("GET", "/user?limit=1", fields), "users"),
        "a gateway": (request("GET", "/forward-auth", key), ""),
        "a gateway, below": (request("POST", "/forward-auth/chat?room=1", key), ""),
    }


def assert_answered(answer: Reply, field: str) -> None:
    assert answer.status == 200, answer.body
    assert answer.version == "HTTP/1.1"
    assert answer.header("upgrade") is None
    assert answer.header("connection") is None
    if field:
        assert field in answer.json()
    else:
        assert answer.header("x-auth-login") == "alice"


@pytest.mark.parametrize("offer", OFFERS)
def test_F5_F16_an_offered_upgrade_is_ignored_and_the_connection_kept(guest: Guest, line: Wire, offer: str) -> None:
    for sent, field in requests(guest, OFFERS[offer]).values():
        assert_answered(line.send(sent).reply(), field)


def test_F5_pipelined_requests_that_offer_an_upgrade_are_answered_in_order(guest: Guest, line: Wire) -> None:
    made = [one for offer in ("h2c", "WebSocket") for one in requests(guest, OFFERS[offer]).values()]
    made += requests(guest, {}).values()
    line.send(b"".join(sent for sent, _ in made))
    for _, field in made:
        assert_answered(line.reply(), field)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_F5_it_does_not_matter_how_an_offer_is_cut(guest: Guest, line: Wire, step: int) -> None:
    for sent, field in requests(guest, OFFERS["h2c"]).values():
        for start in range(0, len(sent), step):
            line.send(sent[start : start + step])
        assert_answered(line.reply(), field)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_F5_a_body_behind_an_offer_is_never_taken_for_a_request(guest: Guest, line: Wire, framing: str) -> None:
    smuggled, after = uuid4().hex, uuid4().hex
    body = b" \r\n\r\n" + request("POST", "/user", guest.tenant.headers, user(smuggled))
    fields = {**guest.tenant.headers, **OFFERS["h2c"], "Content-Type": "application/json"}
    if framing == "length":
        sent = request("POST", "/user", {**fields, "Content-Length": str(len(body))}) + body
    else:
        sent = request("POST", "/user", {**fields, "Transfer-Encoding": "chunked"}) + chunked(body, 4000)
    line.send(sent + request("POST", "/user", guest.tenant.headers, user(after)))
    assert line.reply().code == "malformed_json"
    assert line.reply().json()["login"] == after
    assert smuggled not in guest.logins()


AMBIGUOUS: dict[str, dict[str, str]] = {
    "a length and chunks": {"Content-Length": "40", "Transfer-Encoding": "chunked"},
    "chunked, misspelled": {"Transfer-Encoding": "xchunked"},
    "chunked, not last": {"Transfer-Encoding": "chunked, identity"},
    "a list of lengths": {"Content-Length": "40, 40"},
    "a length with a plus": {"Content-Length": "+40"},
    "a length in two lines": {"Content-Length": "40\r\nContent-Length: 40"},
    "two Hosts": {"Host": "localhost\r\nHost: localhost"},
    "a malformed Host": {"Host": "a@b"},
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_F5_an_offer_makes_no_ambiguous_framing_good(guest: Guest, line: Wire, name: str) -> None:
    login = uuid4().hex
    fields = {**guest.tenant.headers, **OFFERS["WebSocket"], **AMBIGUOUS[name]}
    line.send(request("POST", "/user", fields) + request("POST", "/user", guest.tenant.headers, user(login)))
    answer = line.reply()
    assert (answer.status, answer.header("connection")) == (400, "close")
    assert line.is_closed()
    assert login not in guest.logins()


def test_F5_an_offer_in_a_trailer_is_none(guest: Guest, line: Wire) -> None:
    body = json.dumps({"token": guest.token}).encode()
    fields = {**guest.tenant.headers, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    trailer = b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    sent = request("POST", "/auth/verify", fields) + chunked(body).removesuffix(b"\r\n") + trailer
    line.send(sent * 2)
    for _ in range(2):
        assert_answered(line.reply(), "decoded")


def test_F5_whoever_offers_and_closes_is_answered_and_closed(guest: Guest, line: Wire) -> None:
    login = uuid4().hex
    fields = {**guest.tenant.headers, "Connection": "close, Upgrade", "Upgrade": "h2c"}
    body = json.dumps({"token": guest.token}).encode()
    line.send(request("POST", "/auth/verify", fields, body))
    line.send(request("POST", "/user", guest.tenant.headers, user(login)))
    answer = line.reply()
    assert (answer.status, answer.header("connection")) == (200, "close")
    assert line.is_closed()
    assert login not in guest.logins()


def test_F5_an_offer_of_HTTP_1_0_is_ignored(guest: Guest, line: Wire) -> None:
    body = json.dumps({"token": guest.token}).encode()
    fields = {**guest.tenant.headers, **OFFERS["WebSocket"]}
    answer = line.send(request("POST", "/auth/verify", fields, body, version="HTTP/1.0")).reply()
    assert answer.json()["decoded"]["login"] == "alice"
    assert line.is_closed()


def test_F5_who_offers_is_told_to_go_on_with_its_body(guest: Guest, line: Wire) -> None:
    body = json.dumps({"token": guest.token}).encode()
    sent = request("POST", "/auth/verify", {**guest.tenant.headers, **OFFERS["h2c"], "Expect": "100-continue"}, body)
    assert line.send(sent[: -len(body)]).reply().status == 100
    assert_answered(line.send(body).reply(), "decoded")


@pytest.mark.parametrize(
    "preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9]
)
def test_F5_HTTP_2_without_an_offer_is_refused_cleanly(line: Wire, preface: bytes) -> None:
    answer = line.send(preface).reply()
    assert (answer.code, answer.header("connection")) == ("bad_request", "close")
    assert line.is_closed()
