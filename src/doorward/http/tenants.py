"""Tenants register, log in, are recognised, log out."""

from doorward.http.errors import Forbidden
from doorward.http.schemas import Done, NewTenantBody, TenantCreated, TenantLoginBody, TokenGiven
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, decoded, listed, reply


async def register(services: Services, call: Call) -> Answer:
    """Register a tenant and open its first session."""
    if not listed(call.address, services.registrars):
        raise Forbidden
    body = call.read(NewTenantBody)
    tenant, token = await services.tenants.register(body.email, body.password)
    return reply(TenantCreated(tenant.id, tenant.email, tenant.login, token))


async def login(services: Services, call: Call) -> Answer:
    """Open a session for a tenant."""
    body = call.read(TenantLoginBody)
    return reply(TokenGiven((await services.authentication.login_tenant(body.email, body.password)).token))


async def verify(services: Services, call: Call) -> Answer:
    """Say what a tenant's token says, if it is true right now."""
    verified = await services.sessions.tenant_token(call.token())
    services.throttle.ask(verified.session.tenant_id)
    return decoded(verified.claims)


async def logout(services: Services, call: Call) -> Answer:
    """End the session of a tenant's token."""
    await services.sessions.close_tenant(call.token())
    return reply(Done())
