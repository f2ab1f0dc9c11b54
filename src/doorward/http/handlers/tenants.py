"""Tenants register, log in, are recognised, log out."""

import re
from typing import Any

from msgspec import UNSET

from doorward.core.audit import parse_entry
from doorward.core.errors import InvalidToken
from doorward.core.model import Session, Tenant
from doorward.core.tenant_settings import NAMED_POLICIES, decode_settings
from doorward.http.pages import page
from doorward.http.schemas import (
    Done,
    EventPage,
    EventShown,
    FarewellBody,
    NewTenantBody,
    PasswordPolicyBody,
    PasswordPolicyShown,
    SettingsBody,
    SettingsShown,
    TenantChangesBody,
    TenantCreated,
    TenantLoginBody,
    TenantPasswordBody,
    TenantShown,
    TokenGiven,
)
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, decoded, reply


async def register(services: Services, call: Call) -> Answer:
    """Register a tenant and open its first session."""
    services.registration.admit(call)
    body = call.read(NewTenantBody)
    chosen = {} if body.settings is UNSET else _chosen(body.settings)
    tenant, token = await services.tenants.register(call.by(), body.email, body.password, chosen)
    return reply(TenantCreated(tenant.id, tenant.email, tenant.login, token))


async def login(services: Services, call: Call) -> Answer:
    """Open a session for a tenant."""
    body = call.read(TenantLoginBody)
    known = None if body.token is UNSET else await _known(services, body.token)
    caller = call.by()._replace(actor="tenant")
    issued = await services.authentication.login_tenant(caller, body.email, body.password, known=known)
    return reply(TokenGiven(issued.token, issued.token))


async def verify(services: Services, call: Call) -> Answer:
    """Say what a tenant's token says, if it is true right now."""
    verified = await services.sessions.verify_tenant_token(call.token())
    call.tenant_id = verified.session.tenant_id
    services.throttle.consume_verify(call.tenant_id)
    return decoded(verified.claims)


async def logout(services: Services, call: Call) -> Answer:
    """End the session of a tenant's token."""
    session = (await services.sessions.verify_tenant_token(call.token())).session
    if not await services.authentication.logout(call.by(session), session):
        raise InvalidToken
    return reply(Done())


async def show(services: Services, call: Call) -> Answer:
    """Show the calling tenant and what counts for it."""
    return reply(_shown(services, await services.tenants.get(await services.caller(call))))


async def change(services: Services, call: Call) -> Answer:
    """Change some of the calling tenant's settings."""
    caller = await services.caller(call)
    chosen = _chosen(call.read(TenantChangesBody).settings)
    return reply(_shown(services, await services.tenants.update_settings(caller, chosen)))


async def change_password(services: Services, call: Call) -> Answer:
    """Set a new password for the calling tenant and end its other sessions."""
    session = await services.sessions.authenticate_tenant(call.credential, call.needs)
    body = call.read(TenantPasswordBody)
    await services.tenants.change_password(call.by(session), body.current, body.password, session)
    return reply(Done())


async def delete(services: Services, call: Call) -> Answer:
    """Remove the calling tenant and all it owns, for good."""
    session = await services.sessions.authenticate_tenant(call.credential, call.needs)
    await services.tenants.delete(call.by(session), call.read(FarewellBody).password, session)
    return reply(Done())


async def audit(services: Services, call: Call) -> Answer:
    """List what happened to the calling tenant and its users, newest first."""
    caller = await services.caller(call)
    services.throttle.consume_verify(caller.tenant_id)
    before, limit = page(call, lambda cursor: int(cursor) if re.fullmatch(r"[1-9][0-9]{0,17}", cursor) else None)
    entries, following = await services.audit.list_events(caller.tenant_id, before=before, limit=limit)
    return reply(EventPage([_event(parse_entry(entry)) for entry in entries], str(following or 0)))


def _chosen(body: SettingsBody) -> dict[str, object]:
    """Return the settings of a body by their attribute names."""
    audiences = body.introspectionAudience
    chosen = _given(
        session_lifetime=body.sessionLifetime,
        session_idle=body.sessionIdle,
        sessions_per_user=body.sessionsPerUser,
        tenant_session_lifetime=body.tenantSessionLifetime,
        ready_hashes=body.readyHashes,
        introspection_audience=tuple(audiences) if isinstance(audiences, list) else audiences,
    )
    policy = body.passwordPolicy
    if isinstance(policy, PasswordPolicyBody):
        chosen["password_policy"] = _given(
            min_length=policy.minLength, require_classes=policy.requireClasses, block_common=policy.blockCommon
        )
    elif policy is not UNSET:
        chosen["password_policy"] = NAMED_POLICIES[policy]
    return chosen


async def _known(services: Services, token: str) -> Session | None:
    try:
        return (await services.sessions.verify_tenant_token(token.encode(errors="replace"))).session
    except InvalidToken:
        return None


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not UNSET}


def _shown(services: Services, tenant: Tenant) -> TenantShown:
    chosen = decode_settings(tenant)
    counts = services.house.effective(chosen)
    policy, audiences = chosen.password_policy, counts.introspection_audience
    return TenantShown(
        id=tenant.id,
        email=tenant.email,
        login=tenant.login,
        createdAt=tenant.created_at,
        settings=SettingsShown(
            sessionLifetime=counts.session_lifetime,
            sessionIdle=counts.session_idle,
            sessionsPerUser=counts.sessions_per_user,
            tenantSessionLifetime=counts.tenant_session_lifetime,
            passwordPolicy=PasswordPolicyShown(policy.min_length, policy.require_classes, policy.block_common),
            readyHashes=counts.ready_hashes,
            introspectionAudience=None if audiences is None else list(audiences),
        ),
    )


def _event(found: dict[str, Any]) -> EventShown:
    return EventShown(
        at=found["at"],
        action=found["action"],
        outcome=found["outcome"],
        actor=found["actor"],
        subject=found.get("subject", UNSET),
        session=found.get("session", UNSET),
        ip=found.get("address", UNSET),
        requestId=found.get("request_id", UNSET),
        reason=found.get("reason", UNSET),
        detail=found.get("detail", UNSET),
    )
