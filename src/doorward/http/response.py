"""Responses: JSON and error bodies, security headers, serialization as HTTP/1.1."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from doorward.core.errors import Refusal
from doorward.http import errors
from doorward.http.headers import Headers

JSON = b"application/json; charset=utf-8"

# OWASP REST security cheat sheet, and the table in docs/security. Every response has them.
SECURITY_HEADERS: Headers = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)

_SECURITY_LINES = b"".join(b"%s: %s\r\n" % pair for pair in SECURITY_HEADERS)
_STATUS_LINES = {status: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OK_HEAD = _STATUS_LINES[HTTPStatus.OK] + _SECURITY_LINES + b"content-type: " + JSON + b"\r\nx-request-id: "

_JSON_ONLY: Headers = ((b"content-type", JSON),)


class Response(NamedTuple):
    """Status, body, and the headers that are not in every response.

    `stream` continues the body. If it raises, the connection closes before the response is complete.
    """

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    headers: Headers = _JSON_ONLY
    stream: AsyncIterator[bytes] | None = None


def json_response(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(value), status)


def decoded_response(claims: bytes) -> Response:
    """Return the response to a successful verification; `claims` is JSON."""
    return Response(b'{"decoded":%s}' % claims)


def error_response(refusal: Refusal) -> Response:
    """Return the response for an error."""
    headers = [(b"content-type", JSON), *errors.error_headers(refusal)]
    return Response(errors.error_body(refusal), errors.STATUS_OF[type(refusal)], headers)


def oauth_error_response(refusal: Refusal) -> Response:
    """Return the response for an error in the form of RFC 6749, section 5.2."""
    body, status = errors.oauth_error_body(refusal)
    return Response(body, status, [(b"content-type", JSON), *errors.error_headers(refusal)])


def serialize_response(response: Response, request_id: bytes, date: Headers, *, close: bool = False) -> bytes:
    """Return a whole HTTP/1.1 response as bytes. `date` holds the server's current headers, such as Date."""
    head = b"".join([b"%b: %b\r\n" % pair for pair in date])
    if close:
        head += b"connection: close\r\n"
    body = response.body
    if response.headers is _JSON_ONLY and response.status is HTTPStatus.OK:
        # Almost every response takes this branch. One format costs a third less than a join of as many parts.
        return b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (_OK_HEAD, request_id, len(body), head, body)
    head += b"".join([b"%b: %b\r\n" % pair for pair in response.headers if not (close and pair[0] == b"connection")])
    begin = _STATUS_LINES[response.status] + _SECURITY_LINES + b"x-request-id: "
    return b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (begin, request_id, len(body), head, body)
