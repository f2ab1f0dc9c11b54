"""`LoginFlow`: the order of a login: first factor, policy of the tenant, session."""

from dataclasses import dataclass
from typing import NamedTuple

from doorward.core.audit.service import event
from doorward.core.errors import IncorrectCredentials
from doorward.core.login.issuer import AccountChanged, SessionIssuer
from doorward.core.login.password import PasswordCredentials, PasswordLogin
from doorward.core.model import Caller, Origin, Session, User
from doorward.core.ports import UNKNOWN_ORIGIN, AccountStore, Clock
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import IssuedToken
from doorward.core.tenants.settings import SettingsResolver


class LoginResult(NamedTuple):
    """An access token, how many seconds it lives, and a refresh token where one was requested."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class LoginFlow:
    """Logs in users and tenants, and logs them out.

    Each method of login authenticates the account, counts its failures and logs them. What follows is the same for all
    methods: the tenant's settings decide on the session, and the issuer opens it.
    """

    accounts: AccountStore
    password: PasswordLogin
    issuer: SessionIssuer
    refresh_service: RefreshService
    settings_resolver: SettingsResolver
    rate_limits: RateLimiter
    clock: Clock

    async def login_user(
        self,
        caller: Caller,
        credentials: PasswordCredentials,
        device_id: str,
        *,
        origin: Origin = UNKNOWN_ORIGIN,
        refresh: bool = False,
    ) -> LoginResult:
        """Log in a user of the calling tenant on a device; `refresh` requests short-lived tokens with a refresh token.

        Raises what `PasswordLogin.authenticate_user` raises, and TooManyRequests.
        """
        await self.rate_limits.consume_login(caller.tenant_id)
        user = await self.password.authenticate_user(caller, credentials)
        return await self._issue(caller, user, device_id, origin=origin, refresh=refresh)

    async def login_tenant(self, caller: Caller, credentials: PasswordCredentials) -> IssuedToken:
        """Log in a tenant; `caller` is where the request came from, without a tenant.

        Raises what `PasswordLogin.authenticate_tenant` raises.
        """
        tenant = await self.password.authenticate_tenant(caller, credentials)
        opened = event(caller._replace(tenant_id=tenant.id), self.clock(), "tenant.login")
        try:
            return await self.issuer.issue_to_tenant(tenant, events=[opened])
        except AccountChanged:
            raise IncorrectCredentials from None

    async def logout(self, caller: Caller, session: Session) -> bool:
        """Revoke a session of the calling tenant or of one of its users; False where it was revoked already."""
        action = "tenant.logout" if session.user_id is None else "user.logout"
        revoked = event(caller, self.clock(), action, subject=session.user_id or "", session=session)
        return await self.issuer.sessions.session_store.revoke(session, events=[revoked])

    async def _issue(self, caller: Caller, user: User, device_id: str, *, origin: Origin, refresh: bool) -> LoginResult:
        """Open the session of a user who passed every factor that its tenant requires."""
        tenant = await self.accounts.tenant_by_id(caller.tenant_id)
        if tenant is None:
            raise self.password.refusal(user)
        options = self.settings_resolver.session_options(tenant, refresh=refresh)
        opened = event(caller, self.clock(), "user.login", subject=user.id)
        try:
            issued = await self.issuer.issue_to_user(user, device_id, options=options, origin=origin, events=[opened])
        except AccountChanged as changed:
            raise self.password.refusal(user if changed.account else None) from None
        if refresh:
            return LoginResult(*self.refresh_service.issue(user, issued.session))
        return LoginResult(issued.token, issued.expires_in)
