"""Handler of forward authentication for gateways."""

import json
from urllib.parse import quote

import msgspec

from doorward.core.errors import InvalidToken
from doorward.core.model import SessionKind
from doorward.core.sessions.service import VerifiedToken
from doorward.http.api.services import Services
from doorward.http.errors import NotAuthenticated
from doorward.http.headers import Headers, bearer_credential
from doorward.http.request import Request
from doorward.http.response import JSON, Response

_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")


class _Claims(msgspec.Struct):
    """Claims of a user for a gateway. Imported tokens may lack a login and a sub."""

    id: str
    login: str = ""
    sub: str = ""
    deviceId: str = ""
    scope: msgspec.Raw = msgspec.Raw()


async def forward_auth(services: Services, request: Request) -> Response:
    """Authenticate a request on behalf of a gateway."""
    key = request.headers.get(b"x-doorward-key")
    token = bearer_credential(request.headers.get(b"authorization")) or _cookie(request, services.forward_auth_cookie)
    if token is None:
        # The gateway is authenticated first: only unauthenticated requests are charged to their address.
        raise NotAuthenticated(caller=await services.sessions.authenticate_tenant(key, request.required_permission))
    try:
        verified = await services.sessions.verify_user_token(key, token, request.required_permission)
    except InvalidToken as refusal:
        raise NotAuthenticated(caller=refusal.caller) from None
    request.tenant_id = verified.session.tenant_id
    if verified.caller.kind == SessionKind.KEY:
        services.activity.record(verified.caller)
    services.rate_limits.consume_verify(request.tenant_id)
    services.activity.record(verified.session)
    return Response(b"", headers=_identity_headers(verified))


def _cookie(request: Request, name: str) -> bytes | None:
    """Return the value of a cookie, the first one of several; None where it is missing or empty.

    Other cookies belong to the application and may be malformed; they are ignored.
    """
    header = request.headers.get(b"cookie") if name else None
    if header is None:
        return None
    cookie_name = name.encode()
    for pair in header.split(b";"):
        pair_name, _, value = pair.strip().partition(b"=")
        if pair_name == cookie_name:
            return value.removeprefix(b'"').removesuffix(b'"') or None
    return None


def _identity_headers(verified: VerifiedToken) -> Headers:
    claims = msgspec.json.decode(verified.claims, type=_Claims)
    return (
        (b"content-type", JSON),
        (b"x-auth-user-id", _text(claims.id)),
        (b"x-auth-login", _text(claims.login)),
        (b"x-auth-sub", _text(claims.sub)),
        (b"x-auth-tenant", _text(verified.session.tenant_id)),
        (b"x-auth-scope", _json(claims.scope)),
        (b"x-auth-device", _text(claims.deviceId)),
    )


def _text(value: str) -> bytes:
    """Encode a text for a header: characters that are not visible ASCII, and `%`, as percent-encoded UTF-8.

    Spaces stay as they are, except at the ends, where readers of headers remove them.
    """
    if value.isascii() and value.isprintable() and "%" not in value and value == value.strip():
        return value.encode()
    inner = value.strip(" ")
    before, _, after = value.partition(inner) if inner else (value, "", "")
    return f"{quote(before)}{quote(inner, safe=_VISIBLE + ' ')}{quote(after)}".encode()


def _json(text: msgspec.Raw) -> bytes:
    """Encode JSON for a header: on one line, in ASCII."""
    raw = bytes(text)
    if raw.isascii() and raw.decode().isprintable():
        return raw
    return json.dumps(json.loads(raw)).encode()
