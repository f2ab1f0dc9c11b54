"""The whole API at a glance."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from doorward.core.errors import (
    AccountLocked,
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
    PermissionDenied,
    QuotaExceeded,
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
from doorward.core.users import SearchField
from doorward.http import examples, schemas
from doorward.http.endpoints import LARGE_BODY, USER_BY_ID, Endpoint, Proof
from doorward.http.errors import (
    Forbidden,
    MalformedForm,
    MalformedJson,
    MultipleAuthenticationMethods,
    NotAuthenticated,
    PayloadTooLarge,
    TooManyLargeBodies,
)
from doorward.http.guard import MAX_BODY, PathRules
from doorward.http.handlers import auth, gateway, keys, oauth, ops, sessions, tenants, transfer, users
from doorward.http.watch import LOGIN, QUESTION

_PROVEN = (NotAuthorized, PermissionDenied)
_BODY = (MalformedJson, ValidationFailed)
_TOKEN = (InvalidToken, TokenMissing, *_BODY, TooManyRequests)
_GUESSED = (TooManyRequests, TooManyAttempts, AccountLocked)
_FORM = (MalformedForm, MultipleAuthenticationMethods, TokenMissing)
_LOGIN = (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused, *_GUESSED)

_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", "/tenant", tenants.register, Proof.NONE, "Tenants",
        (*_BODY, Forbidden, TenantExists, TooManyRequests),
        schemas.NewTenantBody, schemas.TenantCreated, example=examples.TENANT, hashes=True,
    ),
    Endpoint(
        "POST", "/tenant/login", tenants.login, Proof.NONE, "Tenants",
        (*_BODY, IncorrectCredentials, *_GUESSED),
        schemas.TenantLoginBody, schemas.TokenGiven, example=examples.TENANT, lane=LOGIN, hashes=True,
    ),
    Endpoint(
        "POST", "/tenant/verify", tenants.verify, Proof.TOKEN, "Tenants",
        _TOKEN, schemas.TokenBody, schemas.TenantDecoded, example=examples.TOKEN, lane=QUESTION,
    ),
    Endpoint(
        "POST", "/tenant/logout", tenants.logout, Proof.TOKEN, "Tenants",
        _TOKEN, schemas.TokenBody, schemas.Done, example=examples.TOKEN,
    ),
    Endpoint(
        "POST", "/user", users.create, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginExists, QuotaExceeded, TooManyRequests),
        schemas.NewUserBody, schemas.UserShown, example=examples.USER, permission=Permission.USERS_WRITE,
        hashes=True,
    ),
    Endpoint(
        "GET", "/user", users.index, Proof.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.UserPage, query=(*SearchField, "cursor", "limit"), alternatives=tuple(SearchField),
        permission=Permission.USERS_READ,
    ),
    Endpoint(
        "DELETE", "/user/{login}", users.delete, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.Done, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth", auth.login, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, *_LOGIN),
        schemas.LoginBody, schemas.AccessGiven, example=examples.LOGIN, permission=Permission.SESSIONS, lane=LOGIN,
        hashes=True,
    ),
    Endpoint(
        "POST", "/auth/verify", auth.verify, Proof.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN),
        schemas.TokenBody, schemas.UserDecoded, example=examples.TOKEN, permission=Permission.VERIFY, lane=QUESTION,
    ),
    Endpoint(
        "POST", "/auth/logout", auth.logout, Proof.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN), schemas.TokenBody, schemas.Done, example=examples.TOKEN, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "GET", "/user/{login}", users.show, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.UserShown, permission=Permission.USERS_READ,
    ),
    Endpoint(
        "PUT", "/user/{login}", users.put, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, QuotaExceeded, Conflict, TooManyRequests),
        schemas.PutUserBody, schemas.UserShown, example=examples.PUT_USER, permission=Permission.USERS_WRITE,
        also={HTTPStatus.CREATED: examples.USER_SHOWN}, hashes=True,
    ),
    Endpoint(
        "PATCH", "/user/{login}", users.change, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, LoginExists, Conflict, TooManyRequests),
        schemas.UserChangesBody, schemas.UserShown, example=examples.USER_CHANGES, permission=Permission.USERS_WRITE,
        hashes=True,
    ),
    Endpoint(
        "POST", "/users/import", transfer.take, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, Conflict, PayloadTooLarge, TooManyRequests, TooManyLargeBodies),
        schemas.UsersBody, schemas.UsersImported, query=("dryRun", "unconfirmed"), example=examples.NEWCOMERS,
        permission=Permission.USERS_WRITE, largest=LARGE_BODY,
    ),
    Endpoint(
        "GET", "/users/export", transfer.hand_out, Proof.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        gives=schemas.UserExported, query=("hashes",), permission=Permission.USERS_READ, media="application/x-ndjson",
    ),
    Endpoint(
        "POST", "/user/{login}/password", users.change_password, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, IncorrectPassword, UserDisabled, InvalidToken, Conflict, *_GUESSED),
        schemas.PasswordChangeBody, schemas.Done, example=examples.NEW_PASSWORD, permission=Permission.USERS_WRITE,
        hashes=True,
    ),
    Endpoint(
        "POST", "/user/{login}/password/reset", users.offer_reset, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.CodeGiven, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "DELETE", "/user/{login}/failures", users.unlock, Proof.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), gives=schemas.Done, permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth/reset", users.reset, Proof.TENANT, "Users",
        (*_BODY, *_PROVEN, InvalidResetCode, TooManyRequests),
        schemas.ResetBody, schemas.Done, example=examples.RESET, permission=Permission.USERS_WRITE, hashes=True,
    ),
    Endpoint(
        "POST", "/auth/refresh", sessions.refresh, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, InvalidRefreshToken, TooManyRequests),
        schemas.RefreshBody, schemas.AccessGiven, example=examples.REFRESH,
        permission=Permission.SESSIONS,
    ),
    Endpoint(
        "POST", "/auth/verify/batch", sessions.verify_batch, Proof.TENANT, "Sessions",
        (*_BODY, *_PROVEN, PayloadTooLarge, TooManyRequests, TooManyLargeBodies),
        schemas.TokensBody, schemas.BatchAnswered, example=examples.TOKENS,
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
        schemas.TenantChangesBody, schemas.TenantShown, example=examples.SETTINGS,
        permission=Permission.TENANT,
    ),
    Endpoint(
        "POST", "/tenant/password", tenants.change_password, Proof.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, Conflict, *_GUESSED),
        schemas.TenantPasswordBody, schemas.Done,
        example=examples.NEW_TENANT_PASSWORD, hashes=True,
    ),
    Endpoint(
        "DELETE", "/tenant", tenants.delete, Proof.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, *_GUESSED),
        schemas.FarewellBody, schemas.Done, example=examples.FAREWELL, hashes=True,
    ),
    Endpoint(
        "POST", "/tenant/key", keys.create, Proof.TENANT, "API keys",
        (*_BODY, *_PROVEN, KeyNotFound, TooManyKeys, TooManyRequests),
        schemas.NewKeyBody, schemas.KeyMade, example=examples.KEY,
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
        (*_FORM, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.Introspected, example=examples.TOKEN, permission=Permission.VERIFY, form=True,
    ),
    Endpoint(
        "POST", "/oauth/revoke", oauth.revoke, Proof.TENANT, "Standards",
        (*_FORM, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.Nothing, example=examples.TOKEN, permission=Permission.SESSIONS, form=True,
    ),
    Endpoint(
        "GET", "/.well-known/oauth-authorization-server", oauth.metadata, Proof.FREE, "Standards",
        gives=schemas.ServerMetadata,
    ),
    Endpoint(
        "GET", "/forward-auth", gateway.forward_auth, Proof.TENANT, "Standards",
        (*_PROVEN, NotAuthenticated, TooManyRequests), permission=Permission.VERIFY, everywhere=True, lane=QUESTION,
        media="",
        tells=("X-Auth-User-Id", "X-Auth-Login", "X-Auth-Sub", "X-Auth-Tenant", "X-Auth-Scope", "X-Auth-Device"),
    ),
    Endpoint("GET", "/health/live", ops.live, Proof.FREE, "Operations", gives=schemas.Live, any_host=True),
    Endpoint(
        "GET", "/health/ready", ops.ready, Proof.FREE, "Operations",
        gives=schemas.Ready, any_host=True,
        also={HTTPStatus.SERVICE_UNAVAILABLE: schemas.Ready("unready", {"database": "away"})},
    ),
    Endpoint("GET", "/openapi.json", ops.openapi, Proof.FREE, "Operations"),
    Endpoint("GET", "/docs", ops.docs, Proof.FREE, "Operations", media="text/html"),
)  # fmt: skip

_USER = "/user/{login}"

_BY_ID = tuple(
    replace(endpoint, path=endpoint.path.replace(_USER, USER_BY_ID))
    for endpoint in _ENDPOINTS
    if endpoint.path.startswith(_USER) and endpoint.method != "PUT"
)
"""What there is of a user by its login, by its id. Not PUT: it creates users, and a client does not choose an id."""

# A path that is spelled out, such as /users/import, comes before one with a parameter in its place.
ENDPOINTS = (*_ENDPOINTS, *_BY_ID)

EXPRESS: Mapping[tuple[bytes, bytes], Endpoint] = {
    (endpoint.method.encode(), endpoint.path.encode()): endpoint for endpoint in ENDPOINTS if endpoint.lane
}
"""What is asked most often, by method and target: answered before the router, by the same handlers."""

PATHS = PathRules(
    sizes={endpoint.path.encode(): endpoint.largest for endpoint in ENDPOINTS if endpoint.largest != MAX_BODY},
    everywhere=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.everywhere),
    any_host=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.any_host),
)
"""The paths to which other rules apply than to most."""
