"""Contract of session stores: lists, refresh, policies, API keys, sessions that stay valid."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from doorward.core.model import MAX_CLOCK_SKEW, Origin, Session, SessionInfo, SessionKind
from doorward.core.ports import SessionPolicy, SessionRef, SessionStore
from factories import NOW, Workers, claimed, key_session, made_event, tenant_session, user_session

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def alive(workers: Workers, session: Session) -> bool:
    found = await workers.other.sessions.find(claimed(session))
    return found is not None and found.id == session.id


async def told(workers: Workers, tenant_id: str) -> int:
    return len(await workers.other.audit.page(tenant_id, before=None, limit=1000))


async def test_many_are_found_in_their_order_with_what_is_not_there_left_out(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id = str(uuid4())
    user, tenant, key, ended = (
        user_session(tenant_id, str(uuid4())),
        tenant_session(tenant_id),
        key_session(tenant_id),
        user_session(tenant_id, str(uuid4())),
    )
    for session in (user, tenant, key, ended):
        await store.open(session, cap=None)
    await store.revoke(ended)
    unknown = SessionRef("no-such-session", "nobody", SessionKind.USER)
    asked = [claimed(key), unknown, claimed(user), claimed(ended), claimed(tenant), claimed(user)]
    assert await elsewhere.find_many(asked) == [key, None, user, None, tenant, user]
    assert await elsewhere.find_many([]) == []
    everybody = [user_session(tenant_id, str(uuid4())) for _ in range(600)]
    await store.open_many(everybody)
    assert await elsewhere.find_many([claimed(session) for session in everybody]) == everybody


async def test_a_users_sessions_are_listed_newest_first_with_where_they_came_from(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id, neighbour = (str(uuid4()) for _ in range(3))
    origins = [Origin("192.0.2.7", 'Firefox "é"'), Origin(), Origin("::1", None), Origin(None, "curl")]
    sessions = [user_session(tenant_id, user_id, at=NOW + n) for n in range(4)]
    for session, origin in zip(sessions, origins, strict=True):
        await store.open(session, cap=None, origin=origin)
    await store.open(user_session(tenant_id, neighbour), cap=None)
    expected = [SessionInfo(session, origin) for session, origin in zip(sessions, origins, strict=True)][::-1]
    assert await elsewhere.list_user(tenant_id, user_id, limit=10) == expected
    assert await elsewhere.list_user(tenant_id, user_id, limit=2) == expected[:2]
    assert await elsewhere.list_user(str(uuid4()), user_id, limit=10) == []
    await store.revoke(sessions[1])
    assert [device.session.id for device in await elsewhere.list_user(tenant_id, user_id, limit=10)] == [
        sessions[n].id for n in (3, 2, 0)
    ]
    await elsewhere.revoke_user(tenant_id, user_id)
    assert await store.list_user(tenant_id, user_id, limit=10) == []


async def test_TK18_of_many_who_rotate_a_generation_one_succeeds(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    session = user_session(str(uuid4()), str(uuid4()))._replace(generation=1, refreshed_at=NOW)
    await store.open(session, cap=None)
    for generation in range(1, 4):
        present = await store.find(claimed(session))
        assert present
        assert present.generation == generation
        at = NOW + generation * 1000
        rotated = await asyncio.gather(*(workers.sessions[n % 2].rotate(present, at) for n in range(8)))
        [winner] = [found for found in rotated if found]
        assert (winner.generation, winner.refreshed_at) == (generation + 1, at)
        assert await elsewhere.find(claimed(session)) == winner
    assert await store.rotate(session, NOW + 9) is None
    await store.revoke(session)
    assert await elsewhere.rotate(session._replace(generation=4), NOW + 9) is None
    assert not await alive(workers, session)


async def test_a_sighting_moves_forward_only_and_revives_nothing(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    one, other, closed, ended = (
        user_session(tenant_id, user_id)._replace(seen_at=NOW),
        user_session(tenant_id, user_id)._replace(seen_at=NOW),
        user_session(tenant_id, user_id),
        user_session(tenant_id, str(uuid4())),
    )
    for session in (one, other, closed, ended):
        await store.open(session, cap=None)
    await store.revoke(closed)
    await store.revoke_user(tenant_id, ended.user_id or "")
    await store.touch([(one, NOW + 10), (other, NOW + 20), (closed, NOW + 30), (ended, NOW + 30)], now=NOW)
    await elsewhere.touch([(other, NOW + 15), (one, NOW + 12)], now=NOW)
    await elsewhere.touch([], now=NOW)
    found = await store.find_many([claimed(session) for session in (one, other, closed, ended)])
    assert [session and session.seen_at for session in found] == [NOW + 12, NOW + 20, None, None]


async def test_many_sightings_by_two_workers_stand_in_nobodys_way(workers: Workers) -> None:
    tenant_id, user_id = str(uuid4()), str(uuid4())
    sessions = [user_session(tenant_id, user_id) for _ in range(40)]
    await asyncio.gather(*(workers.one.sessions.open(session, cap=None) for session in sessions))
    seen = [(session, NOW + 5) for session in sessions]
    await asyncio.gather(
        *(store.touch(order, now=NOW) for store in workers.sessions for order in (seen, seen[::-1])),
        *(workers.other.sessions.revoke(session) for session in sessions[:20]),
    )
    left = await workers.one.sessions.list_user(tenant_id, user_id, limit=100)
    assert [device.session.seen_at for device in left] == [NOW + 5] * 20


Ending = Callable[[Workers, str, str, Session | None], Any]
ENDINGS: dict[str, tuple[Ending, Callable[[str, str], Session]]] = {
    "a user": (
        lambda workers, tenant_id, user_id, keep: workers.one.sessions.revoke_user(tenant_id, user_id, keep=keep),
        user_session,
    ),
    "a tenant": (
        lambda workers, tenant_id, _, keep: workers.one.sessions.revoke_tenant(tenant_id, keep=keep),
        lambda tenant_id, _: tenant_session(tenant_id),
    ),
}


@pytest.mark.parametrize("whose", ENDINGS)
async def test_TK14_the_session_that_is_to_go_on_goes_on_and_no_other(workers: Workers, whose: str) -> None:
    end, make = ENDINGS[whose]
    tenant_id, user_id = str(uuid4()), str(uuid4())
    kept, *others = (make(tenant_id, user_id) for _ in range(4))
    for session in (kept, *others):
        await workers.one.sessions.open(session, cap=None)
    for _ in range(2):
        await end(workers, tenant_id, user_id, kept)
        assert [await alive(workers, session) for session in (kept, *others)] == [True, False, False, False]
    while await workers.other.sessions.sweep(NOW, limit=100):
        pass
    assert await alive(workers, kept)
    fresh = make(tenant_id, user_id)
    await workers.other.sessions.open(fresh, cap=None)
    assert await alive(workers, fresh)
    assert await alive(workers, kept)
    await end(workers, tenant_id, user_id, None)
    assert [await alive(workers, session) for session in (kept, fresh)] == [False, False]


@pytest.mark.parametrize("whose", ENDINGS)
async def test_TK14_what_is_dead_or_anothers_is_not_kept(workers: Workers, whose: str) -> None:
    end, make = ENDINGS[whose]
    tenant_id, user_id = str(uuid4()), str(uuid4())
    closed, early, living = (make(tenant_id, user_id) for _ in range(3))
    stranger = make(str(uuid4()), str(uuid4()))
    for session in (early, closed, stranger):
        await workers.one.sessions.open(session, cap=None)
    await end(workers, tenant_id, user_id, None)
    await workers.one.sessions.open(living, cap=None)
    await workers.one.sessions.revoke(closed)
    for keep in (closed, early, stranger):
        await end(workers, tenant_id, user_id, keep)
        assert [await alive(workers, session) for session in (closed, early, living)] == [False] * 3
        assert await alive(workers, stranger)
        await workers.one.sessions.open(living := make(tenant_id, user_id), cap=None)


async def test_TK14_a_users_kept_session_ends_with_all_of_the_tenants(workers: Workers) -> None:
    store, _ = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    kept = user_session(tenant_id, user_id)
    await store.open(kept, cap=None)
    await store.revoke_user(tenant_id, user_id, keep=kept)
    assert await alive(workers, kept)
    await store.revoke_users_of(tenant_id)
    assert not await alive(workers, kept)
    await store.revoke_user(tenant_id, user_id, keep=kept)
    assert not await alive(workers, kept)


async def test_keys_end_with_nothing_but_the_keys(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, other_id = str(uuid4()), str(uuid4())
    keys = [key_session(tenant_id) for _ in range(2)]
    theirs, tenant, user = key_session(other_id), tenant_session(tenant_id), user_session(tenant_id, str(uuid4()))
    for session in (*keys, theirs, tenant, user):
        await store.open(session, cap=None)
    await elsewhere.revoke_users_of(tenant_id)
    await elsewhere.revoke_tenant(tenant_id)
    assert [await alive(workers, session) for session in (*keys, tenant, user)] == [True, True, False, False]
    await elsewhere.revoke_keys(tenant_id)
    assert [await alive(workers, session) for session in (*keys, theirs)] == [False, False, True]


async def test_a_key_that_is_opened_twice_is_one_and_lives_again_after_an_ending(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    key, sister = (key_session(tenant_id := str(uuid4())), key_session(tenant_id))
    for _ in range(2):
        await store.open(key, cap=None)
        await elsewhere.open(key, cap=None)
    assert await elsewhere.find(claimed(key)) == key
    await asyncio.gather(*(workers.sessions[n % 2].open(sister, cap=None) for n in range(6)))
    await elsewhere.revoke_keys(tenant_id)
    assert not await alive(workers, key)
    await store.open(key, cap=None)
    assert await elsewhere.find(claimed(key)) == key
    assert not await alive(workers, sister)
    assert await store.revoke(key)
    assert not await elsewhere.revoke(key)
    assert not await alive(workers, key)


async def test_TK17_a_policy_counts_at_once_for_open_sessions_and_new_ones(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, other_id = str(uuid4()), str(uuid4())
    before, theirs = user_session(tenant_id, str(uuid4())), user_session(other_id, str(uuid4()))
    own, key = tenant_session(tenant_id), key_session(tenant_id)
    for session in (before, theirs, own, key):
        await store.open(session, cap=None)
    await elsewhere.set_policy(tenant_id, SessionPolicy(idle=60_000, lifetime=90_000))
    after = user_session(tenant_id, str(uuid4()))
    await store.open(after, cap=None)
    for session in (before, after):
        assert await store.find(claimed(session)) == session._replace(idle=60_000, lifetime=90_000)
    for session in (theirs, own, key):
        assert await store.find(claimed(session)) == session
    [listed] = await elsewhere.list_user(tenant_id, before.user_id or "", limit=5)
    assert (listed.session.idle, listed.session.lifetime) == (60_000, 90_000)
    await store.set_policy(tenant_id, SessionPolicy())
    assert await elsewhere.find(claimed(before)) == before


async def test_TK17_a_policy_outlives_the_ending_of_every_session_and_what_an_opening_says(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id = str(uuid4())
    await store.set_policy(tenant_id, SessionPolicy(idle=60_000))
    await store.revoke_users_of(tenant_id)
    later = user_session(tenant_id, str(uuid4()))
    await elsewhere.open(later, cap=None, policy=SessionPolicy(idle=1, lifetime=2))
    assert await store.find(claimed(later)) == later._replace(idle=60_000)
    newcomer = user_session(str(uuid4()), str(uuid4()))
    await store.open(newcomer, cap=None, policy=SessionPolicy(idle=1000, lifetime=2000))
    assert await elsewhere.find(claimed(newcomer)) == newcomer._replace(idle=1000, lifetime=2000)


async def test_AU2_what_happens_to_sessions_is_told_once_and_only_if_it_happened(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    session = user_session(tenant_id, user_id)
    event = [made_event(tenant_id)]
    await store.open(session, cap=3, events=event)
    assert await told(workers, tenant_id) == 1
    assert await elsewhere.revoke(session, events=event)
    assert not await store.revoke(session, events=event)
    assert await told(workers, tenant_id) == 2
    await store.revoke_user(tenant_id, user_id, events=event)
    await store.revoke_tenant(tenant_id, events=event)
    await store.revoke_users_of(tenant_id, events=event)
    await store.revoke_keys(tenant_id, events=event)
    assert await told(workers, tenant_id) == 6


async def test_a_session_that_ended_with_others_had_ended_already(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    for realm in (False, True):
        session = user_session(tenant_id, user_id)._replace(generation=1)
        await store.open(session, cap=None)
        await (store.revoke_users_of(tenant_id) if realm else store.revoke_user(tenant_id, user_id))
        assert await elsewhere.rotate(session, NOW + 1) is None
        assert not await elsewhere.revoke(session, events=[made_event(tenant_id)])
    assert await told(workers, tenant_id) == 0


async def test_T3_a_rotation_of_one_session_leaves_every_other_at_its_generation(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    rotated, sister = (user_session(tenant_id, user_id)._replace(generation=1) for _ in range(2))
    neighbour = user_session(tenant_id, str(uuid4()))._replace(generation=1)
    for session in (rotated, sister, neighbour):
        await store.open(session, cap=None)
    assert await elsewhere.rotate(rotated, NOW + 1)
    assert await store.find_many([claimed(sister), claimed(neighbour)]) == [sister, neighbour]
    assert await store.rotate(sister, NOW + 2)


ENDED: dict[str, Callable[[SessionStore, Session], Any]] = {
    "with the user's": lambda store, session: store.revoke_user(session.tenant_id, session.user_id or ""),
    "with all of the tenant's": lambda store, session: store.revoke_users_of(session.tenant_id),
}


@pytest.mark.parametrize("how", ENDED)
async def test_T7_an_ended_session_is_not_listed_renewed_or_ended_again_beside_a_new_one(
    workers: Workers, how: str
) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    ended, living = (user_session(tenant_id, user_id, at=NOW + n)._replace(generation=1) for n in range(2))
    await store.open(ended, cap=None)
    await ENDED[how](store, ended)
    await elsewhere.open(living, cap=None)
    assert [device.session for device in await elsewhere.list_user(tenant_id, user_id, limit=10)] == [living]
    assert await store.rotate(ended, NOW + 2) is None
    assert not await store.revoke(ended, events=[made_event(tenant_id)])
    assert await told(workers, tenant_id) == 0
    assert await elsewhere.find(claimed(living)) == living


async def test_T7_ended_sessions_do_not_count_towards_the_cap(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    # Newer than those that follow, as after a clock that was set back.
    ended = [user_session(tenant_id, user_id, at=NOW + 100 + n) for n in range(2)]
    for session in ended:
        await store.open(session, cap=None)
    await store.revoke_user(tenant_id, user_id)
    living = [user_session(tenant_id, user_id, at=NOW + n) for n in range(2)]
    for session in living:
        await elsewhere.open(session, cap=2)
    assert [await alive(workers, session) for session in living] == [True, True]


@pytest.mark.parametrize("step", [MAX_CLOCK_SKEW + 1, 7_200_000])
async def test_F2_a_session_seen_before_the_clock_was_set_back_is_seen_now(workers: Workers, step: int) -> None:
    store, elsewhere = workers.sessions
    one, other = (user_session(str(uuid4()), str(uuid4()))._replace(seen_at=NOW + step) for _ in range(2))
    for session in (one, other):
        await store.open(session, cap=None)
    await elsewhere.touch([(one, NOW)], now=NOW)
    assert await store.find(claimed(one)) == one._replace(seen_at=NOW)
    assert await store.find(claimed(other)) == other
    # What clocks differ by moves nothing back.
    await store.touch([(one, NOW + 10)], now=NOW + 10)
    for now in (NOW - MAX_CLOCK_SKEW + 20, NOW - MAX_CLOCK_SKEW + 10):
        await elsewhere.touch([(one, now)], now=now)
    assert await store.find(claimed(one)) == one._replace(seen_at=NOW + 10)


async def test_F2_where_there_is_room_a_session_of_before_the_clock_was_set_back_lives(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    ahead, new = (user_session(tenant_id, user_id, at=at) for at in (NOW + 7_200_000, NOW))
    for session in (ahead, new):
        await store.open(session, cap=3)
    assert [await alive(workers, session) for session in (ahead, new)] == [True, True]
    assert len(await elsewhere.list_user(tenant_id, user_id, limit=9)) == 2


async def test_TK14_what_is_kept_of_an_ending_is_rotated_and_closed_as_before(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    for session in (user_session(tenant_id, user_id), tenant_session(tenant_id)):
        await store.open(session, cap=None)
    for session, ending in (
        (user_session(tenant_id, user_id), partial(store.revoke_user, tenant_id, user_id)),
        (tenant_session(tenant_id), partial(store.revoke_tenant, tenant_id)),
    ):
        await store.open(session, cap=None)
        await ending(keep=session)
        rotated = await elsewhere.rotate(session, NOW + 1)
        assert rotated
        assert await elsewhere.revoke(rotated)
        assert not await store.revoke(rotated)


async def test_TK13_a_session_that_ended_with_its_owner_is_closed_no_more(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    own, users = tenant_session(tenant_id), user_session(tenant_id, user_id)
    for session in (own, users):
        await store.open(session, cap=None)
    await store.revoke_tenant(tenant_id)
    await store.revoke_user(tenant_id, user_id)
    assert [await elsewhere.revoke(session) for session in (own, users)] == [False, False]


async def test_a_session_without_an_end_outlives_uses_and_new_demands(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    session, bystander = (user_session(tenant_id, user_id, expires_at=at) for at in (None, NOW + 1_000))
    for one in (session, bystander):
        await store.open(one, cap=None)
    await elsewhere.touch([(session, NOW + 5)], now=NOW + 5)
    await elsewhere.set_policy(tenant_id, SessionPolicy(idle=3_000))
    assert await store.find(claimed(session)) == session._replace(seen_at=NOW + 5, idle=3_000)
    assert await store.find(claimed(bystander)) == bystander._replace(idle=3_000)


async def test_TK16_a_session_of_a_worker_whose_clock_is_ahead_is_not_evicted_as_the_oldest(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    oldest, ahead, new = (user_session(tenant_id, user_id, at=NOW + after) for after in (0, 10, 5))
    for number, session in enumerate((oldest, ahead, new)):
        await workers.sessions[number % 2].open(session, cap=2)
    assert [await alive(workers, session) for session in (oldest, ahead, new)] == [False, True, True]
    assert [device.session for device in await store.list_user(tenant_id, user_id, limit=9)] == [ahead, new]
    assert await elsewhere.find(claimed(ahead)) == ahead


async def test_F2_where_there_are_too_many_those_of_before_the_clock_was_set_back_go_first(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    ahead = [user_session(tenant_id, user_id, at=NOW + 7_200_000 + number) for number in range(2)]
    old, bystander = (
        user_session(tenant_id, user_id, at=NOW - 10),
        user_session(tenant_id, str(uuid4()), at=NOW + 10**9),
    )
    for session in (*ahead, old, bystander):
        await store.open(session, cap=3)
    new = [user_session(tenant_id, user_id, at=NOW + number) for number in range(3)]
    for session, left in zip(new, ([ahead[1], old, new[0]], [old, *new[:2]], new), strict=True):
        await elsewhere.open(session, cap=3)
        listed = await store.list_user(tenant_id, user_id, limit=9)
        assert {device.session.id for device in listed} == {one.id for one in left}
    assert await alive(workers, bystander)
