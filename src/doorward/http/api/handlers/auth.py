"""Handlers of user sessions: log in, verify, refresh, reset a password, log out."""

import msgspec
from msgspec import UNSET

from doorward.core.cooperative import iterate_cooperatively
from doorward.core.errors import InvalidToken, ValidationFailed
from doorward.core.login.password import PasswordCredentials
from doorward.core.model import Origin, Session, SessionKind
from doorward.http.api.schemas import (
    ActiveToken,
    BatchVerifyRequest,
    BatchVerifyResponse,
    InactiveToken,
    LoginRequest,
    RefreshRequest,
    ResetPasswordRequest,
    ResultResponse,
    TokenResponse,
)
from doorward.http.api.services import Services
from doorward.http.errors import MalformedJson
from doorward.http.request import Request, token_of_plain_body
from doorward.http.response import Response, decoded_response, json_response

_SMALL = 2048


async def login_user(services: Services, request: Request) -> Response:
    """Log in a user on a device."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(LoginRequest)
    known = None if body.token is UNSET else await _proven_session(services, request, body.token)
    result = await services.login.login_user(
        caller,
        PasswordCredentials(body.login, body.password, known),
        body.deviceId,
        origin=Origin(body.ip or None, body.userAgent or None),
        refresh=body.refresh,
    )
    return json_response(TokenResponse(result.access_token, result.expires_in, result.refresh_token or UNSET))


async def verify_user_token(services: Services, request: Request) -> Response:
    """Verify a user's token and return its claims."""
    verified = await services.sessions.verify_user_token(
        request.credential, await _token_to_verify(services, request), request.required_permission
    )
    request.tenant_id = verified.session.tenant_id
    if verified.caller.kind == SessionKind.KEY:
        services.activity.record(verified.caller)
    services.rate_limits.consume_verify(request.tenant_id)
    services.activity.record(verified.session)
    return decoded_response(verified.claims)


async def verify_user_tokens(services: Services, request: Request) -> Response:
    """Verify many users' tokens in one request."""
    caller = await services.authenticate_caller(request)
    tokens = await request.read_list(BatchVerifyRequest, _token)
    services.rate_limits.consume_verify(caller.tenant_id, len(tokens))
    _, verified = await services.sessions.verify_user_tokens(request.credential, tokens)
    async for item in iterate_cooperatively(verified):
        if item:
            services.activity.record(item.session)
    results = [ActiveToken(decoded=msgspec.Raw(item.claims)) if item else InactiveToken() for item in verified]
    return json_response(BatchVerifyResponse(results))


async def refresh_tokens(services: Services, request: Request) -> Response:
    """Exchange a refresh token for new tokens."""
    caller = await services.authenticate_caller(request)
    tokens = await services.refresh_service.refresh(caller, request.read_body(RefreshRequest).refreshToken)
    return json_response(TokenResponse(tokens.access, tokens.expires_in, tokens.refresh))


async def reset_password(services: Services, request: Request) -> Response:
    """Set a user's password with a reset code and revoke its sessions."""
    caller = await services.authenticate_caller(request)
    body = request.read_body(ResetPasswordRequest)
    await services.user_passwords.redeem_reset_code(caller, body.code, body.password)
    return json_response(ResultResponse())


async def logout_user(services: Services, request: Request) -> Response:
    """Revoke the session of a user's token."""
    verified = await services.sessions.verify_user_token(
        request.credential, await _token_to_verify(services, request), request.required_permission
    )
    if not await services.login.logout(request.caller_for(verified.caller), verified.session):
        raise InvalidToken
    return json_response(ResultResponse())


async def _proven_session(services: Services, request: Request, token: str) -> Session | None:
    try:
        return (
            await services.sessions.verify_user_token(
                request.credential, token.encode(errors="replace"), request.required_permission
            )
        ).session
    except InvalidToken:
        return None


async def _token_to_verify(services: Services, request: Request) -> bytes:
    token = token_of_plain_body(request.body)
    if token:
        return token
    if len(request.body) > _SMALL:
        # Large bodies are parsed for authenticated callers only.
        await services.authenticate_caller(request)
    try:
        return request.token()
    except (MalformedJson, ValidationFailed):
        # An unauthenticated caller does not learn the errors of its body.
        await services.authenticate_caller(request)
        raise


def _token(item: object) -> bytes:
    """Return an item of a batch as a token; any item that is no text is an invalid token."""
    return item.encode(errors="replace") if isinstance(item, str) else b""
