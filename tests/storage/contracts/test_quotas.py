"""Quotas of tenants (`MAX_USERS_PER_TENANT`, `MAX_AUDIT_BYTES_PER_TENANT`) under several workers."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from doorward.core.audit.service import SERVICE, AuditService
from doorward.core.errors import QuotaExceeded
from doorward.core.model import MAX_CLOCK_SKEW, Event, Tenant
from doorward.core.ports import AccountStore, AuditEntry
from doorward.storage.relational.database import Step
from doorward.stores import Stores, select_stores
from factories import NOW, Workers, kept_tenant, made_event, make_user
from harness import TurnableClock, read_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = 5
HOUR = 3600


@pytest_asyncio.fixture(loop_scope="module")
async def limited(store: dict[str, str], module_folder: Path, clock: TurnableClock) -> AsyncIterator[Workers]:
    """Two workers that apply a quota of users; `workers` apply none."""
    settings = read_settings(module_folder, {**store, "MAX_USERS_PER_TENANT": str(MOST)})
    async with AsyncExitStack() as stack:
        opened: list[Stores] = []
        for _ in range(2):
            stores = select_stores(settings, clock)
            await stores.open()
            stack.push_async_callback(stores.close)
            opened.append(stores)
        yield Workers(*opened)


async def create(accounts: AccountStore, tenant: Tenant, **more: Any) -> bool:
    """Create a user; False where the quota refuses it."""
    try:
        assert await accounts.add_user(make_user(tenant.id, **more), events=[made_event(tenant.id, "create")])
    except QuotaExceeded:
        return False
    return True


async def size(accounts: AccountStore, tenant: Tenant) -> int:
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

    async def act(accounts: AccountStore) -> None:
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


@pytest.mark.parametrize("how", ["create", "put"])
@pytest.mark.parametrize(
    "step", [HOUR, -MAX_CLOCK_SKEW // 1000 - 1], ids=["an hour old", "of before the clock was set back"]
)
async def test_S5_a_count_that_is_not_to_be_trusted_is_taken_again(
    workers: Workers, limited: Workers, clock: TurnableClock, step: int, how: str
) -> None:
    unlimited, (accounts, elsewhere) = workers.one.accounts, limited.accounts
    tenant = await kept_tenant(unlimited)
    assert await create(accounts, tenant)
    assert all(await unlimited.add_users([make_user(tenant.id) for _ in range(MOST - 1)]))
    clock.set_by(seconds=step)
    with pytest.raises(QuotaExceeded):
        await (elsewhere.add_user if how == "create" else elsewhere.put_user)(make_user(tenant.id))
    assert await size(accounts, tenant) == MOST


async def test_T5_a_login_of_another_tenant_makes_no_room(limited: Workers) -> None:
    accounts, elsewhere = limited.accounts
    tenant, other = await kept_tenant(accounts), await kept_tenant(accounts)
    assert await create(accounts, other, login="theirs")
    assert all(await accounts.add_users([make_user(tenant.id) for _ in range(MOST)]))
    with pytest.raises(QuotaExceeded):
        await elsewhere.put_user(make_user(tenant.id, login="theirs"))
    assert await size(accounts, tenant) == MOST


async def test_T5_a_count_of_one_tenants_users_is_no_other_tenants(limited: Workers, clock: TurnableClock) -> None:
    accounts, elsewhere = limited.accounts
    tenant, bystander = await kept_tenant(accounts), await kept_tenant(accounts)
    assert await accounts.add_users([make_user(bystander.id), make_user(bystander.id)]) == [True, True]
    before = await limited.one.database.read("user_count", {"tenant_id": bystander.id})
    clock.turn(seconds=61)
    assert await create(elsewhere, tenant)
    assert await limited.one.database.read("user_count", {"tenant_id": bystander.id}) == before
    assert before[0][0] == 2


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
    clock.set_by(seconds=-MAX_CLOCK_SKEW / 1000)
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


# --- bytes of the audit trail -------------------------------------------------------------------------------------------

BYTES = 6_000


@pytest_asyncio.fixture(loop_scope="module")
async def tight(store: dict[str, str], module_folder: Path) -> AsyncIterator[Workers]:
    """Two workers that apply a quota of audit bytes; `workers` apply none."""
    settings = read_settings(module_folder, {**store, "MAX_AUDIT_BYTES_PER_TENANT": str(BYTES)})
    async with AsyncExitStack() as stack:
        opened: list[Stores] = []
        for _ in range(2):
            stores = select_stores(settings)
            await stores.open()
            stack.push_async_callback(stores.close)
            opened.append(stores)
        yield Workers(*opened)


def failed(tenant_id: str, *, at: int = NOW, action: str = "user.login") -> Event:
    return made_event(tenant_id, action, at=at)._replace(outcome="failure", reason="password", subject="x" * 100)


async def trim(stores: Stores, *, now: int = NOW, limit: int = 7) -> None:
    while await stores.audit.trim(now, limit=limit) >= limit:
        pass


async def entries(stores: Stores, tenant_id: str) -> list[AuditEntry]:
    """Return a tenant's entries, oldest first, having checked that they are a whole chain."""
    chain = await AuditService(stores.audit).verify_chain(tenant_id)
    assert chain.broken_at is None
    found = await stores.audit.follow(tenant_id, after=0, limit=10_000)
    assert len(found) == chain.entries
    return found


