"""Tokens of the predecessor, backend-auth: verified while their imported sessions last, never signed.

The predecessor signs with the text of its master key, a colon, and the text of the session key. Its session id is the
owner, device and time put together. It dates tokens in milliseconds, and they expire with their session only. The form
of a token is checked strictly all the same: the header must be its one header, to the byte, and the claims must be
spelled without white space and without duplicate names.
"""

import hmac
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

import msgspec

from doorward.core.model import Session, SessionKind
from doorward.core.tokens.codec import MAX_TOKEN_BYTES, OWNER_ID, Claims, Codec, ParsedToken, TenantClaims, UserClaims
from doorward.core.tokens.signing import decode_segment, encode_segment, mac

KEY_PREFIXES = ("auth_", "jincor_auth_")
"""Prefixes of the predecessor's keys in Redis: those of its newest version and of older ones."""

_HEADER = encode_segment(b'{"alg":"HS256","typ":"JWT"}')


class _User(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    id: str
    jti: str
    iat: int
    deviceId: str
    aud: str
    exp: int
    login: str = ""
    sub: str = ""
    scope: Any = msgspec.UNSET


class _Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    id: str
    login: str
    jti: str
    iat: int
    aud: str
    isTenant: bool


_users = msgspec.json.Decoder(_User)
_tenants = msgspec.json.Decoder(_Tenant)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def session_id(owner_id: str, device_id: str | None, created_at: int) -> str:
    """Return the predecessor's id of a session; `created_at` in milliseconds, no device for a tenant's own session."""
    return f"{owner_id}{device_id or ''}{created_at}"


class LegacyTokenCodec(Codec):
    """A codec that also verifies the predecessor's tokens, under the predecessor's master key."""

    def __init__(self, masters: Mapping[str, bytes], audience: str, legacy_key: str) -> None:
        """Verify imported sessions with `legacy_key`, all others as `Codec` does."""
        super().__init__(masters, audience)
        self._begin = f"{legacy_key}:".encode()

    def _parse_imported(self, token: bytes, decoder: "msgspec.json.Decoder[Claims]") -> ParsedToken[Claims] | None:
        if len(token) > MAX_TOKEN_BYTES:
            return None
        signed, _, signature = token.rpartition(b".")
        header, _, payload = signed.partition(b".")
        if header != _HEADER:
            return None
        try:
            text = decode_segment(payload)
            claims = _user(text) if decoder is self._users else _tenant(text)
        except (NotBase64, ValueError, RecursionError):
            return None
        device = claims.deviceId if isinstance(claims, UserClaims) else None
        if OWNER_ID.fullmatch(claims.id) is None or claims.jti != session_id(claims.id, device, claims.iat):
            return None
        return ParsedToken("", claims, text, signed, signature)  # type: ignore[arg-type]  # the decoder says which

    def _check_imported(
        self, parsed: ParsedToken[UserClaims] | ParsedToken[TenantClaims], session: Session, now: int
    ) -> bool:
        claims = parsed.claims
        if type(claims) is UserClaims:
            kind, owner, device = SessionKind.IMPORTED_USER, session.user_id, session.device_id
            device_matches = claims.deviceId == device
        else:
            kind, owner, device = SessionKind.IMPORTED_TENANT, session.tenant_id, None
            device_matches = True
        return (
            session.kind == kind.value
            and hmac.compare_digest(parsed.signature, encode_segment(mac(self._begin + session.key, parsed.signed)))
            and device_matches
            and claims.id == owner
            and claims.jti == session.id
            and not self.is_expired(session, now)
            and _encode(_parts.decode(parsed.payload)) == parsed.payload
        )


def _user(text: bytes) -> UserClaims:
    claims = _users.decode(text)
    if not claims.deviceId:
        raise ValueError
    return UserClaims(
        claims.id,
        claims.login,
        "",
        claims.scope,
        claims.deviceId,
        claims.sub,
        claims.aud,
        claims.jti,
        claims.iat,
        claims.exp,
    )


def _tenant(text: bytes) -> TenantClaims:
    claims = _tenants.decode(text)
    if not claims.isTenant:
        raise ValueError
    return TenantClaims(claims.id, claims.login, claims.aud, claims.jti, claims.iat, claims.isTenant)
