"""Users log in, are recognised, log out."""

from doorward.core.errors import TokenMissing, ValidationFailed
from doorward.http.errors import MalformedJson
from doorward.http.schemas import AccessGiven, Done, LoginBody
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, decoded, reply


async def login(services: Services, call: Call) -> Answer:
    """Open a session for a user on a device."""
    tenant = await services.sessions.tenant(call.credential)
    body = call.read(LoginBody)
    issued = await services.authentication.login_user(tenant.tenant_id, body.login, body.password, body.deviceId)
    return reply(AccessGiven(issued.token, issued.expires_in))


async def verify(services: Services, call: Call) -> Answer:
    """Say what a user's token says, if it is true right now."""
    verified = await services.sessions.user(call.credential, await _token(services, call))
    services.throttle.ask(verified.session.tenant_id)
    services.activity.saw(verified.session)
    return decoded(verified.claims)


async def logout(services: Services, call: Call) -> Answer:
    """End the session of a user's token."""
    await services.sessions.close_user(call.credential, await _token(services, call))
    return reply(Done())


async def _token(services: Services, call: Call) -> bytes:
    try:
        return call.token()
    except (MalformedJson, TokenMissing, ValidationFailed):
        # Who proves nothing learns nothing, not even what is wrong with the body.
        await services.sessions.tenant(call.credential)
        raise
