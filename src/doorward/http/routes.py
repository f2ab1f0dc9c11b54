"""The whole API at a glance."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from urllib.parse import unquote

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from doorward.core.errors import (
    Conflict,
    IncorrectCredentials,
    IncorrectPassword,
    InvalidRefreshToken,
    InvalidResetCode,
    InvalidToken,
    KeyNotFound,
    LoginExists,
    LoginNotFound,
    LoginRefused,
    NotAuthorized,
    Overloaded,
    PermissionDenied,
    Refusal,
    SessionNotFound,
    TenantExists,
    TokenMissing,
    TooManyAttempts,
    TooManyKeys,
    TooManyRequests,
    UserDisabled,
    UserNotFound,
    ValidationFailed,
)
from doorward.core.model import Permission
from doorward.http import auth, gateway, keys, oauth, ops, schemas, sessions, tenants, transfer, users
from doorward.http.endpoints import LARGE_BODY, Endpoint, Proof, respond
from doorward.http.errors import (
    Forbidden,
    HttpVersionNotSupported,
    MalformedForm,
    MalformedJson,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
)
from doorward.http.guard import MAX_BODY, check_accept, check_content, check_form, unique_query
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, Proxies, by_name, refuse_oauth

_PROVEN = (NotAuthorized, PermissionDenied)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_BODY = (MalformedJson, ValidationFailed)
_TOKEN = (InvalidToken, TokenMissing, *_BODY, TooManyRequests)
_SLOW = (TooManyRequests, TooManyAttempts, Overloaded)
_LOGIN = (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused, *_SLOW)
_TENANT = {"email": "shop@example.org", "password": "Correct-Horse-9"}
_USER = {
    "login": "alice",
    "email": "alice@example.org",
    "password": "correct horse battery staple",
    "sub": "customer-17",
    "company": "Example Ltd",
    "scope": ["orders:read"],
}
_PUT_USER = {name: value for name, value in _USER.items() if name != "login"}
_NEWCOMERS = {
    "users": [
        {
            "login": "alice",
            "email": "alice@example.org",
            "sub": "customer-17",
            "passwordHash": "pbkdf2_sha256$1000000$Qd3Zt8Vw1yLm$5oQ0yXhJ3mE1cWq8nT2bR7uK9vL4sZ6aF0dG1hI2jK4=",
        }
    ]
}
_NEW_PASSWORD = {"current": "correct horse battery staple", "password": "a new and longer password"}
_RESET = {"code": "gqYc0vwfcz2-1nFpV0yZNVYDkq4k1y6S", "password": "a new and longer password"}
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
        (*_BODY, *_PROVEN, LoginExists, TooManyRequests, Overloaded),
        schemas.NewUserBody, schemas.UserShown, example=_USER, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "GET", "/user", users.index, Proof.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.UserPage, query=("q", "cursor", "limit"), permission=Permission.USERS_READ,
    ),
    Endpoint(
        "DELETE", "/user/{login}", users.delete, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.Done, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth", auth.login, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, *_LOGIN),
        schemas.LoginBody, schemas.AccessGiven, example=_CREDENTIALS, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "POST", "/auth/verify", auth.verify, Proof.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN), schemas.TokenBody, schemas.UserDecoded, example=_ANY_TOKEN, permission=Permission.VERIFY,
    ),
    Endpoint(
        "POST", "/auth/logout", auth.logout, Proof.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN), schemas.TokenBody, schemas.Done, example=_ANY_TOKEN, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "GET", "/user/{login}", users.show, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.UserShown, permission=Permission.USERS_READ,
    ),
    Endpoint(
        "PUT", "/user/{login}", users.put, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, Conflict, TooManyRequests, Overloaded),
        schemas.PutUserBody, schemas.UserShown, example=_PUT_USER, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "PATCH", "/user/{login}", users.change, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, Conflict, TooManyRequests, Overloaded),
        schemas.UserChangesBody, schemas.UserShown, example={"disabled": True}, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/users/import", transfer.take, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, TooManyRequests),
        schemas.UsersBody, schemas.UsersImported, query=("dryRun",), example=_NEWCOMERS,
        permission=Permission.USERS_WRITE, largest=LARGE_BODY,
    ),
    Endpoint(
        "GET", "/users/export", transfer.hand_out, Proof.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.UserExported, query=("hashes",), permission=Permission.USERS_READ, media="application/x-ndjson",
    ),
    Endpoint(
        "POST", "/user/{login}/password", users.change_password, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, IncorrectPassword, UserDisabled, InvalidToken, Conflict, *_SLOW),
        schemas.PasswordChangeBody, schemas.Done, example=_NEW_PASSWORD, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/user/{login}/password/reset", users.offer_reset, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.CodeGiven, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth/reset", users.reset, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, InvalidResetCode, TooManyRequests, Overloaded),
        schemas.ResetBody, schemas.Done, example=_RESET, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth/refresh", sessions.refresh, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, InvalidRefreshToken, TooManyRequests),
        schemas.RefreshBody, schemas.AccessGiven, example={"refreshToken": "dr_WyIxIl0.c2ln"},
        permission=Permission.SESSIONS,
    ),
    Endpoint(
        "POST", "/auth/verify/batch", sessions.verify_batch, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, TooManyRequests),
        schemas.TokensBody, schemas.BatchAnswered, example={"tokens": [_ANY_TOKEN["token"]]},
        permission=Permission.VERIFY, largest=LARGE_BODY,
    ),
    Endpoint(
        "GET", "/user/{login}/sessions", sessions.index, Proof.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.SessionsShown, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/user/{login}/sessions", sessions.end_many, Proof.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, TooManyRequests),
        gives=schemas.Done, query=("deviceId",), permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/user/{login}/sessions/{id}", sessions.end_one, Proof.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, SessionNotFound, TooManyRequests),
        gives=schemas.Done, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/tenant/sessions", sessions.end_all, Proof.TENANT, "Sessions",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.Done, query=("tenant",), permission=Permission.SESSIONS,
    ),
    Endpoint(
        "GET", "/tenant", tenants.show, Proof.TENANT, "Tenants",
        (*_PROVEN, TooManyRequests), gives=schemas.TenantShown, permission=Permission.TENANT,
    ),
    Endpoint(
        "PATCH", "/tenant", tenants.change, Proof.TENANT, "Tenants",
        (*_BODY, *_PROVEN, Conflict, TooManyRequests),
        schemas.TenantChangesBody, schemas.TenantShown, example={"settings": {"sessionIdle": 3600}},
        permission=Permission.TENANT,
    ),
    Endpoint(
        "POST", "/tenant/password", tenants.change_password, Proof.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, Conflict, *_SLOW),
        schemas.TenantPasswordBody, schemas.Done,
        example={"current": "Correct-Horse-9", "password": "Battery-Staple-7"},
    ),
    Endpoint(
        "DELETE", "/tenant", tenants.delete, Proof.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, *_SLOW),
        schemas.FarewellBody, schemas.Done, example={"password": "Correct-Horse-9"},
    ),
    Endpoint(
        "POST", "/tenant/key", keys.create, Proof.TENANT, "API keys",
        (*_BODY, *_PROVEN, KeyNotFound, TooManyKeys, TooManyRequests),
        schemas.NewKeyBody, schemas.KeyMade, example={"name": "gateway", "permissions": ["verify"]},
        status=HTTPStatus.CREATED,
    ),
    Endpoint(
        "GET", "/tenant/key", keys.index, Proof.TENANT, "API keys",
        (*_PROVEN, TooManyRequests), gives=schemas.KeysShown, permission=Permission.TENANT,
    ),
    Endpoint(
        "DELETE", "/tenant/key/{id}", keys.revoke, Proof.TENANT, "API keys",
        (*_PROVEN, KeyNotFound, TooManyRequests), gives=schemas.Done, permission=Permission.TENANT,
    ),
    Endpoint(
        "GET", "/tenant/audit", tenants.audit, Proof.TENANT, "Tenants",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.EventPage, query=("cursor", "limit"), permission=Permission.TENANT,
    ),
    Endpoint(
        "POST", "/oauth/introspect", oauth.introspect, Proof.TENANT, "Standards",
        (MalformedForm, TokenMissing, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.Introspected, example=_ANY_TOKEN, permission=Permission.VERIFY, form=True,
    ),
    Endpoint(
        "POST", "/oauth/revoke", oauth.revoke, Proof.TENANT, "Standards",
        (MalformedForm, TokenMissing, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.Nothing, example=_ANY_TOKEN, permission=Permission.SESSIONS, form=True,
    ),
    Endpoint(
        "GET", "/.well-known/oauth-authorization-server", oauth.metadata, Proof.FREE, "Standards",
        gives=schemas.ServerMetadata,
    ),
    Endpoint(
        "GET", "/forward-auth", gateway.forward_auth, Proof.TENANT, "Standards",
        (*_PROVEN, NotAuthenticated, TooManyRequests), permission=Permission.VERIFY, everywhere=True,
    ),
    Endpoint("GET", "/health/live", ops.live, Proof.FREE, "Operations", gives=schemas.Live),
    Endpoint(
        "GET", "/health/ready", ops.ready, Proof.FREE, "Operations",
        gives=schemas.Ready, also={HTTPStatus.SERVICE_UNAVAILABLE: schemas.Ready("unready", {"database": "away"})},
    ),
    Endpoint("GET", "/openapi.json", ops.openapi, Proof.FREE, "Operations"),
    Endpoint("GET", "/docs", ops.docs, Proof.FREE, "Operations", media="text/html"),
)  # fmt: skip

EXPRESS: Mapping[bytes, Endpoint] = {
    endpoint.path.encode(): endpoint for endpoint in ENDPOINTS if endpoint.handler in {auth.verify, tenants.verify}
}
"""The questions asked on every request: answered before the router, by the same handlers."""


SIZES: Mapping[bytes, int] = {
    endpoint.path.encode(): endpoint.largest for endpoint in ENDPOINTS if endpoint.largest != MAX_BODY
}
"""The paths that take a larger body than others."""


class Place:
    """A path and what can be done there (an ASGI application)."""

    def __init__(self, endpoints: list[Endpoint], services: Services, proxies: Proxies) -> None:
        """Serve the endpoints of one path."""
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]
        self._everywhere = any(endpoint.everywhere for endpoint in endpoints)
        if self._everywhere:
            self._endpoints |= dict.fromkeys(_METHODS, endpoints[0])
        self._allow = ", ".join(sorted({*self._endpoints, "OPTIONS"}))
        self._services = services
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; refusals are raised for the guard to write."""
        answer = await self._answer(scope)
        if answer.rest is not None:
            await _stream(answer, answer.rest, scope, receive, send)
            return
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope) -> Answer:
        if scope["method"] == "OPTIONS" and not self._everywhere:
            return Answer(b"", HTTPStatus.NO_CONTENT, ((b"allow", self._allow.encode()),))
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            raise MethodNotAllowed(self._allow)
        if not endpoint.form:
            return await self._respond(endpoint, scope)
        try:
            return await self._respond(endpoint, scope)
        except Refusal as refusal:
            return refuse_oauth(refusal)

    async def _respond(self, endpoint: Endpoint, scope: Scope) -> Answer:
        headers = by_name(scope["headers"])
        if not endpoint.everywhere:
            # A field of several lines is one list (RFC 9110, section 5.3).
            accepts = [value for name, value in scope["headers"] if name == b"accept"]
            check_accept(b",".join(accepts) if accepts else None, endpoint.media)
            if scope["body"]:
                (check_form if endpoint.form else check_content)(headers)
        call = Call(
            headers,
            scope["body"],
            scope["client"][0] if scope["client"] else "",
            self._proxies,
            _segments(scope),
            unique_query(scope["query_string"]),
            endpoint.permission,
            scope["request_id"],
        )
        return await respond(endpoint, self._services, call)


async def _stream(answer: Answer, rest: AsyncIterator[bytes], scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer piece by piece, in chunks; nothing more is made once the client has gone."""
    if scope["http_version"] == "1.0":
        # Without chunks (RFC 9112, section 7) an end cannot be told from a fault.
        raise HttpVersionNotSupported
    start = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [*answer.headers, (b"transfer-encoding", b"chunked")],
    }
    if scope["method"] == "HEAD":
        await send(start)
        await send({"type": "http.response.body", "body": b""})
        return
    # What cannot even begin is refused like everything else, so the first piece is made before anything is sent.
    piece = answer.body + await anext(rest, b"")
    await send(start)
    gone = asyncio.ensure_future(receive())
    try:
        while piece and not gone.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(rest, b"")
    finally:
        gone.cancel()
    await send({"type": "http.response.body", "body": b""})


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
    routes += [
        Route(f"{path}/{{rest:path}}", Place(endpoints, services, proxies))
        for path, endpoints in paths.items()
        if any(endpoint.everywhere for endpoint in endpoints)
    ]
    return Router(routes, redirect_slashes=False, default=_nowhere)
