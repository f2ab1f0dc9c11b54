"""`SessionService`: opens sessions, signs and verifies their tokens, authenticates callers by token or API key."""

import hmac
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from doorward.core.api_keys.format import PREFIX, ParsedApiKey, parse_api_key
from doorward.core.cooperative import iterate_cooperatively
from doorward.core.errors import InvalidToken, NotAuthorized, PermissionDenied
from doorward.core.model import Origin, Permission, Session, SessionKind, Tenant, User
from doorward.core.ports import (
    NO_SESSION_POLICY,
    UNKNOWN_ORIGIN,
    Clock,
    Events,
    SessionPolicy,
    SessionRef,
    SessionStore,
)
from doorward.core.tokens.codec import Codec, ParsedToken, TenantClaims, UserClaims
from doorward.core.tokens.signing import new_session_id, new_session_key


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """Lifetimes of sessions in seconds, None for unlimited, and the number of sessions per user, None for no limit."""

    user: int = 604_800
    tenant: int | None = None
    per_user: int | None = 100


class IssuedToken(NamedTuple):
    """A new token, its session, and its lifetime in seconds."""

    token: str
    session: Session
    expires_in: int


class VerifiedToken(NamedTuple):
    """A token whose session is live. `claims` is the JSON text that was signed, `caller` the calling session."""

    session: Session
    claims: bytes
    caller: Session

    def decoded_claims(self) -> dict[str, Any]:
        """Return the claims in the form of this service's own tokens: with a tenant, and times in seconds.

        An imported token has no tenant, may lack a login, and has times in milliseconds; it expires with its session.
        """
        claims: dict[str, Any] = msgspec.json.decode(self.claims)
        if self.session.kind == SessionKind.IMPORTED_USER:
            end = self.session.expires_at
            claims = {"login": "", "sub": "", **claims, "tenant": self.session.tenant_id}
            claims["iat"] //= 1000
            claims["exp"] = claims["exp"] if end is None else end // 1000
        return claims


class SessionOptions(NamedTuple):
    """Options of a new user session: lifetime in seconds, cap on the number of sessions, policy.

    `refresh`: the session has refresh tokens.
    """

    lifetime: int
    cap: int | None
    policy: SessionPolicy = NO_SESSION_POLICY
    refresh: bool = False


def _user_session_ref(parsed: ParsedToken[UserClaims]) -> SessionRef:
    return SessionRef(
        parsed.claims.jti, parsed.claims.id, SessionKind.USER if parsed.kid else SessionKind.IMPORTED_USER
    )


def _tenant_session_ref(parsed: ParsedToken[TenantClaims]) -> SessionRef:
    return SessionRef(
        parsed.claims.jti, parsed.claims.id, SessionKind.TENANT if parsed.kid else SessionKind.IMPORTED_TENANT
    )


class _TenantCredential(NamedTuple):
    """A tenant's token or API key as presented, not yet verified."""

    ref: SessionRef
    proof: ParsedToken[TenantClaims] | ParsedApiKey


