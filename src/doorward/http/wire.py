"""Read a body, write an answer; bearer, request id: what a request and an answer are made of here."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any, NamedTuple, TypeVar

import msgspec

from doorward.core.errors import FieldError, Refusal, TokenMissing, ValidationFailed
from doorward.core.model import Caller, Permission, Session, SessionKind
from doorward.core.user_lookup import UserRef
from doorward.http import errors
from doorward.http.body import parse, parse_list
from doorward.http.client_address import ClientAddress, Proxies
from doorward.http.schemas import TokenRequest
from doorward.http.validation import validate

Headers = Sequence[tuple[bytes, bytes]]

Schema = TypeVar("Schema", bound=msgspec.Struct)
Item = TypeVar("Item")

JSON = b"application/json; charset=utf-8"

# OWASP REST cheat sheet and the table in docs/security: on every answer, whatever it is.
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

_REQUEST_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
# The only body that a question needs, as nearly everybody spells it; what does not look like this is read the long way.
_TOKEN_BODY, _TOKEN_BODY_SPACED, _TOKEN_BODY_END = b'{"token":"', b'{"token": "', b'"}'
_TOKEN_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

_ids = count(secrets.randbits(32))
_process = secrets.token_hex(8).encode()


_JSON_ONLY: Headers = ((b"content-type", JSON),)


class Response(NamedTuple):
    """What is sent back: a status, a body, and headers beside those of every answer.

    `rest` is what comes after `body`, as it is made; a fault in it ends the connection before the answer is whole.
    """

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    headers: Headers = _JSON_ONLY
    stream: AsyncIterator[bytes] | None = None


_JOINED = ((b"x-forwarded-for", b","), (b"cookie", b"; "))
"""Fields whose lines are one value, and the separator: RFC 9110, section 5.3; RFC 9113, section 8.2.3, for cookies."""


def headers_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Return headers by name. The lines of X-Forwarded-For and Cookie are joined; of others the last counts."""
    fields = dict(headers)
    if len(fields) != len(headers):
        for name, separator in _JOINED:
            if name in fields:
                fields[name] = separator.join([value for line, value in headers if line == name])
    return fields


def json_response(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), status)


def decoded_response(claims: bytes) -> Response:
    """Return the answer to a question about a true token; `claims` is JSON text already."""
    return Response(b'{"decoded":%s}' % claims)


def error_response(refusal: Refusal) -> Response:
    """Return the answer that a refusal becomes."""
    headers = [(b"content-type", JSON), *errors.error_headers(refusal)]
    return Response(errors.error_body(refusal), errors.STATUS_OF[type(refusal)], headers)


def oauth_error_response(refusal: Refusal) -> Response:
    """Return the answer that a refusal becomes where RFC 6749 says how errors look."""
    body, status = errors.oauth_error_body(refusal)
    return Response(body, status, [(b"content-type", JSON), *errors.error_headers(refusal)])


def accept_request_id(given: bytes | None) -> bytes:
    """Return the caller's request id if it is a harmless one, else a fresh one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return b"%s-%x" % (_process, next(_ids))


def serialize_response(response: Response, given_id: bytes | None, date: Headers, *, close: bool = False) -> bytes:
    """Return the bytes of a whole HTTP/1.1 answer. `date` is the server's current Date header, as a list of one."""
    return serialize_with_id(response, accept_request_id(given_id), date, close=close)


def serialize_with_id(response: Response, own_id: bytes, date: Headers, *, close: bool = False) -> bytes:
    """Return what `write` does, of an answer whose id `request_id` has given already."""
    head = b"".join([b"%b: %b\r\n" % pair for pair in date])
    if close:
        head += b"connection: close\r\n"
    body = response.body
    if response.headers is _JSON_ONLY and response.status is HTTPStatus.OK:
        # One format is a third cheaper than a join of as many parts, and this is what almost every answer is.
        return b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (_OK_HEAD, own_id, len(body), head, body)
    head += b"".join([b"%b: %b\r\n" % pair for pair in response.headers if not (close and pair[0] == b"connection")])
    begin = _STATUS_LINES[response.status] + _SECURITY_LINES + b"x-request-id: "
    return b"%b%b\r\ncontent-length: %d\r\n%b\r\n%b" % (begin, own_id, len(body), head, body)


