"""A user's sessions, seen and ended by the tenant; and all of a tenant's at once."""

from dataclasses import dataclass

from doorward.core.audit.service import event
from doorward.core.errors import SessionNotFound
from doorward.core.model import Caller, SessionInfo, SessionKind, User
from doorward.core.ports import AccountStore, Clock, SessionRef, SessionStore
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.users.lookup import UserRef, find_user

MAX_LISTED_SESSIONS = 1_000
"""The most sessions of a user that a list shows, the newest first."""


@dataclass(frozen=True, slots=True)
class UserSessionService:
    """Lists and ends sessions."""

    accounts: AccountStore
    session_store: SessionStore
    rate_limits: RateLimiter
    clock: Clock

    async def list_sessions(self, caller: Caller, ref: UserRef) -> list[SessionInfo]:
        """Return the live sessions of a user of the calling tenant, newest first; LoginNotFound where there is none."""
        self.rate_limits.consume_verify(caller.tenant_id)
        user = await find_user(self.accounts, caller.tenant_id, ref)
        now = self.clock()
        devices = await self.session_store.list_user(caller.tenant_id, user.id, limit=MAX_LISTED_SESSIONS)
        return [device for device in devices if not device.session.is_expired(now)]

    async def revoke_session(self, caller: Caller, ref: UserRef, session_id: str) -> None:
        """End one session of a user; LoginNotFound, SessionNotFound."""
        user = await self._change(caller, ref)
        session = await self.session_store.find(SessionRef(session_id, user.id, SessionKind.USER))
        if session is None or session.user_id != user.id or session.is_expired(self.clock()):
            raise SessionNotFound
        ended = event(caller, self.clock(), "session.revoke", subject=user.id, session=session)
        if not await self.session_store.revoke(session, events=[ended]):
            raise SessionNotFound

    async def revoke_device(self, caller: Caller, ref: UserRef, device_id: str) -> None:
        """End the sessions that a user has on a device, however many there are."""
        user = await self._change(caller, ref)
        for device in await self.session_store.list_user(caller.tenant_id, user.id, limit=1_000_000):
            if device.session.device_id == device_id:
                ended = event(caller, self.clock(), "session.revoke", subject=user.id, session=device.session)
                await self.session_store.revoke(device.session, events=[ended])

    async def revoke_user(self, caller: Caller, ref: UserRef) -> None:
        """End every session of a user."""
        user = await self._change(caller, ref)
        ended = event(caller, self.clock(), "session.revoke_all", subject=user.id)
        await self.session_store.revoke_user(caller.tenant_id, user.id, events=[ended])

    async def revoke_all(self, caller: Caller, *, own: bool) -> None:
        """End every session of every user of the calling tenant, and with `own` the tenant's own ones too."""
        await self.rate_limits.consume_write(caller.tenant_id)
        ended = event(caller, self.clock(), "tenant.revoke_all")
        await self.session_store.revoke_users_of(caller.tenant_id, events=[ended])
        if own:
            await self.session_store.revoke_tenant(caller.tenant_id)

    async def _change(self, caller: Caller, ref: UserRef) -> User:
        await self.rate_limits.consume_write(caller.tenant_id)
        return await find_user(self.accounts, caller.tenant_id, ref)
