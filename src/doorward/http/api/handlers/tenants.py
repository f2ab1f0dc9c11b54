"""Handlers of tenants: register, log in, verify, settings, password, delete, audit log."""

import re
from typing import Any

from msgspec import UNSET

from doorward.core.audit.service import parse_entry
from doorward.core.errors import InvalidToken
from doorward.core.login.password import PasswordCredentials
from doorward.core.model import Session, Tenant
from doorward.core.tenants.settings import NAMED_POLICIES, decode_settings
from doorward.http.api.pagination import read_page
from doorward.http.api.schemas import (
    AuditEventPage,
    AuditEventResponse,
    ChangeTenantPasswordRequest,
    CreateTenantRequest,
    DeleteTenantRequest,
    PasswordPolicyInput,
    PasswordPolicyResponse,
    ResultResponse,
    TenantCreated,
    TenantLoginRequest,
    TenantResponse,
    TenantSettingsInput,
    TenantSettingsResponse,
    TenantTokenResponse,
    UpdateTenantRequest,
)
from doorward.http.api.services import Services
from doorward.http.request import Request
from doorward.http.response import Response, decoded_response, json_response


async def create_tenant(services: Services, request: Request) -> Response:
    """Register a tenant and open its first session."""
    services.registration.check(request)
    body = request.read_body(CreateTenantRequest)
    chosen = {} if body.settings is UNSET else _settings_changes(body.settings)
    tenant, token = await services.tenants.register(request.caller_for(), body.email, body.password, chosen)
    return json_response(TenantCreated(tenant.id, tenant.email, tenant.login, token))


async def login_tenant(services: Services, request: Request) -> Response:
    """Log in as a tenant."""
    body = request.read_body(TenantLoginRequest)
    known = None if body.token is UNSET else await _proven_session(services, body.token)
    caller = request.caller_for()._replace(actor="tenant")
    issued = await services.login.login_tenant(caller, PasswordCredentials(body.email, body.password, known))
    return json_response(TenantTokenResponse(issued.token, issued.token))


async def verify_tenant_token(services: Services, request: Request) -> Response:
    """Verify a tenant's token and return its claims."""
    verified = await services.sessions.verify_tenant_token(request.token())
    request.tenant_id = verified.session.tenant_id
    services.rate_limits.consume_verify(request.tenant_id)
    return decoded_response(verified.claims)


async def logout_tenant(services: Services, request: Request) -> Response:
    """Revoke the session of a tenant's token."""
    session = (await services.sessions.verify_tenant_token(request.token())).session
    if not await services.login.logout(request.caller_for(session), session):
        raise InvalidToken
    return json_response(ResultResponse())


async def get_tenant(services: Services, request: Request) -> Response:
    """Get the calling tenant and its effective settings."""
    return json_response(
        _tenant_response(services, await services.tenants.get(await services.authenticate_caller(request)))
    )


async def update_tenant(services: Services, request: Request) -> Response:
    """Update settings of the calling tenant."""
    caller = await services.authenticate_caller(request)
    chosen = _settings_changes(request.read_body(UpdateTenantRequest).settings)
    return json_response(_tenant_response(services, await services.tenants.update_settings(caller, chosen)))


async def change_tenant_password(services: Services, request: Request) -> Response:
    """Change the calling tenant's password and revoke its other sessions."""
    session = await services.sessions.authenticate_tenant(request.credential, request.required_permission)
    body = request.read_body(ChangeTenantPasswordRequest)
    await services.tenants.change_password(request.caller_for(session), body.current, body.password, session)
    return json_response(ResultResponse())


async def delete_tenant(services: Services, request: Request) -> Response:
    """Delete the calling tenant and all of its data."""
    session = await services.sessions.authenticate_tenant(request.credential, request.required_permission)
    await services.tenants.delete(request.caller_for(session), request.read_body(DeleteTenantRequest).password, session)
    return json_response(ResultResponse())


async def list_audit_events(services: Services, request: Request) -> Response:
    """List the audit log of the calling tenant, newest first."""
    caller = await services.authenticate_caller(request)
    services.rate_limits.consume_verify(caller.tenant_id)
    before, limit = read_page(
        request, lambda cursor: int(cursor) if re.fullmatch(r"[1-9][0-9]{0,17}", cursor) else None
    )
    entries, following = await services.audit.list_events(caller.tenant_id, before=before, limit=limit)
    return json_response(
        AuditEventPage([_event_response(parse_entry(entry)) for entry in entries], str(following or 0))
    )


def _settings_changes(body: TenantSettingsInput) -> dict[str, object]:
    """Return the settings of a body by attribute name."""
    audiences = body.introspectionAudience
    chosen = _accepted(
        session_lifetime=body.sessionLifetime,
        session_idle=body.sessionIdle,
        sessions_per_user=body.sessionsPerUser,
        tenant_session_lifetime=body.tenantSessionLifetime,
        ready_hashes=body.readyHashes,
        introspection_audience=tuple(audiences) if isinstance(audiences, list) else audiences,
    )
    policy = body.passwordPolicy
    if isinstance(policy, PasswordPolicyInput):
        chosen["password_policy"] = _accepted(
            min_length=policy.minLength, require_classes=policy.requireClasses, block_common=policy.blockCommon
        )
    elif policy is not UNSET:
        chosen["password_policy"] = NAMED_POLICIES[policy]
    return chosen


async def _proven_session(services: Services, token: str) -> Session | None:
    try:
        return (await services.sessions.verify_tenant_token(token.encode(errors="replace"))).session
    except InvalidToken:
        return None


def _accepted(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not UNSET}


def _tenant_response(services: Services, tenant: Tenant) -> TenantResponse:
    chosen = decode_settings(tenant)
    effective = services.settings_resolver.effective(chosen)
    policy, audiences = chosen.password_policy, effective.introspection_audience
    return TenantResponse(
        id=tenant.id,
        email=tenant.email,
        login=tenant.login,
        createdAt=tenant.created_at,
        settings=TenantSettingsResponse(
            sessionLifetime=effective.session_lifetime,
            sessionIdle=effective.session_idle,
            sessionsPerUser=effective.sessions_per_user,
            tenantSessionLifetime=effective.tenant_session_lifetime,
            passwordPolicy=PasswordPolicyResponse(policy.min_length, policy.require_classes, policy.block_common),
            readyHashes=effective.ready_hashes,
            introspectionAudience=None if audiences is None else list(audiences),
        ),
    )


def _event_response(entry: dict[str, Any]) -> AuditEventResponse:
    return AuditEventResponse(
        at=entry["at"],
        action=entry["action"],
        outcome=entry["outcome"],
        actor=entry["actor"],
        subject=entry.get("subject", UNSET),
        session=entry.get("session", UNSET),
        ip=entry.get("address", UNSET),
        requestId=entry.get("request_id", UNSET),
        reason=entry.get("reason", UNSET),
        detail=entry.get("detail", UNSET),
    )
