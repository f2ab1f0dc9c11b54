"""Lists and revocation of users' sessions, for their tenant."""

from dataclasses import dataclass

from doorward.core.audit.service import event
from doorward.core.errors import SessionNotFound
from doorward.core.model import Caller, SessionInfo, SessionKind, User
from doorward.core.ports import AccountStore, Clock, SessionRef, SessionStore
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.users.lookup import UserRef, find_user

MAX_LISTED_SESSIONS = 1_000
"""The most sessions of a user in a list, the newest first."""


@dataclass(frozen=True, slots=True)
class UserSessionService:
    """Lists and revokes users' sessions."""

    accounts: AccountStore
    session_store: SessionStore
    rate_limits: RateLimiter
    clock: Clock

    async def list_sessions(self, caller: Caller, ref: UserRef) -> list[SessionInfo]:
        """Return the live sessions of a user of the calling tenant, newest first; raises LoginNotFound."""
        self.rate_limits.consume_verify(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        now = self.clock()
        sessions = await self.session_store.list_user(caller.tenant_id, user.id, limit=MAX_LISTED_SESSIONS)
        return [info for info in sessions if not info.session.is_expired(now)]

    async def revoke_session(self, caller: Caller, ref: UserRef, session_id: str) -> None:
        """Revoke one session of a user; raises LoginNotFound, SessionNotFound."""
        user = await self._change(caller, ref)
        session = await self.session_store.find(SessionRef(session_id, user.id, SessionKind.USER))
        if session is None or session.user_id != user.id or session.is_expired(self.clock()):
            raise SessionNotFound
        revoked = event(caller, self.clock(), "session.revoke", subject=user.id, session=session)
        if not await self.session_store.revoke(session, events=[revoked]):
            raise SessionNotFound

    async def revoke_device(self, caller: Caller, ref: UserRef, device_id: str) -> None:
        """Revoke the sessions of a user on a device, however many there are; raises LoginNotFound."""
        user = await self._change(caller, ref)
        for info in await self.session_store.list_user(caller.tenant_id, user.id, limit=1_000_000):
            if info.session.device_id == device_id:
                revoked = event(caller, self.clock(), "session.revoke", subject=user.id, session=info.session)
                await self.session_store.revoke(info.session, events=[revoked])

    async def revoke_user(self, caller: Caller, ref: UserRef) -> None:
        """Revoke every session of a user; raises LoginNotFound."""
        user = await self._change(caller, ref)
        revoked = event(caller, self.clock(), "session.revoke_all", subject=user.id)
        await self.session_store.revoke_user(caller.tenant_id, user.id, events=[revoked])

    async def revoke_all(self, caller: Caller, *, own: bool) -> None:
        """Revoke every session of every user of the calling tenant, and with `own` the tenant's own sessions too."""
        await self.rate_limits.consume_write(caller.tenant_id)
        revoked = event(caller, self.clock(), "tenant.revoke_all")
        await self.session_store.revoke_users_of(caller.tenant_id, events=[revoked])
        if own:
            await self.session_store.revoke_tenant(caller.tenant_id)

    async def _change(self, caller: Caller, ref: UserRef) -> User:
        await self.rate_limits.consume_write(caller.tenant_id)
        return await find_user(self.accounts, caller.tenant_id, ref)
