"""The one place where tokens meet storage. Each door is named after who may pass; no caller has to remember a check."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from doorward.core.errors import InvalidToken, NotAuthorized
from doorward.core.model import Kind, Session, Tenant, User
from doorward.core.ports import Claimed, Clock, Sessions
from doorward.core.tokens import (
    Codec,
    Parsed,
    TenantClaims,
    UserClaims,
    new_session_id,
    new_session_key,
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long sessions live, in seconds, and how many a user may have. None: until revoked, or no limit."""

    user: int = 604_800
    tenant: int | None = None
    per_user: int | None = 100


class Issued(NamedTuple):
    """A token just made, the session behind it, and how many seconds it lives."""

    token: str
    session: Session
    expires_in: int


class Verified(NamedTuple):
    """A token that is true right now: its session, and its claims as the JSON text that was signed."""

    session: Session
    claims: bytes


def _claimed(parsed: Parsed[TenantClaims] | Parsed[UserClaims]) -> Claimed:
    return Claimed(parsed.claims.jti, parsed.claims.id)


@dataclass(frozen=True, slots=True)
class SessionDoor:
    """Opens, recognises and closes sessions."""

    sessions: Sessions
    codec: Codec
    clock: Clock
    lifetimes: Lifetimes

    async def open_tenant(self, tenant: Tenant) -> Issued:
        """Open a session of the tenant itself."""
        now = self.clock()
        lifetime = self.lifetimes.tenant
        iat = now // 1000
        exp = 0 if lifetime is None else iat + lifetime
        session = Session(
            new_session_id(), Kind.TENANT, tenant.id, None, None, new_session_key(), now, exp * 1000 if exp else None
        )
        claims = TenantClaims(tenant.id, tenant.login, self.codec.audience, session.id, iat, isTenant=True, exp=exp)
        token = self.codec.sign(claims, session)
        await self.sessions.open(session, cap=None)
        return Issued(token, session, lifetime or 0)

    async def open_user(self, user: User, device_id: str) -> Issued:
        """Open a session of a user on a device. A second one on the same device ends nothing."""
        now = self.clock()
        iat = now // 1000
        exp = iat + self.lifetimes.user
        session = Session(
            new_session_id(), Kind.USER, user.tenant_id, user.id, device_id, new_session_key(), now, exp * 1000
        )
        claims = UserClaims(
            id=user.id,
            login=user.login,
            tenant=user.tenant_id,
            scope=msgspec.UNSET if user.scope is None else msgspec.Raw(user.scope.encode()),
            deviceId=device_id,
            sub=user.sub,
            aud=self.codec.audience,
            jti=session.id,
            iat=iat,
            exp=exp,
        )
        token = self.codec.sign(claims, session)
        await self.sessions.open(session, cap=self.lifetimes.per_user)
        return Issued(token, session, self.lifetimes.user)

    async def tenant(self, credential: bytes | None) -> Session:
        """Return the live tenant session behind a credential; NotAuthorized for anything else."""
        parsed = self.codec.parse_tenant(credential) if credential else None
        if parsed is None:
            raise NotAuthorized
        return self._caller(parsed, await self.sessions.find(_claimed(parsed)))

    async def tenant_token(self, token: bytes) -> Verified:
        """Return what a tenant's token says if it is true right now; InvalidToken for anything else."""
        parsed = self.codec.parse_tenant(token)
        if parsed is None:
            raise InvalidToken
        session = await self.sessions.find(_claimed(parsed))
        if session is None or not self.codec.check(parsed, session, self.clock()):
            raise InvalidToken
        return Verified(session, parsed.payload)

    async def user(self, credential: bytes | None, token: bytes) -> Verified:
        """Return what a user's token says if it is true right now and the caller is the user's tenant.

        NotAuthorized where the caller is no live tenant; InvalidToken for any token but a live one of its own users.
        One trip to the store, nothing written.
        """
        caller = self.codec.parse_tenant(credential) if credential else None
        if caller is None:
            raise NotAuthorized
        subject = self.codec.parse_user(token)
        if subject is None:
            self._caller(caller, await self.sessions.find(_claimed(caller)))
            raise InvalidToken
        theirs, session = await self.sessions.find_pair(_claimed(caller), _claimed(subject))
        now, check = self.clock(), self.codec.check
        if theirs is None or not check(caller, theirs, now):
            raise NotAuthorized
        if session is None or session.tenant_id != theirs.tenant_id or not check(subject, session, now):
            raise InvalidToken
        return Verified(session, subject.payload)

    def _caller(self, parsed: Parsed[TenantClaims], session: Session | None) -> Session:
        if session is None or not self.codec.check(parsed, session, self.clock()):
            raise NotAuthorized
        return session

    async def close_tenant(self, token: bytes) -> None:
        """End the session of a tenant's token; InvalidToken where it is not live."""
        if not await self.sessions.close((await self.tenant_token(token)).session):
            raise InvalidToken

    async def close_user(self, credential: bytes | None, token: bytes) -> Session:
        """End the session of a user's token of the calling tenant and return it; refuses as `user` does."""
        session = (await self.user(credential, token)).session
        if not await self.sessions.close(session):
            raise InvalidToken
        return session
