"""Logins, refreshes and changes of tenants under concurrent changes, on the embedded database."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import pytest

from doorward.core.errors import Conflict, IncorrectPassword, InvalidRefreshToken, NotAuthorized, UserNotFound
from doorward.core.login.flow import LoginFlow
from doorward.core.login.issuer import SessionIssuer
from doorward.core.login.password import PasswordCredentials, PasswordLogin
from doorward.core.login.timing import LoginTiming
from doorward.core.model import Caller, Tenant, User
from doorward.core.passwords.hashing import Hasher
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.passwords.reauthentication import Reauthenticator
from doorward.core.rate_limits.limiter import RateLimiter
from doorward.core.sessions.refresh import RefreshService
from doorward.core.sessions.service import SessionLifetimes, SessionService
from doorward.core.tenants.service import TenantService
from doorward.core.tenants.settings import SettingsResolver
from doorward.core.tokens.codec import Codec
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.relational.audit import RelationalAuditStore
from doorward.storage.relational.counters import RelationalCounterStore
from doorward.storage.relational.credentials import RelationalApiKeyStore
from doorward.storage.relational.sessions import RelationalSessionStore
from doorward.storage.sqlite.database import SqliteDatabase
from factories import claimed, kept_tenant, make_user, user_session
from harness import CHEAP, TurnableClock

MASTER = b"zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="


class Overtaken(RelationalAccountStore):
    """Accounts of which look-ups are overtaken by something else, after they have read: so many, one after another."""

    overtake: Callable[[], Awaitable[object]] | None = None
    times = 1

    async def user_by_login(self, tenant_id: str, login: str) -> User | None:
        found = await super().user_by_login(tenant_id, login)
        await self._overtaken()
        return found

    async def tenant_by_id(self, tenant_id: str) -> Tenant | None:
        found = await super().tenant_by_id(tenant_id)
        await self._overtaken()
        return found

    async def _overtaken(self) -> None:
        if self.overtake and self.times:
            self.times -= 1
            await self.overtake()


class Parts(NamedTuple):
    """A tenant with one user, whose password is `right`, and how it logs in."""

    accounts: Overtaken
    sessions: RelationalSessionStore
    login: LoginFlow
    tenants: TenantService
    user: User

    @property
    def caller(self) -> Caller:
        return Caller(self.user.tenant_id, "tenant")

    async def live_sessions(self) -> int:
        return len(await self.sessions.list_user(self.user.tenant_id, self.user.id, limit=9))


@pytest.fixture
async def parts(
    database: SqliteDatabase, sessions: RelationalSessionStore, counters: RelationalCounterStore, clock: TurnableClock
) -> Parts:
    accounts = Overtaken(database)
    door = SessionService(sessions, Codec({"1": MASTER}, "doorward"), clock, SessionLifetimes())
    passwords = PasswordHasherPool(Hasher(CHEAP), threads=1, max_wait=5)
    rate_limits = RateLimiter(counters, clock, (b"pepper",), monotonic=clock.monotonic)
    audit, issuer = RelationalAuditStore(database), SessionIssuer(accounts, door)
    tenants = TenantService(
        accounts=accounts,
        api_keys=RelationalApiKeyStore(database),
        audit_store=audit,
        sessions=door,
        issuer=issuer,
        passwords=passwords,
        reauthenticator=Reauthenticator(passwords, rate_limits, audit),
        rate_limits=rate_limits,
        clock=clock,
    )
    timing = LoginTiming(accounts, passwords, clock, least=0)
    login = LoginFlow(
        accounts=accounts,
        password=PasswordLogin(accounts, passwords, rate_limits, audit, timing, clock),
        issuer=issuer,
        refresh_service=RefreshService(accounts, door, clock),
        settings_resolver=SettingsResolver(SessionLifetimes()),
        rate_limits=rate_limits,
        clock=clock,
    )
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, password_hash=Hasher(CHEAP).hash("right"))
    assert await accounts.add_user(user)
    return Parts(accounts, sessions, login, tenants, user)


async def test_TK15_a_login_that_a_new_password_overtakes_opens_no_session(parts: Parts) -> None:
    changed = replace(parts.user, password_hash="other", credentials=2)
    parts.accounts.overtake = partial(parts.accounts.change_user, changed)
    with pytest.raises(IncorrectPassword):
        await parts.login.login_user(parts.caller, PasswordCredentials(parts.user.login, "right"), "laptop")
    assert await parts.live_sessions() == 0


async def test_BF1_a_session_that_is_shown_with_a_login_has_to_be_of_the_same_user(parts: Parts) -> None:
    own, foreign = (user_session(parts.user.tenant_id, user_id) for user_id in (parts.user.id, str(uuid4())))
    for session in (own, foreign):
        await parts.sessions.open(session, cap=None)
    shown = PasswordCredentials(parts.user.login, "right", own)
    assert (await parts.login.login_user(parts.caller, shown, "laptop")).access_token
    assert await parts.live_sessions() == 2
    with pytest.raises(UserNotFound):
        await parts.login.login_user(parts.caller, shown._replace(known=foreign), "laptop")
    assert await parts.sessions.find(claimed(foreign)) == foreign


async def test_a_refresh_that_the_deletion_of_its_user_overtakes_is_refused(parts: Parts) -> None:
    door, refreshing = parts.login.issuer.sessions, parts.login.refresh_service
    # As between the two look-ups of a refresh: the session is there and the user is not.
    gone = make_user(parts.user.tenant_id)
    session = user_session(gone.tenant_id, gone.id, at=door.clock(), expires_at=door.clock() + 60_000)
    session = session._replace(generation=1, refreshed_at=door.clock())
    await parts.sessions.open(session, cap=None)
    with pytest.raises(InvalidRefreshToken):
        await refreshing.refresh(parts.caller, refreshing.issue(gone, session).refresh)


async def test_TK15_a_token_of_a_tenant_that_its_deletion_overtakes_is_none(parts: Parts) -> None:
    tenant_id = parts.user.tenant_id
    parts.accounts.overtake = partial(parts.accounts.delete_tenant, tenant_id)
    with pytest.raises(NotAuthorized):
        await parts.tenants.issue_token(parts.caller)


async def test_a_tenant_that_others_keep_changing_is_not_disabled(parts: Parts) -> None:
    async def change() -> None:
        [tenant] = await parts.accounts.list_tenants(after="", limit=1)
        assert await parts.accounts.set_tenant_hash(tenant, "renewed")

    parts.accounts.overtake, parts.accounts.times = change, 1_000
    with pytest.raises(Conflict):
        await parts.tenants.disable(parts.caller, disabled=True)
    parts.accounts.times = 1
    assert (await parts.tenants.disable(parts.caller, disabled=True)).disabled


async def test_a_tenant_is_removed_once(parts: Parts) -> None:
    await parts.tenants.delete_as_operator(parts.caller)
    with pytest.raises(NotAuthorized):
        await parts.tenants.delete_as_operator(parts.caller)
