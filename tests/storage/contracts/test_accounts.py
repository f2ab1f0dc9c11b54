"""Contract of account stores (`doorward.core.ports.AccountStore`)."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from doorward.core.model import MAX_CLOCK_SKEW, Event, Origin, User
from doorward.core.normalization import canonical
from doorward.core.ports import AccountStore, SessionPolicy, UserMatches
from factories import NOW, Workers, claimed, kept_tenant, made_event, make_tenant, make_user, user_session
from harness import read_settings
from raw_store import Rows
from servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_N14_a_tenant_is_stored_with_its_settings(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = replace(make_tenant(), settings='{"passwordPolicy":{"minLength":15}}')
    assert await accounts.add_tenant(tenant)
    assert await elsewhere.tenant_by_id(tenant.id) == tenant


@pytest.mark.parametrize("scope", [None, "null", '"a"', '{"a":[1,"\\u0000","é"]}'])
@pytest.mark.parametrize("company", [None, "", "Ünïcode & Sons' \"%_\\"])
async def test_a_user_comes_back_as_it_was_kept(workers: Workers, scope: str | None, company: str | None) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, login="Álice 🦉", scope=scope, company=company)
    assert await accounts.add_user(user)
    assert await elsewhere.user_by_id(tenant.id, user.id) == user
    assert await elsewhere.user_by_login(tenant.id, "álice 🦉") == user


async def test_F14_the_time_an_address_was_verified_is_kept_by_every_way_to_write_and_read_a_user(
    workers: Workers,
) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id, login=f"known-{at}", email_verified_at=at) for at in (None, NOW, 0)]
    assert await accounts.add_user(users[0])
    assert await accounts.add_users(users[1:]) == [True, True]
    expected = sorted(users, key=lambda user: user.login)
    assert [await elsewhere.user_by_id(tenant.id, user.id) for user in users] == users
    assert [await elsewhere.user_by_login(tenant.id, user.login) for user in users] == users
    assert await elsewhere.list_users(tenant.id, after="", limit=10) == expected
    assert (await elsewhere.search_users(tenant.id, part="known", after="", limit=10)).users == expected
    assert await accounts.change_user(replace(users[0], email_verified_at=NOW + 5))
    assert await accounts.change_user(replace(users[1], email_verified_at=None))
    times = {user.login: user.email_verified_at for user in await elsewhere.list_users(tenant.id, after="", limit=10)}
    assert times == {"known-None": NOW + 5, f"known-{NOW}": None, "known-0": 0}


@pytest.mark.parametrize(
    ("email", "verified_at", "keep", "expected"),
    [
        ("user@example.org", None, True, NOW),
        ("user@example.org", NOW + 9, True, NOW),
        ("user@example.org", None, False, None),
        ("user@example.org", NOW + 9, False, NOW + 9),
        ("User@example.org", None, True, None),
        ("other@example.org", None, True, None),
        ("other@example.org", NOW + 9, True, NOW + 9),
    ],
)
async def test_F14_a_user_that_is_put_again_stays_verified_with_the_same_address_only(
    workers: Workers, email: str, verified_at: int | None, *, keep: bool, expected: int | None
) -> None:
    accounts, elsewhere = workers.accounts
    tenant, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    for login, owner in (("ida", tenant), ("bystander", tenant), ("ida", theirs)):
        first = make_user(owner.id, login=login, email_verified_at=NOW)
        assert (await accounts.put_user(first)).email_verified_at == NOW
    again = make_user(tenant.id, login="IDA", email=email, email_verified_at=verified_at)
    assert (await elsewhere.put_user(again, keep_verified=keep)).email_verified_at == expected
    found = {
        (user.tenant_id, user.login): user.email_verified_at
        for owner in (tenant, theirs)
        for user in await accounts.list_users(owner.id, after="", limit=10)
    }
    assert found == {(tenant.id, "IDA"): expected, (tenant.id, "bystander"): NOW, (theirs.id, "ida"): NOW}


async def test_F14_a_put_of_an_unverified_user_takes_the_proof_that_comes_with_it(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    assert (await accounts.put_user(make_user(tenant.id, login="jo"))).email_verified_at is None
    proven = await accounts.put_user(make_user(tenant.id, login="jo", email_verified_at=NOW + 3))
    assert proven.email_verified_at == NOW + 3


async def test_TI3_a_user_is_found_by_its_own_tenant_only(workers: Workers) -> None:
    accounts, _ = workers.accounts
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    user = make_user(mine.id, login="alice")
    assert await accounts.add_user(user)
    assert await accounts.user_by_id(theirs.id, user.id) is None
    assert await accounts.user_by_login(theirs.id, "alice") is None
    assert await accounts.list_users(theirs.id, after="", limit=10) == []
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
    listed = await workers.accounts[1].list_users(tenant.id, after="", limit=10)
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


async def test_S7_hashes_are_listed_of_the_users_of_one_tenant(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    for number, stored in enumerate(["first", "", "third"]):
        await accounts.add_user(make_user(mine.id, login=f"user-{number}", password_hash=stored))
    await accounts.add_user(make_user(theirs.id, login="user-1", password_hash="theirs"))
    assert await elsewhere.list_password_hashes(mine.id, after="", limit=10) == ["first", "", "third"]
    assert await elsewhere.list_password_hashes(mine.id, after="user-0", limit=1) == [""]
    assert await elsewhere.list_password_hashes(mine.id, after="user-2", limit=10) == []


async def test_pages_go_through_all_users_in_one_order_on_every_store(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    # By code point: upper case folds, punctuation before letters, accents and other scripts after them.
    ordered = ["!", "-a", "0", "A1", "a_", "aa", "b", "Z", "~", "ä", "ω", "я", "漢", "🦉"]
    for login in reversed(ordered):
        assert await accounts.add_user(make_user(tenant.id, login=login))
    found: list[str] = []
    after = ""
    while page := await accounts.list_users(tenant.id, after=after, limit=3):
        assert len(page) <= 3
        found += [user.login for user in page]
        after = page[-1].login.casefold()
    assert found == ordered


async def test_F31_users_are_listed_by_the_beginning_of_their_login(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant, other = await kept_tenant(accounts), await kept_tenant(accounts)
    names = ["a", "al", "al\U0010fffd", "alan", "am", "b", "李", "李明", "\U00020bb7"]
    for owner in (tenant, other):
        assert all(await accounts.add_users([make_user(owner.id, login=name) for name in names]))
    for prefix, after, expected in (
        ("al", "", ["al", "alan", "al\U0010fffd"]),
        ("al", "a", ["al", "alan", "al\U0010fffd"]),
        ("al", "al", ["alan", "al\U0010fffd"]),
        ("al", "alan", ["al\U0010fffd"]),
        ("al", "am", []),
        ("al", "b", []),
        ("李", "李", ["李明"]),
        ("\U00020bb7", "李明", ["\U00020bb7"]),
        ("x", "", []),
        ("", "b", ["李", "李明", "\U00020bb7"]),
    ):
        found = await accounts.list_users(tenant.id, after=after, limit=5, prefix=prefix)
        assert [user.login for user in found] == expected, (prefix, after)
        assert {user.tenant_id for user in found} <= {tenant.id}
    assert [user.login for user in await accounts.list_users(tenant.id, after="", limit=2, prefix="a")] == ["a", "al"]


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
    found = await accounts.search_users(tenant.id, part=part, after="", limit=10)
    assert sorted(user.login for user in found.users) == sorted(expected)
    later = await accounts.search_users(tenant.id, part=part, after="c", limit=10)
    assert later.users == [user for user in found.users if user.login > "c"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search tenants of a hundred users as those of a million are searched, and take each tenant by itself."""
    bounds = {"_FEW_LOGINS": 10, "_MOST_CANDIDATES": 15, "_MOST_STEPS": 20, "_TENANTS_PER_ROUND": 1}
    for name, value in bounds.items():
        monkeypatch.setattr(f"doorward.storage.relational.login_search.{name}", value)


