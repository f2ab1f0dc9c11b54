"""What every store of accounts promises (`doorward.core.ports.Accounts`)."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from made import NOW, Workers, kept_tenant, make_tenant, make_user


async def test_a_tenant_is_found_by_id_and_by_any_spelling_of_its_address(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    name = uuid4().hex
    tenant = make_tenant(email=f"Shop-{name}@Straße.example")
    assert await accounts.add_tenant(tenant)
    assert await elsewhere.tenant_by_id(tenant.id) == tenant
    assert await elsewhere.tenant_by_email(f"ＳＨＯＰ-{name}@STRASSE.example") == tenant
    assert await elsewhere.tenant_by_email(f"{name}@strasse.example") is None


async def test_DU10_of_many_tenants_of_one_address_one_is_kept(workers: Workers) -> None:
    name = uuid4().hex
    tenants = [make_tenant(email=f"{'Shop' if n % 2 else 'sHOP'}-{name}@example.org") for n in range(20)]
    kept = await asyncio.gather(*(workers.accounts[n % 2].add_tenant(tenant) for n, tenant in enumerate(tenants)))
    assert sum(kept) == 1
    assert await workers.accounts[0].tenant_by_email(f"shop-{name}@example.org") == tenants[kept.index(True)]


async def test_a_tenants_hash_is_renewed_unless_the_password_changed_meanwhile(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    assert not await accounts.set_tenant_hash(replace(tenant, credentials=0), "stale")
    assert await accounts.set_tenant_hash(tenant, "new")
    assert await elsewhere.tenant_by_id(tenant.id) == replace(tenant, password_hash="new", version=2)


@pytest.mark.parametrize("scope", [None, "null", '"a"', '{"a":[1,"\\u0000","é"]}'])
@pytest.mark.parametrize("company", [None, "", "Ünïcode & Sons' \"%_\\"])
async def test_a_user_comes_back_as_it_was_kept(workers: Workers, scope: str | None, company: str | None) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, login="Álice 🦉", scope=scope, company=company)
    assert await accounts.add_user(user)
    assert await elsewhere.user_by_id(tenant.id, user.id) == user
    assert await elsewhere.user_by_login(tenant.id, "álice 🦉") == user


async def test_TI3_a_user_is_found_by_its_own_tenant_only(workers: Workers) -> None:
    accounts, _ = workers.accounts
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    user = make_user(mine.id, login="alice")
    assert await accounts.add_user(user)
    assert await accounts.user_by_id(theirs.id, user.id) is None
    assert await accounts.user_by_login(theirs.id, "alice") is None
    assert await accounts.list_users(theirs.id, part="", after="", limit=10) == []
    assert not await accounts.delete_user(theirs.id, user.id)
    assert not await accounts.set_user_hash(replace(user, tenant_id=theirs.id), "stolen")
    assert await accounts.add_user(make_user(theirs.id, login="alice"))
    assert await accounts.user_by_id(mine.id, user.id) == user


async def test_DU10_of_many_users_of_one_login_one_is_kept_whatever_its_spelling(workers: Workers) -> None:
    tenant = await kept_tenant(workers.accounts[0])
    spellings = ["bob", "BOB", "Bob", "ＢＯＢ"]
    users = [make_user(tenant.id, login=spellings[n % 4]) for n in range(40)]
    kept = await asyncio.gather(*(workers.accounts[n % 2].add_user(user) for n, user in enumerate(users)))
    assert sum(kept) == 1
    listed = await workers.accounts[1].list_users(tenant.id, part="", after="", limit=10)
    assert listed == [users[kept.index(True)]]


async def test_a_user_that_is_put_again_keeps_its_id_and_takes_over_the_rest(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    first = make_user(tenant.id, login="carol", scope='"old"')
    assert await accounts.put_user(first) == first
    second = make_user(
        tenant.id, login="CAROL", email="new@example.org", password_hash="new", registration_date=NOW + 5
    )
    expected = replace(second, id=first.id, registration_date=NOW, credentials=2, version=2, last_activity=NOW)
    assert await elsewhere.put_user(second) == expected
    assert await accounts.user_by_login(tenant.id, "carol") == expected


async def test_putting_one_user_in_parallel_counts_every_change(workers: Workers) -> None:
    tenant = await kept_tenant(workers.accounts[0])
    put = await asyncio.gather(
        *(workers.accounts[n % 2].put_user(make_user(tenant.id, login="dora")) for n in range(20))
    )
    assert sorted(user.credentials for user in put) == list(range(1, 21))
    assert len({user.id for user in put}) == 1


async def test_a_users_hash_is_renewed_unless_the_password_changed_meanwhile(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    user = await accounts.put_user(make_user(tenant.id, login="erin"))
    changed = await elsewhere.put_user(make_user(tenant.id, login="erin", password_hash="changed"))
    assert not await accounts.set_user_hash(user, "stale")
    assert await accounts.set_user_hash(changed, "renewed")
    assert await elsewhere.user_by_id(tenant.id, user.id) == replace(
        changed, password_hash="renewed", version=changed.version + 1
    )


async def test_pages_go_through_all_users_in_one_order_on_every_store(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    # By code point: upper case folds, punctuation before letters, accents and other scripts after them.
    ordered = ["!", "-a", "0", "A1", "a_", "aa", "b", "Z", "~", "ä", "ω", "я", "漢", "🦉"]
    for login in reversed(ordered):
        assert await accounts.add_user(make_user(tenant.id, login=login))
    found: list[str] = []
    after = ""
    while page := await accounts.list_users(tenant.id, part="", after=after, limit=3):
        assert len(page) <= 3
        found += [user.login for user in page]
        after = page[-1].login.casefold()
    assert found == ordered


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("%", ["50%off"]),
        ("_", ["a_b", "c:\\_"]),
        ("\\", ["c:\\_"]),
        ("*", ["s*r"]),
        ("'; drop", ["x'; drop table users"]),
        ("strasse", ["straße"]),
        ("axb", ["axb"]),
    ],
)
async def test_IN7_a_search_is_literal(workers: Workers, part: str, expected: list[str]) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    for login in ["50%off", "a_b", "axb", "c:\\_", "s*r", "x'; drop table users", "straße"]:
        assert await accounts.add_user(make_user(tenant.id, login=login))
    found = await accounts.list_users(tenant.id, part=part, after="", limit=10)
    assert sorted(user.login for user in found) == sorted(expected)
    assert [user.login for user in await accounts.list_users(tenant.id, part=part, after="c", limit=10)] == [
        user.login for user in found if user.login > "c"
    ]


async def test_text_that_no_name_can_hold_finds_nothing(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    for text in ["\x00", "a\x00b"]:
        assert await accounts.user_by_login(tenant.id, text) is None
        assert await accounts.tenant_by_email(text) is None
        assert await accounts.list_users(tenant.id, part=text, after="", limit=10) == []


async def test_a_user_is_deleted_once_and_its_login_is_free_again(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, login="frank")
    assert await accounts.add_user(user)
    deleted = await asyncio.gather(*(workers.accounts[n % 2].delete_user(tenant.id, user.id) for n in range(6)))
    assert sum(deleted) == 1
    assert await elsewhere.user_by_id(tenant.id, user.id) is None
    assert await accounts.add_user(make_user(tenant.id, login="frank"))


async def test_activity_moves_forward_only(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    users = [make_user((await kept_tenant(accounts)).id) for _ in range(2)]
    for user in users:
        assert await accounts.add_user(user)
    await accounts.touch_users({users[0].id: NOW + 10, users[1].id: NOW + 20})
    await elsewhere.touch_users({users[0].id: NOW + 5, users[1].id: NOW + 30})
    moved = [await accounts.user_by_id(user.tenant_id, user.id) for user in users]
    assert moved == [replace(users[0], last_activity=NOW + 10), replace(users[1], last_activity=NOW + 30)]


async def test_DU11_activity_resurrects_nobody(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id) for _ in range(20)]
    for user in users:
        assert await accounts.add_user(user)
    seen = {user.id: NOW + 1 for user in users}
    await asyncio.gather(
        accounts.touch_users(seen),
        *(elsewhere.delete_user(tenant.id, user.id) for user in users),
        elsewhere.touch_users(seen),
    )
    await accounts.touch_users(seen)
    assert await accounts.list_users(tenant.id, part="", after="", limit=100) == []


async def test_many_users_are_touched_at_once_by_two_workers_without_standing_in_each_others_way(
    workers: Workers,
) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id) for _ in range(60)]
    await asyncio.gather(*(accounts.add_user(user) for user in users))
    ahead = {user.id: NOW + 7 for user in users}
    await asyncio.gather(
        *(
            store.touch_users(dict(order))
            for store in (accounts, elsewhere)
            for order in (ahead.items(), reversed(ahead.items()))
        )
    )
    listed = await accounts.list_users(tenant.id, part="", after="", limit=100)
    assert {user.last_activity for user in listed} == {NOW + 7}


async def test_the_tenants_of_many_users_are_told_in_one_go(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    one, other = await kept_tenant(accounts), await kept_tenant(accounts)
    users = [make_user(tenant.id) for tenant in (one, other, one)]
    for user in users:
        assert await accounts.add_user(user)
    ids = [user.id for user in users]
    assert await elsewhere.tenants_of([*ids, str(uuid4()), "", "a,b", "' OR 1=1 --"]) == {
        ids[0]: one.id,
        ids[1]: other.id,
        ids[2]: one.id,
    }
    assert await elsewhere.tenants_of([]) == {}
    assert await accounts.delete_user(one.id, ids[0])
    assert await elsewhere.tenants_of(ids[:1]) == {}
