"""Errors of HTTP, the status of every error in one table, and the bodies of error responses."""

from http import HTTPStatus
from typing import ClassVar

import msgspec

from doorward.core import errors as core
from doorward.core.errors import FieldError, Refusal, ValidationFailed

_MAX_ECHO_LENGTH = 100


class HttpRefusal(Refusal):
    """Base of errors of HTTP itself. `closes_connection`: the framing is in doubt, so the connection ends.

    `text` is the sentence of this refusal, where it is more specific than that of its class.
    """

    closes_connection: ClassVar[bool] = False

    def __init__(self, text: str = "", *, retry_after: int | None = None, caller: object = None) -> None:
        """Create the error; see `Refusal`."""
        super().__init__(retry_after=retry_after, caller=caller)
        self.text = text or self.sentence


class BadRequest(HttpRefusal):
    """The request is not well-formed HTTP/1.1, or its framing could be read in two ways (RFC 9112)."""

    code = "bad_request"
    sentence = "The request is not valid HTTP"
    closes_connection = True


class BadHost(HttpRefusal):
    """`Host` is missing, repeated, malformed, not served, or contradicts the request target (RFC 9112, section 3.2)."""

    code = "bad_host"
    sentence = "The Host header is missing, repeated, malformed or not served here"
    closes_connection = True


class MalformedJson(HttpRefusal):
    """The body is not one well-formed JSON text in UTF-8 with unique names (RFC 8259)."""

    code = "malformed_json"
    sentence = "The body is not valid JSON"


class MalformedForm(HttpRefusal):
    """The body is not one well-formed form with unique names."""

    code = "invalid_request"
    sentence = "The body is not a valid form"


class MultipleAuthenticationMethods(HttpRefusal):
    """The client authenticates in more than one way (RFC 6749, section 2.3)."""

    code = "multiple_authentication_methods"
    sentence = "The client has to authenticate in one way, not in several"


class TokenInUrl(HttpRefusal):
    """A token or client secret is in the URL, which logs contain (RFC 6750, section 5.3; RFC 6749, section 2.3.1)."""

    code = "token_in_url"
    sentence = "Tokens are not accepted in the URL, send them in the body or the Authorization header"


class NotAuthenticated(HttpRefusal):
    """The gateway is authenticated, but its request has no live token of a user."""

    code = "not_authenticated"
    sentence = "Not Authorized"


class Forbidden(HttpRefusal):
    """This address may not register tenants (`TENANT_WHITE_LIST`)."""

    code = "forbidden"
    sentence = "Forbidden"


class OriginNotAllowed(HttpRefusal):
    """A browser calls from an origin that `CORS_ORIGINS` does not list."""

    code = "origin_not_allowed"
    sentence = "Requests from this origin are not allowed"


class NotFound(HttpRefusal):
    """No resource has this path."""

    code = "not_found"
    sentence = "Cannot find this path"

    def __init__(self, method: str = "", path: str = "") -> None:
        """Create the error; it repeats method and path, as the predecessor does, where they are harmless."""
        harmless = path.isascii() and all(c.isalnum() or c in "/_.-" for c in path) and len(path) <= _MAX_ECHO_LENGTH
        super().__init__(f"Cannot {method} {path}" if method and harmless else "")


class MethodNotAllowed(HttpRefusal):
    """The path exists, but not with this method; `Allow` lists the methods."""

    code = "method_not_allowed"
    sentence = "This method is not allowed here"

    def __init__(self, allow: str = "") -> None:
        """Create the error; `allow` is the value of the `Allow` header."""
        super().__init__()
        self.allow = allow


class NotAcceptable(HttpRefusal):
    """`Accept` does not admit the media type of the endpoint."""

    code = "not_acceptable"
    sentence = "Only application/json can be given"

    def __init__(self, media: str = "application/json") -> None:
        """Create the error; `media` is the type of the endpoint's response."""
        super().__init__(f"Only {media} can be given")


