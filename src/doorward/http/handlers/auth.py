"""Users log in, are recognised, log out."""

from msgspec import UNSET

from doorward.core.authentication import LoginAttempt
from doorward.core.errors import InvalidToken, ValidationFailed
from doorward.core.model import Origin, Session, SessionKind
from doorward.http.errors import MalformedJson
from doorward.http.schemas import AccessGiven, Done, LoginBody
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, decoded, plain_token, reply

_SMALL = 2048


async def login(services: Services, call: Call) -> Answer:
    """Open a session for a user on a device."""
    caller = await services.caller(call)
    body = call.read(LoginBody)
    known = None if body.token is UNSET else await _known(services, call, body.token)
    found = await services.authentication.login_user(
        caller,
        LoginAttempt(body.login, body.password, body.deviceId, known),
        origin=Origin(body.ip or None, body.userAgent or None),
        refresh=body.refresh,
    )
    return reply(AccessGiven(found.access_token, found.expires_in, found.refresh_token or UNSET))


async def verify(services: Services, call: Call) -> Answer:
    """Say what a user's token says, if it is true right now."""
    verified = await services.sessions.verify_user_token(call.credential, await _token(services, call), call.needs)
    call.tenant_id = verified.session.tenant_id
    if verified.caller.kind == SessionKind.KEY:
        services.activity.record(verified.caller)
    services.throttle.consume_verify(call.tenant_id)
    services.activity.record(verified.session)
    return decoded(verified.claims)


async def logout(services: Services, call: Call) -> Answer:
    """End the session of a user's token."""
    verified = await services.sessions.verify_user_token(call.credential, await _token(services, call), call.needs)
    if not await services.authentication.logout(call.by(verified.caller), verified.session):
        raise InvalidToken
    return reply(Done())


async def _known(services: Services, call: Call, token: str) -> Session | None:
    try:
        return (
            await services.sessions.verify_user_token(call.credential, token.encode(errors="replace"), call.needs)
        ).session
    except InvalidToken:
        return None


async def _token(services: Services, call: Call) -> bytes:
    token = plain_token(call.body)
    if token:
        return token
    if len(call.body) > _SMALL:
        # What takes time to be read is read for authenticated callers only.
        await services.caller(call)
    try:
        return call.token()
    except (MalformedJson, ValidationFailed):
        # Who proves nothing learns nothing, not even what is wrong with the body.
        await services.caller(call)
        raise
