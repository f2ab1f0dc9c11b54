"""What an endpoint is, and how a request becomes its answer: one way for the router and for the express lane."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
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
from doorward.http.client_address import in_networks
from doorward.http.guard import MAX_BODY_BYTES
from doorward.http.services import Services
from doorward.http.validation import known_names
from doorward.http.wire import Request, Response

LARGE_BODY = 1 << 20
USER_BY_ID = "/users/{userId}"

Handler = Callable[[Services, Request], Awaitable[Response]]


class Auth(Enum):
    """What proves that a request is a tenant's. Requests without proof are charged to their address."""

    TENANT = "the tenant's credential, as bearer"
    TOKEN = "the token in the body"  # noqa: S105 - not a password
    NONE = "nothing: every request is charged"
    FREE = "nothing is asked and nothing charged"


_UNAUTHENTICATED: dict[Auth, tuple[type[Refusal], ...]] = {
    Auth.TENANT: (NotAuthorized, errors.MultipleAuthenticationMethods),
    Auth.TOKEN: (InvalidToken, TokenMissing, errors.MalformedJson, ValidationFailed),
    Auth.NONE: (),
    Auth.FREE: (),
}


_NO = (InvalidToken, TokenMissing, InvalidRefreshToken, errors.NotAuthenticated)
"""Refusals that answer a question about a token. Any client of a tenant's application can cause them."""

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
"""What every request may be refused with, whatever it asks for: by the protocol, the guard, or an absent store."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    `takes` and `gives` are the structs of body and answer, `refuses` what it may say no with beyond what every request
    may be refused with, `example` a body to take. `query` names the query parameters, `alternatives` those of them that
    exclude one another. `form` says that the body is a form instead of JSON, and that
    refusals look as RFC 6749 has it. `media` is the type of the answer, "" where it has no body, `status` its status,
    `tells` the headers that are its own; `also` has an answer for each other status that is no refusal. `permission` is
    what an API key needs to be let in; None: no key is. `largest` is the most bytes that a body may have. `hashes`: it
    computes password hashes; it may be refused with Overloaded, and has a longer deadline, since it may have to wait
    for a thread. `everywhere`: answers every method, and every path below its own. `any_host`: `ALLOWED_HOSTS` does not
    apply, since load balancers and orchestrators check by address. `lane`: ordinary requests are answered before the
    router, as QUESTION, which is asked with every request of an application, or as LOGIN, which comes in floods, most
    of it to be refused.
    """

    method: str
    path: str
    handler: Handler
    auth: Auth
    tag: str
    errors: tuple[type[Refusal], ...] = ()
    request_body: type[Any] | None = None
    response_body: type[Any] | None = None
    query: tuple[str, ...] = ()
    example: Any = None
    media_type: str = "application/json"
    success_status: HTTPStatus = HTTPStatus.OK
    response_headers: tuple[str, ...] = ()
    extra_responses: Mapping[HTTPStatus, msgspec.Struct] = field(default_factory=dict)
    is_form: bool = False
    permission: Permission | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    hashes_password: bool = False
    match_subpaths: bool = False
    any_host: bool = False
    fast_path: str = ""
    alternatives: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the handler, which the endpoints by login and by id have in common."""
        return f"{self.handler.__module__.rpartition('.')[2]}_{self.handler.__name__}"

    @property
    def by_id(self) -> bool:
        """Whether the path names a user by its id."""
        return self.path.startswith(USER_BY_ID)

    @property
    def summary(self) -> str:
        """The first sentence of the handler's promise."""
        sentence = (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")
        return f"{sentence}, by id" if self.by_id else sentence

    @property
    def all_errors(self) -> tuple[type[Refusal], ...]:
        """Everything this endpoint may say no with: what is its own first, then what every request shares."""
        # Segments that are no UTF-8 name nothing.
        nothing = (errors.NotFound,) if "{" in self.path else ()
        busy = (Overloaded,) if self.hashes_password else ()
        return tuple(dict.fromkeys((*self.errors, *busy, *nothing, *COMMON_ERRORS)))


async def respond(endpoint: Endpoint, services: Services, request: Request, handler: Handler | None = None) -> Response:
    """Call the handler of the endpoint, or the one that stands in for it.

    A request that proves no tenant's credential is charged to its address, a refused one of an authenticated caller to
    its tenant. Raises what the handler raises, or TooManyRequests.
    """
    if endpoint.auth is Auth.NONE:
        await _consume_address(services, request)
    try:
        return await (handler or endpoint.handler)(services, request)
    except Refusal as refusal:
        if isinstance(refusal, _UNAUTHENTICATED[endpoint.auth]):
            await _consume_address(services, request)
        elif errors.STATUS_OF[type(refusal)] < HTTPStatus.INTERNAL_SERVER_ERROR:
            services.consume_refused(request, refusal, question=isinstance(refusal, _NO))
        raise


def check_query(endpoint: Endpoint, query: Collection[str]) -> None:
    """Raise ValidationFailed where the names of query parameters include unknown ones or two that exclude one another.

    Endpoints of standards (RFC 6749, section 3.1) and of operations ignore unknown parameters.
    """
    if endpoint.is_form or endpoint.auth is Auth.FREE:
        return
    if not set(query) <= set(endpoint.query):
        # The name is the client's own text, so the answer does not repeat it.
        unknown = f"an unknown query parameter is not allowed; {known_names(endpoint.query)}"
        raise ValidationFailed([FieldError([], "object.allowUnknown", unknown)])
    if len([name for name in endpoint.alternatives if name in query]) > 1:
        names = ", ".join(f'"{name}"' for name in endpoint.alternatives)
        raise ValidationFailed([FieldError([], "object.oxor", f"at most one of {names} is allowed")])


async def _consume_address(services: Services, request: Request) -> None:
    client = request.client_address
    if not in_networks(client, services.unthrottled):
        await services.rate_limits.consume_address(client.rate_limit_key)
