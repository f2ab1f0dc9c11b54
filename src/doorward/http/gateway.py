"""What gateways ask about each request before they let it through."""

import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from doorward.core.errors import InvalidToken
from doorward.core.model import Kind
from doorward.core.sessions import Verified
from doorward.http.errors import NotAuthenticated
from doorward.http.services import Services
from doorward.http.wire import JSON, Answer, Call, Headers, bearer

_VISIBLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


async def forward_auth(services: Services, call: Call) -> Answer:
    """Say who a request's user is, for nginx, Traefik, Caddy and Envoy; 401 for everybody who is none."""
    key = call.headers.get(b"x-doorward-key")
    token = bearer(call.headers.get(b"authorization")) or _cookie(call, services.forward_auth_cookie)
    if token is None:
        # The gateway proves itself all the same: only who does not is charged to its address.
        await services.sessions.tenant(key, call.needs)
        raise NotAuthenticated
    try:
        verified = await services.sessions.user(key, token, call.needs)
    except InvalidToken:
        raise NotAuthenticated from None
    services.throttle.ask(verified.session.tenant_id)
    services.activity.saw(verified.session)
    if verified.caller.kind == Kind.KEY:
        services.activity.saw(verified.caller)
    return Answer(b"", headers=_told(verified))


def _cookie(call: Call, name: str) -> bytes | None:
    header = call.headers.get(b"cookie") if name else None
    if header is None:
        return None
    try:
        morsel = SimpleCookie(header.decode("latin-1")).get(name)
    except CookieError:
        return None
    return morsel.value.encode(errors="replace") if morsel else None


def _told(verified: Verified) -> Headers:
    claims = verified.told()
    return (
        (b"content-type", JSON),
        (b"x-auth-user-id", _text(claims["id"])),
        (b"x-auth-login", _text(claims["login"])),
        (b"x-auth-tenant", _text(claims["tenant"])),
        (b"x-auth-scope", json.dumps(claims["scope"]).encode() if "scope" in claims else b""),
        (b"x-auth-device", _text(claims["deviceId"])),
    )


def _text(value: str) -> bytes:
    """Return a text as a header can carry it: what is not visible ASCII, and %, percent-encoded as UTF-8."""
    return quote(value, safe=_VISIBLE).encode()