def actions(found: list[AuditEntry]) -> list[str]:
    return [json.loads(entry.text)["action"] for entry in found]


def size_of(found: list[AuditEntry]) -> int:
    return sum(len(entry.text.encode()) for entry in found)


async def counted(stores: Stores, tenant_id: str) -> tuple[int | None, int | None]:
    """Return the bytes that the store counts for a chain, and for its failed logins."""
    rows = await stores.database.scan("page_chains", {"after": "", "limit": 10_000})
    [found] = [(row[3], row[4]) for row in rows if row[0] == tenant_id]
    return found


async def test_S5_the_oldest_entries_beyond_the_quota_are_removed_and_the_chain_stays_whole(tight: Workers) -> None:
    tenant_id, bystander = str(uuid4()), str(uuid4())
    await tight.one.audit.record(*(made_event(tenant_id, f"é.{number}", at=NOW + number) for number in range(120)))
    await tight.other.audit.record(*(made_event(bystander, f"a.{number}") for number in range(12)))
    everything, theirs = await entries(tight.one, tenant_id), await entries(tight.one, bystander)
    assert size_of(everything) > 2 * BYTES > 2 * size_of(theirs)
    await trim(tight.one)
    await trim(tight.other)
    found = await entries(tight.other, tenant_id)
    assert found == everything[-len(found) :]
    assert BYTES - len(everything[0].text.encode()) - 10 < size_of(found) <= BYTES
    assert await counted(tight.one, tenant_id) == (size_of(found), 0)
    assert await entries(tight.one, bystander) == theirs
    # What is written next finds its place, and nothing else moves before the next sweep.
    await tight.one.audit.record(made_event(tenant_id, "session.revoke"))
    assert actions(await entries(tight.one, tenant_id))[-1] == "session.revoke"


async def test_S5_without_a_quota_nothing_is_removed_or_counted(workers: Workers) -> None:
    tenant_id = str(uuid4())
    await workers.one.audit.record(*(made_event(tenant_id) for _ in range(60)), *(failed(tenant_id) for _ in range(30)))
    await trim(workers.one)
    assert len(await entries(workers.one, tenant_id)) == 90
    assert await counted(workers.one, tenant_id) == (None, None)


async def test_S5_failed_logins_take_at_most_half_of_the_quota(tight: Workers) -> None:
    tenant_id = str(uuid4())
    history = [made_event(tenant_id, f"user.password-{n}", at=NOW + n) for n in range(15)]
    await tight.one.audit.record(*history)
    kept = await entries(tight.one, tenant_id)
    assert size_of(kept) < BYTES // 2
    await trim(tight.one)
    for n in range(12):
        await tight.one.audit.record(failed(tenant_id, at=NOW + 1000 + n))
        await tight.other.audit.record(failed(tenant_id, at=NOW + 1000 + n, action="tenant.login"))
        if n % 5 == 0:
            await trim(tight.other)
    found = await entries(tight.one, tenant_id)
    assert found[:15] == kept
    assert BYTES // 2 - 500 < size_of(found[15:]) <= BYTES // 2
    assert await counted(tight.one, tenant_id) == (size_of(found), size_of(found[15:]))
    assert {"user.login", "tenant.login"} == set(actions(found[15:]))


