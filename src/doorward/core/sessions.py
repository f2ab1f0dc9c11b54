"""The one place where tokens meet storage. Each door is named after who may pass; no caller has to remember a check."""

import hmac
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from doorward.core.errors import InvalidToken, NotAuthorized, PermissionDenied
from doorward.core.keys import PREFIX, PresentedKey, parse_key
from doorward.core.model import Kind, Origin, Permission, Session, Tenant, User
from doorward.core.ports import NO_POLICY, UNKNOWN, Claimed, Clock, Events, Policy, Sessions
from doorward.core.signing import new_session_id, new_session_key
from doorward.core.tokens import Codec, Parsed, TenantClaims, UserClaims
from doorward.core.turns import in_turns


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
    """A token that is true right now: its session, its claims as the JSON text that was signed, and who asked."""

    session: Session
    claims: bytes
    caller: Session

    def told(self) -> dict[str, Any]:
        """Return the claims as every one of this service's own tokens has them: with a tenant, with times in seconds.

        An imported token knows no tenant, may lack a login, and dates in milliseconds; its end is its session's.
        """
        claims: dict[str, Any] = msgspec.json.decode(self.claims)
        if self.session.kind == Kind.IMPORTED_USER:
            end = self.session.expires_at
            claims = {"login": "", "sub": "", **claims, "tenant": self.session.tenant_id}
            claims["iat"] //= 1000
            claims["exp"] = claims["exp"] if end is None else end // 1000
        return claims


class Terms(NamedTuple):
    """What a user's session is opened under: how long it may live, in seconds, how many there may be, the policy.

    `refresh`: it hands out refresh tokens.
    """

    lifetime: int
    cap: int | None
    policy: Policy = NO_POLICY
    refresh: bool = False


def _claimed_user(parsed: Parsed[UserClaims]) -> Claimed:
    return Claimed(parsed.claims.jti, parsed.claims.id, Kind.USER if parsed.kid else Kind.IMPORTED_USER)


def _claimed_tenant(parsed: Parsed[TenantClaims]) -> Claimed:
    return Claimed(parsed.claims.jti, parsed.claims.id, Kind.TENANT if parsed.kid else Kind.IMPORTED_TENANT)


class _Credential(NamedTuple):
    """What a caller presents as a tenant's: a token or an API key, of which nothing is believed yet."""

    claimed: Claimed
    proof: Parsed[TenantClaims] | PresentedKey


