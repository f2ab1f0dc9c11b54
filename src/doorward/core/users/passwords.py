"""Passwords of users: change with the current one, reset by code; and unlocking."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import NamedTuple

from doorward.core.audit.service import event
from doorward.core.errors import (
    Conflict,
    InvalidResetCode,
    InvalidToken,
    Refusal,
    UserDisabled,
)
from doorward.core.model import Caller, Permission, Session, User
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.ports import (
    MAX_WORKER_SKEW,
    AccountStore,
    AuditStore,
    Clock,
    ResetCode,
    ResetCodeStore,
    RevocationScope,
)
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.service import SessionService
from doorward.core.users.lookup import UserRef, find_user
from doorward.core.users.service import UserService

CODE_LIFETIME_SECONDS = 600
"""Seconds (OWASP ASVS 6.5.5)."""
_MAX_SESSIONS = 1_000_000


class PasswordChange(NamedTuple):
    """The current password and the new one."""

    current: str
    password: str


class KeepSession(NamedTuple):
    """A user's token whose session stays valid, if any, and the tenant credential that verifies it."""

    credential: bytes | None
    token: bytes | None


class IssuedResetCode(NamedTuple):
    """A new reset code and its lifetime in seconds."""

    code: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class UserPasswordService:
    """Changes and resets passwords, and unlocks users."""

    accounts: AccountStore
    reset_code_store: ResetCodeStore
    sessions: SessionService
    reauthenticator: Reauthenticator
    rate_limits: RateLimiter
    users: UserService
    clock: Clock
    audit: AuditStore

    async def change_password(self, caller: Caller, ref: UserRef, change: PasswordChange, keep: KeepSession) -> None:
        """Set a new password for a user with the current one; revoke its sessions except that of `keep`.

        A wrong current password counts as a failed login, with `keep` as one of that session. Raises LoginNotFound,
        IncorrectPassword, UserDisabled, InvalidToken where `keep` is no live token of this user, ValidationFailed by
        the tenant's policy, TooManyAttempts, AccountLocked, Overloaded.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        session = await self._session_to_keep(keep.credential, keep.token, user) if keep.token else None
        refused = event(caller, self.clock(), "user.password", subject=user.id, refused="password")
        attempt = caller.tenant_id, user.login, change.current, user.password_hash
        await self.reauthenticator.require(*attempt, refused=refused, known=session)
        if user.disabled:
            raise UserDisabled
        await self._set(caller, user, change.password, keep=session, on_conflict=Conflict())

    async def _session_to_keep(self, credential: bytes | None, token: bytes, user: User) -> Session:
        session = (await self.sessions.verify_user_token(credential, token, Permission.USERS_WRITE)).session
        if session.user_id != user.id:
            raise InvalidToken
        return session

    async def create_reset_code(self, caller: Caller, ref: UserRef) -> IssuedResetCode:
        """Return a single-use code that sets this user's password within ten minutes; an earlier code becomes void.

        Raises LoginNotFound.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        code = secrets.token_urlsafe(24)
        now = self.clock()
        expires_at = now + CODE_LIFETIME_SECONDS * 1000
        stored = ResetCode(_digest(code), caller.tenant_id, user.id, user.credentials, expires_at)
        await self.reset_code_store.add(stored, events=[event(caller, now, "user.reset_offer", subject=user.id)])
        return IssuedResetCode(code, CODE_LIFETIME_SECONDS)

    async def redeem_reset_code(self, caller: Caller, code: str, password: str) -> None:
        """Set a user's password with a code, and revoke all of its sessions.

        A code has 192 random bits, so guesses are rate-limited but not counted. Raises InvalidResetCode for a code that
        is used, expired, void or unknown, ValidationFailed for a password that the tenant's policy rejects, which
        leaves the code valid.
        """
        await self.rate_limits.consume_login(caller.tenant_id)
        reset_code = await self.reset_code_store.consume(caller.tenant_id, _digest(code))
        user = await self.accounts.user_by_id(caller.tenant_id, reset_code.user_id) if reset_code else None
        now = self.clock()
        # Further ahead than the lifetime of a code: the clock was set back, and the age of the code is unknown.
        is_live = (
            reset_code is not None
            and now < reset_code.expires_at <= now + CODE_LIFETIME_SECONDS * 1000 + MAX_WORKER_SKEW
        )
        if reset_code is None or not is_live or user is None or reset_code.credentials != user.credentials:
            raise InvalidResetCode
        try:
            await self._set(caller, user, password, keep=None, on_conflict=InvalidResetCode())
        except Refusal as refusal:
            if not isinstance(refusal, InvalidResetCode):
                await self.reset_code_store.restore(reset_code)
            raise

    async def unlock(self, caller: Caller, ref: UserRef) -> None:
        """Reset the failed attempts counted for a user of the calling tenant, including those of its live sessions.

        Raises LoginNotFound.
        """
        await self.rate_limits.consume_write(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        # The event first, since counters may be in another store: no change without its event.
        await self.audit.record(event(caller, self.clock(), "user.unlock", subject=user.id))
        devices = await self.sessions.session_store.list_user(caller.tenant_id, user.id, limit=_MAX_SESSIONS)
        await self.rate_limits.reset_failures(caller.tenant_id, user.login, [device.session.id for device in devices])

    async def _set(
        self, caller: Caller, user: User, password: str, *, keep: Session | None, on_conflict: Refusal
    ) -> None:
        secret = await self.users.hash_password(caller.tenant_id, password, user.login, user.email)
        current = await self.accounts.user_by_id(caller.tenant_id, user.id)
        if current is None or current.credentials != user.credentials:
            raise on_conflict
        after = replace(current, password_hash=secret.hash, credentials=current.credentials + 1)
        changed = event(caller, self.clock(), "user.password", subject=user.id)
        revokes = RevocationScope(caller.tenant_id, user.id, keep)
        if not await self.accounts.change_user(after, events=[changed], revokes=revokes):
            raise on_conflict
        await self.sessions.session_store.revoke_user(caller.tenant_id, user.id, keep=keep)
        await self.rate_limits.reset_failures(caller.tenant_id, user.login)


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
