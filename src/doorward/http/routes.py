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
from doorward.http.endpoints import LARGE_BODY, USER_BY_ID, Auth, Endpoint
from doorward.http.errors import (
    Forbidden,
    MalformedForm,
    MalformedJson,
    MultipleAuthenticationMethods,
    NotAuthenticated,
    PayloadTooLarge,
    TooManyLargeBodies,
)
from doorward.http.guard import MAX_BODY_BYTES, PathRules
from doorward.http.handlers import auth, gateway, keys, oauth, ops, sessions, tenants, transfer, users
from doorward.http.watch import LOGIN, VERIFY

_PROVEN = (NotAuthorized, PermissionDenied)
_BODY = (MalformedJson, ValidationFailed)
_TOKEN = (InvalidToken, TokenMissing, *_BODY, TooManyRequests)
_GUESSED = (TooManyRequests, TooManyAttempts, AccountLocked)
_FORM = (MalformedForm, MultipleAuthenticationMethods, TokenMissing)
_LOGIN = (UserNotFound, IncorrectPassword, UserDisabled, LoginRefused, *_GUESSED)

_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", "/tenant", tenants.create_tenant, Auth.NONE, "Tenants",
        (*_BODY, Forbidden, TenantExists, TooManyRequests),
        schemas.CreateTenantRequest, schemas.TenantCreated, example=examples.TENANT, hashes_password=True,
    ),
    Endpoint(
        "POST", "/tenant/login", tenants.login_tenant, Auth.NONE, "Tenants",
        (*_BODY, IncorrectCredentials, *_GUESSED),
        schemas.TenantLoginRequest, schemas.TenantTokenResponse, example=examples.TENANT, fast_path=LOGIN,
        hashes_password=True,
    ),
    Endpoint(
        "POST", "/tenant/verify", tenants.verify_tenant_token, Auth.TOKEN, "Tenants",
        _TOKEN, schemas.TokenRequest, schemas.TenantVerifyResponse, example=examples.TOKEN, fast_path=VERIFY,
    ),
    Endpoint(
        "POST", "/tenant/logout", tenants.logout_tenant, Auth.TOKEN, "Tenants",
        _TOKEN, schemas.TokenRequest, schemas.ResultResponse, example=examples.TOKEN,
    ),
    Endpoint(
        "POST", "/user", users.create_user, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginExists, QuotaExceeded, TooManyRequests),
        schemas.CreateUserRequest, schemas.UserResponse, example=examples.USER, permission=Permission.USERS_WRITE,
        hashes_password=True,
    ),
    Endpoint(
        "GET", "/user", users.list_users, Auth.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        response_body=schemas.UserPage, query=(*SearchField, "cursor", "limit"), alternatives=tuple(SearchField),
        permission=Permission.USERS_READ,
    ),
    Endpoint(
        "DELETE", "/user/{login}", users.delete_user, Auth.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), response_body=schemas.ResultResponse,
        permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth", auth.login, Auth.TENANT, "Sessions",
        (*_BODY, *_PROVEN, *_LOGIN),
        schemas.LoginRequest, schemas.TokenResponse, example=examples.LOGIN, permission=Permission.SESSIONS,
        fast_path=LOGIN,
        hashes_password=True,
    ),
    Endpoint(
        "POST", "/auth/verify", auth.verify, Auth.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN),
        schemas.TokenRequest, schemas.VerifyResponse, example=examples.TOKEN, permission=Permission.VERIFY,
        fast_path=VERIFY,
    ),
    Endpoint(
        "POST", "/auth/logout", auth.logout, Auth.TENANT, "Sessions",
        (*_TOKEN, *_PROVEN), schemas.TokenRequest, schemas.ResultResponse, example=examples.TOKEN,
        permission=Permission.SESSIONS,
    ),
    Endpoint(
        "GET", "/user/{login}", users.get_user, Auth.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), response_body=schemas.UserResponse,
        permission=Permission.USERS_READ,
    ),
    Endpoint(
        "PUT", "/user/{login}", users.put_user, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, QuotaExceeded, Conflict, TooManyRequests),
        schemas.PutUserRequest, schemas.UserResponse, example=examples.PUT_USER, permission=Permission.USERS_WRITE,
        extra_responses={HTTPStatus.CREATED: examples.USER_RESPONSE}, hashes_password=True,
    ),
    Endpoint(
        "PATCH", "/user/{login}", users.update_user, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, LoginExists, Conflict, TooManyRequests),
        schemas.UpdateUserRequest, schemas.UserResponse, example=examples.USER_CHANGES,
        permission=Permission.USERS_WRITE,
        hashes_password=True,
    ),
    Endpoint(
        "POST", "/users/import", transfer.import_users, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, Conflict, PayloadTooLarge, TooManyRequests, TooManyLargeBodies),
        schemas.ImportUsersRequest, schemas.ImportUsersResponse, query=("dryRun", "unconfirmed"),
        example=examples.IMPORT_USERS,
        permission=Permission.USERS_WRITE, max_body_bytes=LARGE_BODY,
    ),
    Endpoint(
        "GET", "/users/export", transfer.export_users, Auth.TENANT, "Users",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        response_body=schemas.ExportedUser, query=("hashes",), permission=Permission.USERS_READ,
        media_type="application/x-ndjson",
    ),
    Endpoint(
        "POST", "/user/{login}/password", users.change_user_password, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, LoginNotFound, IncorrectPassword, UserDisabled, InvalidToken, Conflict, *_GUESSED),
        schemas.ChangeUserPasswordRequest, schemas.ResultResponse, example=examples.NEW_PASSWORD,
        permission=Permission.USERS_WRITE,
        hashes_password=True,
    ),
    Endpoint(
        "POST", "/user/{login}/password/reset", users.create_reset_code, Auth.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), response_body=schemas.ResetCodeResponse,
        permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "DELETE", "/user/{login}/failures", users.unlock_user, Auth.TENANT, "Users",
        (*_PROVEN, LoginNotFound, TooManyRequests), response_body=schemas.ResultResponse,
        permission=Permission.USERS_WRITE,
    ),
    Endpoint(
        "POST", "/auth/reset", users.reset_password, Auth.TENANT, "Users",
        (*_BODY, *_PROVEN, InvalidResetCode, TooManyRequests),
        schemas.ResetPasswordRequest, schemas.ResultResponse, example=examples.RESET, permission=Permission.USERS_WRITE,
        hashes_password=True,
    ),
    Endpoint(
        "POST", "/auth/refresh", sessions.refresh_token, Auth.TENANT, "Sessions",
        (*_BODY, *_PROVEN, InvalidRefreshToken, TooManyRequests),
        schemas.RefreshRequest, schemas.TokenResponse, example=examples.REFRESH,
        permission=Permission.SESSIONS,
    ),
    Endpoint(
        "POST", "/auth/verify/batch", sessions.verify_tokens, Auth.TENANT, "Sessions",
        (*_BODY, *_PROVEN, PayloadTooLarge, TooManyRequests, TooManyLargeBodies),
        schemas.BatchVerifyRequest, schemas.BatchVerifyResponse, example=examples.TOKENS,
        permission=Permission.VERIFY, max_body_bytes=LARGE_BODY,
    ),
    Endpoint(
        "GET", "/user/{login}/sessions", sessions.list_user_sessions, Auth.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, TooManyRequests), response_body=schemas.SessionList, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/user/{login}/sessions", sessions.revoke_user_sessions, Auth.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, TooManyRequests),
        response_body=schemas.ResultResponse, query=("deviceId",), permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/user/{login}/sessions/{id}", sessions.revoke_user_session, Auth.TENANT, "Sessions",
        (*_PROVEN, LoginNotFound, SessionNotFound, TooManyRequests),
        response_body=schemas.ResultResponse, permission=Permission.SESSIONS,
    ),
    Endpoint(
        "DELETE", "/tenant/sessions", sessions.revoke_all_sessions, Auth.TENANT, "Sessions",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        response_body=schemas.ResultResponse, query=("tenant",), permission=Permission.SESSIONS,
    ),
    Endpoint(
        "GET", "/tenant", tenants.get_tenant, Auth.TENANT, "Tenants",
        (*_PROVEN, TooManyRequests), response_body=schemas.TenantResponse, permission=Permission.TENANT,
    ),
    Endpoint(
        "PATCH", "/tenant", tenants.update_tenant, Auth.TENANT, "Tenants",
        (*_BODY, *_PROVEN, Conflict, TooManyRequests),
        schemas.UpdateTenantRequest, schemas.TenantResponse, example=examples.SETTINGS,
        permission=Permission.TENANT,
    ),
    Endpoint(
        "POST", "/tenant/password", tenants.change_tenant_password, Auth.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, Conflict, *_GUESSED),
        schemas.ChangeTenantPasswordRequest, schemas.ResultResponse,
        example=examples.NEW_TENANT_PASSWORD, hashes_password=True,
    ),
    Endpoint(
        "DELETE", "/tenant", tenants.delete_tenant, Auth.TENANT, "Tenants",
        (*_BODY, *_PROVEN, IncorrectPassword, *_GUESSED),
        schemas.DeleteTenantRequest, schemas.ResultResponse, example=examples.DELETE_TENANT, hashes_password=True,
    ),
    Endpoint(
        "POST", "/tenant/key", keys.create_api_key, Auth.TENANT, "API keys",
        (*_BODY, *_PROVEN, KeyNotFound, TooManyKeys, TooManyRequests),
        schemas.CreateApiKeyRequest, schemas.ApiKeyCreated, example=examples.API_KEY,
        success_status=HTTPStatus.CREATED,
    ),
    Endpoint(
        "GET", "/tenant/key", keys.list_api_keys, Auth.TENANT, "API keys",
        (*_PROVEN, TooManyRequests), response_body=schemas.ApiKeyPage, permission=Permission.TENANT,
    ),
    Endpoint(
        "DELETE", "/tenant/key/{id}", keys.revoke_api_key, Auth.TENANT, "API keys",
        (*_PROVEN, KeyNotFound, TooManyRequests), response_body=schemas.ResultResponse, permission=Permission.TENANT,
    ),
    Endpoint(
        "GET", "/tenant/audit", tenants.list_audit_events, Auth.TENANT, "Tenants",
        (*_PROVEN, ValidationFailed, TooManyRequests),
        response_body=schemas.AuditEventPage, query=("cursor", "limit"), permission=Permission.TENANT,
    ),
    Endpoint(
        "POST", "/oauth/introspect", oauth.introspect_token, Auth.TENANT, "Standards",
        (*_FORM, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.IntrospectionResponse, example=examples.TOKEN, permission=Permission.VERIFY,
        is_form=True,
    ),
    Endpoint(
        "POST", "/oauth/revoke", oauth.revoke_token, Auth.TENANT, "Standards",
        (*_FORM, *_PROVEN, TooManyRequests),
        schemas.TokenForm, schemas.EmptyResponse, example=examples.TOKEN, permission=Permission.SESSIONS, is_form=True,
    ),
    Endpoint(
        "GET", "/.well-known/oauth-authorization-server", oauth.get_server_metadata, Auth.FREE, "Standards",
        response_body=schemas.ServerMetadata,
    ),
    Endpoint(
        "GET", "/forward-auth", gateway.forward_auth, Auth.TENANT, "Standards",
        (*_PROVEN, NotAuthenticated, TooManyRequests), permission=Permission.VERIFY, match_subpaths=True,
        fast_path=VERIFY,
        media_type="",
        response_headers=("X-Auth-User-Id", "X-Auth-Login", "X-Auth-Sub", "X-Auth-Tenant", "X-Auth-Scope",
        "X-Auth-Device"),
    ),
    Endpoint("GET", "/health/live", ops.get_liveness, Auth.FREE, "Operations", response_body=schemas.LivenessResponse,
    any_host=True),
    Endpoint(
        "GET", "/health/ready", ops.get_readiness, Auth.FREE, "Operations",
        response_body=schemas.ReadinessResponse, any_host=True,
        extra_responses={HTTPStatus.SERVICE_UNAVAILABLE: schemas.ReadinessResponse("unready", {"database": "away"})},
    ),
    Endpoint("GET", "/openapi.json", ops.get_openapi_document, Auth.FREE, "Operations"),
    Endpoint("GET", "/docs", ops.get_docs_page, Auth.FREE, "Operations", media_type="text/html"),
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

FAST_PATH: Mapping[tuple[bytes, bytes], Endpoint] = {
    (endpoint.method.encode(), endpoint.path.encode()): endpoint for endpoint in ENDPOINTS if endpoint.fast_path
}
"""What is asked most often, by method and target: answered before the router, by the same handlers."""

PATHS = PathRules(
    sizes={
        endpoint.path.encode(): endpoint.max_body_bytes
        for endpoint in ENDPOINTS
        if endpoint.max_body_bytes != MAX_BODY_BYTES
    },
    everywhere=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.match_subpaths),
    any_host=frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.any_host),
)
"""The paths to which other rules apply than to most."""
