"""Endpoint table entry, and the call of its handler: shared by the router and the fast path."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from typing import Any

import msgspec

from doorward.core.errors import (
    FieldError,
    InvalidRefreshToken,
    InvalidToken,
    NotAuthorized,
    Overloaded,
    Refusal,
    StoreUnavailable,
    TokenMissing,
    ValidationFailed,
)
from doorward.core.model import Permission
from doorward.http import errors
from doorward.http.api.services import Services
from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.client_address import in_networks
from doorward.http.request import Request
from doorward.http.response import Response
from doorward.http.validation import known_names

_USER_BY_LOGIN = "/user/{login}"
USER_BY_ID = "/users/{userId}"

Handler = Callable[[Services, Request], Awaitable[Response]]


class Auth(Enum):
    """Authentication of requests. Unauthenticated requests are charged to the rate limit of their address."""

    TENANT = "bearer credential of a tenant"
    TOKEN = "token in the body"  # noqa: S105 - not a password
    NONE = "none, charged to the address"
    FREE = "none, not charged"


_AUTHENTICATION_ERRORS: dict[Auth, tuple[type[Refusal], ...]] = {
    Auth.TENANT: (NotAuthorized, errors.MultipleAuthenticationMethods),
    Auth.TOKEN: (InvalidToken, TokenMissing, errors.MalformedJson, ValidationFailed),
    Auth.NONE: (),
    Auth.FREE: (),
}
"""Errors of unauthenticated requests."""

_TOKEN_ERRORS = (InvalidToken, TokenMissing, InvalidRefreshToken, errors.NotAuthenticated)
"""Errors of verifications. Any client of a tenant's application can cause them with a forged token."""

COMMON_ERRORS: tuple[type[Refusal], ...] = (
    errors.BadRequest,
    errors.BadHost,
    errors.TokenInUrl,
    errors.OriginNotAllowed,
    errors.NotAcceptable,
    errors.RequestTimeout,
    errors.PayloadTooLarge,
    errors.UriTooLong,
    errors.UnsupportedMediaType,
    ValidationFailed,
    errors.HeadersTooLarge,
    errors.InternalError,
    errors.NotImplementedHere,
    StoreUnavailable,
    errors.TooManyConnections,
    errors.DeadlineExceeded,
    errors.HttpVersionNotSupported,
)
"""Errors of every endpoint, raised by the connection, the middleware, or a store that is unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path, as the router, the OpenAPI document and the self-test need it.

    Attributes:
        method: The HTTP method.
        path: The path template; parameters in braces.
        operation_id: The published name of the operation. Chosen, never derived from a Python name.
        operation_id_by_user_id: The published name of the same operation on `/users/{userId}`; "" where there is none.
        summary: One line for readers of the API, without a period.
        description: What the summary does not say; "" for nothing.
        tag: The group in the OpenAPI document.
        handler: Reads the request, calls a service, returns the response.
        auth: How the caller authenticates.
        permission: The permission that an API key needs; None: no API key is accepted.
        errors: The errors of this endpoint, without those of every endpoint (`COMMON_ERRORS`).
        request_body: The schema of the request body, if it takes one.
        response_body: The schema of the response body, if it is JSON or newline-delimited JSON.
        example: An example of a request body.
        query: The names of the query parameters.
        alternatives: Those of them that exclude one another.
        media_type: The media type of the response; "" where it has no body.
        success_status: The status of a successful response.
        response_headers: Headers that only this endpoint sets.
        extra_responses: An example of each response with another status that is no error.
        is_form: The body is a form, and errors follow RFC 6749, section 5.2.
        max_body_bytes: The largest body.
        hashes_password: The endpoint computes password hashes: it may answer `overloaded`, and its deadline includes
            the wait for a hashing thread.
        match_subpaths: The endpoint also answers every other method and every path below its own.
        any_host: `ALLOWED_HOSTS` does not apply, since load balancers and orchestrators check by address.
        fast_path: VERIFY or LOGIN where ordinary requests are answered before the router, else "".
    """

    method: str = field(kw_only=False)
    path: str = field(kw_only=False)
    operation_id: str
    summary: str
    tag: str
    handler: Handler
    auth: Auth
    operation_id_by_user_id: str = ""
    description: str = ""
    permission: Permission | None = None
    errors: tuple[type[Refusal], ...] = ()
    request_body: type[Any] | None = None
    response_body: type[Any] | None = None
    example: Any = None
    query: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    media_type: str = "application/json"
    success_status: HTTPStatus = HTTPStatus.OK
    response_headers: tuple[str, ...] = ()
    extra_responses: Mapping[HTTPStatus, msgspec.Struct] = field(default_factory=dict)
    is_form: bool = False
    max_body_bytes: int = MAX_BODY_BYTES
    hashes_password: bool = False
    match_subpaths: bool = False
    any_host: bool = False
    fast_path: str = ""

    def by_user_id(self) -> "Endpoint":
        """Return the endpoint with the user's id in the path instead of the login."""
        return replace(
            self,
            path=self.path.replace(_USER_BY_LOGIN, USER_BY_ID),
            operation_id=self.operation_id_by_user_id,
            operation_id_by_user_id="",
            summary=f"{self.summary}, by id",
        )

    @property
    def all_errors(self) -> tuple[type[Refusal], ...]:
        """Errors of this endpoint, then those of every endpoint."""
        # Path parameters that are not UTF-8 match no resource.
        not_found = (errors.NotFound,) if "{" in self.path else ()
        busy = (Overloaded,) if self.hashes_password else ()
        return tuple(dict.fromkeys((*self.errors, *busy, *not_found, *COMMON_ERRORS)))


async def respond(endpoint: Endpoint, services: Services, request: Request, handler: Handler | None = None) -> Response:
    """Call the handler of the endpoint, or `handler` in its place.

    Unauthenticated requests are charged to their address, rejected requests of authenticated callers to their tenant.
    Raises the errors of the handler, or TooManyRequests.
    """
    if endpoint.auth is Auth.NONE:
        await _consume_address(services, request)
    try:
        return await (handler or endpoint.handler)(services, request)
    except Refusal as refusal:
        if isinstance(refusal, _AUTHENTICATION_ERRORS[endpoint.auth]):
            await _consume_address(services, request)
        elif errors.STATUS_OF[type(refusal)] < HTTPStatus.INTERNAL_SERVER_ERROR:
            services.consume_refused(request, refusal, is_verification=isinstance(refusal, _TOKEN_ERRORS))
        raise


def check_query(endpoint: Endpoint, query: Collection[str]) -> None:
    """Raise ValidationFailed for unknown query parameters, or two that exclude each other.

    Endpoints of standards (RFC 6749, section 3.1) and of operations ignore unknown parameters.
    """
    if endpoint.is_form or endpoint.auth is Auth.FREE:
        return
    if not query:
        return
    if not set(query) <= set(endpoint.query):
        # The name is text of the client, so the response does not repeat it.
        unknown = f"an unknown query parameter is not allowed; {known_names(endpoint.query)}"
        raise ValidationFailed([FieldError([], "object.allowUnknown", unknown)])
    if len([name for name in endpoint.alternatives if name in query]) > 1:
        names = ", ".join(f'"{name}"' for name in endpoint.alternatives)
        raise ValidationFailed([FieldError([], "object.oxor", f"at most one of {names} is allowed")])


async def _consume_address(services: Services, request: Request) -> None:
    client = request.client_address
    if not in_networks(client, services.unthrottled):
        await services.rate_limits.consume_address(client.rate_limit_key)
