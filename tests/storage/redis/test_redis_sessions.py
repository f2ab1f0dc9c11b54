"""Sessions in Redis, on one node and on a Cluster."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest

from doorward.core.model import Event, Origin, Session, SessionKind, Tenant
from doorward.core.ports import ApiKey, Revocation, SessionPolicy, SessionRef
from doorward.storage.redis import records
from doorward.storage.redis.records import KeyNames, names_of
from doorward.storage.redis.scripts import Command
from doorward.storage.redis.server_trust import _revocation_command
from doorward.storage.redis.sessions import DurableStores, RedisSessionStore
from doorward.storage.relational.credentials import RelationalApiKeyStore
from doorward.storage.relational.revocations import RelationalRevocationStore
from doorward.stores import Stores
from redis_servers import RedisServer
from session_factories import NOW, Opener, claimed, tenant_session, user_session

pytest_plugins = ["redis_fixtures"]
pytestmark = pytest.mark.slow


async def living(stores: Stores, *sessions: Session) -> list[bool]:
    """Tell which are found, and see that every way to ask agrees."""
    alone = [await stores.sessions.find(claimed(session)) for session in sessions]
    assert await stores.sessions.find_many([claimed(session) for session in sessions]) == alone
    for session, found in zip(sessions, alone, strict=True):
        stranger = SessionRef("nobody's", str(uuid4()), SessionKind.TENANT)
        assert await stores.sessions.find_pair(stranger, claimed(session)) == (None, found)
        assert found is None or found._replace(idle=None, lifetime=None) == session
    return [found is not None for found in alone]


async def test_a_session_is_found_as_it_was_opened_by_every_worker(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        tenant = tenant_session()
        user = user_session(tenant.tenant_id)._replace(generation=1, refreshed_at=NOW)
        await one.sessions.open(tenant, cap=None)
        await one.sessions.open(user, cap=2, origin=Origin("192.0.2.1", "curl"))
        assert await other.sessions.find_pair(claimed(tenant), claimed(user)) == (tenant, user)
        assert await other.sessions.find(claimed(user)) == user
        [device] = await other.sessions.list_user(user.tenant_id, user.user_id or "", limit=5)
        assert device == (user, Origin("192.0.2.1", "curl"))


@pytest.mark.parametrize("unknown", ["", "x", "\x00", "{", "}{", "x" * 8000, "*", "\ud800"])
async def test_what_was_never_opened_is_not_found_and_spoils_no_other_answer(
    any_redis: str, opened: Opener, unknown: str
) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        await stores.sessions.open(session, cap=None)
        strangers = [
            SessionRef(unknown, session.user_id or "", SessionKind.USER),
            SessionRef(session.id, unknown, SessionKind.USER),
        ]
        found = await asyncio.gather(*(stores.sessions.find(one) for one in [*strangers, claimed(session)]))
        assert found == [None, None, session]


async def test_S17_made_up_owners_are_not_remembered_and_those_of_sessions_are(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        tenant = tenant_session()
        user = user_session(tenant.tenant_id)
        await stores.sessions.open(tenant, cap=None)
        await stores.sessions.open(user, cap=None)
        records._names.clear()
        for _ in range(50):
            made_up = SessionRef(secrets.token_urlsafe(16), str(uuid4()), SessionKind.USER)
            stranger = SessionRef(secrets.token_urlsafe(16), str(uuid4()), SessionKind.TENANT)
            assert await stores.sessions.find_pair(stranger, made_up) == (None, None)
            assert await stores.sessions.find_many([stranger, made_up]) == [None, None]
        assert not records._names
        records._read.cache_clear()
        assert await stores.sessions.find_pair(claimed(tenant), claimed(user)) == (tenant, user)
        assert {owner for _, owner in records._names} == {tenant.tenant_id, user.user_id}


def test_S17_the_owners_that_are_remembered_are_bounded() -> None:
    for number in range(5000):
        KeyNames.of(SessionKind.USER, f"user-{number}")
    assert len(records._names) == records._CACHED


async def test_a_session_of_another_kind_or_owner_is_none_of_the_claimed(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        session = tenant_session()
        await stores.sessions.open(session, cap=None)
        for kind in (SessionKind.USER, SessionKind.KEY):
            assert await stores.sessions.find(SessionRef(session.id, session.tenant_id, kind)) is None


async def test_TK14_endings_end_just_what_they_name(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        mine, alice = str(uuid4()), str(uuid4())
        key = ApiKey(uuid4().hex, mine, "key", "verify", b"digest", NOW, None)
        sessions = {
            "alice": user_session(mine, alice),
            "alice again": user_session(mine, alice),
            "bob": user_session(mine),
            "me": tenant_session(mine),
            "key": key.session,
            "them": tenant_session(),
            "their user": user_session(),
        }
        for session in sessions.values():
            await one.sessions.open(session, cap=None)

        async def left() -> set[str]:
            alive = await living(other, *sessions.values())
            return {name for name, lives in zip(sessions, alive, strict=True) if lives}

        assert await left() == set(sessions)
        await one.sessions.revoke_user(mine, alice, keep=sessions["alice"])
        assert await left() == set(sessions) - {"alice again"}
        await one.sessions.revoke_user(mine, alice)
        assert await left() == {"bob", "me", "key", "them", "their user"}
        await one.sessions.revoke_users_of(mine)
        assert await left() == {"me", "key", "them", "their user"}
        await one.sessions.revoke_tenant(mine, keep=sessions["me"])
        assert await left() == {"me", "key", "them", "their user"}
        await one.sessions.revoke_tenant(mine)
        assert await left() == {"key", "them", "their user"}
        await one.sessions.revoke_keys(mine)
        assert await left() == {"them", "their user"}


async def test_what_is_kept_of_an_ending_has_to_be_alive_and_the_owners(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        first, foreign = user_session(), user_session()
        await stores.sessions.open(first, cap=None)
        await stores.sessions.open(foreign, cap=None)
        await stores.sessions.revoke_user(first.tenant_id, first.user_id or "")
        second = user_session(first.tenant_id, first.user_id or "", at=NOW + 1)
        await stores.sessions.open(second, cap=None)
        for keep in (first, foreign):
            await stores.sessions.revoke_user(first.tenant_id, first.user_id or "", keep=keep)
            assert await living(stores, first, second, foreign) == [False, False, True]


async def test_TK14_of_two_endings_at_once_the_one_that_keeps_a_session_does_not_save_it_from_the_other(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        for _ in range(25):
            kept = user_session()
            session = user_session(kept.tenant_id, kept.user_id or "")
            for opening in (kept, session):
                await one.sessions.open(opening, cap=None)
            await asyncio.gather(
                one.sessions.revoke_user(kept.tenant_id, kept.user_id or "", keep=kept),
                other.sessions.revoke_user(kept.tenant_id, kept.user_id or ""),
            )
            assert await living(one, kept, session) == [False, False]


async def test_TK16_parallel_openings_never_leave_more_than_the_cap_and_the_oldest_go(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        tenant_id, user_id = str(uuid4()), str(uuid4())
        sessions = [user_session(tenant_id, user_id, at=NOW + n) for n in range(30)]
        await asyncio.gather(*((one, other)[n % 2].sessions.open(s, cap=5) for n, s in enumerate(sessions)))
        assert (await living(one, *sessions)).count(True) == 5
        latest = [user_session(tenant_id, user_id, at=NOW + 100 + n) for n in range(5)]
        for session in latest:
            await one.sessions.open(session, cap=5)
        assert await living(other, *sessions, *latest) == [False] * 30 + [True] * 5
        listed = await other.sessions.list_user(tenant_id, user_id, limit=3)
        assert [device.session for device in listed] == latest[:1:-1]


async def test_TK13_of_two_who_end_a_session_one_succeeds(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        session = user_session()
        await one.sessions.open(session, cap=None)
        closed = await asyncio.gather(*((one, other)[n % 2].sessions.revoke(session) for n in range(8)))
        assert sum(closed) == 1
        assert await living(other, session) == [False]


async def test_a_refresh_is_counted_once_whoever_else_tries(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        session = user_session()._replace(generation=1)
        await one.sessions.open(session, cap=None)
        rotated = await asyncio.gather(*((one, other)[n % 2].sessions.rotate(session, NOW + n + 1) for n in range(6)))
        [won] = [after for after in rotated if after]
        assert won.generation == 2
        assert await one.sessions.find(claimed(session)) == won
        await one.sessions.revoke(session)
        assert await one.sessions.rotate(won, NOW + 9) is None
        assert await one.sessions.find(claimed(session)) is None


async def test_activity_moves_forward_only_and_resurrects_nothing(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        session, gone = user_session(), user_session()
        await stores.sessions.open(session, cap=None)
        await stores.sessions.open(gone, cap=None)
        await stores.sessions.revoke(gone)
        await stores.sessions.touch([(session, NOW + 500), (gone, NOW + 500)], now=NOW)
        await stores.sessions.touch([(session, NOW + 400)], now=NOW)
        assert await stores.sessions.find(claimed(session)) == session._replace(seen_at=NOW + 500)
        assert await stores.sessions.find(claimed(gone)) is None


async def test_a_tenants_policy_counts_for_the_sessions_there_are_and_survives_their_ending(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        session = user_session()
        await one.sessions.open(session, cap=None, policy=SessionPolicy(idle=5_000))
        assert await other.sessions.find(claimed(session)) == session._replace(idle=5_000)
        await other.sessions.set_policy(session.tenant_id, SessionPolicy(lifetime=9_000))
        assert await one.sessions.find(claimed(session)) == session._replace(lifetime=9_000)
        await other.sessions.revoke_users_of(session.tenant_id)
        again = user_session(session.tenant_id)
        await one.sessions.open(again, cap=None, policy=SessionPolicy(idle=1))
        assert await one.sessions.find(claimed(again)) == again._replace(lifetime=9_000)


async def test_a_policy_that_was_demanded_first_is_not_undone_by_an_opening_that_knew_another(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        await stores.sessions.set_policy(session.tenant_id, SessionPolicy(idle=7_000))
        await stores.sessions.open(session, cap=None, policy=SessionPolicy(idle=1))
        assert await stores.sessions.find(claimed(session)) == session._replace(idle=7_000)


async def test_S13_of_two_policies_the_newer_version_counts_in_whichever_order_they_arrive(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        session, theirs = user_session(), user_session()
        for known in (session, theirs):
            await one.sessions.open(known, cap=None)
        await one.sessions.set_policy(session.tenant_id, SessionPolicy(idle=3_000, version=3))
        await other.sessions.set_policy(session.tenant_id, SessionPolicy(idle=2_000, version=2))
        assert await other.sessions.find(claimed(session)) == session._replace(idle=3_000)
        assert await other.sessions.find(claimed(theirs)) == theirs


async def test_S13_a_login_brings_in_a_newer_policy_that_never_arrived_and_no_older_one(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        session = user_session()
        await one.sessions.open(session, cap=None, policy=SessionPolicy(idle=2_000, version=2))
        later = [user_session(session.tenant_id) for _ in range(3)]
        await other.sessions.open(later[0], cap=None, policy=SessionPolicy(idle=1_000, version=1))
        assert await one.sessions.find(claimed(session)) == session._replace(idle=2_000)
        await other.sessions.open(later[1], cap=None, policy=SessionPolicy(idle=3_000, version=3))
        await other.sessions.open(later[2], cap=None, policy=SessionPolicy(idle=2_000, version=2))
        assert await one.sessions.find(claimed(session)) == session._replace(idle=3_000)
        await one.sessions.revoke_users_of(session.tenant_id)
        again = user_session(session.tenant_id)
        await one.sessions.open(again, cap=None, policy=SessionPolicy(idle=2_000, version=2))
        assert await one.sessions.find(claimed(again)) == again._replace(idle=3_000)


async def test_S13_a_newer_version_of_the_same_policy_is_not_undone_by_one_in_between(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        await stores.sessions.open(session, cap=None, policy=SessionPolicy(idle=2_000, version=2))
        for policy in (SessionPolicy(idle=2_000, version=4), SessionPolicy(idle=3_000, version=3)):
            await stores.sessions.open(user_session(session.tenant_id), cap=None, policy=policy)
        assert await stores.sessions.find(claimed(session)) == session._replace(idle=2_000)


async def test_nothing_that_ended_stays_in_redis(
    any_redis: str, opened: Opener, request: pytest.FixtureRequest
) -> None:
    async with opened(any_redis) as stores:
        tenant, user = tenant_session(), user_session(expires_at=None)
        for session in (tenant, user):
            await stores.sessions.open(session, cap=None)
        await stores.sessions.revoke_tenant(tenant.tenant_id)
        await stores.sessions.revoke_user(user.tenant_id, user.user_id or "")
        while await stores.sessions.sweep(NOW, limit=1):
            continue
    cluster = "," in any_redis
    servers = request.getfixturevalue("shared_cluster") if cluster else [request.getfixturevalue("shared_redis")]
    left = [key for server in servers for key in server.do("KEYS", "*")]
    assert not [key for key in left if tenant.tenant_id.encode() in key or (user.user_id or "").encode() in key]


async def test_PR1_what_sessions_knew_of_a_user_is_gone_before_a_sweep(
    any_redis: str, opened: Opener, request: pytest.FixtureRequest
) -> None:
    async with opened(any_redis) as stores:
        ended, leaving = user_session(), user_session()
        users = [session.user_id or "" for session in (ended, leaving)]
        for session in (ended, leaving):
            for _ in range(3):
                await stores.sessions.open(session._replace(id=secrets.token_urlsafe(16)), cap=None)
        await stores.sessions.revoke_user(ended.tenant_id, users[0])
        await stores.sessions.erase_users(users[1:])
    cluster = "," in any_redis
    servers = request.getfixturevalue("shared_cluster") if cluster else [request.getfixturevalue("shared_redis")]
    left = [key for server in servers for key in server.do("KEYS", "*") if b":session:" in key or b":index" in key]
    assert not [key for key in left if any(user.encode() in key for user in users)]


async def test_ending_what_is_not_there_is_noted_once_and_forgets_no_policy(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        for _ in range(5):
            await stores.sessions.revoke_user(session.tenant_id, session.user_id or "")
            await stores.sessions.revoke_users_of(session.tenant_id)
        assert len(await stores.revocations.page(after="", limit=10)) == 2
        await stores.sessions.open(session, cap=None, policy=SessionPolicy(idle=5_000))
        assert await stores.sessions.find(claimed(session)) == session._replace(idle=5_000)
        await stores.sessions.revoke_user(session.tenant_id, session.user_id or "")
        assert await stores.sessions.find(claimed(session)) is None
        assert len(await stores.revocations.page(after="", limit=10)) == 3


async def test_garbage_goes_by_itself_some_time_after_a_session_is_over(
    any_redis: str, opened: Opener, request: pytest.FixtureRequest
) -> None:
    async with opened(any_redis) as stores:
        session = user_session(expires_at=NOW + 1_000)
        await stores.sessions.open(session, cap=9)
        cluster = "," in any_redis
        servers = request.getfixturevalue("shared_cluster") if cluster else [request.getfixturevalue("shared_redis")]
        ttls = [
            server.do("PTTL", key)
            for server in servers
            for key in server.do("KEYS", "*")
            if (session.user_id or "").encode() in key or session.tenant_id.encode() in key
        ]
        assert len(ttls) == 4  # session, index, and two epochs
        assert all(1_000 < ttl <= 61_000 for ttl in ttls)


@pytest.fixture
def nodes(any_redis: str, request: pytest.FixtureRequest) -> list[RedisServer]:
    if "," not in any_redis:
        return [request.getfixturevalue("shared_redis")]
    cluster: list[RedisServer] = request.getfixturevalue("shared_cluster")
    return cluster


def kept(nodes: list[RedisServer], *owners: str | None) -> dict[bytes, int]:
    """Return the keys of these owners, each with its lifetime in milliseconds, -1 where it has none."""
    keys = [(node, key) for node in nodes for key in node.do("KEYS", "*")]
    return {key: node.do("PTTL", key) for node, key in keys if any((owner or "-").encode() in key for owner in owners)}


@pytest.mark.parametrize("lives", [(9_000, 1_000), (1_000, 9_000), (None, 1_000), (1_000, None)])
async def test_what_sessions_share_stays_in_redis_as_long_as_the_one_that_ends_last(
    any_redis: str, opened: Opener, nodes: list[RedisServer], lives: tuple[int | None, int | None]
) -> None:
    tenant_id, user_id = str(uuid4()), str(uuid4())
    async with opened(any_redis) as stores:
        for version, life in enumerate(lives):
            session = user_session(tenant_id, user_id, expires_at=None if life is None else NOW + life)
            await stores.sessions.open(session, cap=None, policy=SessionPolicy(version=version))
    left = kept(nodes, tenant_id, user_id)
    shared = [left[key] for key in left if b":session:" not in key and not key.endswith(b":version")]
    assert len(shared) == 3  # index, and two epochs
    if None in lives:
        assert set(shared) == {-1}
    else:
        assert all(61_000 < left <= 69_000 for left in shared)


@pytest.mark.parametrize("how", ["touch", "demand", "end_users_of", "keep"])
async def test_garbage_goes_by_itself_after_each_operation_on_a_session(
    any_redis: str, opened: Opener, nodes: list[RedisServer], how: str
) -> None:
    session = user_session(expires_at=NOW + 1_000)
    tenant_id, user_id = session.tenant_id, session.user_id or ""
    async with opened(any_redis) as stores:
        await stores.sessions.open(session, cap=9)
        match how:
            case "touch":
                await stores.sessions.touch([(session, NOW + 1)], now=NOW)
            case "demand":
                await stores.sessions.set_policy(tenant_id, SessionPolicy(idle=5_000))
            case "end_users_of":
                await stores.sessions.revoke_users_of(tenant_id)
            case "keep":
                await stores.sessions.revoke_user(tenant_id, user_id, keep=session)
    left = kept(nodes, tenant_id, user_id)
    assert len(left) == 4
    assert all(1_000 < ttl <= 61_000 for ttl in left.values()), left


async def test_a_tenants_session_that_redis_removes_by_itself_is_in_no_index(
    any_redis: str, opened: Opener, nodes: list[RedisServer]
) -> None:
    session = tenant_session()._replace(expires_at=NOW + 1_000)
    async with opened(any_redis) as stores:
        await stores.sessions.open(session, cap=None)
        assert await living(stores, session) == [True]
    assert not [key for key in kept(nodes, session.tenant_id) if b":index" in key]


async def test_TK16_a_session_that_redis_has_removed_by_itself_is_evicted_like_any_other(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as stores:
        tenant_id, user_id = str(uuid4()), str(uuid4())
        gone, *others = [user_session(tenant_id, user_id, at=NOW + n) for n in range(3)]
        for session in (gone, others[0]):
            await stores.sessions.open(session, cap=2)
        assert stores.redis
        await stores.redis.run(_delete(gone))
        await stores.sessions.open(others[1], cap=2)
        assert await living(stores, gone, *others) == [False, True, True]


async def test_TK14_a_session_that_redis_has_removed_by_itself_is_not_kept_of_an_ending(
    any_redis: str, opened: Opener, nodes: list[RedisServer]
) -> None:
    async with opened(any_redis) as stores:
        gone = user_session()
        other = user_session(gone.tenant_id, gone.user_id or "")
        for session in (gone, other):
            await stores.sessions.open(session, cap=None)
        assert stores.redis
        await stores.redis.run(_delete(gone))
        await stores.sessions.revoke_user(gone.tenant_id, gone.user_id or "", keep=gone)
        assert await living(stores, gone, other) == [False, False]
    assert not kept(nodes, gone.user_id)


async def test_OV6_sessions_that_are_too_many_to_be_removed_at_once_are_swept(
    any_redis: str, opened: Opener, nodes: list[RedisServer]
) -> None:
    tenant_id, user_id = str(uuid4()), str(uuid4())
    async with opened(any_redis) as stores:
        await stores.sessions.open_many([user_session(tenant_id, user_id, expires_at=None) for _ in range(102)])
        await stores.sessions.revoke_user(tenant_id, user_id)
        assert kept(nodes, user_id)
        while await stores.sessions.sweep(NOW, limit=1):
            continue
    assert not kept(nodes, user_id)


ENDED: dict[str, Callable[[Stores, Session], Awaitable[None]]] = {
    "end_user": lambda stores, session: stores.sessions.revoke_user(session.tenant_id, session.user_id or ""),
    "end_users_of": lambda stores, session: stores.sessions.revoke_users_of(session.tenant_id),
}


@pytest.mark.parametrize("how", ENDED)
async def test_DU7_an_ending_is_noted_until_the_session_that_ends_last_is_over(
    any_redis: str, opened: Opener, how: str
) -> None:
    async with opened(any_redis) as stores:
        last = user_session(expires_at=NOW + 9_000)
        await stores.sessions.open(last, cap=None)
        await stores.sessions.open(user_session(last.tenant_id, last.user_id or "", expires_at=NOW + 1_000), cap=None)
        await ENDED[how](stores, last)
        [noted] = await stores.revocations.page(after="", limit=9)
        assert noted.expires_at == last.expires_at


class Overtaken(RelationalRevocationStore):
    """Revocations of which one is overtaken by something else, once it is noted."""

    overtake: Callable[[], Awaitable[object]] | None = None

    async def record(self, ended: Revocation) -> None:
        await super().record(ended)
        if self.overtake:
            overtake, self.overtake = self.overtake, None
            await overtake()


def overtaken(stores: Stores, overtake: Callable[[], Awaitable[object]]) -> Stores:
    """Return stores of which the first ending is overtaken, after it was noted and before it is carried out."""
    assert stores.redis
    revocations = Overtaken(stores.database)
    revocations.overtake = overtake
    sessions = RedisSessionStore(stores.redis, DurableStores(revocations, stores.api_keys, stores.audit, lambda: NOW))
    return replace(stores, sessions=sessions)


@pytest.mark.parametrize("how", ENDED)
async def test_DU7_an_ending_is_noted_again_for_what_was_opened_meanwhile(
    any_redis: str, opened: Opener, how: str
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        first = user_session(expires_at=NOW + 1_000)
        later = user_session(first.tenant_id, first.user_id or "", expires_at=NOW + 9_000)
        await one.sessions.open(first, cap=None)
        await ENDED[how](overtaken(one, lambda: other.sessions.open(later, cap=None)), first)
        assert await living(one, first, later) == [False, False]
        noted = await one.revocations.page(after="", limit=9)
        assert {each.expires_at for each in noted} == {first.expires_at, later.expires_at}


@pytest.mark.parametrize("how", ENDED)
async def test_DU7_an_ending_that_another_overtook_ends_nothing_that_it_has_not_noted(
    any_redis: str, opened: Opener, how: str
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        first = user_session()
        later = user_session(first.tenant_id, first.user_id or "")
        await one.sessions.open(first, cap=None)

        async def overtake() -> None:
            await ENDED[how](other, first)
            await other.sessions.open(later, cap=None)

        await ENDED[how](overtaken(one, overtake), first)
        [lives] = await living(one, later)
        noted = await one.revocations.page(after="", limit=9)
        assert len(noted) == (1 if lives else 2)
        assert await living(one, first) == [False]


@pytest.mark.parametrize("how", ENDED)
async def test_DU7_an_ending_of_what_redis_loses_meanwhile_is_an_ending(
    any_redis: str, opened: Opener, how: str
) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        await stores.sessions.open(session, cap=None)
        assert stores.redis
        lost = [names_of(session).epoch, records.realm_of(session.tenant_id)]
        lose = [Command(place, ("DEL", place)) for place in lost]
        await ENDED[how](overtaken(stores, partial(stores.redis.run, *lose)), session)
        assert await living(stores, session) == [False]


@pytest.mark.parametrize(
    ("noted", "lives"),
    [
        ("{moment:013}{digits}/x", False),
        ("{moment:013}0000000000000000000/x", True),
        ("{later:013}{digits}/x", True),
        ("{later:013}/x", False),
        ("{moment:013}/x", True),
    ],
    ids=["itself", "another of its moment", "a later one", "a later moment", "its moment"],
)
async def test_DU7_a_revocation_that_is_repeated_ends_its_epoch_or_all_that_are_older(
    any_redis: str, opened: Opener, noted: str, *, lives: bool
) -> None:
    async with opened(any_redis) as stores:
        session, bystander = user_session(), user_session()
        for one in (session, bystander):
            await stores.sessions.open(one, cap=None)
        assert stores.redis
        place = names_of(session).epoch
        [value] = await stores.redis.get([place])
        assert value
        moment = int(value[:13])
        name = noted.format(moment=moment, later=moment + 1, digits=value[13:32].decode())
        await stores.redis.run(_revocation_command(Revocation(place.decode(), name, None)))
        assert await living(stores, session, bystander) == [lives, True]


async def test_an_event_is_kept_before_a_change_is_acknowledged_and_a_second_ending_is_none(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as stores:
        session = user_session()
        events = [Event(NOW, session.tenant_id, "user.logout", "success", "tenant")]
        await stores.sessions.open(session, cap=None, events=events)
        assert await stores.sessions.revoke(session, events=events)
        assert not await stores.sessions.revoke(session, events=events)
        await stores.sessions.revoke_user(session.tenant_id, session.user_id or "", events=events)
        assert len(await stores.audit.page(session.tenant_id, before=None, limit=9)) == 3


async def make_key(stores: Stores) -> ApiKey:
    tenant = Tenant(str(uuid4()), f"{uuid4().hex}@example.org", "hash", 1, NOW)
    assert await stores.accounts.add_tenant(tenant)
    key = ApiKey(uuid4().hex[:22], tenant.id, "ci", "verify", b"\x01" * 32, NOW, None)
    assert await stores.api_keys.add(key, cap=5)
    await stores.sessions.open(key.session, cap=None)
    return key


async def test_an_api_key_that_redis_lost_is_restored_and_a_deleted_one_never(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        key = await make_key(one)
        session = key.session
        assert one.redis
        assert await one.redis.run(_delete(session)) == [1]
        assert await other.sessions.find(claimed(session)) == session
        assert await one.redis.run(_delete(session)) == [1]
        nobody = claimed(user_session())
        assert await other.sessions.find_pair(claimed(session), nobody) == (session, None)
        assert await other.sessions.find_pair(claimed(session), nobody) == (session, None)
        assert await other.api_keys.delete(key.tenant_id, key.id)
        assert await other.sessions.revoke(session)
        assert await one.sessions.find(claimed(session)) is None


class Interrupted(RelationalApiKeyStore):
    """API keys of which one look-up is overtaken by a deletion, after it has read."""

    overtake: Callable[[], Awaitable[object]] | None = None
    overtaken = False

    async def find(self, tenant_id: str, key_id: str) -> ApiKey | None:
        found = await super().find(tenant_id, key_id)
        if self.overtake:
            overtake, self.overtake, self.overtaken = self.overtake, None, True
            await overtake()
        return found


async def test_DU11_a_key_that_is_deleted_while_it_is_restored_does_not_come_back(
    any_redis: str, opened: Opener
) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        key = await make_key(one)
        session = key.session
        assert one.redis
        await one.redis.run(_delete(session))

        async def delete() -> None:
            assert await other.api_keys.delete(key.tenant_id, key.id)
            await other.sessions.revoke(session)

        keys = Interrupted(one.database)
        keys.overtake = delete
        sessions = RedisSessionStore(one.redis, DurableStores(one.revocations, keys, one.audit, lambda: NOW))
        assert await sessions.find(claimed(session)) is None
        assert keys.overtaken
        assert await other.sessions.find(claimed(session)) is None


def _delete(session: Session) -> Command:
    key = names_of(session).session(session.id)
    return Command(key, ("DEL", key))
