"""Rejected logins take as long as the tenant's costliest hash."""

from dataclasses import replace
from time import monotonic

import bcrypt
import pytest

from doorward.core.login.timing import LoginTiming
from doorward.core.passwords.hashing import Hasher
from doorward.core.passwords.pool import PasswordHasherPool
from doorward.core.rate_limits.limiter import TENANTS
from doorward.storage.relational.accounts import RelationalAccountStore
from factories import kept_tenant, make_tenant, make_user
from harness import CHEAP, TurnableClock

HASHER = Hasher(CHEAP)
OWN = HASHER.hash("pw")
COSTLY = bcrypt.hashpw(b"pw", bcrypt.gensalt(8)).decode()


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def passwords() -> PasswordHasherPool:
    hasher = Hasher(CHEAP)
    # So that a bcrypt hash of cost 8 takes 0.1 seconds on this machine.
    hasher.costs.observe(hasher.parse(COSTLY).cost, 0.1)
    return PasswordHasherPool(hasher, threads=1)


@pytest.fixture
def timing(accounts: RelationalAccountStore, passwords: PasswordHasherPool, clock: TurnableClock) -> LoginTiming:
    return LoginTiming(accounts, passwords, clock, least=0.0)


async def is_delayed(timing: LoginTiming, realm: str) -> bool:
    """Tell whether a refused login takes as long as one with a bcrypt hash, and a half of that more."""
    return await timing.duration(realm) == pytest.approx(0.15)


async def test_S7_what_tenants_users_have_is_known_before_one_of_them_logs_in(
    timing: LoginTiming, accounts: RelationalAccountStore
) -> None:
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    for stored in (OWN, COSTLY, ""):
        await accounts.add_user(make_user(mine.id, password_hash=stored))
    await accounts.add_user(make_user(theirs.id, password_hash=OWN))
    assert await is_delayed(timing, mine.id)
    assert not await is_delayed(timing, theirs.id)
    assert not await is_delayed(timing, "a tenant without users")


async def test_S7_a_tenants_own_login_is_delayed_by_the_costliest_hash_of_any_tenant(
    timing: LoginTiming, accounts: RelationalAccountStore
) -> None:
    await kept_tenant(accounts)
    assert not await is_delayed(timing, TENANTS)
    await accounts.add_tenant(make_tenant(password_hash=COSTLY))
    timing.clock.turn(seconds=61)  # type: ignore[attr-defined]
    assert await is_delayed(timing, TENANTS)


async def test_S7_a_hash_that_no_sample_finds_is_remembered_from_the_login_that_met_it(
    timing: LoginTiming, passwords: PasswordHasherPool, accounts: RelationalAccountStore, clock: TurnableClock
) -> None:
    tenant = await kept_tenant(accounts)
    assert not await is_delayed(timing, tenant.id)
    timing.record_cost(tenant.id, passwords.cost(COSTLY))
    timing.record_cost(tenant.id, passwords.cost(OWN))
    assert await is_delayed(timing, tenant.id)
    clock.turn(seconds=3500)
    assert await is_delayed(timing, tenant.id)


async def test_S7_a_tenant_whose_users_have_new_hashes_is_as_quick_as_others_an_hour_later(
    timing: LoginTiming, accounts: RelationalAccountStore, clock: TurnableClock
) -> None:
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, password_hash=COSTLY)
    await accounts.add_user(user)
    assert await is_delayed(timing, tenant.id)
    await accounts.set_user_hash(user, OWN)
    clock.turn(seconds=3500)
    assert await is_delayed(timing, tenant.id)
    clock.turn(seconds=101)
    assert not await is_delayed(timing, tenant.id)


async def test_S7_users_are_looked_at_once_a_minute(
    timing: LoginTiming, accounts: RelationalAccountStore, clock: TurnableClock
) -> None:
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, password_hash=OWN)
    await accounts.add_user(user)
    assert not await is_delayed(timing, tenant.id)
    await accounts.change_user(replace(user, password_hash=COSTLY))
    clock.turn(seconds=59)
    assert not await is_delayed(timing, tenant.id)
    clock.turn(seconds=2)
    assert await is_delayed(timing, tenant.id)


async def test_S7_any_user_of_a_large_tenant_may_be_in_a_sample(
    timing: LoginTiming, accounts: RelationalAccountStore
) -> None:
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id, login=f"{n:04}", password_hash=OWN if n % 10 else COSTLY) for n in range(1000)]
    await accounts.add_users(users)
    assert await is_delayed(timing, tenant.id)


async def test_S7_a_refusal_takes_what_is_left_of_its_time(timing: LoginTiming, passwords: PasswordHasherPool) -> None:
    timing.record_cost("shop", passwords.cost(COSTLY))
    began = monotonic()
    await timing.delay("shop", began - 0.1)
    assert monotonic() - began > 0.04
    began = monotonic()
    await timing.delay("shop", began - 60)
    # Nothing is left: the bound is for a machine that is busy.
    assert monotonic() - began < 5


async def test_S7_a_hash_of_any_cost_delays_by_five_seconds_at_most(
    timing: LoginTiming, passwords: PasswordHasherPool
) -> None:
    timing.record_cost("shop", passwords.cost(COSTLY)._replace(seconds=1000.0))
    assert await timing.duration("shop") == 5.0


async def test_S7_what_is_remembered_of_tenants_is_bounded(timing: LoginTiming, passwords: PasswordHasherPool) -> None:
    cost = passwords.cost(COSTLY)
    for number in range(10_050):
        timing.record_cost(f"tenant {number}", cost)
    assert len(timing._known) == 10_000
