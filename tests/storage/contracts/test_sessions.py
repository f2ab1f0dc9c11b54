"""Contract of session stores (`doorward.core.ports.SessionStore`): open, find, revoke."""

import asyncio
import os
import random
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doorward.core.model import MAX_CLOCK_SKEW, Session, SessionKind
from doorward.core.ports import SessionPolicy, SessionRef, SessionStore
from factories import NOW, Workers, claimed, tenant_session, user_session

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = 300 if os.environ.get("DOORWARD_TORTURE") else 40


async def alive(store: SessionStore, session: Session) -> bool:
    """Tell whether a session is found, and see that both ways to ask agree and nobody else's is found."""
    alone = await store.find(claimed(session))
    stranger = SessionRef("no-such-session", "nobody", SessionKind.USER)
    assert await store.find_pair(stranger, claimed(session)) == (None, alone)
    assert await store.find_pair(claimed(session), stranger) == (alone, None)
    assert alone in {session, None}
    return alone is not None


async def test_a_session_is_found_as_it_was_opened_by_every_worker(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    ours, theirs = tenant_session(str(uuid4())), user_session(str(uuid4()), str(uuid4()), expires_at=None)
    await store.open(ours, cap=None)
    await elsewhere.open(theirs, cap=3)
    assert await elsewhere.find(claimed(ours)) == ours
    assert await store.find_pair(claimed(ours), claimed(theirs)) == (ours, theirs)
    assert await store.find_pair(claimed(theirs), claimed(ours)) == (theirs, ours)
    assert await store.find_pair(claimed(ours), claimed(ours)) == (ours, ours)


@pytest.mark.parametrize("unknown", ["", "no-such-session", "\x00", "a\x00b", "x" * 8000, "' OR 1=1 --"])
async def test_what_was_never_opened_is_not_found_and_spoils_no_other_answer(workers: Workers, unknown: str) -> None:
    store, _ = workers.sessions
    session = tenant_session(str(uuid4()))
    await store.open(session, cap=None)
    unknowns, known, pair = await asyncio.gather(
        store.find(SessionRef(unknown, session.tenant_id, SessionKind.TENANT)),
        store.find(claimed(session)),
        store.find_pair(claimed(session), SessionRef(unknown, "somebody", SessionKind.USER)),
    )
    assert unknowns is None
    assert known == session
    assert pair == (session, None)


async def test_expiry_is_the_callers_to_judge(workers: Workers) -> None:
    store, _ = workers.sessions
    session = user_session(str(uuid4()), str(uuid4()), expires_at=NOW + 60_000)
    await store.open(session, cap=None)
    assert await store.find(claimed(session)) == session


async def test_TK13_of_two_who_end_a_session_one_succeeds_and_nobody_finds_it_again(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    session = user_session(str(uuid4()), str(uuid4()))
    await store.open(session, cap=None)
    ended = await asyncio.gather(*(workers.sessions[n % 2].revoke(session) for n in range(8)))
    assert sum(ended) == 1
    assert not await alive(store, session)
    assert not await alive(elsewhere, session)


async def test_TK14_ending_a_user_a_tenant_or_a_tenants_users_ends_just_those(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    mine, theirs, alice, bob = (str(uuid4()) for _ in range(4))
    sessions = {
        "alice": user_session(mine, alice),
        "alice again": user_session(mine, alice),
        "bob": user_session(mine, bob),
        "me": tenant_session(mine),
        "them": tenant_session(theirs),
        "their user": user_session(theirs, str(uuid4())),
    }
    for session in sessions.values():
        await store.open(session, cap=None)

    async def living() -> set[str]:
        return {name for name, session in sessions.items() if await alive(elsewhere, session)}

    assert await living() == set(sessions)
    await store.revoke_user(mine, alice)
    assert await living() == {"bob", "me", "them", "their user"}
    await store.revoke_users_of(mine)
    assert await living() == {"me", "them", "their user"}
    await store.revoke_tenant(mine)
    assert await living() == {"them", "their user"}


async def test_a_session_opened_after_an_ending_lives_and_revives_nothing(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    before, after = user_session(tenant_id, user_id), user_session(tenant_id, user_id, at=NOW + 1)
    await store.open(before, cap=None)
    await elsewhere.revoke_user(tenant_id, user_id)
    await store.open(after, cap=None)
    assert await alive(elsewhere, after)
    assert not await alive(elsewhere, before)
    await elsewhere.revoke_users_of(tenant_id)
    again = user_session(tenant_id, user_id, at=NOW + 2)
    await elsewhere.open(again, cap=None)
    assert [await alive(store, session) for session in (before, after, again)] == [False, False, True]


async def test_TK16_the_oldest_go_when_a_user_has_too_many(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id, neighbour = (str(uuid4()) for _ in range(3))
    theirs = user_session(tenant_id, neighbour, at=NOW - 1)
    await store.open(theirs, cap=2)
    sessions = [user_session(tenant_id, user_id, at=NOW + n) for n in range(5)]
    for n, session in enumerate(sessions):
        await workers.sessions[n % 2].open(session, cap=2)
    assert [await alive(store, session) for session in sessions] == [False, False, False, True, True]
    assert await alive(elsewhere, theirs)


@pytest.mark.parametrize("step", [1, MAX_CLOCK_SKEW - 10])
async def test_TK16_sessions_that_ended_with_their_tenant_are_evicted_before_live_ones(
    workers: Workers, step: int
) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id, neighbour = (str(uuid4()) for _ in range(3))
    theirs = user_session(str(uuid4()), neighbour, at=NOW + 1)
    await store.open(theirs, cap=3)
    ended = [user_session(tenant_id, user_id, at=NOW + step + n) for n in range(3)]
    for session in ended:
        await store.open(session, cap=3)
    await elsewhere.revoke_users_of(tenant_id)
    # The clock was set back since, by less than what tells sessions of before that from others.
    opened = [user_session(tenant_id, user_id, at=NOW + n) for n in range(3)]
    for session in opened:
        await elsewhere.open(session, cap=3)
    assert [await alive(store, session) for session in opened] == [True, True, True]
    late = user_session(tenant_id, user_id, at=NOW + MAX_CLOCK_SKEW)
    await store.open(late, cap=3)
    assert [await alive(store, session) for session in (*ended, *opened, late)] == [False] * 4 + [True] * 3
    assert await alive(store, theirs)


async def test_TK16_parallel_openings_never_leave_more_than_the_cap(workers: Workers) -> None:
    store, _ = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    sessions = [user_session(tenant_id, user_id, at=NOW + n) for n in range(30)]
    await asyncio.gather(*(workers.sessions[n % 2].open(session, cap=5) for n, session in enumerate(sessions)))
    assert [await alive(store, session) for session in sessions].count(True) == 5


async def test_DU5_an_ending_among_parallel_openings_leaves_only_what_was_opened_after_it_began(
    workers: Workers,
) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    before = [user_session(tenant_id, user_id, at=NOW + n) for n in range(10)]
    during = [user_session(tenant_id, user_id, at=NOW + 100 + n) for n in range(10)]
    for session in before:
        await store.open(session, cap=None)
    await asyncio.gather(
        *(store.open(session, cap=None) for session in during[:5]),
        elsewhere.revoke_user(tenant_id, user_id),
        elsewhere.revoke_users_of(tenant_id),
        *(elsewhere.open(session, cap=None) for session in during[5:]),
    )
    assert not any([await alive(store, session) for session in before])
    await store.revoke_user(tenant_id, user_id)
    assert not any([await alive(elsewhere, session) for session in during])


async def test_DU9_a_caller_who_gives_up_shifts_nobody_elses_answer(workers: Workers) -> None:
    store, _ = workers.sessions
    tenant = tenant_session(str(uuid4()))
    users = [user_session(tenant.tenant_id, str(uuid4())) for _ in range(40)]
    await asyncio.gather(*(store.open(session, cap=None) for session in [tenant, *users]))
    whims = random.Random(7)
    for _ in range(5):
        questions = [
            (session, asyncio.ensure_future(store.find_pair(claimed(tenant), claimed(session))))
            for session in whims.sample(users, len(users))
        ]
        for _ in range(whims.randrange(4)):
            await asyncio.sleep(0)
        for _, question in questions:
            if whims.random() < 0.5:
                question.cancel()
        for session, question in questions:
            try:
                assert await question == (tenant, session)
            except asyncio.CancelledError:
                assert question.cancelled()


async def test_OV6_a_sweep_removes_the_expired_and_the_ended_and_no_living_session(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id, other_id = (str(uuid4()) for _ in range(3))
    expired = [user_session(tenant_id, other_id, expires_at=NOW - 1 - n) for n in range(3)]
    ended = [user_session(tenant_id, user_id, expires_at=None) for _ in range(3)]
    living = [user_session(tenant_id, other_id, expires_at=NOW + 1), tenant_session(tenant_id)]
    for session in [*expired, *ended, *living]:
        await store.open(session, cap=None)
    await store.revoke_user(tenant_id, user_id)
    for _ in range(20):
        if await elsewhere.sweep(NOW, limit=2) == 0:
            break
    else:
        raise AssertionError("a sweep has no end")
    assert not any([await alive(store, session) for session in ended])
    # Whether an expired one is gone by now is the store's business, but it comes and goes without harm to others.
    assert await store.list_user(tenant_id, other_id, limit=1)
    assert [await alive(store, session) for session in living] == [True, True]


async def test_OV6_sweeping_while_sessions_come_and_go_harms_none(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    for round_ in range(5):
        sessions = [user_session(tenant_id, user_id, at=NOW + n, expires_at=None) for n in range(5)]
        if round_ % 2:
            await store.revoke_user(tenant_id, user_id)
        await asyncio.gather(
            *(store.open(session, cap=None) for session in sessions),
            *(elsewhere.sweep(NOW, limit=1) for _ in range(3)),
        )
        assert all([await alive(elsewhere, session) for session in sessions])


TENANTS = ["tenant-1", "tenant-2"]
USERS = ["user-1", "user-2"]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("open"), st.sampled_from(TENANTS), st.sampled_from([*USERS, None]), st.sampled_from([1, 2, None])
        ),
        st.tuples(st.just("close"), st.integers(0, 30)),
        st.tuples(st.just("end_user"), st.sampled_from(TENANTS), st.sampled_from(USERS)),
        st.tuples(st.just("end_tenant"), st.sampled_from(TENANTS)),
        st.tuples(st.just("end_users_of"), st.sampled_from(TENANTS)),
        st.tuples(st.just("sweep"), st.integers(1, 3)),
    ),
    max_size=25,
)


class Model:
    """Sessions as plain Python has them: what is living, in the order of opening."""

    def __init__(self) -> None:
        self.opened: list[Session] = []
        self.living: list[Session] = []

    def open(self, session: Session, cap: int | None) -> None:
        self.opened.append(session)
        self.living.append(session)
        owned = [
            other for other in self.living if (other.tenant_id, other.user_id) == (session.tenant_id, session.user_id)
        ]
        for other in owned[: len(owned) - cap] if cap is not None else []:
            self.living.remove(other)

    def end(self, tenant_id: str, user_ids: set[str | None]) -> None:
        self.living = [s for s in self.living if s.tenant_id != tenant_id or s.user_id not in user_ids]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.randoms(use_true_random=False))
async def test_sessions_behave_as_a_plain_model_says(
    workers: Workers, steps: list[tuple[object, ...]], data: random.Random
) -> None:
    run = uuid4().hex  # the names of this example, so that examples do not meet
    model = Model()
    for number, step in enumerate(steps):
        store = data.choice(workers.sessions)
        match step:
            case ("open", str(tenant), user, cap):
                assert cap is None or isinstance(cap, int)
                session = (
                    tenant_session(run + tenant, at=NOW + number)
                    if user is None
                    else user_session(run + tenant, f"{run}{tenant}{user}", at=NOW + number)
                )
                await store.open(session, cap=None if user is None else cap)
                model.open(session, None if user is None else cap)
            case ("close", int(which)) if model.opened:
                session = model.opened[which % len(model.opened)]
                # A session that was ended with others may be closed once more; only a living one has to say True.
                closed = await store.revoke(session)
                assert closed or session not in model.living
                model.living = [other for other in model.living if other != session]
            case ("end_user", str(tenant), str(user)):
                await store.revoke_user(run + tenant, f"{run}{tenant}{user}")
                model.end(run + tenant, {f"{run}{tenant}{user}"})
            case ("end_tenant", str(tenant)):
                await store.revoke_tenant(run + tenant)
                model.end(run + tenant, {None})
            case ("end_users_of", str(tenant)):
                await store.revoke_users_of(run + tenant)
                model.end(run + tenant, {f"{run}{tenant}{user}" for user in USERS})
            case ("sweep", int(limit)):
                await store.sweep(NOW, limit=limit)
            case _:
                continue
        for session in model.opened:
            assert await alive(data.choice(workers.sessions), session) == (session in model.living)


async def test_many_sessions_are_opened_at_once_each_under_its_owner(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, users = str(uuid4()), [str(uuid4()) for _ in range(3)]
    await store.open_many([])
    many = [user_session(tenant_id, users[number % 3]) for number in range(1_100)]
    own = tenant_session(tenant_id)
    await store.open_many([*many, own])
    assert await elsewhere.find_many([claimed(one) for one in [*many, own]]) == [*many, own]
    await elsewhere.revoke_user(tenant_id, users[0])
    assert [await alive(store, one) for one in many[:3]] == [False, True, True]
    await store.revoke_users_of(tenant_id)
    assert [await alive(elsewhere, one) for one in [*many[:3], own]] == [False, False, False, True]


async def test_opening_many_ends_nothing_and_changes_no_demand(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    await store.set_policy(tenant_id, SessionPolicy(idle=1_000, lifetime=2_000))
    before, after = user_session(tenant_id, user_id), user_session(tenant_id, user_id)
    await store.open(before, cap=3)
    await elsewhere.open_many([after])
    for session in (before, after):
        found = await store.find(claimed(session))
        assert found
        assert (found.idle, found.lifetime) == (1_000, 2_000)


async def test_imported_sessions_are_listed_counted_and_ended_with_the_native_ones(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    imported = user_session(tenant_id, user_id)._replace(
        id=f"{user_id}телефон 😀:{NOW}", kind=SessionKind.IMPORTED_USER
    )
    own = tenant_session(tenant_id)._replace(id=f"{tenant_id}{NOW}", kind=SessionKind.IMPORTED_TENANT)
    native, kept = user_session(tenant_id, user_id, at=NOW + 1), tenant_session(tenant_id)
    await store.open_many([imported, own])
    await elsewhere.open(native, cap=3)
    await elsewhere.open(kept, cap=None)
    assert [one.session for one in await elsewhere.list_user(tenant_id, user_id, limit=9)] == [native, imported]
    assert await elsewhere.find_pair(claimed(own), claimed(imported)) == (own, imported)
    await store.revoke_tenant(tenant_id, keep=own)
    assert [await alive(elsewhere, one) for one in (own, kept)] == [True, False]
    await store.revoke_user(tenant_id, user_id, keep=imported)
    assert [await alive(elsewhere, one) for one in (imported, native)] == [True, False]
    await store.open(native._replace(id="another", created_at=NOW + 2), cap=1)
    assert not await alive(elsewhere, imported)
    await store.revoke_tenant(tenant_id)
    assert not await alive(elsewhere, own)


async def test_a_session_of_no_tenant_is_adopted_by_one_tenant_and_ends_with_its_users(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    tenants = [str(uuid4()) for _ in range(2)]
    for demanding in (False, True):
        if demanding:
            await store.set_policy(tenants[0], SessionPolicy(idle=5_000))
        orphan = user_session("", str(uuid4()))._replace(kind=SessionKind.IMPORTED_USER)
        await store.open_many([orphan])
        found = await asyncio.gather(*(one.claim(orphan, tenant) for one in workers.sessions for tenant in tenants))
        winners = {one.tenant_id for one in found if one}
        assert len(winners) == 1
        assert [one is not None for one in found].count(True) == 2
        [winner] = winners
        adopted = await elsewhere.claim(orphan, winner)
        assert adopted == await elsewhere.find(claimed(orphan))
        assert adopted
        assert adopted.idle == (5_000 if demanding and winner == tenants[0] else None)
        await store.revoke_users_of(winner)
        assert not await alive(elsewhere, orphan)
        assert await store.claim(orphan, winner) is None


async def test_T7_the_adoption_of_one_session_leaves_every_other_to_its_own_tenant(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    one, other = (user_session("", str(uuid4()))._replace(kind=SessionKind.IMPORTED_USER) for _ in range(2))
    await store.open_many([one, other])
    mine, theirs = str(uuid4()), str(uuid4())
    assert await store.claim(one, mine)
    adopted = await elsewhere.claim(other, theirs)
    assert adopted
    assert adopted.tenant_id == theirs


async def test_what_was_ended_or_was_never_there_is_not_adopted(workers: Workers) -> None:
    store, elsewhere = workers.sessions
    orphan = user_session("", str(uuid4()))._replace(kind=SessionKind.IMPORTED_USER)
    assert await store.claim(orphan, str(uuid4())) is None
    await store.open_many([orphan])
    assert await store.revoke(orphan)
    assert await elsewhere.claim(orphan, str(uuid4())) is None
    assert not await alive(store, orphan)
