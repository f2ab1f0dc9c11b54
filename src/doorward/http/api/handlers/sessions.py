"""A tenant sees, renews and ends its users' sessions."""

import msgspec
from msgspec import UNSET

from doorward.core.cooperative import iterate_cooperatively
from doorward.core.model import Permission, SessionInfo
from doorward.http.api.schemas import (
    ActiveToken,
    BatchVerifyRequest,
    BatchVerifyResponse,
    InactiveToken,
    RefreshRequest,
    ResultResponse,
    SessionList,
    SessionResponse,
    TokenResponse,
)
from doorward.http.api.services import Services
from doorward.http.request import Request
from doorward.http.response import Response, json_response


async def refresh_token(services: Services, request: Request) -> Response:
    """Exchange a refresh token for new tokens."""
    caller = await services.authenticate_caller(request)
    pair = await services.refresh_service.refresh(caller, request.read_body(RefreshRequest).refreshToken)
    return json_response(TokenResponse(pair.access, pair.expires_in, pair.refresh))


async def verify_tokens(services: Services, request: Request) -> Response:
    """Verify many users' tokens in one request."""
    caller = await services.authenticate_caller(request)
    tokens = await request.read_list(BatchVerifyRequest, _token)
    services.rate_limits.consume_verify(caller.tenant_id, len(tokens))
    _, found = await services.sessions.verify_user_tokens(request.credential, tokens)
    async for verified in iterate_cooperatively(found):
        if verified:
            services.activity.record(verified.session)
    results = [ActiveToken(decoded=msgspec.Raw(one.claims)) if one else InactiveToken() for one in found]
    return json_response(BatchVerifyResponse(results))


async def list_user_sessions(services: Services, request: Request) -> Response:
    """List a user's live sessions."""
    devices = await services.user_sessions.list_sessions(await services.authenticate_caller(request), request.user_ref)
    return json_response(SessionList([_shown(device) for device in devices]))


async def revoke_user_sessions(services: Services, request: Request) -> Response:
    """Revoke all sessions of a user, or those of one device."""
    caller = await services.authenticate_caller(request)
    if "deviceId" in request.query:
        await services.user_sessions.revoke_device(caller, request.user_ref, request.query["deviceId"])
    else:
        await services.user_sessions.revoke_user(caller, request.user_ref)
    return json_response(ResultResponse())


async def revoke_user_session(services: Services, request: Request) -> Response:
    """Revoke one session of a user."""
    await services.user_sessions.revoke_session(
        await services.authenticate_caller(request), request.user_ref, request.path["id"]
    )
    return json_response(ResultResponse())


async def revoke_all_sessions(services: Services, request: Request) -> Response:
    """Revoke the sessions of all users of the calling tenant."""
    caller = await services.authenticate_caller(request)
    own = request.flag("tenant")
    if own:
        await services.sessions.authenticate_tenant(request.credential, Permission.TENANT)
    await services.user_sessions.revoke_all(caller, own=own)
    return json_response(ResultResponse())


def _token(item: object) -> bytes:
    """Return an item of a batch as a token; what is no text is no token."""
    return item.encode(errors="replace") if isinstance(item, str) else b""


def _shown(device: SessionInfo) -> SessionResponse:
    session, origin = device
    return SessionResponse(
        id=session.id,
        deviceId=session.device_id or "",
        createdAt=session.created_at,
        lastActivity=session.seen_at,
        expiresAt=session.expires_at,
        ip=origin.ip or UNSET,
        userAgent=origin.user_agent or UNSET,
    )
