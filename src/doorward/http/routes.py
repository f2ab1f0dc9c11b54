"""The whole API at a glance."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from doorward.core.errors import (
    IncorrectCredentials,
    IncorrectPassword,
    InvalidToken,
    LoginExists,
    LoginNotFound,
    LoginRefused,
    NotAuthorized,
    Overloaded,
    TenantExists,
    TokenMissing,
    TooManyAttempts,
    TooManyRequests,
    UserNotFound,
    ValidationFailed,
)
from doorward.http import auth, ops, schemas, tenants, users
from doorward.http.endpoints import Endpoint, Proof, respond
from doorward.http.errors import Forbidden, MalformedJson, MethodNotAllowed, NotFound
from doorward.http.guard import check_accept, check_content, unique_query
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, Proxies

_BODY = (MalformedJson, ValidationFailed)
_TOKEN = (InvalidToken, TokenMissing, *_BODY, TooManyRequests)
_LOGIN = (UserNotFound, IncorrectPassword, LoginRefused, TooManyRequests, TooManyAttempts, Overloaded)
_TENANT = {"email": "shop@example.org", "password": "Correct-Horse-9"}
_USER = {
    "login": "alice",
    "email": "alice@example.org",
    "password": "correct horse battery staple",
    "sub": "customer-17",
}
_CREDENTIALS = {"login": "alice", "password": "correct horse battery staple", "deviceId": "laptop"}
_ANY_TOKEN = {"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.e30.c2ln"}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", "/tenant", tenants.register, Proof.NONE, "Tenants",
        (*_BODY, Forbidden, TenantExists, TooManyRequests, Overloaded),
        schemas.NewTenantBody, schemas.TenantCreated, example=_TENANT,
    ),
    Endpoint(
        "POST", "/tenant/login", tenants.login, Proof.NONE, "Tenants",
        (*_BODY, IncorrectCredentials, TooManyRequests, TooManyAttempts, Overloaded),
        schemas.TenantLoginBody, schemas.TokenGiven, example=_TENANT,
    ),
    Endpoint(
        "POST", "/tenant/verify", tenants.verify, Proof.TOKEN, "Tenants",
        _TOKEN, schemas.TokenBody, schemas.TenantDecoded, example=_ANY_TOKEN,
    ),
    Endpoint(
        "POST", "/tenant/logout", tenants.logout, Proof.TOKEN, "Tenants",
        _TOKEN, schemas.TokenBody, schemas.Done, example=_ANY_TOKEN,
    ),
    Endpoint(
        "POST", "/user", users.create, Proof.TENANT, "Users",
        (*_BODY, NotAuthorized, LoginExists, TooManyRequests, Overloaded),
        schemas.NewUserBody, schemas.UserShown, example=_USER,
    ),
    Endpoint(
        "GET", "/user", users.index, Proof.TENANT, "Users",
        (NotAuthorized, ValidationFailed, TooManyRequests),
        gives=schemas.UserPage, query=("q", "cursor", "limit"),
    ),
    Endpoint(
        "DELETE", "/user/{login}", users.delete, Proof.TENANT, "Users",
        (NotAuthorized, LoginNotFound, TooManyRequests), gives=schemas.Done,
    ),
    Endpoint(
        "POST", "/auth", auth.login, Proof.TENANT, "Sessions",
        (*_BODY, NotAuthorized, *_LOGIN),
        schemas.LoginBody, schemas.AccessGiven, example=_CREDENTIALS,
    ),
    Endpoint(
        "POST", "/auth/verify", auth.verify, Proof.TENANT, "Sessions",
        (*_TOKEN, NotAuthorized), schemas.TokenBody, schemas.UserDecoded, example=_ANY_TOKEN,
    ),
    Endpoint(
        "POST", "/auth/logout", auth.logout, Proof.TENANT, "Sessions",
        (*_TOKEN, NotAuthorized), schemas.TokenBody, schemas.Done, example=_ANY_TOKEN,
    ),
    Endpoint("GET", "/health/live", ops.live, Proof.FREE, "Operations", gives=schemas.Live),
    Endpoint("GET", "/health/ready", ops.ready, Proof.FREE, "Operations", gives=schemas.Ready),
    Endpoint("GET", "/openapi.json", ops.openapi, Proof.FREE, "Operations"),
    Endpoint("GET", "/docs", ops.docs, Proof.FREE, "Operations", media="text/html"),
)  # fmt: skip

EXPRESS: Mapping[bytes, Endpoint] = {
    endpoint.path.encode(): endpoint for endpoint in ENDPOINTS if endpoint.handler in {auth.verify, tenants.verify}
}
"""The questions asked on every request: answered before the router, by the same handlers."""


class Place:
    """A path and what can be done there (an ASGI application)."""

    def __init__(self, endpoints: list[Endpoint], services: Services, proxies: Proxies) -> None:
        """Serve the endpoints of one path."""
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self._allow = ", ".join(sorted({*self._endpoints, "OPTIONS"}))
        self._services = services
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the guard has read it
        """Answer one request; refusals are raised for the guard to write."""
        answer = await self._answer(scope)
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope) -> Answer:
        if scope["method"] == "OPTIONS":
            return Answer(b"", HTTPStatus.NO_CONTENT, ((b"allow", self._allow.encode()),))
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(self._allow)
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        # A field of several lines is one list (RFC 9110, section 5.3).
        accepts = [value for name, value in scope["headers"] if name == b"accept"]
        check_accept(b",".join(accepts) if accepts else None, endpoint.media)
        if scope["body"]:
            check_content(headers)
        call = Call(
            headers,
            scope["body"],
            scope["client"][0] if scope["client"] else "",
            self._proxies,
            _segments(scope),
            unique_query(scope["query_string"]),
        )
        return await respond(endpoint, self._services, call)


def _segments(scope: Scope) -> dict[str, str]:
    try:
        segments = {name: unquote(segment, errors="strict") for name, segment in scope["path_params"].items()}
    except UnicodeDecodeError:
        raise NotFound from None
    if any("\0" in segment for segment in segments.values()):
        raise NotFound
    return segments


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the shape of ASGI
    raise NotFound(scope["method"], scope["path"])


def build_router(services: Services, proxies: Proxies, *, docs: bool) -> Router:
    """Return the router over every endpoint; without `docs`, those that describe the API are not there."""
    paths: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        if docs or endpoint.handler not in {ops.openapi, ops.docs}:
            paths.setdefault(endpoint.path, []).append(endpoint)
    routes = [Route(path, Place(endpoints, services, proxies)) for path, endpoints in paths.items()]
    return Router(routes, redirect_slashes=False, default=_nowhere)
