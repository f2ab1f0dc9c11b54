"""Handlers of OAuth 2.0: introspection (RFC 7662), revocation (RFC 7009), server metadata (RFC 8414)."""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Sequence
from urllib.parse import parse_qsl, unquote_plus

from doorward.core.api_keys.format import parse_api_key
from doorward.core.errors import InvalidToken, NotAuthorized, TokenMissing
from doorward.core.model import Permission, Session
from doorward.core.sessions.service import VerifiedToken
from doorward.core.tenants.settings import TenantSettings, introspection_audience
from doorward.http.api.services import Services
from doorward.http.errors import MalformedForm, MultipleAuthenticationMethods
from doorward.http.headers import authorization_credentials
from doorward.http.request import Request
from doorward.http.response import Response, json_response

_INACTIVE = Response(b'{"active":false}')
_MAX_FIELDS = 20
_AUTHENTICATION_METHODS = ["client_secret_basic", "client_secret_post"]
# RFC 6749, section 3.3.
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


async def introspect_token(services: Services, request: Request) -> Response:
    """Introspect a user's token (RFC 7662)."""
    credential, token = await _authenticated_form(services, request)
    try:
        verified = await services.sessions.verify_user_token(credential, token, request.required_permission)
    except InvalidToken:
        return await _refresh_token(services, credential, token, request)
    services.record_caller(request, verified.caller)
    services.rate_limits.consume_verify(request.tenant_id)
    services.activity.record(verified.session)
    settings = await services.tenants.settings(request.tenant_id)
    return json_response(_introspection_response(verified, settings))


async def revoke_token(services: Services, request: Request) -> Response:
    """Revoke the session of a user's access or refresh token (RFC 7009)."""
    credential, token = await _authenticated_form(services, request)
    caller = await services.sessions.authenticate_tenant(credential, request.required_permission)
    services.record_caller(request, caller)
    session: Session | None
    try:
        session = (await services.sessions.verify_user_token(credential, token, request.required_permission)).session
    except InvalidToken:
        session = await services.refresh_service.find_session(token.decode("latin-1"))
    if session and session.tenant_id == caller.tenant_id:
        await services.login.logout(request.caller_for(caller), session)
    return json_response({})


async def get_server_metadata(services: Services, _call: Request) -> Response:
    """Get the OAuth 2.0 server metadata (RFC 8414)."""
    issuer = services.public_url
    metadata: dict[str, object] = {
        "issuer": issuer,
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": _AUTHENTICATION_METHODS,
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": _AUTHENTICATION_METHODS,
        "response_types_supported": [],
        "grant_types_supported": [],
    }
    if services.descriptions.page:
        metadata["service_documentation"] = f"{issuer}/docs"
    return json_response(metadata)


def client_credential(request: Request) -> bytes | None:
    """Return the credential of an OAuth client; None without one, or with a malformed one.

    It is a bearer token, or the id of an API key and the key, by HTTP Basic or in the form (RFC 6749, section 2.3.1).
    Raises MultipleAuthenticationMethods for more than one of them.
    """
    return _credential(request, _pairs(request.body) or [])


async def _authenticated_form(services: Services, request: Request) -> tuple[bytes, bytes]:
    """Return the client's credential, not yet verified, and the token of the form.

    Errors of the form are reported to authenticated clients only; others get NotAuthorized or PermissionDenied.
    """
    pairs = _pairs(request.body)
    credential = _credential(request, pairs or [])
    if credential is None:
        raise NotAuthorized
    try:
        return credential, _token(pairs)
    except (MalformedForm, TokenMissing):
        services.record_caller(
            request, await services.sessions.authenticate_tenant(credential, request.required_permission)
        )
        raise


def _credential(request: Request, pairs: Sequence[tuple[str, str]]) -> bytes | None:
    authorization = request.headers.get(b"authorization")
    client_ids, secrets, assertions = (
        _values(pairs, name) for name in ("client_id", "client_secret", "client_assertion")
    )
    if (authorization is not None) + bool(secrets) + bool(assertions) > 1:
        raise MultipleAuthenticationMethods
    if authorization is None:
        return _key(*client_ids, *secrets) if len(client_ids) == len(secrets) == 1 else None
    return request.credential or _basic(authorization, client_ids)


def _values(pairs: Sequence[tuple[str, str]], name: str) -> set[str]:
    """Return the values of a parameter; one without a value counts as omitted (RFC 6749, section 3.2)."""
    return {value for key, value in pairs if key == name and value}


def _basic(authorization: bytes, client_ids: set[str]) -> bytes | None:
    """Return the API key of an HTTP Basic header; None where `client_ids`, those of the form, name another client."""
    encoded = authorization_credentials(authorization, b"basic ")
    if encoded is None:
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (NotBase64, ValueError):
        return None
    name = unquote_plus(name)
    return _key(name, unquote_plus(secret)) if client_ids <= {name} else None


def _key(key_id: str, secret: str) -> bytes | None:
    text = secret.encode(errors="replace")
    key = parse_api_key(text)
    return text if key and key.id == key_id else None


def _pairs(body: bytes) -> list[tuple[str, str]] | None:
    """Return the parameters of a form in their order; None for a malformed form."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None


def _token(pairs: Sequence[tuple[str, str]] | None) -> bytes:
    if pairs is None:
        raise MalformedForm
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedForm
    if not fields.get("token"):
        raise TokenMissing
    return fields["token"].encode(errors="replace")


async def _refresh_token(services: Services, credential: bytes | None, token: bytes, request: Request) -> Response:
    """Describe a refresh token to callers that may revoke it; others get an inactive token (RFC 7662, section 2.2).

    A resource server that ignores `token_type` would accept it as an access token.
    """
    session = await services.refresh_service.find_session(token.decode("latin-1"))
    caller = await services.sessions.authenticate_tenant(credential, request.required_permission)
    services.record_caller(request, caller)
    services.rate_limits.consume_verify(request.tenant_id)
    if session is None or session.tenant_id != caller.tenant_id or not caller.permits(Permission.SESSIONS):
        request.outcome = "inactive"
        return _INACTIVE
    claims = {"active": True, "client_id": session.tenant_id, "jti": session.id, "iat": session.refreshed_at // 1000}
    if session.expires_at is not None:
        claims["exp"] = session.expires_at // 1000
    return json_response(claims)


def _introspection_response(verified: VerifiedToken, settings: TenantSettings) -> dict[str, object]:
    claims = verified.decoded_claims()
    response: dict[str, object] = {
        "active": True,
        "token_type": "Bearer",
        "client_id": claims["tenant"],
        "username": claims["login"],
        "sub": claims["sub"],
        "aud": introspection_audience(settings, claims["aud"], verified.caller),
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
        "user_id": claims["id"],
        "device_id": claims["deviceId"],
    }
    if "scope" in claims:
        scope = claims["scope"]
        # A scope of RFC 7662 is text; other JSON has another name.
        response["scope" if isinstance(scope, str) else "scope_data"] = scope
        if _is_list_of_scope_tokens(scope):
            response["scope"] = " ".join(scope)
    return response


def _is_list_of_scope_tokens(scope: object) -> bool:
    """Return whether a scope is a list of scope-tokens (RFC 6749, section 3.3).

    An item with a space would be read as two tokens.
    """
    return (
        isinstance(scope, list)
        and scope != []
        and all(isinstance(item, str) and _SCOPE_TOKEN.fullmatch(item) for item in scope)
    )
