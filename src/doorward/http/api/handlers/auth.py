"""Users log in, are recognised, log out."""

from msgspec import UNSET

from doorward.core.errors import InvalidToken, ValidationFailed
from doorward.core.login.password import PasswordCredentials
from doorward.core.model import Origin, Session, SessionKind
from doorward.http.api.schemas import LoginRequest, ResultResponse, TokenResponse
from doorward.http.api.services import Services
from doorward.http.errors import MalformedJson
from doorward.http.request import Request, token_of_plain_body
from doorward.http.response import Response, decoded_response, json_response

_SMALL = 2048


async def login(services: Services, request: Request) -> Response:
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


async def verify(services: Services, request: Request) -> Response:
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


async def logout(services: Services, request: Request) -> Response:
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
        # What takes time to be read is read for authenticated callers only.
        await services.authenticate_caller(request)
    try:
        return request.token()
    except (MalformedJson, ValidationFailed):
        # Who proves nothing learns nothing, not even what is wrong with the body.
        await services.authenticate_caller(request)
        raise