@dataclass(frozen=True, slots=True)
class SessionDoor:
    """Opens, recognises and closes sessions."""

    sessions: Sessions
    codec: Codec
    clock: Clock
    lifetimes: Lifetimes

    async def open_tenant(self, tenant: Tenant, *, lifetime: int | None = None, events: Events = ()) -> Issued:
        """Open a session of the tenant itself, for `lifetime` seconds, or as long as the service says."""
        now = self.clock()
        lifetime = self.lifetimes.tenant if lifetime is None else lifetime
        iat = now // 1000
        exp = 0 if lifetime is None else iat + lifetime
        session = Session(
            id=new_session_id(),
            kind=Kind.TENANT,
            tenant_id=tenant.id,
            user_id=None,
            device_id=None,
            key=new_session_key(),
            created_at=now,
            expires_at=exp * 1000 if exp else None,
            seen_at=now,
        )
        claims = TenantClaims(tenant.id, tenant.login, self.codec.audience, session.id, iat, isTenant=True, exp=exp)
        token = self.codec.sign(claims, session)
        await self.sessions.open(session, cap=None, events=events)
        return Issued(token, session, lifetime or 0)

    async def open_user(
        self, user: User, device_id: str, *, terms: Terms | None = None, origin: Origin = UNKNOWN, events: Events = ()
    ) -> Issued:
        """Open a session of a user on a device. A second one on the same device ends nothing."""
        terms = terms or Terms(self.lifetimes.user, self.lifetimes.per_user)
        now = self.clock()
        session = Session(
            id=new_session_id(),
            kind=Kind.USER,
            tenant_id=user.tenant_id,
            user_id=user.id,
            device_id=device_id,
            key=new_session_key(),
            created_at=now,
            expires_at=(now // 1000 + terms.lifetime) * 1000,
            seen_at=now,
            generation=int(terms.refresh),
            refreshed_at=now if terms.refresh else 0,
        )
        token = self.token_of(user, session, iat=now // 1000, exp=now // 1000 + terms.lifetime)
        await self.sessions.open(session, cap=terms.cap, policy=terms.policy, origin=origin, events=events)
        return Issued(token, session, terms.lifetime)

    def token_of(self, user: User, session: Session, *, iat: int, exp: int) -> str:
        """Return an access token of a user's session; `iat` and `exp` in seconds."""
        claims = UserClaims(
            id=user.id,
            login=user.login,
            tenant=user.tenant_id,
            scope=msgspec.UNSET if user.scope is None else msgspec.Raw(user.scope.encode()),
            deviceId=session.device_id or "",
            sub=user.sub,
            aud=self.codec.audience,
            jti=session.id,
            iat=iat,
            exp=exp,
        )
        return self.codec.sign(claims, session)

    async def tenant(self, credential: bytes | None, needed: Permission | None) -> Session:
        """Return the live session of a tenant, or of one of its API keys, behind a credential.

        NotAuthorized for anything else; PermissionDenied for a live key without the permission that is needed. What
        needs None is for the tenant itself, and for none of its keys.
        """
        presented = self._present(credential)
        return self._caller(presented, await self.sessions.find(presented.claimed), needed)

    async def tenant_token(self, token: bytes) -> Verified:
        """Return what a tenant's token says if it is true right now; InvalidToken for anything else."""
        parsed = self.codec.parse_tenant(token)
        if parsed is None:
            raise InvalidToken
        session = await self.sessions.find(_claimed_tenant(parsed))
        if session is None or not self.codec.check(parsed, session, self.clock()):
            raise InvalidToken
        return Verified(session, parsed.payload, session)

    async def user(
        self, credential: bytes | None, token: bytes, needed: Permission | None = Permission.VERIFY
    ) -> Verified:
        """Return what a user's token says if it is true right now and the caller is the user's tenant.

        NotAuthorized where the caller is no live tenant, PermissionDenied where it is a key that may not ask;
        InvalidToken for any token but a live one of the tenant's own users. One trip to the store, nothing written, but
        for the first time that somebody presents the imported token of a user whose tenant was not known.
        """
        presented = self._present(credential)
        subject = self.codec.parse_user(token)
        if subject is None:
            caller = self._caller(presented, await self.sessions.find(presented.claimed), needed)
            raise InvalidToken(caller=caller)
        theirs, session = await self.sessions.find_pair(presented.claimed, _claimed_user(subject))
        caller = self._caller(presented, theirs, needed)
        verified = self._verified(subject, session, caller, self.clock())
        if verified is None:
            verified = await self._claim(subject, session, caller)
        if verified is None:
            raise InvalidToken(caller=caller)
        return verified

    async def users(self, credential: bytes | None, tokens: list[bytes]) -> tuple[Session, list[Verified | None]]:
        """Return who calls, and for each token what `user` would, or None where it would refuse the token.

        NotAuthorized and PermissionDenied as there. One trip to the store for all of them.
        """
        presented = self._present(credential)
        subjects = [self.codec.parse_user(token) async for token in in_turns(tokens)]
        claims = [_claimed_user(subject) for subject in subjects if subject]
        theirs, *found = await self.sessions.find_many([presented.claimed, *claims])
        caller = self._caller(presented, theirs, Permission.VERIFY)
        now, left = self.clock(), iter(found)
        answers: list[Verified | None] = []
        async for subject in in_turns(subjects):
            session = next(left) if subject else None
            verified = self._verified(subject, session, caller, now) if subject else None
            if subject and session and verified is None:
                verified = await self._claim(subject, session, caller)
            answers.append(verified)
        return caller, answers

    async def _claim(self, subject: Parsed[UserClaims], session: Session | None, caller: Session) -> Verified | None:
        """Give an imported session that is of no tenant yet to the first tenant that presents its token, for good."""
        if session is None or session.tenant_id or not self.codec.check(subject, session, self.clock()):
            return None
        adopted = await self.sessions.adopt(session, caller.tenant_id)
        return Verified(adopted, subject.payload, caller) if adopted else None

    def _verified(
        self, subject: Parsed[UserClaims], session: Session | None, caller: Session, now: int
    ) -> Verified | None:
        if session is None or session.tenant_id != caller.tenant_id or not self.codec.check(subject, session, now):
            return None
        return Verified(session, subject.payload, caller)

    def _present(self, credential: bytes | None) -> _Credential:
        if credential is None:
            raise NotAuthorized
        if credential.startswith(PREFIX):
            key = parse_key(credential)
            if key is None:
                raise NotAuthorized
            return _Credential(Claimed(key.id, key.tenant_id, Kind.KEY), key)
        parsed = self.codec.parse_tenant(credential)
        if parsed is None:
            raise NotAuthorized
        return _Credential(_claimed_tenant(parsed), parsed)

    def _caller(self, presented: _Credential, session: Session | None, needed: Permission | None) -> Session:
        if session is None:
            raise NotAuthorized
        proof = presented.proof
        if isinstance(proof, Parsed):
            if not self.codec.check(proof, session, self.clock()):
                raise NotAuthorized
            return session
        if (
            session.kind != Kind.KEY
            or session.tenant_id != proof.tenant_id
            or not hmac.compare_digest(session.key, proof.digest)
            or session.is_over(self.clock())
        ):
            raise NotAuthorized
        if needed is None or not session.permits(needed):
            raise PermissionDenied(caller=session)
        return session