class RequestTimeout(HttpRefusal):
    """The request arrived too slowly."""

    code = "request_timeout"
    sentence = "The request took too long to arrive"
    closes_connection = True


class PayloadTooLarge(HttpRefusal):
    """The body is larger than this path accepts."""

    code = "payload_too_large"
    sentence = "The body is too large"
    closes_connection = True

    def __init__(self, *, many: bool = False) -> None:
        """Create the error; `many`: the path takes many users or tokens at once, so that fewer would fit."""
        super().__init__(f"{self.sentence}, send fewer rows in each request" if many else "")


class UriTooLong(HttpRefusal):
    """The request target is longer than 8 kB."""

    code = "uri_too_long"
    sentence = "The URL is too long"
    closes_connection = True


class UnsupportedMediaType(HttpRefusal):
    """The body is not declared as the media type of the endpoint, or it is compressed."""

    code = "unsupported_media_type"
    sentence = "The body has to be application/json in UTF-8, not compressed"

    def __init__(self, wanted: str = "application/json in UTF-8") -> None:
        """Create the error; `wanted` names the body that the endpoint takes."""
        super().__init__(f"The body has to be {wanted}, not compressed")


class HeadersTooLarge(HttpRefusal):
    """The header section is larger than 16 kB or longer than 100 lines (RFC 6585, section 5)."""

    code = "headers_too_large"
    sentence = "The headers are too large"
    closes_connection = True


class InternalError(HttpRefusal):
    """An error of the service. The log has it under the id of the request."""

    code = "internal_error"
    sentence = "Something went wrong on our side"


class NotImplementedHere(HttpRefusal):
    """The request is for a tunnel (`CONNECT`), which the service does not provide."""

    code = "not_implemented"
    sentence = "This protocol feature is not supported"
    closes_connection = True


class TooManyConnections(HttpRefusal):
    """All allowed connections are busy, or the address of the client has its share of them."""

    code = "too_many_connections"
    sentence = "Too many open connections, try again shortly"
    closes_connection = True


class DeadlineExceeded(HttpRefusal):
    """The request took longer than its deadline."""

    code = "deadline_exceeded"
    sentence = "The request took too long to answer, try again shortly"


class TooManyLargeBodies(HttpRefusal):
    """Concurrent bodies above 16 kB take all the memory that one process has for them."""

    code = "too_many_large_bodies"
    sentence = "Too many large requests at once, try again shortly"


class HttpVersionNotSupported(HttpRefusal):
    """The request has another HTTP version than 1.0 or 1.1."""

    code = "http_version_not_supported"
    sentence = "Only HTTP/1.1 and HTTP/1.0 are spoken here"
    closes_connection = True


STATUS_OF: dict[type[Refusal], HTTPStatus] = {
    BadRequest: HTTPStatus.BAD_REQUEST,
    BadHost: HTTPStatus.BAD_REQUEST,
    MalformedJson: HTTPStatus.BAD_REQUEST,
    MalformedForm: HTTPStatus.BAD_REQUEST,
    MultipleAuthenticationMethods: HTTPStatus.BAD_REQUEST,
    TokenInUrl: HTTPStatus.BAD_REQUEST,
    core.InvalidToken: HTTPStatus.BAD_REQUEST,
    core.TenantExists: HTTPStatus.BAD_REQUEST,
    core.NotAuthorized: HTTPStatus.UNAUTHORIZED,
    NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    core.IncorrectCredentials: HTTPStatus.UNAUTHORIZED,
    core.LoginRefused: HTTPStatus.UNAUTHORIZED,
    core.InvalidRefreshToken: HTTPStatus.UNAUTHORIZED,
    core.InvalidResetCode: HTTPStatus.UNAUTHORIZED,
    core.IncorrectPassword: HTTPStatus.FORBIDDEN,
    core.UserDisabled: HTTPStatus.FORBIDDEN,
    core.PermissionDenied: HTTPStatus.FORBIDDEN,
    Forbidden: HTTPStatus.FORBIDDEN,
    OriginNotAllowed: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    core.LoginNotFound: HTTPStatus.NOT_FOUND,
    core.SessionNotFound: HTTPStatus.NOT_FOUND,
    core.KeyNotFound: HTTPStatus.NOT_FOUND,
    core.UserNotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    core.LoginExists: HTTPStatus.CONFLICT,
    core.TooManyKeys: HTTPStatus.CONFLICT,
    core.QuotaExceeded: HTTPStatus.CONFLICT,
    core.Conflict: HTTPStatus.CONFLICT,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UriTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    core.ValidationFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.TokenMissing: HTTPStatus.UNPROCESSABLE_ENTITY,
    core.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    core.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    core.AccountLocked: HTTPStatus.TOO_MANY_REQUESTS,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    NotImplementedHere: HTTPStatus.NOT_IMPLEMENTED,
    core.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    core.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyConnections: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyLargeBodies: HTTPStatus.SERVICE_UNAVAILABLE,
    HttpVersionNotSupported: HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
}
"""The status of every error; a test checks that none is missing."""


