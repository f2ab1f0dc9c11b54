"""Chunked bodies and their extensions (RFC 9112, section 7.1)."""

import json
from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from harness import Service, Tenant
from raw_http import Wire, request, wire

pytestmark = pytest.mark.one_setup

PATHS = ["/user", "/auth/verify", "/auth/verify/batch"]


class Guest(NamedTuple):
    """A tenant with one user who is logged in, and a connection."""

    tenant: Tenant
    token: str
    line: Wire

    def begin(self, path: str) -> tuple[bytes, bytes]:
        """Return the head of a chunked request, and the body that belongs to it."""
        fields = {**self.tenant.headers, "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        user = {"login": uuid4().hex, "email": "a@b.example", "password": "pw", "sub": "s"}
        bodies = {"/user": user, "/auth/verify": {"token": self.token}, "/auth/verify/batch": {"tokens": [self.token]}}
        return request("POST", path, fields), json.dumps(bodies[path]).encode()


@pytest.fixture
def guest(shared: Service, tenant: Tenant) -> Iterator[Guest]:
    tenant.create("alice")
    with wire(shared.port) as line:
        yield Guest(tenant, tenant.session("alice"), line)


def extended(body: bytes, each: int, chunks: int, extension: bytes = b";a=") -> bytes:
    """Return a body in so many chunks, each with an extension of so many bytes."""
    size = -(-len(body) // chunks)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    fill = extension + b"x" * (each - len(extension))
    return b"".join(b"%x%s\r\n%s\r\n" % (len(piece), fill, piece) for piece in pieces) + b"0\r\n\r\n"


def say(line: Wire, sent: bytes, step: int) -> Wire:
    for start in range(0, len(sent), step):
        line.send(sent[start : start + step])
    return line


TOO_MUCH = {"one chunk": (70_000, 1), "a few": (5_000, 3), "many": (400, 40)}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", TOO_MUCH)
@pytest.mark.parametrize("step", [300, 1 << 20])
def test_S20_chunk_extensions_are_bounded(guest: Guest, path: str, name: str, step: int) -> None:
    head, body = guest.begin(path)
    answer = say(guest.line, head + extended(body, *TOO_MUCH[name]), step).reply()
    assert (answer.status, answer.code, answer.header("connection")) == (400, "bad_request", "close")
    assert guest.line.is_closed()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("extension", [b" ", b'; a="', b"0"], ids=["spaces", "quoted", "leading zeros"])
def test_S20_nothing_else_beside_the_data_is_endless_either(guest: Guest, path: str, extension: bytes) -> None:
    head, body = guest.begin(path)
    fill = extension + (b"0" if extension == b"0" else b" ") * 70_000
    sent = fill + b"%x\r\n" % len(body) if extension == b"0" else b"%x" % len(body) + fill + b"\r\n"
    answer = guest.line.send(head + sent + body + b"\r\n0\r\n\r\n").reply()
    assert (answer.status, answer.code) == (400, "bad_request")
    assert guest.line.is_closed()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("each_at_once", [True, False])
def test_S20_an_extension_that_ends_with_what_is_sent_counts_as_well(
    guest: Guest, path: str, *, each_at_once: bool
) -> None:
    head, body = guest.begin(path)
    guest.line.send(head)
    for byte in body:
        guest.line.send(b"1;a=%s\r\n" % (b"x" * 200))
        guest.line.send(b"%c\r\n" % byte if each_at_once else b"%c" % byte)
        if not each_at_once:
            guest.line.send(b"\r\n")
    assert guest.line.reply().code == "bad_request"
    assert guest.line.is_closed()


FITTING = {"one chunk": (3_900, 1), "a few": (900, 4), "many": (20, 150)}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("step", [300, 1 << 20])
def test_extensions_within_the_bound_are_ignored(guest: Guest, path: str, name: str, step: int) -> None:
    for _ in range(3):
        head, body = guest.begin(path)
        assert say(guest.line, head + extended(body, *FITTING[name]), step).reply().status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("step", [1, 300, 1 << 20])
def test_data_byte_by_byte_is_no_extension(guest: Guest, path: str, step: int) -> None:
    head, body = guest.begin(path)
    sent = head + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    if path == "/auth/verify/batch":
        padded = b" " * 12_000 + body
        sent = head + b"".join(b"%x\r\n%s\r\n" % (7, padded[at : at + 7].ljust(7)) for at in range(0, len(padded), 7))
        sent += b"0\r\n\r\n"
    assert say(guest.line, sent, step * (40 if len(sent) > 20_000 else 1)).reply().status == 200


def test_what_is_pipelined_behind_chunks_is_no_extension(guest: Guest) -> None:
    requests = []
    for path in PATHS * 4:
        head, body = guest.begin(path)
        requests.append(head + extended(body, 300, 5))
        requests.append(request("GET", "/user?limit=1", {**guest.tenant.headers, "X-Long": "x" * 3_000}))
    guest.line.send(b"".join(requests))
    assert [guest.line.reply().status for _ in requests] == [200] * len(requests)
