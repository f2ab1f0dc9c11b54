"""The standards' own way to ask and to revoke: RFC 7662, RFC 7009, described by RFC 8414."""

import base64
from binascii import Error as NotBase64
from urllib.parse import parse_qsl, unquote_plus

from doorward.core.errors import InvalidToken, NotAuthorized, TokenMissing
from doorward.core.keys import parse_key
from doorward.core.model import Session
from doorward.core.sessions import Verified
from doorward.http.errors import MalformedForm
from doorward.http.services import Services
from doorward.http.wire import Answer, Call, credentials, reply

_INACTIVE = Answer(b'{"active":false}')
_MOST_FIELDS = 20


async def introspect(services: Services, call: Call) -> Answer:
    """Say whether a user's token is active, and what it says (RFC 7662)."""
    credential = await _client(services, call)
    token = _token(call)
    try:
        verified = await services.sessions.user(credential, token, call.needs)
    except InvalidToken:
        return await _refresh_token(services, credential, token, call)
    services.note_caller(call, verified.caller)
    services.throttle.ask(call.tenant_id)
    services.activity.saw(verified.session)
    return reply(_described(verified))


async def revoke(services: Services, call: Call) -> Answer:
    """End the session of a user's access or refresh token (RFC 7009); what is no live token is as good as revoked."""
    credential = await _client(services, call)
    token = _token(call)
    caller = await services.sessions.tenant(credential, call.needs)
    services.note_caller(call, caller)
    session: Session | None
    try:
        session = (await services.sessions.user(credential, token, call.needs)).session
    except InvalidToken:
        session = await services.refreshing.find(token.decode("latin-1"))
    if session and session.tenant_id == caller.tenant_id:
        await services.authentication.logout(call.by(caller), session)
    return reply({})


async def metadata(services: Services, _call: Call) -> Answer:
    """Describe what of OAuth 2.0 is here (RFC 8414)."""
    issuer = services.public_url
    methods = ["client_secret_basic"]
    return reply(
        {
            "issuer": issuer,
            "introspection_endpoint": f"{issuer}/oauth/introspect",
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": methods,
            "response_types_supported": [],
            "grant_types_supported": [],
            "service_documentation": f"{issuer}/docs",
        }
    )


def client_credential(call: Call) -> bytes | None:
    """Return the credential of the client: a bearer, or HTTP Basic with an API key's id and the key (RFC 6749, 2.3)."""
    return call.credential or _basic(call.headers.get(b"authorization"))


async def _client(services: Services, call: Call) -> bytes | None:
    credential = client_credential(call)
    if credential is None:
        raise NotAuthorized
    try:
        _token(call)
    except (MalformedForm, TokenMissing):
        # Who proves nothing learns nothing, not even what is wrong with the body.
        services.note_caller(call, await services.sessions.tenant(credential, call.needs))
        raise
    return credential


def _basic(authorization: bytes | None) -> bytes | None:
    encoded = credentials(authorization, b"basic ")
    if encoded is None:
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (NotBase64, ValueError):
        return None
    text = unquote_plus(secret).encode()
    key = parse_key(text)
    return text if key and key.id == unquote_plus(name) else None


def _token(call: Call) -> bytes:
    try:
        pairs = parse_qsl(
            call.body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise MalformedForm from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedForm
    if not fields.get("token"):
        raise TokenMissing
    return fields["token"].encode(errors="replace")


async def _refresh_token(services: Services, credential: bytes | None, token: bytes, call: Call) -> Answer:
    session = await services.refreshing.find(token.decode("latin-1"))
    caller = await services.sessions.tenant(credential, call.needs)
    services.note_caller(call, caller)
    services.throttle.ask(call.tenant_id)
    if session is None or session.tenant_id != caller.tenant_id:
        call.outcome = "inactive"
        return _INACTIVE
    found = {"active": True, "client_id": session.tenant_id, "jti": session.id, "iat": session.refreshed_at // 1000}
    if session.expires_at is not None:
        found["exp"] = session.expires_at // 1000
    return reply(found)


def _described(verified: Verified) -> dict[str, object]:
    claims = verified.told()
    found = {
        "active": True,
        "token_type": "Bearer",
        "client_id": claims["tenant"],
        "username": claims["login"],
        "sub": claims["sub"],
        "aud": claims["aud"],
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
        "user_id": claims["id"],
        "device_id": claims["deviceId"],
    }
    if "scope" in claims:
        # RFC 7662 knows scopes as text only; whatever else a tenant keeps there goes by another name.
        found["scope" if isinstance(claims["scope"], str) else "scope_data"] = claims["scope"]
    return found
