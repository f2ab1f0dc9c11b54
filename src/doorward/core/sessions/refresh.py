"""Refresh tokens: rotated at each use; the session stores their number, not the tokens; reuse revokes it (RFC 9700).

The token of a generation is that number under a MAC whose key is derived from the master key and the session key. So it
can be computed again: a retry within the grace period gets the same response, and a reader of the store cannot forge
one.
"""

import base64
import hmac
from binascii import Error as NotBase64
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from doorward.core.audit.service import event
from doorward.core.errors import InvalidRefreshToken
from doorward.core.model import Caller, Session, SessionKind, User
from doorward.core.ports import MAX_WORKER_SKEW, AccountStore, Clock, SessionRef
from doorward.core.sessions.service import SessionService

REUSE_GRACE = 10_000
"""Milliseconds in which the previous refresh token gets the newest one's response."""
_MAX_CHARACTERS = 512
_PREFIX = "dr_"


class _Claims(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kid: str
    user_id: str
    session_id: str
    generation: int


class TokenPair(NamedTuple):
    """A new access token, its lifetime in seconds, and the next refresh token."""

    access: str
    expires_in: int
    refresh: str


@dataclass(frozen=True, slots=True)
class RefreshService:
    """Issues and rotates refresh tokens. `lifetime` is the lifetime in seconds of access tokens of such sessions."""

    accounts: AccountStore
    sessions: SessionService
    clock: Clock
    lifetime: int = 900

    def issue(self, user: User, session: Session) -> TokenPair:
        """Return the tokens of the session's current generation; the same for every call."""
        iat = session.refreshed_at // 1000
        end = iat + self.lifetime if session.expires_at is None else session.expires_at // 1000
        exp = min(iat + self.lifetime, end)
        access = self.sessions.sign_user_token(user, session, iat=iat, exp=exp)
        return TokenPair(access, exp - iat, self._token(self.sessions.codec.signing_kid, session))

    async def refresh(self, caller: Caller, token: str) -> TokenPair:
        """Rotate a refresh token of the calling tenant and return the next tokens.

        Raises InvalidRefreshToken for anything but the newest token, or the previous one within the grace period. Any
        other token of the session also revokes the session, because another party has it.
        """
        claims = _parse(token)
        session = await self._find(claims) if claims else None
        if claims is None or session is None or session.tenant_id != caller.tenant_id:
            raise InvalidRefreshToken
        if not hmac.compare_digest(token.encode(), self._token(claims.kid, session, claims.generation).encode()):
            raise InvalidRefreshToken
        now = self.clock()
        if claims.generation == session.generation:
            session = await self.sessions.session_store.rotate(session, now) or await self._find(claims)
        if session is None or self.sessions.codec.is_expired(session, now):
            raise InvalidRefreshToken
        if claims.generation == session.generation - 1 and session.refreshed_at > now + MAX_WORKER_SKEW:
            # The clock was set back since, so the age of the newest token is unknown: not enough to accept the
            # previous token, nor to revoke the session.
            raise InvalidRefreshToken
        if claims.generation != session.generation - 1 or now - session.refreshed_at > REUSE_GRACE:
            reused = event(caller, now, "session.reuse", subject=claims.user_id, session=session, refused="reuse")
            await self.sessions.session_store.revoke(session, events=[reused])
            raise InvalidRefreshToken
        user = await self.accounts.user_by_id(session.tenant_id, claims.user_id)
        if user is None or user.disabled:
            raise InvalidRefreshToken
        return self.issue(user, session)

    async def find_session(self, token: str) -> Session | None:
        """Return the live session whose newest refresh token this is, else None."""
        claims = _parse(token)
        session = await self._find(claims) if claims else None
        if claims is None or session is None or self.sessions.codec.is_expired(session, self.clock()):
            return None
        is_genuine = hmac.compare_digest(token.encode(), self._token(claims.kid, session, claims.generation).encode())
        return session if is_genuine and claims.generation == session.generation else None

    async def _find(self, claims: _Claims) -> Session | None:
        if not self.sessions.codec.knows(claims.kid):
            return None
        session = await self.sessions.session_store.find(
            SessionRef(claims.session_id, claims.user_id, SessionKind.USER)
        )
        is_genuine = session and session.user_id == claims.user_id and session.generation
        # Checked again, since the key may have been retired in the meantime.
        return session if is_genuine and self.sessions.codec.knows(claims.kid) else None

    def _token(self, kid: str, session: Session, generation: int | None = None) -> str:
        claims = _Claims(
            kid, session.user_id or "", session.id, session.generation if generation is None else generation
        )
        text = msgspec.json.encode(claims)
        mac = self.sessions.codec.mac(kid, session, b"refresh:" + text)
        return f"{_PREFIX}{_encode(text)}.{_encode(mac)}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _parse(token: str) -> _Claims | None:
    if not token.startswith(_PREFIX) or len(token) > _MAX_CHARACTERS or not token.isascii():
        return None
    text = token.removeprefix(_PREFIX).partition(".")[0]
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=_Claims)
    except (NotBase64, ValueError, RecursionError):
        return None
