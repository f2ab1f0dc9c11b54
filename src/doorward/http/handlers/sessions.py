"""A tenant sees, renews and ends its users' sessions."""

import msgspec
from msgspec import UNSET

from doorward.core.model import Permission, SessionInfo
from doorward.core.turns import iterate_cooperatively
from doorward.http.schemas import (
    AccessGiven,
    ActiveToken,
    BatchAnswered,
    Done,
    InactiveToken,
    RefreshBody,
    SessionShown,
    SessionsShown,
    TokensBody,
)
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, reply


async def refresh(services: Services, call: Call) -> Answer:
    """Give a new pair of tokens for a refresh token."""
    caller = await services.caller(call)
    pair = await services.refreshing.refresh(caller, call.read(RefreshBody).refreshToken)
    return reply(AccessGiven(pair.access, pair.expires_in, pair.refresh))


async def verify_batch(services: Services, call: Call) -> Answer:
    """Say of many users' tokens what they say, if they are true right now."""
    caller = await services.caller(call)
    tokens = await call.read_list(TokensBody, _token)
    services.throttle.consume_verify(caller.tenant_id, len(tokens))
    _, found = await services.sessions.verify_user_tokens(call.credential, tokens)
    async for verified in iterate_cooperatively(found):
        if verified:
            services.activity.record(verified.session)
    results = [ActiveToken(decoded=msgspec.Raw(one.claims)) if one else InactiveToken() for one in found]
    return reply(BatchAnswered(results))


async def index(services: Services, call: Call) -> Answer:
    """List a user's live sessions."""
    devices = await services.devices.list_sessions(await services.caller(call), call.user)
    return reply(SessionsShown([_shown(device) for device in devices]))


async def end_many(services: Services, call: Call) -> Answer:
    """End all sessions of a user, or those of one device."""
    caller = await services.caller(call)
    if "deviceId" in call.query:
        await services.devices.revoke_device(caller, call.user, call.query["deviceId"])
    else:
        await services.devices.revoke_user(caller, call.user)
    return reply(Done())


async def end_one(services: Services, call: Call) -> Answer:
    """End one session of a user."""
    await services.devices.revoke_session(await services.caller(call), call.user, call.path["id"])
    return reply(Done())


async def end_all(services: Services, call: Call) -> Answer:
    """End every session of every user of the calling tenant; with tenant=true the tenant's own too."""
    caller = await services.caller(call)
    own = call.flag("tenant")
    if own:
        await services.sessions.authenticate_tenant(call.credential, Permission.TENANT)
    await services.devices.revoke_all(caller, own=own)
    return reply(Done())


def _token(item: object) -> bytes:
    """Return an item of a batch as a token; what is no text is no token."""
    return item.encode(errors="replace") if isinstance(item, str) else b""


def _shown(device: SessionInfo) -> SessionShown:
    session, origin = device
    return SessionShown(
        id=session.id,
        deviceId=session.device_id or "",
        createdAt=session.created_at,
        lastActivity=session.seen_at,
        expiresAt=session.expires_at,
        ip=origin.ip or UNSET,
        userAgent=origin.user_agent or UNSET,
    )