async def test_S5_failed_logins_that_are_not_recorded_are_counted_once_an_hour(tight: Workers) -> None:
    tenant_id, bystander = str(uuid4()), str(uuid4())
    await tight.one.audit.record(made_event(tenant_id), made_event(bystander))
    await trim(tight.one)
    tries = 20
    for n in range(tries):
        await tight.one.audit.record(failed(tenant_id, at=NOW + n))
    recorded = actions(await entries(tight.one, tenant_id)).count("user.login")
    assert 0 < recorded < tries
    await trim(tight.one, now=NOW + 1000)
    assert "audit.unrecorded" not in actions(await entries(tight.one, tenant_id))
    for stores in tight:
        await trim(stores, now=NOW + 2 * HOUR * 1000)
    [noted] = [json.loads(entry.text) for entry in await entries(tight.one, tenant_id) if "unrecorded" in entry.text]
    assert (noted["actor"], noted["outcome"], noted["at"]) == ("service", "success", NOW + 2 * HOUR * 1000)
    assert noted["subject"] == f"{tries - recorded} failed logins"
    await tight.one.audit.record(failed(tenant_id, at=NOW + 2 * HOUR * 1000))
    for stores in tight:
        await trim(stores, now=NOW + 4 * HOUR * 1000)
    assert actions(await entries(tight.one, tenant_id)).count("audit.unrecorded") == 2
    assert actions(await entries(tight.one, bystander)) == ["something"]


