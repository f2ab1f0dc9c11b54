"""Quotas of tenants (`MAX_USERS_PER_TENANT`, `MAX_AUDIT_BYTES_PER_TENANT`), kept by several workers."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import QuotaExceeded
from doorward.core.model import AHEAD, Tenant
from doorward.core.ports import Accounts
from doorward.stores import Stores, choose
from harness import TurnableClock, read_settings
from made import Workers, kept_tenant, made_event, make_user

MOST = 5
HOUR = 3600


@pytest.fixture
async def limited(store: dict[str, str], module_folder: Path, clock: TurnableClock) -> AsyncIterator[Workers]:
    """Two workers that apply a quota of users; `workers` apply none."""
    settings = read_settings(module_folder, {**store, "MAX_USERS_PER_TENANT": str(MOST)})
    async with AsyncExitStack() as stack:
        opened: list[Stores] = []
        for _ in range(2):
            stores = choose(settings, clock)
            await stores.open()
            stack.push_async_callback(stores.close)
            opened.append(stores)
        yield Workers(*opened)


async def create(accounts: Accounts, tenant: Tenant, **more: Any) -> bool:
    """Create a user; False where the quota refuses it."""
    try:
        assert await accounts.add_user(make_user(tenant.id, **more), events=[made_event(tenant.id, "create")])
    except QuotaExceeded:
        return False
    return True


async def size(accounts: Accounts, tenant: Tenant) -> int:
    return len(await accounts.list_users(tenant.id, after="", limit=1000))


async def test_S5_one_user_too_many_is_refused_and_leaves_nothing(limited: Workers) -> None:
    accounts, elsewhere = limited.accounts
    tenant, bystander = await kept_tenant(accounts), await kept_tenant(accounts)
    assert await accounts.room_for_users(tenant.id) == MOST
    assert [await create(limited.accounts[n % 2], tenant) for n in range(MOST)] == [True] * MOST
    assert await accounts.room_for_users(tenant.id) == 0
    for store in limited.accounts:
        with pytest.raises(QuotaExceeded):
            await store.add_user(make_user(tenant.id, login="surplus"), events=[made_event(tenant.id, "no")])
        with pytest.raises(QuotaExceeded):
            await store.put_user(make_user(tenant.id, login="surplus"), events=[made_event(tenant.id, "no")])
        with pytest.raises(QuotaExceeded):
            await store.add_users([make_user(tenant.id, login="surplus")], events=[made_event(tenant.id, "no")])
    assert await elsewhere.user_by_login(tenant.id, "surplus") is None
    assert len(await limited.one.audit.page(tenant.id, before=None, limit=100)) == MOST
    assert await create(elsewhere, bystander)
    assert await accounts.room_for_users(bystander.id) == MOST - 1


async def test_S5_a_full_tenant_still_changes_replaces_and_deletes_its_users(limited: Workers) -> None:
    accounts, elsewhere = limited.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id, login=f"u{n}") for n in range(MOST)]
    assert await accounts.add_users(users) == [True] * MOST
    assert not await elsewhere.add_user(make_user(tenant.id, login="U1"))
    assert (await accounts.put_user(make_user(tenant.id, login="u1", email="new@example.org"))).id == users[1].id
    assert await elsewhere.set_user_hash(users[0], "another")
    assert await elsewhere.delete_user(tenant.id, users[2].id)
    assert not await accounts.delete_user(tenant.id, users[2].id)
    assert [await create(accounts, tenant), await create(elsewhere, tenant)] == [True, False]
    assert await size(accounts, tenant) == MOST


async def test_S5_many_users_at_once_take_places_only_where_they_are_new(limited: Workers) -> None:
    accounts, elsewhere = limited.accounts
    tenant = await kept_tenant(accounts)
    first = [make_user(tenant.id, login=login) for login in ("a", "b", "A")]
    assert await accounts.add_users(first) == [True, True, False]
    assert await elsewhere.room_for_users(tenant.id) == MOST - 2
    with pytest.raises(QuotaExceeded):
        await elsewhere.add_users([make_user(tenant.id) for _ in range(MOST - 1)])
    assert await size(accounts, tenant) == 2
    again = [make_user(tenant.id, login=login) for login in ("a", "c", "b")]
    assert await elsewhere.add_users(again) == [False, True, False]
    assert await accounts.room_for_users(tenant.id) == MOST - 3
    assert await accounts.add_users([]) == []


async def test_S5_users_created_at_once_never_exceed_the_quota(limited: Workers) -> None:
    tenant, bystander = await kept_tenant(limited.one.accounts), await kept_tenant(limited.one.accounts)
    kept = await asyncio.gather(
        *(create(limited.accounts[n % 2], tenant) for n in range(3 * MOST)),
        *(create(limited.accounts[n % 2], bystander) for n in range(MOST)),
    )
    assert kept[: 3 * MOST].count(True) == MOST == await size(limited.one.accounts, tenant)
    assert kept[3 * MOST :] == [True] * MOST


async def test_S5_creations_replacements_and_deletions_at_once_are_counted(limited: Workers) -> None:
    tenant = await kept_tenant(limited.one.accounts)
    chance = random.Random(5)

    async def act(accounts: Accounts) -> None:
        for _ in range(12):
            login = f"u{chance.randrange(8)}"
            try:
                match chance.randrange(4):
                    case 0:
                        await accounts.add_user(make_user(tenant.id, login=login))
                    case 1:
                        await accounts.put_user(make_user(tenant.id, login=login))
                    case 2:
                        await accounts.add_users([make_user(tenant.id, login=login), make_user(tenant.id, login="u9")])
                    case _:
                        found = await accounts.user_by_login(tenant.id, login)
                        if found is not None:
                            await accounts.delete_user(tenant.id, found.id)
            except QuotaExceeded:
                pass
            assert await size(accounts, tenant) <= MOST

    await asyncio.gather(*(act(accounts) for accounts in (*limited.accounts, *limited.accounts)))
    [[number, _]] = await limited.one.database.read("user_count", {"tenant_id": tenant.id})
    assert number == await size(limited.one.accounts, tenant)


async def test_S5_a_quota_that_is_set_later_counts_the_users_of_before(workers: Workers, limited: Workers) -> None:
    unlimited, (accounts, elsewhere) = workers.one.accounts, limited.accounts
    small, large = await kept_tenant(unlimited), await kept_tenant(unlimited)
    assert await unlimited.room_for_users(large.id) is None
    users = [make_user(large.id) for _ in range(MOST + 2)]
    assert all(await unlimited.add_users([*users[:-1]]))
    assert await create(unlimited, small)
    # Without a quota nothing is counted.
    for tenant in (small, large):
        assert await limited.one.database.read("user_count", {"tenant_id": tenant.id}) == []
    assert await accounts.room_for_users(small.id) == MOST - 1
    assert not await create(elsewhere, large)
    # A process without the quota counts nothing: the start of one with a quota does.
    assert all(await unlimited.add_users(users[-1:]))
    assert await unlimited.delete_user(small.id, (await unlimited.list_users(small.id, after="", limit=1))[0].id)
    await accounts.forget_user_counts()
    assert await elsewhere.room_for_users(small.id) == MOST
    for user in users[:2]:
        assert await accounts.delete_user(large.id, user.id)
        assert not await create(elsewhere, large)
    assert await accounts.delete_user(large.id, users[2].id)
    assert [await create(elsewhere, large), await create(elsewhere, large)] == [True, False]


async def test_S5_what_a_process_without_the_quota_did_is_counted_soon(
    workers: Workers, limited: Workers, clock: TurnableClock
) -> None:
    unlimited, accounts = workers.one.accounts, limited.one.accounts
    tenant = await kept_tenant(unlimited)
    users = [make_user(tenant.id) for _ in range(MOST)]
    assert all(await accounts.add_users(users))
    assert await unlimited.delete_user(tenant.id, users[0].id)
    assert not await create(accounts, tenant)
    clock.turn(seconds=61)
    assert await create(accounts, tenant)
    assert await accounts.delete_user(tenant.id, users[1].id)
    assert await create(unlimited, tenant)
    clock.turn(seconds=HOUR)
    assert not await create(accounts, tenant)
    assert await size(unlimited, tenant) == MOST


async def test_S5_F2_a_count_of_before_the_clock_was_set_back_is_taken_again(
    workers: Workers, limited: Workers, clock: TurnableClock
) -> None:
    tenant = await kept_tenant(limited.one.accounts)
    users = [make_user(tenant.id) for _ in range(MOST)]
    assert all(await limited.one.accounts.add_users(users))
    assert await workers.one.accounts.delete_user(tenant.id, users[0].id)
    clock.set_by(seconds=-AHEAD / 1000)
    assert await limited.one.accounts.room_for_users(tenant.id) == 0
    clock.set_by(seconds=-1)
    assert await limited.one.accounts.room_for_users(tenant.id) == 1


async def test_S5_the_count_of_a_deleted_tenant_goes_with_it(limited: Workers) -> None:
    accounts, database = limited.one.accounts, limited.one.database
    tenant, bystander = await kept_tenant(accounts), await kept_tenant(accounts)
    for one in (tenant, bystander):
        assert await create(accounts, one)
    assert await accounts.delete_tenant(tenant.id)

    async def forget(_users: object) -> None:
        """Forget no sessions: there are none."""

    while await accounts.purge(limit=10, forget=forget):
        pass
    assert await database.read("user_count", {"tenant_id": tenant.id}) == []
    assert len(await database.read("user_count", {"tenant_id": bystander.id})) == 1