_NOT_RETRYABLE = frozenset({core.AccountLocked})
"""Errors whose status implies a retry, but that do not pass with time."""


def error_body(refusal: Refusal) -> bytes:
    """Return the JSON body of an error."""
    status = STATUS_OF[type(refusal)]
    if isinstance(refusal, ValidationFailed):
        # In the shape of the predecessor, which uses Joi; also for a missing token.
        details = [_detail(fault) for fault in refusal.field_errors]
        error: object = {"name": "ValidationError", "details": details}
        return msgspec.json.encode(
            {"error": error, "message": refusal.sentence, "code": refusal.code, "status": int(status)}
        )
    return msgspec.json.encode(
        {"error": _text(refusal), "code": refusal.code, "status": int(status), **_extra_fields(refusal)}
    )


def _extra_fields(refusal: Refusal) -> dict[str, object]:
    """Return the fields that only errors of this class have."""
    return {"budget": refusal.budget} if isinstance(refusal, core.TooManyRequests) else {}


def _text(refusal: Refusal) -> str:
    return refusal.text if isinstance(refusal, HttpRefusal) else refusal.sentence


_OAUTH: dict[type[Refusal], tuple[str, HTTPStatus]] = {
    core.NotAuthorized: ("invalid_client", HTTPStatus.UNAUTHORIZED),
    core.PermissionDenied: ("unauthorized_client", HTTPStatus.BAD_REQUEST),
    core.TokenMissing: ("invalid_request", HTTPStatus.BAD_REQUEST),
    MalformedForm: ("invalid_request", HTTPStatus.BAD_REQUEST),
    MultipleAuthenticationMethods: ("invalid_request", HTTPStatus.BAD_REQUEST),
}


def oauth_error_body(refusal: Refusal) -> tuple[bytes, HTTPStatus]:
    """Return body and status of an error as RFC 6749, section 5.2; with its own code where that has none."""
    error, status = _OAUTH.get(type(refusal), (refusal.code, STATUS_OF[type(refusal)]))
    return msgspec.json.encode({"error": error, "error_description": _text(refusal), **_extra_fields(refusal)}), status


def _detail(fault: FieldError) -> dict[str, object]:
    context: dict[str, object] = {} if fault.limit is None else {"limit": fault.limit}
    context["key"] = fault.path[-1] if fault.path else "value"
    return {"message": fault.message, "path": list(fault.path), "type": fault.rule, "context": context}


def error_headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error response, without those of every response."""
    headers: list[tuple[bytes, bytes]] = []
    status = STATUS_OF[type(refusal)]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    retryable = (
        status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE} and type(refusal) not in _NOT_RETRYABLE
    )
    if refusal.retry_after is not None or retryable:
        headers.append((b"retry-after", b"%d" % (refusal.retry_after or 1)))
    if isinstance(refusal, MethodNotAllowed):
        headers.append((b"allow", refusal.allow.encode("ascii")))
    if isinstance(refusal, HttpRefusal) and refusal.closes_connection:
        headers.append((b"connection", b"close"))
    return headers
