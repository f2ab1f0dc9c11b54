"""The search index: fragments of logins, and logins that are not indexed yet."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from doorward.core.normalization import canonical
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.relational.database import Step
from factories import Workers, kept_tenant, make_user
from harness import read_settings
from raw_store import Rows
from servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Some other statement waits for a row.
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
LOGINS = [*(f"person-{number:03}" for number in range(20)), "z" * 99 + "end", "z" * 97 + "end", "短い"]
BATCH = 7


class Index:
    """The rows of one tenant."""

    def __init__(self, rows: Rows, tenant_id: str) -> None:
        self._rows = rows
        self._tenant_id = tenant_id

    def waiting(self) -> set[str]:
        return {row[0] for row in self._of("SELECT login_key FROM unindexed")}

    def taken(self) -> str | None:
        [(taken,)] = self._of("SELECT taken FROM searched_tenants")
        return None if taken is None else str(taken)

    def pieces(self) -> set[tuple[str, str]]:
        number = f"(SELECT number FROM searched_tenants WHERE tenant_id = '{self._tenant_id}')"
        return {
            (row[0], row[1]) for row in self._rows.run(f"SELECT login_key, piece FROM pieces WHERE tenant = {number}")
        }

    def forget_waiting(self) -> None:
        self._of("DELETE FROM unindexed")

    def set_taken(self, value: str) -> None:
        self._of(f"UPDATE searched_tenants SET taken = {value}")

    def _of(self, statement: str) -> list[tuple[Any, ...]]:
        return self._rows.run(f"{statement} WHERE tenant_id = '{self._tenant_id}'")


def cut(login: str) -> set[tuple[str, str]]:
    """Return the pieces of a login as they have to be."""
    pieces = {login[start : start + 6] for start in range(len(login))} if len(login) <= 100 else {""}
    return {(login, piece) for piece in pieces}


@pytest.fixture
def accounts(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> RelationalAccountStore:
    """Accounts that take each tenant by itself, and ten logins for many."""
    monkeypatch.setattr("doorward.storage.relational.login_search._FEW_LOGINS", 10)
    monkeypatch.setattr("doorward.storage.relational.login_search._TENANTS_PER_ROUND", 1)
    accounts = workers.one.accounts
    assert isinstance(accounts, RelationalAccountStore)
    return accounts


async def two_tenants(accounts: RelationalAccountStore, logins: Iterable[str], rows: Rows) -> tuple[str, Index, Index]:
    """Keep users of the same logins of two tenants, when nothing else waits; return the id of the first in order."""
    while await accounts.index_logins(limit=100):
        pass
    ids = sorted([(await kept_tenant(accounts)).id for _ in range(2)])
    for tenant_id in ids:
        assert all(await accounts.add_users([make_user(tenant_id, login=login) for login in logins]))
    return ids[0], Index(rows, ids[0]), Index(rows, ids[1])


async def step(accounts: RelationalAccountStore, state: Callable[[], object]) -> None:
    """Bring logins in until something changes."""
    before = state()
    while state() == before:
        assert await accounts.index_logins(limit=BATCH)


@pytest.fixture
def rows(store: dict[str, str], module_folder: Path, servers: Servers) -> Rows:
    return Rows(read_settings(module_folder, store), servers)


async def test_T6_a_login_of_up_to_a_hundred_characters_is_cut_and_a_longer_one_is_not(
    accounts: RelationalAccountStore, rows: Rows
) -> None:
    _, first, second = await two_tenants(accounts, LOGINS, rows)
    while await accounts.index_logins(limit=BATCH):
        pass
    expected = set().union(*map(cut, LOGINS))
    assert first.pieces() == second.pieces() == expected
    assert first.waiting() == second.waiting() == set()


async def test_T6_logins_of_one_tenant_are_brought_in_batch_by_batch(
    accounts: RelationalAccountStore, rows: Rows
) -> None:
    tenant_id, first, second = await two_tenants(accounts, LOGINS, rows)
    ordered = sorted(map(canonical, LOGINS))
    await step(accounts, first.waiting)
    assert first.waiting() == set(ordered[BATCH:])
    assert {login for login, _ in first.pieces()} == set(ordered[:BATCH])
    assert second.waiting() == set(ordered)
    assert second.pieces() == set()
    # Only what has its pieces is forgotten: a login may have been added since, before others that have.
    assert await accounts.add_user(make_user(tenant_id, login="a-newcomer"))
    batch = {"tenant_id": tenant_id, "limit": BATCH}
    await accounts._db.write(Step("forget_indexed", batch))
    assert first.waiting() == {"a-newcomer", *ordered[BATCH:]}


async def test_T6_users_of_a_former_version_are_taken_over_batch_by_batch(
    accounts: RelationalAccountStore, rows: Rows
) -> None:
    tenant_id, first, second = await two_tenants(accounts, LOGINS, rows)
    ordered = sorted(map(canonical, LOGINS))
    for index in (first, second):
        # As the migration leaves it.
        index.set_taken("''")
        index.forget_waiting()
    await step(accounts, first.waiting)
    assert (first.waiting(), first.taken()) == (set(ordered[:BATCH]), ordered[BATCH - 1])
    assert (second.waiting(), second.taken()) == (set(), "")
    first.forget_waiting()
    await step(accounts, first.waiting)
    assert (first.waiting(), first.taken()) == (set(ordered[BATCH : 2 * BATCH]), ordered[2 * BATCH - 1])
    # A worker that is late takes nothing back.
    await accounts._login_search._index_page(tenant_id, "", BATCH)
    assert first.taken() == ordered[2 * BATCH - 1]
    while await accounts.index_logins(limit=BATCH):
        pass
    assert first.taken() is None


@pytest.mark.parametrize("state", ["waiting", "cut"])
async def test_N6_a_renamed_user_is_indexed_by_its_new_login_alone(
    accounts: RelationalAccountStore, rows: Rows, state: str
) -> None:
    tenant_id, first, second = await two_tenants(accounts, LOGINS, rows)
    if state == "cut":
        while await accounts.index_logins(limit=BATCH):
            pass
    bystander = second.pieces(), second.waiting()
    user = await accounts.user_by_login(tenant_id, "person-003")
    assert user
    assert await accounts.change_user(replace(user, login="Renamed"))
    assert "person-003" not in first.waiting() | {login for login, _ in first.pieces()}
    assert "renamed" in first.waiting()
    found = await accounts.search_users(tenant_id, part="renam", after="", limit=9)
    assert [user.login for user in found.users] == ["Renamed"]
    assert (await accounts.search_users(tenant_id, part="person-003", after="", limit=9)).users == []
    batch = {"tenant_id": tenant_id, "limit": len(LOGINS)}
    await accounts._db.write(Step("index_logins", batch), Step("forget_indexed", batch))
    assert first.pieces() == set().union(*map(cut, {*LOGINS, "renamed"} - {"person-003"}))
    assert await accounts.change_user(replace(user, login="RENAMED", version=2))
    assert first.waiting() == set()
    assert (second.pieces(), second.waiting()) == bystander


@pytest.mark.parametrize("step", ["taken over", "cut"])
async def test_T6_a_user_who_is_deleted_while_it_is_brought_in_leaves_no_row(
    accounts: RelationalAccountStore, rows: Rows, servers: Servers, step: str
) -> None:
    if rows.on_sqlite:
        pytest.skip("Writers of SQLite are alone.")
    tenant_id, first, _ = await two_tenants(accounts, LOGINS, rows)
    batch = {"tenant_id": tenant_id, "limit": BATCH}
    if step == "taken over":
        first.set_taken("''")
        first.forget_waiting()
        bringing_in: Coroutine[Any, Any, object] = accounts._login_search._index_page(tenant_id, "", BATCH)
    else:
        bringing_in = accounts._db.write(Step("index_logins", batch), Step("forget_indexed", batch))
    name = rows.settings.database_url.rpartition("/")[2]
    connection = await asyncpg.connect(servers.postgresql.admin_url, database=name)
    async with connection.transaction():
        await connection.execute(f"DELETE FROM users WHERE tenant_id = '{tenant_id}' AND login_key = 'person-003'")
        working = asyncio.ensure_future(bringing_in)
        while not working.done() and not await connection.fetchval(WAITS):
            continue
    await working
    await connection.close()
    assert "person-003" not in first.waiting()
    assert "person-003" not in {login for login, _ in first.pieces()}
    assert "person-004" in (first.waiting() if step == "taken over" else {login for login, _ in first.pieces()})
