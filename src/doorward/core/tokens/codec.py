"""The strict HS256 codec: compact JWS (RFC 7515) of JWT claims (RFC 7519), one spelling per token.

Three rules make it strict. The header must be, to the byte, one that this service writes. The payload must be, to the
byte, the spelling that this service gives the claims in it. The signature is compared in its encoded form. So no token
has a second spelling, and no header field can influence the verification.

Pure: no I/O, no clock. Times in claims are whole seconds (RFC 7519, section 2, NumericDate).
"""

import hmac
import re
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from doorward.core.model import MAX_CLOCK_SKEW, Session, SessionKind
from doorward.core.tokens.signing import decode_segment, encode_segment, mac, signing_key, spell

MAX_TOKEN_BYTES = 8192
"""A longer token is rejected before any part of it is read."""

_MAX_REMEMBERED = 2048
"""Parsed tokens of each kind in the cache: about 2.5 kB each."""

LEEWAY = MAX_CLOCK_SKEW // 1000
"""Seconds that `iat` may be ahead of this machine's clock (RFC 8725 leaves it open; `exp` has no leeway)."""


OWNER_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
"""The form of the id of a tenant or user, a UUID."""

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class UserClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Claims of a user's token. `scope` is UNSET for a user without one."""

    id: str
    login: str
    tenant: str
    scope: Any = msgspec.UNSET
    deviceId: str = ""
    sub: str = ""
    aud: str = ""
    jti: str = ""
    iat: int = 0
    exp: int = 0


class TenantClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Claims of a tenant's token. `exp` is 0, and left out, without a configured lifetime."""

    id: str
    login: str
    aud: str
    jti: str
    iat: int
    isTenant: bool
    exp: int = 0


Claims = TypeVar("Claims", UserClaims, TenantClaims)


class ParsedToken(msgspec.Struct, Generic[Claims], frozen=True, gc=False):
    """A token in the right form, not yet verified.

    `signed` is the input of the MAC, `payload` the JSON text of the claims. `kid` is empty in an imported token.
    `proven` is the session key, kind and tenant for which the MAC was right before: a MAC that was right once stays
    right.
    """

    kid: str
    claims: Claims
    payload: bytes
    signed: bytes
    signature: bytes
    proven: tuple[bytes, str, str] | None = None


# The part before the key id, in whole groups of base64.
_OUR_HEADER = encode_segment(b'{"alg":"HS256","typ":"JWT","kid":"')[:44]


def _no_reload() -> None:
    """Do nothing: the master keys do not change."""