def authorization_credentials(authorization: bytes | None, scheme: bytes) -> bytes | None:
    """Return what follows the scheme in an `Authorization` field, None for another scheme.

    `scheme` is in lower case and ends with a space. One or more spaces separate it from the credentials, and a tab is
    none (RFC 9110, section 11.4). Spaces at the end do not belong to the field's value (section 5.5).
    """
    if authorization is None or authorization[: len(scheme)].lower() != scheme:
        return None
    return authorization[len(scheme) :].strip(b" ")


def bearer_credential(authorization: bytes | None) -> bytes | None:
    """Return the credential of an `Authorization: Bearer` field (RFC 6750), None for anything else."""
    return authorization_credentials(authorization, b"bearer ")


def token_of_plain_body(body: bytes) -> bytes | None:
    """Return the token of a body that is spelled as nearly every client does, None for every other body."""
    # Twice as fast as a pattern, and this is half a microsecond of every verification.
    if not body.endswith(_TOKEN_BODY_END):
        return None
    if body.startswith(_TOKEN_BODY):
        token = body[len(_TOKEN_BODY) : -2]
    elif body.startswith(_TOKEN_BODY_SPACED):
        token = body[len(_TOKEN_BODY_SPACED) : -2]
    else:
        return None
    return None if token.translate(None, _TOKEN_CHARACTERS) else token


@dataclass(slots=True)
class Request:
    """One request, read: what a handler is given.

    `peer` is the socket's address; `needs` the permission an API key has to have for it, None where no key will do.
    `tenant_id` is the tenant that it has proven to come from, once it has. `maintained`: it came over the maintenance
    listener, from somebody whose certificate was accepted. `outcome` is what the answer amounts to for whoever counts,
    where its status does not say it.
    """

    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str
    proxies: Proxies
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    required_permission: Permission | None = None
    request_id: str = ""
    is_maintenance: bool = False
    tenant_id: str = ""
    outcome: str = ""

    @property
    def credential(self) -> bytes | None:
        """The bearer credential, not yet believed."""
        return bearer_credential(self.headers.get(b"authorization"))

    @property
    def user_ref(self) -> UserRef:
        """The user that the path names, by login or by id."""
        return UserRef(id=self.path["userId"]) if "userId" in self.path else UserRef(self.path["login"])

    @property
    def client_address(self) -> ClientAddress:
        """The client's address, determined when it is needed: verification does without."""
        return self.proxies.client(self.peer, self.headers)

    @property
    def address(self) -> str:
        """The client's address, for logs and audit entries."""
        return self.client_address.text

    def caller_for(self, session: Session | None = None) -> Caller:
        """Return who asks, for the audit log: the tenant, or the key, behind `session`."""
        if session is None:
            return Caller("", "anybody", self.address, self.request_id)
        self.tenant_id = session.tenant_id
        actor = f"key:{session.id}" if session.kind == SessionKind.KEY else "tenant"
        return Caller(session.tenant_id, actor, self.address, self.request_id)

    def token(self) -> bytes:
        """Return the token in the body; MalformedJson, TokenMissing or ValidationFailed where there is none."""
        token = token_of_plain_body(self.body)
        if token:
            return token
        fields = parse(self.body)
        try:
            # A text that UTF-8 cannot hold is no token either.
            return validate(fields, TokenRequest).token.encode(errors="replace")
        except ValidationFailed as refusal:
            if isinstance(fields, dict) and not fields.get("token"):
                raise TokenMissing(refusal.field_errors) from None
            raise

    def flag(self, name: str) -> bool:
        """Return a query parameter that is true or false, and false where it is absent; ValidationFailed for others."""
        value = self.query.get(name, "false")
        if value not in {"true", "false"}:
            raise ValidationFailed([FieldError([name], "boolean.base", f'"{name}" must be true or false')])
        return value == "true"

    def choice(self, name: str, options: tuple[str, ...], default: str) -> str:
        """Return a query parameter that is one of the options, `default` where it is absent; ValidationFailed."""
        value = self.query.get(name, default)
        if value not in options:
            raise ValidationFailed([FieldError([name], "any.only", f'"{name}" must be one of {", ".join(options)}')])
        return value

    def read_body(self, schema: type[Schema]) -> Schema:
        """Return the body as a `schema`; MalformedJson, or ValidationFailed with all that is wrong."""
        return validate(parse(self.body), schema)

    async def read_list(self, schema: type[msgspec.Struct], take: Callable[[Any], Item]) -> list[Item]:
        """Return what `take` makes of each item of the one list in a body that may be large: see `body.parse_list`."""
        return await parse_list(self.body, schema, take)