async def kept_users(accounts: AccountStore, logins: Iterable[str]) -> dict[str, User]:
    tenant = await kept_tenant(accounts)
    users = {login: make_user(tenant.id, login=login) for login in logins}
    assert all(await accounts.add_users(list(users.values())))
    return users


async def brought_in(accounts: AccountStore) -> None:
    while await accounts.index_logins(limit=7):
        pass


async def searched(accounts: AccountStore, tenant_id: str, part: str, limit: int = 6) -> list[str]:
    """Follow a search to its end; return the logins found, in order."""
    logins: list[str] = []
    after = ""
    while True:
        found = await accounts.search_users(tenant_id, part=part, after=after, limit=limit)
        logins += [user.login for user in found.users]
        assert len(found.users) <= limit
        after = found.searched_up_to or (canonical(logins[-1]) if len(found.users) == limit else "")
        if not after:
            return logins


LOGINS = [
    *(f"person-{number:03}@example.org" for number in range(90)),
    *("aaaaaaaaaaaa", "Ärger", "straße 7", "漢字", "🦉-owl", "50%off_", "c:\\_", "zz-person-045", "x" * 99, "x" * 100),
    *("x" * 101, "y" * 150 + "needle" + "y" * 100),
]
PARTS = [
    *("045", "person", "person-0", "@example.org", "-045@example.org", "045@exampleXorg", "7", "aaaaaa", "aaa", "xxx"),
    *("x" * 100, "x" * 101, "needle", "är", "漢", "🦉", "strasse", "%", "_", "\\", "nobody", "person-04", "g"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("state", ["waiting", "brought in", "some of each"])
async def test_a_search_of_a_large_tenant_finds_what_contains_the_text_and_nothing_else(
    workers: Workers, state: str
) -> None:
    accounts, elsewhere = workers.accounts
    users = await kept_users(accounts, LOGINS)
    await kept_users(accounts, [f"{login}-too" for login in LOGINS])
    tenant_id = users[LOGINS[0]].tenant_id
    if state != "waiting":
        await brought_in(elsewhere)
    logins = list(LOGINS)
    if state == "some of each":
        for login in ("person-045@example.org", "needle" * 30, "漢字"):
            if login in users:
                assert await accounts.delete_user(tenant_id, users[login].id)
                logins.remove(login)
        late = [make_user(tenant_id, login=login) for login in ("LATE-045", "漢 again", "z" * 120 + "needle")]
        assert all(await accounts.add_users(late))
        logins += [user.login for user in late]
    for part in PARTS:
        expected = sorted((login for login in logins if part in canonical(login)), key=canonical)
        assert await searched(elsewhere, tenant_id, part) == expected, part


@pytest.mark.usefixtures("small")
async def test_a_page_of_a_search_takes_a_bounded_number_of_steps_and_says_how_far_it_came(workers: Workers) -> None:
    accounts, _ = workers.accounts
    users = await kept_users(accounts, LOGINS)
    tenant_id = users[LOGINS[0]].tenant_id
    await brought_in(accounts)
    page = await accounts.search_users(tenant_id, part="son-08", after="", limit=3)
    assert [user.login for user in page.users] == [f"person-{number:03}@example.org" for number in (80, 81, 82)]
    # Every piece of it is in many logins, but it is in none.
    page = await accounts.search_users(tenant_id, part="@example.orgle.org", after="", limit=3)
    ordered = sorted(map(canonical, LOGINS))
    assert page == UserMatches([], ordered[19])
    page = await accounts.search_users(tenant_id, part="@example.orgle.org", after=ordered[19], limit=3)
    assert page == UserMatches([], ordered[39])


@pytest.mark.usefixtures("small")
async def test_TI3_a_search_finds_nothing_of_another_tenant(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    await kept_users(accounts, LOGINS)
    other = await kept_users(accounts, [f"other-{number}" for number in range(40)])
    await brought_in(elsewhere)
    assert await searched(elsewhere, other["other-1"].tenant_id, "045") == []
    assert await searched(elsewhere, other["other-1"].tenant_id, "er-17") == ["other-17"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["brought in", "too long for pieces", "waiting"])
async def test_T6_matches_of_another_tenant_take_no_place_on_a_page(workers: Workers, kind: str) -> None:
    accounts, elsewhere = workers.accounts
    mine, theirs = [(await kept_users(accounts, [f"b-{n:02}" for n in range(40)]))["b-00"].tenant_id for _ in range(2)]
    await brought_in(elsewhere)
    tail = "x" * 100 if kind == "too long for pieces" else ""
    # All of theirs come before all of mine, and they are more than a page.
    assert all(await accounts.add_users([make_user(theirs, login=f"a-person-{n:02}{tail}") for n in range(20)]))
    matches = [make_user(mine, login=f"z-person-{n:02}{tail}") for n in range(12)]
    assert all(await accounts.add_users(matches))
    if kind != "waiting":
        await brought_in(elsewhere)
    assert await elsewhere.search_users(mine, part="person", after="", limit=6) == UserMatches(matches[:6])


@pytest.mark.usefixtures("small")
async def test_T6_users_of_a_former_version_are_brought_in_of_every_tenant(
    workers: Workers, store: dict[str, str], module_folder: Path, servers: Servers
) -> None:
    accounts, elsewhere = workers.accounts
    tenants = [(await kept_users(accounts, LOGINS))[LOGINS[0]].tenant_id for _ in range(2)]
    ids = ", ".join(f"'{tenant_id}'" for tenant_id in tenants)
    # As the migration leaves it.
    Rows(read_settings(module_folder, store), servers).run(
        f"UPDATE searched_tenants SET taken = '' WHERE tenant_id IN ({ids})",
        f"DELETE FROM unindexed WHERE tenant_id IN ({ids})",
    )
    await brought_in(accounts)
    for tenant_id in tenants:
        assert await searched(elsewhere, tenant_id, "045") == ["person-045@example.org", "zz-person-045"]


@pytest.mark.usefixtures("small")
async def test_PR1_with_a_user_goes_every_piece_of_its_login(workers: Workers) -> None:
    accounts, _ = workers.accounts
    database = workers.one.database
    users = await kept_users(accounts, LOGINS)
    tenant_id = users[LOGINS[0]].tenant_id
    await brought_in(accounts)
    for user in users.values():
        assert await accounts.delete_user(tenant_id, user.id)
    everything = {"tenant_id": tenant_id, "piece": "", "beyond": "\U0010ffff", "most": 1000}
    assert await database.read("count_candidates", everything) == [(0,)]


@pytest.mark.usefixtures("small")
async def test_two_workers_bring_logins_in_together_while_users_come_and_go(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    users = await kept_users(accounts, LOGINS)
    tenant_id = users[LOGINS[0]].tenant_id
    leaving = [users[login] for login in LOGINS[::2]]
    late = [make_user(tenant_id, login=f"late-{number}") for number in range(30)]

    async def come() -> None:
        for user in late:
            assert await accounts.add_user(user)

    async def go() -> None:
        for user in leaving:
            assert await elsewhere.delete_user(tenant_id, user.id)

    await asyncio.gather(brought_in(accounts), brought_in(elsewhere), come(), go())
    await brought_in(accounts)
    left = [*LOGINS[1::2], *(user.login for user in late)]
    for part in PARTS:
        expected = sorted((login for login in left if part in canonical(login)), key=canonical)
        assert await searched(elsewhere, tenant_id, part) == expected, part
    for user in await accounts.list_users(tenant_id, after="", limit=200):
        assert await accounts.delete_user(tenant_id, user.id)
    everything = {"tenant_id": tenant_id, "piece": "", "beyond": "\U0010ffff", "most": 1000}
    assert await workers.one.database.read("count_candidates", everything) == [(0,)]


@pytest.mark.usefixtures("small")
async def test_UP4_users_of_a_former_version_are_found_before_and_after_they_are_brought_in(
    workers: Workers, store: dict[str, str], module_folder: Path, servers: Servers
) -> None:
    accounts, elsewhere = workers.accounts
    users = await kept_users(accounts, LOGINS)
    tenant_id = users[LOGINS[0]].tenant_id
    # As the migration leaves it.
    Rows(read_settings(module_folder, store), servers).run(
        f"UPDATE searched_tenants SET taken = '' WHERE tenant_id = '{tenant_id}'",
        f"DELETE FROM unindexed WHERE tenant_id = '{tenant_id}'",
    )
    assert await accounts.add_user(make_user(tenant_id, login="late-045"))
    logins = [*LOGINS, "late-045"]

    async def found(part: str) -> bool:
        expected = sorted((login for login in logins if part in canonical(login)), key=canonical)
        return await searched(elsewhere, tenant_id, part) == expected

    assert all([await found(part) for part in PARTS])
    for _ in range(3):
        await accounts.index_logins(limit=7)
    assert all([await found(part) for part in PARTS])
    await asyncio.gather(brought_in(accounts), brought_in(elsewhere))
    assert all([await found(part) for part in PARTS])
    everything = {"tenant_id": tenant_id, "piece": "a", "beyond": "\U0010ffff", "most": 10_000}
    assert (await workers.one.database.read("count_candidates", everything))[0][0] > 10 * len(logins)


async def test_text_that_no_name_can_hold_finds_nothing(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    for text in ["\x00", "a\x00b"]:
        assert await accounts.user_by_login(tenant.id, text) is None
        assert await accounts.tenant_by_email(text) is None
        assert await accounts.search_users(tenant.id, part=text, after="", limit=10) == UserMatches([])


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
    await accounts.touch_users({users[0].id: NOW + 10, users[1].id: NOW + 20}, now=NOW)
    await elsewhere.touch_users({users[0].id: NOW + 5, users[1].id: NOW + 30}, now=NOW)
    moved = [await accounts.user_by_id(user.tenant_id, user.id) for user in users]
    assert moved == [replace(users[0], last_activity=NOW + 10), replace(users[1], last_activity=NOW + 30)]
    # But for a clock that was set back, by more than clocks differ.
    for now, expected in ((NOW + 10 - MAX_CLOCK_SKEW, NOW + 10), (NOW + 9 - MAX_CLOCK_SKEW, NOW + 9 - MAX_CLOCK_SKEW)):
        await elsewhere.touch_users({users[0].id: now}, now=now)
        found = await accounts.user_by_id(users[0].tenant_id, users[0].id)
        assert found
        assert found.last_activity == expected


async def test_DU11_activity_resurrects_nobody(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id) for _ in range(20)]
    for user in users:
        assert await accounts.add_user(user)
    seen = {user.id: NOW + 1 for user in users}
    await asyncio.gather(
        accounts.touch_users(seen, now=NOW),
        *(elsewhere.delete_user(tenant.id, user.id) for user in users),
        elsewhere.touch_users(seen, now=NOW),
    )
    await accounts.touch_users(seen, now=NOW)
    assert await accounts.list_users(tenant.id, after="", limit=100) == []


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
            store.touch_users(dict(order), now=NOW)
            for store in (accounts, elsewhere)
            for order in (ahead.items(), reversed(ahead.items()))
        )
    )
    listed = await accounts.list_users(tenant.id, after="", limit=100)
    assert {user.last_activity for user in listed} == {NOW + 7}


async def told(workers: Workers, tenant_id: str) -> list[str]:
    """Return what the log tells of a tenant, oldest first."""
    entries = await workers.other.audit.page(tenant_id, before=None, limit=1000)
    return [json.loads(entry.text)["action"] for entry in reversed(entries)]


async def test_a_user_is_changed_only_as_it_was_last_seen(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id, login="Grace")
    assert await accounts.add_user(user)
    new = replace(
        user,
        login="Hopper",
        email="new@example.org",
        company="Company",
        sub="new",
        scope="null",
        password_hash="other",
        credentials=7,
        metadata='{"a":[1,"é"]}',
        disabled=True,
    )
    assert await elsewhere.change_user(replace(new, registration_date=1, last_activity=2))
    assert await accounts.user_by_id(tenant.id, user.id) == replace(new, version=2)
    assert await accounts.user_by_login(tenant.id, "hopper") == replace(new, version=2)
    assert await accounts.user_by_login(tenant.id, "grace") is None
    assert not await elsewhere.change_user(replace(user, sub="stale"))
    assert await elsewhere.change_user(replace(new, version=2, company=None, scope=None, metadata=None, disabled=False))
    kept = replace(new, version=3, company=None, scope=None, metadata=None, disabled=False)
    assert await accounts.user_by_id(tenant.id, user.id) == kept
    await elsewhere.touch_users({user.id: NOW + 9}, now=NOW)
    assert await accounts.change_user(replace(kept, sub="activity is no change"))
    moved = await accounts.user_by_id(tenant.id, user.id)
    assert moved
    assert moved.last_activity == NOW + 9


async def test_of_many_who_change_what_they_saw_one_succeeds_and_only_its_event_is_told(workers: Workers) -> None:
    tenant = await kept_tenant(workers.accounts[0])
    user = make_user(tenant.id)
    assert await workers.accounts[0].add_user(user)
    changes = [
        workers.accounts[n % 2].change_user(replace(user, sub=f"{n}"), events=[made_event(tenant.id, f"{n}")])
        for n in range(10)
    ]
    changed = await asyncio.gather(*changes)
    assert changed.count(True) == 1
    winner = str(changed.index(True))
    kept = await workers.accounts[1].user_by_id(tenant.id, user.id)
    assert kept
    assert (kept.sub, await told(workers, tenant.id)) == (winner, [winner])


async def test_N6_a_login_that_another_user_has_is_not_taken(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    grace, ada = make_user(mine.id, login="Grace"), make_user(mine.id, login="Ada")
    assert await accounts.add_users([grace, ada]) == [True, True]
    assert await accounts.add_user(make_user(theirs.id, login="Hopper"))
    for login in ("Ada", "ADA", "\uff41\uff44\uff41"):
        assert not await elsewhere.change_user(replace(grace, login=login), events=[made_event(mine.id, "taken")])
    assert await accounts.user_by_id(mine.id, grace.id) == grace
    assert await told(workers, mine.id) == []
    # Its own in another spelling, and one of another tenant's user.
    assert await elsewhere.change_user(replace(grace, login="GRACE"))
    assert await elsewhere.change_user(replace(grace, login="hopper", version=2))
    renamed = replace(grace, login="hopper", version=3)
    assert await accounts.list_users(mine.id, after="", limit=9) == [ada, renamed]


async def test_N6_of_many_users_who_take_one_login_one_gets_it(workers: Workers) -> None:
    tenant = await kept_tenant(workers.accounts[0])
    users = [make_user(tenant.id, login=f"former-{n}") for n in range(10)]
    assert all(await workers.accounts[0].add_users(users))
    changed = await asyncio.gather(
        *(workers.accounts[n % 2].change_user(replace(user, login="Hopper")) for n, user in enumerate(users))
    )
    assert changed.count(True) == 1
    winner = users[changed.index(True)]
    assert await workers.accounts[1].user_by_login(tenant.id, "hopper") == replace(winner, login="Hopper", version=2)
    assert len(await workers.accounts[0].list_users(tenant.id, after="", limit=20)) == 10


async def test_N6_a_login_that_is_taken_while_a_user_is_added_goes_to_one_of_both(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    for _ in range(5):
        user, name = make_user(tenant.id), uuid4().hex
        assert await accounts.add_user(user)
        both = await asyncio.gather(
            accounts.change_user(replace(user, login=name)), elsewhere.add_user(make_user(tenant.id, login=name))
        )
        assert sorted(both) == [False, True]


ADDRESSES = {
    "ada": "Ada@Example.org",
    "bea": "ada@example.org",
    "cleo": "\uff21da@example.org",
    "dora": "ada@example.com",
}


async def test_N6_users_are_found_by_address_in_any_spelling_and_by_sub_to_the_letter(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant, bystander = await kept_tenant(accounts), await kept_tenant(accounts)
    users = [make_user(tenant.id, login=login, email=email, sub=email) for login, email in ADDRESSES.items()]
    others = [make_user(bystander.id, login=login, email=email, sub=email) for login, email in ADDRESSES.items()]
    assert all(await accounts.add_users(users))
    assert all(await accounts.add_users(others))
    for spelling in (*list(ADDRESSES.values())[:3], "ADA@EXAMPLE.ORG"):
        found = await elsewhere.users_by_email(tenant.id, spelling, after="", limit=10)
        assert found == UserMatches(users[:3])
    assert (await elsewhere.users_by_email(tenant.id, "ada@example.org", after="", limit=2)).users == users[:2]
    assert (await elsewhere.users_by_email(tenant.id, "ada@example.org", after="ada", limit=2)).users == users[1:3]
    assert (await elsewhere.users_by_email(tenant.id, "da@example.org", after="", limit=2)).users == []
    assert await elsewhere.users_by_sub(tenant.id, "ada@example.org", after="", limit=10) == [users[1]]
    assert await elsewhere.users_by_sub(tenant.id, "ada@example.org", after="bea", limit=10) == []
    assert await elsewhere.users_by_sub(tenant.id, "ADA@example.org", after="", limit=10) == []


async def test_N6_a_page_of_found_users_holds_no_others_and_no_more_than_its_limit(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    users = [make_user(tenant.id, login=f"user-{n}", email=f"{n % 2}@example.org", sub=f"{n % 2}") for n in range(6)]
    assert all(await accounts.add_users(users))
    found = await elsewhere.users_by_email(tenant.id, "1@example.org", after="", limit=2)
    assert found == UserMatches([users[1], users[3]])
    assert await elsewhere.users_by_sub(tenant.id, "1", after="", limit=2) == [users[1], users[3]]
    assert await elsewhere.users_by_sub(tenant.id, "1", after="user-1", limit=2) == [users[3], users[5]]


@pytest.mark.parametrize("address", ["Ada@example.org", "\u00c4DA@stra\u00dfe.example", "\u00e4da@example.org"])
async def test_N6_a_user_is_found_by_the_address_it_has_now_whatever_wrote_it(
    workers: Workers, store: dict[str, str], module_folder: Path, servers: Servers, address: str
) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    changed, put = make_user(tenant.id, login="changed"), make_user(tenant.id, login="put")
    assert all(await accounts.add_users([changed, put]))
    assert await accounts.change_user(replace(changed, email=address))
    await accounts.put_user(replace(put, email=address))
    assert [
        user.login for user in (await elsewhere.users_by_email(tenant.id, address.upper(), after="", limit=9)).users
    ] == [
        "changed",
        "put",
    ]
    assert await elsewhere.users_by_email(tenant.id, "user@example.org", after="", limit=9) == UserMatches([])
    # A former version knows of no keys.
    rows = Rows(read_settings(module_folder, store), servers)
    rows.run(
        "INSERT INTO users (id, tenant_id, login, login_key, email, sub, password_hash, credentials, "
        "registration_date, last_activity) "
        f"VALUES ('{uuid4()}', '{tenant.id}', 'former', 'former', 'Former@example.org', 's', '', 1, 1, 1)",
        f"UPDATE users SET email = 'Other@example.org' WHERE id = '{changed.id}'",
    )
    for email, login in {"FORMER@example.org": "former", "OTHER@example.org": "changed"}.items():
        found = await elsewhere.users_by_email(tenant.id, email, after="", limit=9)
        assert [user.login for user in found.users] == [login]
    found = await elsewhere.users_by_email(tenant.id, address, after="", limit=9)
    assert [user.login for user in found.users] == ["put"]


async def test_N6_a_page_of_addresses_of_one_key_may_be_short_and_says_how_far_it_came(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    long = "a" * 300
    users = [make_user(tenant.id, login=f"user-{n}", email=f"{long}{'xy'[n % 2]}@b") for n in range(4)]
    assert all(await accounts.add_users(users))
    assert await elsewhere.users_by_email(tenant.id, f"{long}X@b", after="", limit=2) == UserMatches(
        [users[0]], "user-1"
    )
    assert await elsewhere.users_by_email(tenant.id, f"{long}x@b", after="user-1", limit=3) == UserMatches([users[2]])


async def test_TI3_a_user_is_changed_by_its_own_tenant_only(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    mine, theirs = await kept_tenant(accounts), await kept_tenant(accounts)
    user = make_user(mine.id)
    assert await accounts.add_user(user)
    assert not await elsewhere.change_user(replace(user, tenant_id=theirs.id, sub="stolen"))
    assert not await elsewhere.change_user(make_user(mine.id))
    assert await accounts.user_by_id(mine.id, user.id) == user


async def test_a_tenant_is_changed_only_as_it_was_last_seen(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    new = replace(tenant, password_hash="other", credentials=5, settings='{"sessionIdle":60}', disabled=True)
    event = [made_event(tenant.id, "changed")]
    assert await elsewhere.change_tenant(replace(new, email="not@example.org", created_at=1), events=event)
    assert await accounts.tenant_by_id(tenant.id) == replace(new, version=2)
    assert not await accounts.change_tenant(replace(tenant, settings="{}"), events=[made_event(tenant.id, "stale")])
    assert await told(workers, tenant.id) == ["changed"]
    assert await elsewhere.tenant_by_email(tenant.email) == replace(new, version=2)
    assert not await accounts.change_tenant(make_tenant())


async def test_S13_settings_and_the_policy_that_counts_are_changed_as_one(workers: Workers) -> None:
    tenant, bystander = await kept_tenant(workers.one.accounts), await kept_tenant(workers.one.accounts)
    session, theirs = (user_session(one.id, str(uuid4())) for one in (tenant, bystander))
    for one in (session, theirs):
        await workers.one.sessions.open(one, cap=None)

    async def choose(number: int) -> bool:
        accounts = workers.accounts[number % 2]
        before = await accounts.tenant_by_id(tenant.id)
        assert before
        idle = 10_000 + number
        after = replace(before, settings=json.dumps({"sessionIdle": idle}))
        return await accounts.change_tenant(after, policy=SessionPolicy(idle=idle, version=before.version + 1))

    for start in range(0, 40, 8):
        assert any(await asyncio.gather(*(choose(start + number) for number in range(8))))
        kept, found = (
            await workers.other.accounts.tenant_by_id(tenant.id),
            await workers.one.sessions.find(claimed(session)),
        )
        assert kept
        assert found
        assert json.loads(kept.settings) == {"sessionIdle": found.idle}
    stale = replace(tenant, settings=json.dumps({"sessionIdle": 1}))
    assert not await workers.one.accounts.change_tenant(stale, policy=SessionPolicy(idle=1, version=99))
    assert await workers.one.sessions.find(claimed(session)) == found
    assert await workers.one.sessions.find(claimed(theirs)) == theirs


async def test_T1_a_change_of_one_tenant_leaves_every_other_as_it_was(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    changed, neighbour = await kept_tenant(accounts), await kept_tenant(accounts)
    assert (changed.version, changed.credentials) == (neighbour.version, neighbour.credentials)
    assert await accounts.set_tenant_hash(changed, "renewed")
    assert await elsewhere.tenant_by_id(neighbour.id) == neighbour
    # Both have the same version again, as all tenants have that were never changed.
    assert await accounts.set_tenant_hash(neighbour, "renewed too")
    neighbour = replace(neighbour, password_hash="renewed too", version=2)
    new = replace(
        changed, password_hash="other", credentials=2, settings='{"sessionIdle":60}', disabled=True, version=2
    )
    assert await accounts.change_tenant(new)
    assert await elsewhere.tenant_by_id(changed.id) == replace(new, version=3)
    assert await elsewhere.tenant_by_id(neighbour.id) == neighbour


async def test_T1_a_change_of_one_user_leaves_every_other_as_it_was(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    changed, neighbour = make_user(tenant.id), make_user(tenant.id)
    assert all(await accounts.add_users([changed, neighbour]))
    assert await accounts.set_user_hash(changed, "renewed")
    assert await elsewhere.user_by_id(tenant.id, neighbour.id) == neighbour
    assert await accounts.set_user_hash(neighbour, "renewed too")
    neighbour = replace(neighbour, password_hash="renewed too", version=2)
    assert await accounts.change_user(replace(changed, sub="new", disabled=True, version=2))
    assert await elsewhere.user_by_id(tenant.id, neighbour.id) == neighbour


async def test_events_are_told_only_where_the_change_happened(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = make_tenant()

    def event(action: str) -> list[Event]:
        return [made_event(tenant.id, action)]

    assert await accounts.add_tenant(tenant, events=event("tenant"))
    assert not await elsewhere.add_tenant(make_tenant(email=tenant.email.upper()), events=event("no"))
    user = make_user(tenant.id, login="heidi")
    assert await accounts.add_user(user, events=event("user"))
    assert not await elsewhere.add_user(make_user(tenant.id, login="HEIDI"), events=event("no"))
    await elsewhere.put_user(make_user(tenant.id, login="heidi"), events=event("put"))
    assert not await accounts.change_user(user, events=event("no"))
    assert not await accounts.delete_user(tenant.id, "nobody", events=event("no"))
    assert await accounts.delete_user(tenant.id, user.id, events=event("deleted"))
    assert not await elsewhere.delete_user(tenant.id, user.id, events=event("no"))
    assert not await elsewhere.delete_tenant("nobody", events=event("no"))
    assert await told(workers, tenant.id) == ["tenant", "user", "put", "deleted"]


async def test_many_users_are_kept_at_once_and_each_taken_login_is_named(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant = await kept_tenant(accounts)
    assert await accounts.add_user(make_user(tenant.id, login="taken"))
    users = [make_user(tenant.id, login=login) for login in ["a", "TAKEN", "b", "A", "c"]]
    assert await elsewhere.add_users(users, events=[made_event(tenant.id, "import")]) == [
        True,
        False,
        True,
        False,
        True,
    ]
    listed = await accounts.list_users(tenant.id, after="", limit=10)
    assert [user.login for user in listed] == ["a", "b", "c", "taken"]
    assert listed[0] == users[0]
    assert await told(workers, tenant.id) == ["import"]
    assert await accounts.add_users([]) == []


async def test_DU10_two_who_import_the_same_users_at_once_keep_each_once(workers: Workers) -> None:
    tenant = await kept_tenant(workers.accounts[0])
    batches = [[make_user(tenant.id, login=f"u{n}") for n in range(50)] for _ in range(2)]
    batches[1].reverse()
    one, other = await asyncio.gather(
        *(store.add_users(batch) for store, batch in zip(workers.accounts, batches, strict=True))
    )
    other.reverse()
    assert [sum(pair) for pair in zip(one, other, strict=True)] == [1] * 50


async def test_tenants_are_listed_page_by_page_by_their_canonical_address(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    mark = uuid4().hex
    emails = [f"{mark}-{name}@example.org" for name in ["B", "a", "ä", "C", "!"]]
    for email in emails:
        assert await accounts.add_tenant(make_tenant(email=email))
    found: list[str] = []
    after = ""
    while page := await elsewhere.list_tenants(after=after, limit=2):
        assert len(page) <= 2
        found += [tenant.email for tenant in page]
        after = canonical(page[-1].email)
    assert [email for email in found if email.startswith(mark)] == [emails[n] for n in (4, 1, 0, 3, 2)]


async def test_a_deleted_tenant_is_found_no_more_and_its_address_is_free_at_once(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    tenant, neighbour = await kept_tenant(accounts), await kept_tenant(accounts)
    deleted = await asyncio.gather(*(workers.accounts[n % 2].delete_tenant(tenant.id) for n in range(6)))
    assert sum(deleted) == 1
    assert await elsewhere.tenant_by_id(tenant.id) is None
    assert await elsewhere.tenant_by_id(neighbour.id) == neighbour
    assert await elsewhere.tenant_by_email(tenant.email) is None
    # Whatever version it has by now.
    assert not any([await elsewhere.change_tenant(replace(tenant, version=version)) for version in range(1, 5)])
    assert not await elsewhere.set_tenant_hash(tenant, "revived")
    assert await elsewhere.change_tenant(neighbour)
    listed = {one.id for one in await accounts.list_tenants(after="", limit=10_000)}
    assert tenant.id not in listed
    assert neighbour.id in listed
    again = make_tenant(email=tenant.email)
    assert await elsewhere.add_tenant(again)
    assert await accounts.tenant_by_email(tenant.email) == again
    while await accounts.purge(limit=100, forget=workers.one.sessions.erase_users):
        pass
    assert await elsewhere.tenant_by_email(tenant.email) == again
    assert not await elsewhere.delete_tenant(tenant.id)


async def test_PR2_a_purge_removes_in_pieces_what_deleted_tenants_owned_and_nothing_else(workers: Workers) -> None:
    accounts, elsewhere = workers.accounts
    forget = workers.one.sessions.erase_users
    while await accounts.purge(limit=1000, forget=forget):
        pass
    gone, also_gone, stays = [await kept_tenant(accounts) for _ in range(3)]
    users = {tenant.id: [make_user(tenant.id) for _ in range(7)] for tenant in (gone, also_gone, stays)}
    sessions = []
    for tenant_id, owned in users.items():
        assert all(await accounts.add_users(owned, events=[made_event(tenant_id) for _ in range(4)]))
        for user in owned:
            sessions.append(user_session(tenant_id, user.id))
            await workers.one.sessions.open(sessions[-1], cap=None)
    for tenant in (gone, also_gone):
        assert await elsewhere.delete_tenant(tenant.id)
    steps = 0
    while removed := await workers.accounts[steps % 2].purge(limit=3, forget=forget):
        assert 0 < removed <= 2 * 3
        steps += 1
        assert steps < 50
    assert steps > 4
    for tenant in (gone, also_gone):
        assert await accounts.list_users(tenant.id, after="", limit=10) == []
        assert await told(workers, tenant.id) == []
        assert await workers.one.audit.head(tenant.id) == (0, "")
    assert len(await accounts.list_users(stays.id, after="", limit=10)) == 7
    assert len(await told(workers, stays.id)) == 4
    left = [session.tenant_id for session in sessions if await workers.other.sessions.find(claimed(session))]
    assert left == [stays.id] * 7


async def test_PR1_with_a_user_goes_what_its_sessions_knew_of_it(workers: Workers) -> None:
    accounts, _ = workers.accounts
    tenant = await kept_tenant(accounts)
    user = make_user(tenant.id)
    assert await accounts.add_user(user)
    neighbour = user_session(tenant.id, str(uuid4()))
    sessions = [user_session(tenant.id, user.id) for _ in range(110)]
    for session in (*sessions, neighbour):
        await workers.one.sessions.open(session, cap=None, origin=Origin("192.0.2.1", "Firefox"))
    await workers.one.sessions.revoke_user(tenant.id, user.id)
    assert await accounts.delete_user(tenant.id, user.id)
    late = user_session(tenant.id, user.id)
    await workers.other.sessions.open(late, cap=None, origin=Origin("192.0.2.1", "Firefox"))
    await workers.other.sessions.erase_users([user.id, "nobody"])
    await workers.other.sessions.erase_users([])
    assert await workers.other.sessions.list_user(tenant.id, user.id, limit=10) == []
    assert not await workers.other.sessions.revoke(late)
    assert await workers.other.sessions.find(claimed(neighbour)) == neighbour


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