async def test_S5_strangers_never_push_out_what_a_tenant_did_within_half_of_its_quota(tight: Workers) -> None:
    tenant_id = str(uuid4())
    chance = random.Random(7)
    done: list[str] = []
    await tight.one.audit.record(failed(tenant_id))
    await trim(tight.one)
    for n in range(130):
        if chance.random() < 0.3:
            done.append(f"user.change-{n}")
            await tight.one.audit.record(made_event(tenant_id, done[-1], at=NOW + n))
        else:
            await tight.other.audit.record(failed(tenant_id, at=NOW + n))
        if n % 20 == 0:
            await trim(tight[n // 20 % 2])
    await trim(tight.one)
    found = await entries(tight.one, tenant_id)
    own = [entry for entry in found if "user.change" in entry.text]
    assert actions(own) == done[-len(own) :]
    assert size_of(own) >= BYTES // 2 - 500 or len(own) == len(done)
    assert size_of(found) <= BYTES


async def test_S5_a_quota_that_is_set_later_counts_the_entries_of_before(workers: Workers, tight: Workers) -> None:
    tenant_id = str(uuid4())
    for n in range(20):
        await workers.one.audit.record(made_event(tenant_id, "é", at=NOW + n), failed(tenant_id, at=NOW + n))
    everything = await entries(workers.one, tenant_id)
    assert size_of(everything) > BYTES
    # The first sweep counts, the next one removes; entries that are added meanwhile count too.
    await asyncio.gather(
        trim(tight.one), trim(tight.other), *(tight.one.audit.record(made_event(tenant_id)) for _ in range(10))
    )
    await trim(tight.one)
    await trim(tight.other)
    found = await entries(tight.one, tenant_id)
    assert size_of(found) <= BYTES
    assert await counted(tight.one, tenant_id) == (
        size_of(found),
        size_of([entry for entry in found if "failure" in entry.text]),
    )


async def test_S5_retention_and_the_quota_agree_on_the_bytes(workers: Workers, tight: Workers) -> None:
    tenant_id = str(uuid4())
    while await workers.one.audit.sweep(NOW + 10_000, limit=1000):
        pass
    for n in range(9):
        await tight.one.audit.record(made_event(tenant_id, "é", at=NOW + n), failed(tenant_id, at=NOW + n))
    await trim(tight.one)
    # A process without the quota removes and adds entries as well.
    while await workers.one.audit.sweep(NOW + 4, limit=3):
        pass
    await workers.one.audit.record(made_event(tenant_id), failed(tenant_id, at=NOW + 100))
    found = await entries(tight.other, tenant_id)
    assert len(found) == 12
    assert await counted(tight.one, tenant_id) == (
        size_of(found),
        size_of([entry for entry in found if "failure" in entry.text]),
    )


async def test_S5_sweeps_of_two_workers_at_once_remove_no_more_than_one(tight: Workers) -> None:
    tenant_id = str(uuid4())
    await tight.one.audit.record(*(made_event(tenant_id, f"a.{n}", at=NOW + n) for n in range(60)))
    await trim(tight.one, limit=1000)
    await tight.one.audit.record(*(made_event(tenant_id, f"b.{n}", at=NOW + n) for n in range(40)))
    await asyncio.gather(*(trim(stores, limit=3) for stores in (*tight, *tight)))
    found = await entries(tight.one, tenant_id)
    assert BYTES - 200 < size_of(found) <= BYTES
    assert (await counted(tight.one, tenant_id))[0] == size_of(found)


async def test_S5_the_services_own_chain_has_no_quota(tight: Workers) -> None:
    before = len(await entries(tight.one, SERVICE))
    await tight.one.audit.record(*(made_event(SERVICE, f"operator.{n}") for n in range(90)))
    await trim(tight.one)
    await trim(tight.one)
    assert len(await entries(tight.one, SERVICE)) == before + 90


async def test_AU5_attempts_that_were_not_recorded_are_counted_on_while_some_are_left(workers: Workers) -> None:
    database, tenant_id, bystander = workers.one.database, str(uuid4()), str(uuid4())
    await workers.one.audit.record(made_event(tenant_id), made_event(bystander))

    async def take(count: int, since: int, now: int) -> bool:
        values = {"tenant_id": tenant_id, "count": count, "since": since, "now": now}
        return bool((await database.write(Step("take_unrecorded", values)))[0])

    async def left(owner: str) -> tuple[int, int | None]:
        [row] = [row for row in await database.scan("page_chains", {"after": "", "limit": 10_000}) if row[0] == owner]
        return row[5], row[6]

    for at in (NOW, NOW + 1, NOW + 2):
        for owner in (tenant_id, bystander):
            await database.write(Step("note_unrecorded", {"tenant_id": owner, "at": at}))
    assert await left(tenant_id) == (3, NOW)
    assert not await take(4, NOW, NOW + 5)
    assert not await take(2, NOW + 1, NOW + 5)
    assert await take(2, NOW, NOW + 5)
    assert await left(tenant_id) == (1, NOW + 5)
    assert await take(1, NOW + 5, NOW + 6)
    assert await left(tenant_id) == (0, None)
    assert await left(bystander) == (3, NOW)


async def test_T5_bytes_are_counted_of_the_entries_asked_for_and_of_one_tenant(workers: Workers) -> None:
    tenant_id, other = str(uuid4()), str(uuid4())
    failed = Event(NOW, tenant_id, "user.login", "failure", "tenant")
    await workers.one.audit.record(*(made_event(tenant_id, "x" * length) for length in (1, 20, 300)), failed)
    await workers.one.audit.record(*(made_event(other, "y" * 4_000) for _ in range(4)))
    sizes = [len(entry.text) for entry in await workers.one.audit.follow(tenant_id, after=0, limit=9)]
    for after, last in ((0, 4), (1, 3), (2, 2), (3, 4)):
        values = {"trail": tenant_id, "after": after, "last": last}
        [row] = await workers.other.database.scan("size_of_entries", values)
        assert tuple(row) == (sum(sizes[after:last]), sum(sizes[3:last]) if last > 3 else 0)
    found = await workers.other.database.scan("sizes_of_oldest", {"trail": tenant_id, "after": 1, "limit": 2})
    assert [tuple(row) for row in found] == [(2, sizes[1]), (3, sizes[2])]


async def test_AU5_chains_are_paged_by_tenant(workers: Workers) -> None:
    tenants = sorted(str(uuid4()) for _ in range(3))
    await workers.one.audit.record(*(made_event(tenant_id) for tenant_id in tenants))
    page = await workers.other.database.scan("page_chains", {"after": tenants[0], "limit": 1})
    assert len(page) == 1
    assert tenants[0] < page[0][0] <= tenants[1]


async def test_AU5_a_chain_of_which_entries_were_removed_meanwhile_is_counted_again(workers: Workers) -> None:
    database, tenant_id = workers.one.database, str(uuid4())
    await workers.one.audit.record(*(made_event(tenant_id) for _ in range(3)))
    [before] = [
        row for row in await database.scan("page_chains", {"after": "", "limit": 10_000}) if row[0] == tenant_id
    ]
    values = {"tenant_id": tenant_id, "bytes": 7, "failed_login_bytes": 7, "last": 3}
    for base, size in ((1, before[3]), (0, 7)):
        await database.write(Step("count_chain", {**values, "base": base}))
        rows = await database.scan("page_chains", {"after": "", "limit": 10_000})
        assert [row[3] for row in rows if row[0] == tenant_id] == [size]
