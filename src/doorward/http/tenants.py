"""Tenants register, log in, are recognised, log out."""

from doorward.core.errors import InvalidToken
from doorward.http.errors import Forbidden
from doorward.http.schemas import Done, NewTenantBody, TenantCreated, TenantLoginBody, TokenGiven
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, decoded, listed, reply


async def register(services: Services, call: Call) -> Answer:
    """Register a tenant and open its first session."""
    if not listed(call.address, services.registrars):
        raise Forbidden
    body = call.read(NewTenantBody)
    tenant, token = await services.tenants.register(call.by(), body.email, body.password)
    return reply(TenantCreated(tenant.id, tenant.email, tenant.login, token))


async def login(services: Services, call: Call) -> Answer:
    """Open a session for a tenant."""
    body = call.read(TenantLoginBody)
    issued = await services.authentication.login_tenant(call.by()._replace(actor="tenant"), body.email, body.password)
    return reply(TokenGiven(issued.token))


async def verify(services: Services, call: Call) -> Answer:
    """Say what a tenant's token says, if it is true right now."""
    verified = await services.sessions.tenant_token(call.token())
    services.throttle.ask(verified.session.tenant_id)
    return decoded(verified.claims)


async def logout(services: Services, call: Call) -> Answer:
    """End the session of a tenant's token."""
    session = (await services.sessions.tenant_token(call.token())).session
    if not await services.authentication.logout(call.by(session), session):
        raise InvalidToken
    return reply(Done())
