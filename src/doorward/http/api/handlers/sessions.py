"""Handlers of users' sessions: list and revoke."""

from msgspec import UNSET

from doorward.core.model import Permission, SessionInfo
from doorward.http.api.schemas import (
    ResultResponse,
    SessionList,
    SessionResponse,
)
from doorward.http.api.services import Services
from doorward.http.request import Request
from doorward.http.response import Response, json_response


async def list_user_sessions(services: Services, request: Request) -> Response:
    """List a user's live sessions."""
    devices = await services.user_sessions.list_sessions(await services.authenticate_caller(request), request.user_ref)
    return json_response(SessionList([_session_response(device) for device in devices]))


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


def _session_response(device: SessionInfo) -> SessionResponse:
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
