"""Checks of the middleware, without a server."""

import ipaddress
from typing import cast

import pytest

from doorward.core.errors import ValidationFailed
from doorward.http.api.registration import _is_own_host
from doorward.http.api.routes import ENDPOINTS, FAST_PATH
from doorward.http.api.schemas.users import PathLogin
from doorward.http.api.services import Services
from doorward.http.client_address import Proxies
from doorward.http.connection.fast_path import FastPath
from doorward.http.connection.framing import check_framing
from doorward.http.errors import BadRequest, NotFound
from doorward.http.headers import Headers, headers_by_name
from doorward.http.middleware import HostAndOriginPolicy
from doorward.http.request import token_of_plain_body
from doorward.http.validation import validate

HOST = (b"host", b"auth.example.org")


def check_head(headers: Headers) -> None:
    check_framing("1.1", b"/auth", headers, headers_by_name(headers))


@pytest.mark.parametrize(
    "lines",
    [
        [b"gzip", b"chunked"],
        [b"chunked", b"chunked"],
        [b"gzip"],
        [b"chunked, chunked"],
    ],
)
def test_TR1_a_body_has_one_transfer_coding(lines: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        check_head([HOST, *((b"transfer-encoding", line) for line in lines)])
    check_head([HOST, (b"transfer-encoding", b"Chunked")])


@pytest.mark.parametrize(
    ("client", "host", "expected"),
    [
        ("127.0.0.1", b"localhost:3000", True),
        ("127.0.0.1", b"127.0.0.1", True),
        ("127.0.0.1", b"192.0.2.1", False),
        ("127.0.0.1", b"auth.example.org", False),
        ("192.0.2.7", b"192.0.2.1", True),
    ],
)
def test_a_client_on_loopback_addresses_loopback(client: str, host: bytes, *, expected: bool) -> None:
    headers = {b"host": host, b"origin": b"http://" + host}
    assert _is_own_host(headers, ipaddress.ip_address(client)) == expected


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"token":"abc.def"}', b"abc.def"),
        (b'{"token": "abc.def"}', b"abc.def"),
        (b'{"token":"abc.defgh', None),
        (b'{"token":"abc.def","x":1}', None),
    ],
)
def test_a_token_is_read_without_a_parser_only_from_a_whole_body(body: bytes, token: bytes | None) -> None:
    assert token_of_plain_body(body) == token


def matches(endpoint_path: str, headers: Headers) -> bool:
    """Return whether the fast path takes a request with these headers. Matching needs no services."""
    fast_path = FastPath(FAST_PATH, cast("Services", None), Proxies(), HostAndOriginPolicy())
    [(method, path)] = [place for place, endpoint in FAST_PATH.items() if endpoint.path == endpoint_path]
    return fast_path.match(method, path, headers_by_name(headers), len(headers)) is not None


def test_the_fast_path_of_gateways_takes_no_request_with_a_body() -> None:
    assert matches("/forward-auth", [HOST])
    assert not matches("/forward-auth", [HOST, (b"content-length", b"2")])


def test_null_is_no_value_of_a_field_that_has_to_have_one() -> None:
    with pytest.raises(ValidationFailed):
        validate({"login": None}, PathLogin)


@pytest.mark.parametrize(
    ("peer", "forwarded", "warnings"),
    [
        ("192.0.2.1", None, 0),
        ("192.0.2.1", b"198.51.100.7", 1),
        ("10.0.0.1", b"198.51.100.7", 0),
        ("10.0.0.1", None, 1),
    ],
)
def test_BF7_only_a_client_that_cannot_be_told_is_warned_about(
    caplog: pytest.LogCaptureFixture, peer: str, forwarded: bytes | None, warnings: int
) -> None:
    proxies = Proxies((ipaddress.ip_network("10.0.0.0/8"),))
    proxies.client(peer, {b"x-forwarded-for": forwarded} if forwarded else {})
    assert len(caplog.records) == warnings


@pytest.mark.parametrize(("accept", "is_taken"), [(None, True), (b"*/*", True), (b"text/html", False)])
def test_the_fast_path_takes_only_requests_that_accept_its_response(accept: bytes | None, *, is_taken: bool) -> None:
    head = [HOST, (b"content-type", b"application/json"), (b"content-length", b"20")]
    assert matches("/auth/verify", head + ([(b"accept", accept)] if accept else [])) == is_taken


def test_every_endpoint_with_a_name_in_its_path_may_find_nothing() -> None:
    for endpoint in ENDPOINTS:
        assert NotFound in endpoint.all_errors or "{" not in endpoint.path
