"""`SessionIssuer`: opens the session of an authenticated account, unless the account changed in the meantime."""

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.core.model import Event, Origin, Tenant, User
from doorward.core.ports import UNKNOWN_ORIGIN, AccountStore
from doorward.core.sessions.service import IssuedToken, SessionOptions, SessionService
from doorward.core.tenants.settings import decode_settings


class AccountChanged(Exception):
    """The account changed, or was removed, while its session was opened; the session is revoked.

    `account` is the account as it is stored now, None where it is gone.
    """

    def __init__(self, account: Tenant | User | None) -> None:
        """Take the account as it is stored now."""
        super().__init__()
        self.account = account


@dataclass(frozen=True, slots=True)
class SessionIssuer:
    """Opens sessions for accounts that were authenticated before.

    The session is stored before the account is read again, and every change of an account revokes its sessions after
    the change is stored. So one of the two sees the other: no session outlives the account state it was issued for.
    """

    accounts: AccountStore
    sessions: SessionService

    async def issue_to_user(
        self,
        user: User,
        device_id: str,
        *,
        options: SessionOptions,
        origin: Origin = UNKNOWN_ORIGIN,
        events: Sequence[Event] = (),
    ) -> IssuedToken:
        """Open a session for a user on a device and return its token.

        `events` are stored with the session. Raises AccountChanged where the user was removed or its credentials
        changed, or its tenant was removed or disabled.
        """
        issued = await self.sessions.open_user_session(user, device_id, options=options, origin=origin, events=events)
        now = await self.accounts.user_by_id(user.tenant_id, user.id)
        tenant = await self.accounts.tenant_by_id(user.tenant_id)
        if now is None or now.credentials != user.credentials or tenant is None or tenant.disabled:
            await self.sessions.session_store.revoke(issued.session)
            raise AccountChanged(now)
        return issued

    async def issue_to_tenant(self, tenant: Tenant, *, events: Sequence[Event] = ()) -> IssuedToken:
        """Open a session for a tenant and return its token.

        `events` are stored with the session. Raises AccountChanged where the tenant was removed, or its password or
        `disabled` changed.
        """
        lifetime = decode_settings(tenant).tenant_session_lifetime
        issued = await self.sessions.open_tenant_session(tenant, lifetime=lifetime, events=events)
        now = await self.accounts.tenant_by_id(tenant.id)
        if now is None or now.credentials != tenant.credentials:
            await self.sessions.session_store.revoke(issued.session)
            raise AccountChanged(now)
        return issued
