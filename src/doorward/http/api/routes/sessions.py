"""Endpoints of user sessions: login, verification, refresh, logout, lists, revocation."""

from doorward.core.errors import InvalidRefreshToken, LoginNotFound, SessionNotFound, TooManyRequests, ValidationFailed
from doorward.core.model import Permission
from doorward.http.api import examples, schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import auth, sessions
from doorward.http.api.routes import common
from doorward.http.bodies import LARGE_BODY
from doorward.http.errors import PayloadTooLarge, TooManyLargeBodies
from doorward.observability.recorder import LOGIN, VERIFY

TAG = "Sessions"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/auth",
        operation_id="loginUser",
        summary="Log in a user on a device",
        description=(
            "A second session on the same device revokes nothing. A user has at most `SESSIONS_PER_USER` "
            "sessions; one more revokes the oldest. With `LOGIN_ERRORS=uniform`, `login_refused` replaces "
            "both kinds of failure."
        ),
        tag=TAG,
        handler=auth.login_user,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, *common.USER_LOGIN),
        request_body=schemas.LoginRequest,
        response_body=schemas.TokenResponse,
        example=examples.LOGIN,
        hashes_password=True,
        fast_path=LOGIN,
    ),
    Endpoint(
        "POST",
        "/auth/verify",
        operation_id="verifyUserToken",
        summary="Verify a user's token and return its claims",
        description=(
            "A revoked or expired token, one of another tenant's user and a tenant's token are rejected like garbage."
        ),
        tag=TAG,
        handler=auth.verify_user_token,
        auth=Auth.TENANT,
        permission=Permission.VERIFY,
        errors=(*common.TOKEN_BODY, *common.AUTHENTICATED),
        request_body=schemas.TokenRequest,
        response_body=schemas.VerifyResponse,
        example=examples.TOKEN,
        fast_path=VERIFY,
    ),
    Endpoint(
        "POST",
        "/auth/logout",
        operation_id="logoutUser",
        summary="Revoke the session of a user's token",
        description=("Once this returns, no worker accepts the token. A second logout with it is rejected."),
        tag=TAG,
        handler=auth.logout_user,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.TOKEN_BODY, *common.AUTHENTICATED),
        request_body=schemas.TokenRequest,
        response_body=schemas.ResultResponse,
        example=examples.TOKEN,
    ),
    Endpoint(
        "POST",
        "/auth/refresh",
        operation_id="refreshTokens",
        summary="Exchange a refresh token for new tokens",
        description=(
            "Each refresh token is valid for one use. Within ten seconds the same token gets the same "
            "response again, for clients that lost it; a later second use revokes the session, because "
            "another party has the token."
        ),
        tag=TAG,
        handler=auth.refresh_tokens,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, InvalidRefreshToken, TooManyRequests),
        request_body=schemas.RefreshRequest,
        response_body=schemas.TokenResponse,
        example=examples.REFRESH,
    ),
    Endpoint(
        "POST",
        "/auth/verify/batch",
        operation_id="verifyUserTokens",
        summary="Verify many users' tokens in one request",
        description=(
            "Up to 500 tokens, with results in the same order and one read of the store. Each token "
            "counts like one verification, and so does each kB of a body above 16 kB, in a budget of its "
            "own. With the default `BUDGET_VERIFY` a tenant may send two batches of 500 tokens a second, "
            "after four at once. Expired or revoked tokens and garbage get the same result."
        ),
        tag=TAG,
        handler=auth.verify_user_tokens,
        auth=Auth.TENANT,
        permission=Permission.VERIFY,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, PayloadTooLarge, TooManyRequests, TooManyLargeBodies),
        request_body=schemas.BatchVerifyRequest,
        response_body=schemas.BatchVerifyResponse,
        example=examples.TOKENS,
        max_body_bytes=LARGE_BODY,
    ),
    Endpoint(
        "GET",
        "/user/{login}/sessions",
        operation_id="listUserSessions",
        operation_id_by_user_id="listUserSessionsById",
        summary="List a user's live sessions",
        description="`lastActivity` may lag behind by a minute.",
        tag=TAG,
        handler=sessions.list_user_sessions,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.SessionList,
    ),
    Endpoint(
        "DELETE",
        "/user/{login}/sessions",
        operation_id="revokeUserSessions",
        operation_id_by_user_id="revokeUserSessionsById",
        summary="Revoke all sessions of a user, or those of one device",
        description="Once this returns, no worker accepts their tokens.",
        tag=TAG,
        handler=sessions.revoke_user_sessions,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.AUTHENTICATED, LoginNotFound, TooManyRequests),
        response_body=schemas.ResultResponse,
        query=("deviceId",),
    ),
    Endpoint(
        "DELETE",
        "/user/{login}/sessions/{id}",
        operation_id="revokeUserSession",
        operation_id_by_user_id="revokeUserSessionById",
        summary="Revoke one session of a user",
        description="Once this returns, no worker accepts its tokens.",
        tag=TAG,
        handler=sessions.revoke_user_session,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.AUTHENTICATED, LoginNotFound, SessionNotFound, TooManyRequests),
        response_body=schemas.ResultResponse,
    ),
    Endpoint(
        "DELETE",
        "/tenant/sessions",
        operation_id="revokeAllSessions",
        summary="Revoke the sessions of all users of the calling tenant",
        description=(
            "Once this returns, no worker accepts any user's token. With `tenant=true` the tenant's own "
            "sessions are revoked too, including that of the request; API keys stay valid."
        ),
        tag=TAG,
        handler=sessions.revoke_all_sessions,
        auth=Auth.TENANT,
        permission=Permission.SESSIONS,
        errors=(*common.AUTHENTICATED, ValidationFailed, TooManyRequests),
        response_body=schemas.ResultResponse,
        query=("tenant",),
    ),
)
