"""Rows of sessions in a relational store: live ones, and those that a sweep removes."""

from pathlib import Path
from uuid import uuid4

import pytest

from doorward.core.model import Session
from doorward.core.ports import SessionStore
from doorward.storage.relational.database import Step
from factories import NOW, Workers, claimed, tenant_session, user_session
from harness import read_settings
from raw_store import Rows
from servers import Servers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rows(workers: Workers, store: dict[str, str], module_folder: Path, servers: Servers) -> Rows:
    if workers.one.redis is not None:
        pytest.skip("Redis has no rows of sessions.")
    return Rows(read_settings(module_folder, store), servers)


def make_epochs_equal(rows: Rows, *sessions: Session) -> None:
    """Give the owners and realms of sessions one epoch, as by chance."""
    ids = ", ".join(f"'{session.id}'" for session in sessions)
    owners = f"SELECT owner FROM sessions WHERE id IN ({ids}) UNION SELECT realm FROM sessions WHERE id IN ({ids})"
    rows.run(
        f"UPDATE epochs SET epoch = 7 WHERE owner IN ({owners})",
        f"UPDATE sessions SET epoch = 7, realm_epoch = 7 WHERE id IN ({ids})",
    )


async def living(store: SessionStore, *sessions: Session) -> list[bool]:
    return [found is not None for found in await store.find_many([claimed(session) for session in sessions])]


async def test_T7_an_epoch_counts_for_its_own_owner_even_where_another_has_the_same(
    workers: Workers, rows: Rows
) -> None:
    store, elsewhere = workers.sessions
    tenant_id, alice, bob = (str(uuid4()) for _ in range(3))
    hers, his = (user_session(tenant_id, user_id)._replace(generation=1) for user_id in (alice, bob))
    theirs = user_session(str(uuid4()), str(uuid4()))
    for session in (hers, his, theirs):
        await store.open(session, cap=None)
    make_epochs_equal(rows, hers, his, theirs)
    assert [device.session for device in await store.list_user(tenant_id, alice, limit=9)] == [hers]
    # Neither a new session nor one to keep reaches beyond its owner.
    newer = user_session(tenant_id, alice, at=NOW + 1)
    await elsewhere.open(newer, cap=1)
    assert await living(store, hers, newer, his, theirs) == [False, True, True, True]
    await store.revoke_user(tenant_id, alice, keep=his)
    assert await living(elsewhere, newer, his, theirs) == [False, True, True]
    await store.revoke_user(tenant_id, alice)
    assert await store.list_user(tenant_id, alice, limit=9) == []
    assert await store.rotate(newer, NOW + 2) is None
    assert not await elsewhere.revoke(newer)
    await store.revoke_users_of(tenant_id)
    assert await living(elsewhere, his, theirs) == [False, True]
    assert await store.list_user(tenant_id, bob, limit=9) == []
    assert await store.rotate(his, NOW + 2) is None
    assert not await elsewhere.revoke(his)


async def test_T7_a_sweep_leaves_of_what_ended_only_the_session_that_was_kept(workers: Workers, rows: Rows) -> None:
    store, elsewhere = workers.sessions
    while await store.sweep(NOW, limit=100):
        pass
    tenant_id, user_id = str(uuid4()), str(uuid4())
    kept, *ended = (user_session(tenant_id, user_id, expires_at=None) for _ in range(4))
    neighbour = user_session(tenant_id, str(uuid4()), expires_at=None)
    for session in (kept, *ended, neighbour):
        await store.open(session, cap=None)
    await store.revoke_user(tenant_id, user_id, keep=kept)
    # What ended is in an epoch that is another owner's now.
    rows.run(
        f"UPDATE sessions SET epoch = (SELECT epoch FROM epochs WHERE owner = 'user:{neighbour.user_id}') "
        f"WHERE id IN ({', '.join(repr(session.id) for session in ended)})"
    )
    assert [await elsewhere.sweep(NOW, limit=1) for _ in range(4)] == [1, 1, 1, 0]
    left = rows.run(f"SELECT id FROM sessions WHERE tenant_id = '{tenant_id}'")
    assert {row[0] for row in left} == {kept.id, neighbour.id}
    assert await living(store, kept, neighbour) == [True, True]


async def test_T7_an_owner_is_swept_until_nothing_of_it_is_left(workers: Workers, rows: Rows) -> None:
    store, _ = workers.sessions
    tenant_id, swept, waiting, own = (str(uuid4()) for _ in range(4))
    gone, over, kept = (
        user_session(tenant_id, swept),
        user_session(tenant_id, waiting),
        user_session(tenant_id, waiting),
    )
    for session in (gone, over, kept, tenant_session(own)):
        await store.open(session, cap=None)
    await store.revoke_user(tenant_id, swept)
    await store.revoke_user(tenant_id, waiting, keep=kept)
    rows.run(
        f"DELETE FROM sessions WHERE id = '{gone.id}'",
        f"UPDATE sessions SET epoch = (SELECT epoch FROM epochs WHERE owner = 'tenant:{own}') WHERE id = '{over.id}'",
    )
    await workers.one.database.write(Step("forget_ended", {}))
    owners = f"('user:{swept}', 'user:{waiting}')"
    assert [row[0] for row in rows.run(f"SELECT owner FROM ended WHERE owner IN {owners}")] == [f"user:{waiting}"]


async def test_OV6_a_user_who_logs_in_after_an_ending_is_swept_once(workers: Workers, rows: Rows) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    ended, living_on = user_session(tenant_id, user_id), user_session(tenant_id, user_id, at=NOW + 1)
    await store.open(ended, cap=None)
    await store.revoke_user(tenant_id, user_id)
    await store.open(living_on, cap=None)
    while await elsewhere.sweep(NOW, limit=100):
        pass
    assert rows.run(f"SELECT owner FROM ended WHERE owner = 'user:{user_id}'") == []
    assert await living(store, ended, living_on) == [False, True]


async def test_OV6_a_session_is_swept_from_the_moment_on_that_it_expires(workers: Workers, rows: Rows) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    expired, last = (user_session(tenant_id, user_id, expires_at=NOW + n) for n in range(2))
    for session in (expired, last):
        await store.open(session, cap=None)
    while await elsewhere.sweep(NOW, limit=100):
        pass
    assert [row[0] for row in rows.run(f"SELECT id FROM sessions WHERE tenant_id = '{tenant_id}'")] == [last.id]