class Codec:
    """Signs and verifies the tokens of one audience under one or more master keys.

    `masters` maps a key id to key material; the first key signs (`signing_kid`), all of them verify.
    """

    def __init__(self, masters: Mapping[str, bytes], audience: str) -> None:
        """Prepare the accepted headers."""
        self.audience = audience
        self._reload: Callable[[], object] = _no_reload
        self._since: Callable[[], int] | None = None
        self._last_seen: Callable[[str], int] | None = None
        self._users = msgspec.json.Decoder(UserClaims)
        self._tenants = msgspec.json.Decoder(TenantClaims)
        # Verified tokens in parts. The cache holds results of arithmetic and no state of a session: the store is read
        # every time for whether a session exists, with which key, and until when.
        self._known_users: dict[bytes, ParsedToken[UserClaims]] = {}
        self._known_tenants: dict[bytes, ParsedToken[TenantClaims]] = {}
        self.replace_keys(masters)

    def replace_keys(self, masters: Mapping[str, bytes]) -> None:
        """Use these master keys from now on. Tokens signed under a removed key are rejected at once."""
        self._masters = dict(masters)
        self.signing_kid = next(iter(self._masters))
        self._headers = {self._header(kid): kid for kid in self._masters}
        # A key id may stand for another key now, so earlier results are dropped.
        self._known_users.clear()
        self._known_tenants.clear()

    def on_unknown_key(self, reload: Callable[[], object]) -> None:
        """Call `reload`, which may replace the keys, before a token of an unknown master key is rejected."""
        self._reload = reload

    def follow_clock(self, since: Callable[[], int]) -> None:
        """Count the times of sessions that lie ahead from `since()`, when the clock was last set back."""
        self._since = since

    def follow_activity(self, last_seen: Callable[[str], int]) -> None:
        """Count a session as used at `last_seen(id)`, which the store may not have yet; 0 for unknown."""
        self._last_seen = last_seen

    def is_expired(self, session: Session, now: int) -> bool:
        """Return whether the session has expired, as `Session.is_expired` does.

        Also considers sessions dated ahead of the clock, and uses that are not in the store yet.
        """
        latest = now + MAX_CLOCK_SKEW
        if (session.created_at > latest or session.seen_at > latest) and self._since is not None:
            session = session.counted_from(self._since(), now)
        if session.is_expired(now) and session.idle is not None and self._last_seen is not None:
            session = session._replace(seen_at=max(session.seen_at, self._last_seen(session.id)))
        return session.is_expired(now)

    def knows(self, kid: str) -> bool:
        """Return whether a master key with this id verifies; an unknown id triggers a reload first."""
        if kid not in self._masters:
            self._reload()
        return kid in self._masters

    @staticmethod
    def _header(kid: str) -> bytes:
        return encode_segment(spell({"alg": "HS256", "typ": "JWT", "kid": kid}))

    def sign(self, claims: UserClaims | TenantClaims, session: Session) -> str:
        """Return the token of a session."""
        signed = self._header(self.signing_kid) + b"." + encode_segment(spell(claims))
        return (signed + b"." + self._signature(self.signing_kid, session, signed)).decode()

    def parse_user(self, token: bytes) -> ParsedToken[UserClaims] | None:
        """Return a user's token in its parts, or None where `token` does not have the form of one."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        return self._known_users.get(token) or self._parse(token, self._users)

    def parse_tenant(self, token: bytes) -> ParsedToken[TenantClaims] | None:
        """Return a tenant's token in its parts, or None where `token` does not have the form of one."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        return self._known_tenants.get(token) or self._parse(token, self._tenants)

    def _parse(self, token: bytes, decoder: "msgspec.json.Decoder[Claims]") -> ParsedToken[Claims] | None:
        signed, _, signature = token.rpartition(b".")
        header, _, payload = signed.partition(b".")
        kid = self._headers.get(header)
        if kid is None:
            if not header.startswith(_OUR_HEADER):
                return self._parse_imported(token, decoder)
            self._reload()
            kid = self._headers.get(header)
            if kid is None:
                return None
        try:
            text = decode_segment(payload)
            claims = decoder.decode(text)
        except (NotBase64, ValueError, RecursionError):
            return None
        # Before a store reads them: nothing longer than a real id gets into keys and caches.
        if OWNER_ID.fullmatch(claims.id) is None or _SESSION_ID.fullmatch(claims.jti) is None:
            return None
        return ParsedToken(kid, claims, text, signed, signature)

    def check(self, parsed: ParsedToken[UserClaims] | ParsedToken[TenantClaims], session: Session, now: int) -> bool:
        """Return whether this is the live token of `session`: MAC, spelling, audience, kind, owner and times.

        `now` is in milliseconds. The result does not reveal the reason for a rejection.
        """
        claims = parsed.claims
        if not parsed.kid:
            return self._check_imported(parsed, session, now)
        if claims.jti != session.id or parsed.kid not in self._masters:
            return False
        bound_to = (session.key, session.kind, session.tenant_id)
        known = parsed.proven == bound_to
        if not (known or self._has_valid_signature(parsed, session)):
            return False
        seconds = now // 1000
        holds = (
            claims.aud == self.audience
            and (claims.iat <= seconds + LEEWAY or _matches_issue_time(claims.iat, session))
            # The common case of `is_expired`, inlined: the call costs a tenth of a check.
            and (
                (session.seen_at <= now >= session.created_at and not session.is_expired(now))
                or not self.is_expired(session, now)
            )
            and (
                _is_user_token_valid(claims, session, seconds)
                if type(claims) is UserClaims
                else _is_tenant_token_valid(claims, session, seconds)
            )
        )
        if holds and not known:
            self._cache_verified(parsed, bound_to)
        return holds

    def _has_valid_signature(
        self, parsed: ParsedToken[UserClaims] | ParsedToken[TenantClaims], session: Session
    ) -> bool:
        """Return whether the MAC is right for this session, and the payload has the spelling of this service."""
        expected = self._signature(parsed.kid, session, parsed.signed)
        return hmac.compare_digest(parsed.signature, expected) and spell(parsed.claims) == parsed.payload

    def _cache_verified(self, parsed: Any, bound_to: tuple[bytes, str, str]) -> None:
        known: dict[bytes, Any] = self._known_users if type(parsed.claims) is UserClaims else self._known_tenants
        if len(known) >= _MAX_REMEMBERED:
            del known[next(iter(known))]
        parsed = msgspec.structs.replace(parsed, proven=bound_to)
        known[parsed.signed + b"." + parsed.signature] = parsed

    def _parse_imported(
        self,
        token: bytes,  # noqa: ARG002 - for LegacyTokenCodec
        decoder: "msgspec.json.Decoder[Claims]",  # noqa: ARG002 - likewise
    ) -> ParsedToken[Claims] | None:
        return None

    def _check_imported(
        self,
        parsed: ParsedToken[UserClaims] | ParsedToken[TenantClaims],  # noqa: ARG002 - likewise
        session: Session,  # noqa: ARG002 - likewise
        now: int,  # noqa: ARG002 - likewise
    ) -> bool:
        return False

    def mac(self, kid: str, session: Session, message: bytes) -> bytes:
        """Return the HMAC-SHA256 of a message under the session's signing key; for messages that are no tokens."""
        return hmac.digest(signing_key(self._masters[kid], session), message, "sha256")

    def _signature(self, kid: str, session: Session, signed: bytes) -> bytes:
        return encode_segment(mac(signing_key(self._masters[kid], session), signed))


def _matches_issue_time(iat: int, session: Session) -> bool:
    """Return whether a token is no younger than its session, which this service opened or refreshed.

    A stored time that lies ahead means that the clock was set back since: the token is valid if its session is. A token
    dated later than its session has another origin (RFC 8725, section 3.8).
    """
    return iat * 1000 <= max(session.created_at, session.refreshed_at)


# A look-up of an enumeration member costs as much as comparing four fields.
_USER, _TENANT = SessionKind.USER.value, SessionKind.TENANT.value


def _is_user_token_valid(claims: UserClaims, session: Session, seconds: int) -> bool:
    return (
        session.kind == _USER
        and claims.id == session.user_id
        and claims.tenant == session.tenant_id
        and claims.deviceId == session.device_id
        and 0 < claims.iat < claims.exp
        and seconds < claims.exp
        and session.expires_at is not None
        and claims.exp * 1000 <= session.expires_at
    )


def _is_tenant_token_valid(claims: Any, session: Session, seconds: int) -> bool:
    return (
        session.kind == _TENANT
        and claims.id == session.tenant_id
        and claims.isTenant is True
        and claims.iat > 0
        and (
            claims.exp == 0
            if session.expires_at is None
            else seconds < claims.exp and claims.exp * 1000 <= session.expires_at
        )
    )
