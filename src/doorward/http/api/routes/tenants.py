"""Endpoints of a tenant itself: registration, login, settings, password, audit log."""

from doorward.core.errors import (
    Conflict,
    IncorrectCredentials,
    IncorrectPassword,
    TenantExists,
    TooManyRequests,
    ValidationFailed,
)
from doorward.core.model import Permission
from doorward.http.api import examples, schemas
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.handlers import tenants
from doorward.http.api.routes import common
from doorward.http.errors import Forbidden
from doorward.observability.recorder import LOGIN, VERIFY

TAG = "Tenants"

ENDPOINTS = (
    Endpoint(
        "POST",
        "/tenant",
        operation_id="createTenant",
        summary="Register a tenant and open its first session",
        description=(
            "Allowed from the addresses in `TENANT_WHITE_LIST`, by default the machine itself. A request "
            "through a proxy that is not in `TRUSTED_PROXIES`, or whose client address cannot be read, is "
            "rejected."
        ),
        tag=TAG,
        handler=tenants.create_tenant,
        auth=Auth.NONE,
        errors=(*common.JSON_BODY, Forbidden, TenantExists, TooManyRequests),
        request_body=schemas.CreateTenantRequest,
        response_body=schemas.TenantCreated,
        example=examples.TENANT,
        hashes_password=True,
    ),
    Endpoint(
        "POST",
        "/tenant/login",
        operation_id="loginTenant",
        summary="Log in as a tenant",
        tag=TAG,
        handler=tenants.login_tenant,
        auth=Auth.NONE,
        errors=(*common.JSON_BODY, IncorrectCredentials, *common.GUESSABLE),
        request_body=schemas.TenantLoginRequest,
        response_body=schemas.TenantTokenResponse,
        example=examples.TENANT,
        hashes_password=True,
        fast_path=LOGIN,
    ),
    Endpoint(
        "POST",
        "/tenant/verify",
        operation_id="verifyTenantToken",
        summary="Verify a tenant's token and return its claims",
        description="A revoked, expired or foreign token and a user's token are rejected like garbage.",
        tag=TAG,
        handler=tenants.verify_tenant_token,
        auth=Auth.TOKEN,
        errors=common.TOKEN_BODY,
        request_body=schemas.TokenRequest,
        response_body=schemas.TenantVerifyResponse,
        example=examples.TOKEN,
        fast_path=VERIFY,
    ),
    Endpoint(
        "POST",
        "/tenant/logout",
        operation_id="logoutTenant",
        summary="Revoke the session of a tenant's token",
        tag=TAG,
        handler=tenants.logout_tenant,
        auth=Auth.TOKEN,
        errors=common.TOKEN_BODY,
        request_body=schemas.TokenRequest,
        response_body=schemas.ResultResponse,
        example=examples.TOKEN,
    ),
    Endpoint(
        "GET",
        "/tenant",
        operation_id="getTenant",
        summary="Get the calling tenant and its effective settings",
        description=("`settings` are the effective ones: the tenant's choice, or the default of the service."),
        tag=TAG,
        handler=tenants.get_tenant,
        auth=Auth.TENANT,
        permission=Permission.TENANT,
        errors=(*common.AUTHENTICATED, TooManyRequests),
        response_body=schemas.TenantResponse,
    ),
    Endpoint(
        "PATCH",
        "/tenant",
        operation_id="updateTenant",
        summary="Update settings of the calling tenant",
        description=(
            "Absent settings stay; `null` resets a setting to the default of the service. Unknown "
            "settings are rejected. `sessionLifetime`, `sessionIdle` and `introspectionAudience` apply at "
            "once, also to open sessions; `sessionsPerUser` and `tenantSessionLifetime` from the next "
            "login on, `passwordPolicy` to new passwords, `readyHashes` to new users."
        ),
        tag=TAG,
        handler=tenants.update_tenant,
        auth=Auth.TENANT,
        permission=Permission.TENANT,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, Conflict, TooManyRequests),
        request_body=schemas.UpdateTenantRequest,
        response_body=schemas.TenantResponse,
        example=examples.SETTINGS,
    ),
    Endpoint(
        "POST",
        "/tenant/password",
        operation_id="changeTenantPassword",
        summary="Change the calling tenant's password and revoke its other sessions",
        description=("A wrong `current` counts as a failed login. The session of the request and API keys stay valid."),
        tag=TAG,
        handler=tenants.change_tenant_password,
        auth=Auth.TENANT,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, IncorrectPassword, Conflict, *common.GUESSABLE),
        request_body=schemas.ChangeTenantPasswordRequest,
        response_body=schemas.ResultResponse,
        example=examples.NEW_TENANT_PASSWORD,
        hashes_password=True,
    ),
    Endpoint(
        "DELETE",
        "/tenant",
        operation_id="deleteTenant",
        summary="Delete the calling tenant and all of its data",
        description=(
            "Once this returns, no token or API key of the tenant is accepted. Its users, sessions, keys "
            "and audit log are removed within two minutes. A wrong password counts as a failed login."
        ),
        tag=TAG,
        handler=tenants.delete_tenant,
        auth=Auth.TENANT,
        errors=(*common.JSON_BODY, *common.AUTHENTICATED, IncorrectPassword, *common.GUESSABLE),
        request_body=schemas.DeleteTenantRequest,
        response_body=schemas.ResultResponse,
        example=examples.DELETE_TENANT,
        hashes_password=True,
    ),
    Endpoint(
        "GET",
        "/tenant/audit",
        operation_id="listAuditEvents",
        summary="List the audit log of the calling tenant, newest first",
        description="`docs/audit.md` of the documentation describes each action.",
        tag=TAG,
        handler=tenants.list_audit_events,
        auth=Auth.TENANT,
        permission=Permission.TENANT,
        errors=(*common.AUTHENTICATED, ValidationFailed, TooManyRequests),
        response_body=schemas.AuditEventPage,
        query=("cursor", "limit"),
    ),
)