@dataclass(frozen=True, slots=True)
class SessionService:
    """Opens sessions and verifies tokens.

    Each method that authenticates or verifies does every check itself.
    """

    session_store: SessionStore
    codec: Codec
    clock: Clock
    lifetimes: SessionLifetimes

    async def open_tenant_session(
        self, tenant: Tenant, *, lifetime: int | None = None, events: Events = ()
    ) -> IssuedToken:
        """Open a session of the tenant itself for `lifetime` seconds, None for the default of the service."""
        now = self.clock()
        lifetime = self.lifetimes.tenant if lifetime is None else lifetime
        iat = now // 1000
        exp = 0 if lifetime is None else iat + lifetime
        session = Session(
            id=new_session_id(),
            kind=SessionKind.TENANT,
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
        await self.session_store.open(session, cap=None, events=events)
        return IssuedToken(token, session, lifetime or 0)

    async def open_user_session(
        self,
        user: User,
        device_id: str,
        *,
        options: SessionOptions | None = None,
        origin: Origin = UNKNOWN_ORIGIN,
        events: Events = (),
    ) -> IssuedToken:
        """Open a session of a user on a device. A second session on the same device revokes nothing."""
        options = options or SessionOptions(self.lifetimes.user, self.lifetimes.per_user)
        now = self.clock()
        session = Session(
            id=new_session_id(),
            kind=SessionKind.USER,
            tenant_id=user.tenant_id,
            user_id=user.id,
            device_id=device_id,
            key=new_session_key(),
            created_at=now,
            expires_at=(now // 1000 + options.lifetime) * 1000,
            seen_at=now,
            generation=int(options.refresh),
            refreshed_at=now if options.refresh else 0,
        )
        token = self.sign_user_token(user, session, iat=now // 1000, exp=now // 1000 + options.lifetime)
        await self.session_store.open(session, cap=options.cap, policy=options.policy, origin=origin, events=events)
        return IssuedToken(token, session, options.lifetime)

    def sign_user_token(self, user: User, session: Session, *, iat: int, exp: int) -> str:
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

    async def authenticate_tenant(self, credential: bytes | None, required_permission: Permission | None) -> Session:
        """Return the live session of the tenant or API key that a credential belongs to.

        Raises NotAuthorized for anything else, PermissionDenied for a live API key without
        `required_permission`. With None, only the tenant itself is accepted, none of its keys.
        """
        presented = self._parse_credential(credential)
        return self._check_caller(
            presented, await self.session_store.find(presented.ref), required_permission, self.clock()
        )

    async def verify_tenant_token(self, token: bytes) -> VerifiedToken:
        """Return a tenant's token if its session is live; raises InvalidToken for anything else."""
        parsed = self.codec.parse_tenant(token)
        if parsed is None:
            raise InvalidToken
        session = await self.session_store.find(_tenant_session_ref(parsed))
        if session is None or not self.codec.check(parsed, session, self.clock()):
            raise InvalidToken
        return VerifiedToken(session, parsed.payload, session)

    async def verify_user_token(
        self, credential: bytes | None, token: bytes, required_permission: Permission | None = Permission.VERIFY
    ) -> VerifiedToken:
        """Return a user's token if its session is live and the caller is the user's tenant.

        Raises NotAuthorized where the caller is no live tenant, PermissionDenied where it is an API key without
        `required_permission`, InvalidToken for any token but a live one of the tenant's own users. One trip to
        the store and no write, except for the first use of an imported token of a user without a tenant.
        """
        presented = self._parse_credential(credential)
        subject = self.codec.parse_user(token)
        if subject is None:
            session = await self.session_store.find(presented.ref)
            caller = self._check_caller(presented, session, required_permission, self.clock())
            raise InvalidToken(caller=caller)
        caller_session, session = await self.session_store.find_pair(presented.ref, _user_session_ref(subject))
        now = self.clock()
        caller = self._check_caller(presented, caller_session, required_permission, now)
        verified = self._verified(subject, session, caller, now)
        if verified is None:
            verified = await self._claim(subject, session, caller)
        if verified is None:
            raise InvalidToken(caller=caller)
        return verified

    async def verify_user_tokens(
        self, credential: bytes | None, tokens: list[bytes]
    ) -> tuple[Session, list[VerifiedToken | None]]:
        """Return the caller, and for each token the result of `verify_user_token`, or None where it would be rejected.

        Raises NotAuthorized and PermissionDenied likewise. One trip to the store for all tokens.
        """
        presented = self._parse_credential(credential)
        subjects = [self.codec.parse_user(token) async for token in iterate_cooperatively(tokens)]
        claims = [_user_session_ref(subject) for subject in subjects if subject]
        caller_session, *user_sessions = await self.session_store.find_many([presented.ref, *claims])
        now, remaining = self.clock(), iter(user_sessions)
        caller = self._check_caller(presented, caller_session, Permission.VERIFY, now)
        results: list[VerifiedToken | None] = []
        async for subject in iterate_cooperatively(subjects):
            session = next(remaining) if subject else None
            verified = self._verified(subject, session, caller, now) if subject else None
            if subject and session and verified is None:
                verified = await self._claim(subject, session, caller)
            results.append(verified)
        return caller, results

    async def _claim(
        self, subject: ParsedToken[UserClaims], session: Session | None, caller: Session
    ) -> VerifiedToken | None:
        """Assign an imported session without a tenant, for good, to the first tenant that presents its token."""
        if session is None or session.tenant_id or not self.codec.check(subject, session, self.clock()):
            return None
        claimed = await self.session_store.claim(session, caller.tenant_id)
        return VerifiedToken(claimed, subject.payload, caller) if claimed else None

    def _verified(
        self, subject: ParsedToken[UserClaims], session: Session | None, caller: Session, now: int
    ) -> VerifiedToken | None:
        if session is None or session.tenant_id != caller.tenant_id or not self.codec.check(subject, session, now):
            return None
        return VerifiedToken(session, subject.payload, caller)

    def _parse_credential(self, credential: bytes | None) -> _TenantCredential:
        if credential is None:
            raise NotAuthorized
        if credential.startswith(PREFIX):
            key = parse_api_key(credential)
            if key is None:
                raise NotAuthorized
            return _TenantCredential(SessionRef(key.id, key.tenant_id, SessionKind.KEY), key)
        parsed = self.codec.parse_tenant(credential)
        if parsed is None:
            raise NotAuthorized
        return _TenantCredential(_tenant_session_ref(parsed), parsed)

    def _check_caller(
        self, credential: _TenantCredential, session: Session | None, required_permission: Permission | None, now: int
    ) -> Session:
        if session is None:
            raise NotAuthorized
        proof = credential.proof
        if isinstance(proof, ParsedToken):
            if not self.codec.check(proof, session, now):
                raise NotAuthorized
            return session
        if (
            session.kind != SessionKind.KEY
            or session.tenant_id != proof.tenant_id
            or not hmac.compare_digest(session.key, proof.digest)
            or session.is_expired(now)
        ):
            raise NotAuthorized
        if required_permission is None or not session.permits(required_permission):
            raise PermissionDenied(caller=session)
        return session
