"""DU7: revocations survive a Redis that loses writes."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.core.model import Session
from doorward.core.ports import SessionRef
from doorward.stores import Stores
from redis_servers import RedisServer, own_cluster, own_redis, raw, until
from session_factories import NOW, Opener, claimed, tenant_session, user_session

pytest_plugins = ["redis_fixtures"]
pytestmark = pytest.mark.slow


async def again(call: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    """Do something once more while the machine is too busy for an answer within the second that a store has."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await call()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return


async def patiently(stores: Stores, one: SessionRef, seconds: float = 5) -> Session | None:
    """Ask until there is an answer, as a client does that is answered 503."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await stores.sessions.find(one)
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


def restart_from_last_save(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("how", ["close", "end_user", "end_tenant", "end_users_of", "cap", "keep another"])
async def test_DU7_a_restart_from_an_old_snapshot_revives_nothing(
    redis_server: RedisServer, opened: Opener, how: str
) -> None:
    async with opened(redis_server.url) as stores:
        user = user_session()
        tenant_id, user_id = user.tenant_id, user.user_id or ""
        mine, neighbour = tenant_session(tenant_id), user_session()
        other = user_session(tenant_id, user_id, at=NOW + 1)
        for session in (user, mine, neighbour, other):
            await stores.sessions.open(session, cap=None)
        redis_server.do("SAVE")
        ended = mine if how == "end_tenant" else user
        match how:
            case "close":
                assert await stores.sessions.revoke(user)
            case "end_user":
                await stores.sessions.revoke_user(tenant_id, user_id)
            case "end_tenant":
                await stores.sessions.revoke_tenant(tenant_id)
            case "end_users_of":
                await stores.sessions.revoke_users_of(tenant_id)
            case "cap":
                await stores.sessions.open(user_session(tenant_id, user_id, at=NOW + 2), cap=2)
            case "keep another":
                await stores.sessions.revoke_user(tenant_id, user_id, keep=other)
        assert await stores.sessions.find(claimed(ended)) is None
        restart_from_last_save(redis_server)
        assert await patiently(stores, claimed(ended)) is None
        assert await stores.sessions.find(claimed(neighbour)) == neighbour
    async with opened(redis_server.url) as another_worker:
        assert await another_worker.sessions.find(claimed(ended)) is None
        assert await another_worker.sessions.find(claimed(neighbour)) == neighbour


async def test_DU7_what_was_ended_while_redis_had_lost_it_stays_ended(
    redis_server: RedisServer, opened: Opener
) -> None:
    async with opened(redis_server.url) as stores:
        at = int(time.time() * 1000) - 1_000
        user = user_session(at=at, expires_at=at + 604_800_000)
        await stores.sessions.open(user, cap=None)
        redis_server.do("SAVE")
        redis_server.do("FLUSHALL", "SYNC")
        await stores.sessions.revoke_user(user.tenant_id, user.user_id or "")
        later = user_session(user.tenant_id, user.user_id or "", at=at + 60_000)
        restart_from_last_save(redis_server)
        assert await patiently(stores, claimed(user)) is None
        await stores.sessions.open(later, cap=None)
        assert await stores.sessions.find(claimed(later)) == later


async def test_DU7_a_flush_ends_and_nothing_is_alive_by_absence(redis_server: RedisServer, opened: Opener) -> None:
    async with opened(redis_server.url) as stores:
        sessions = [user_session(), tenant_session()]
        for session in sessions:
            await stores.sessions.open(session, cap=5)
        redis_server.do("FLUSHALL")
        assert [await stores.sessions.find(claimed(session)) for session in sessions] == [None, None]
        await stores.sessions.open(sessions[0], cap=5)
        assert await stores.sessions.find(claimed(sessions[0])) == sessions[0]


async def test_DU7_evicted_sessions_are_dead_and_no_ended_one_comes_back(opened: Opener) -> None:
    with own_redis(maxmemory="2mb", maxmemory_policy="allkeys-random") as server:
        async with opened(server.url) as stores:
            sessions = [user_session() for _ in range(1_200)]
            for start in range(0, len(sessions), 100):
                await asyncio.gather(
                    *(again(partial(stores.sessions.open, s, cap=5)) for s in sessions[start : start + 100])
                )
            ended = sessions[::2]
            for start in range(0, len(ended), 100):
                await asyncio.gather(*(again(partial(stores.sessions.revoke, s)) for s in ended[start : start + 100]))
            found = await stores.sessions.find_many([claimed(session) for session in sessions])
            assert server.do("INFO", "stats")["evicted_keys"] > 100
            assert not any(found[::2])
            assert all(one in {session, None} for one, session in zip(found, sessions, strict=True))


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica."""
    with ExitStack() as stack:
        master = stack.enter_context(own_redis())
        replica = stack.enter_context(own_redis(replicaof=f"127.0.0.1 {master.port}", repl_diskless_sync="no"))
        until(lambda: replica.do("INFO", "replication")["master_link_status"] == "up")
        yield master, replica


def promote(replica: RedisServer) -> None:
    replica.thaw()
    replica.do("REPLICAOF", "NO", "ONE")


async def test_DU7_a_lagging_replica_that_is_promoted_revives_nothing(
    pair: tuple[RedisServer, RedisServer], opened: Opener
) -> None:
    master, replica = pair
    user, kept = user_session(), user_session()
    async with opened(master.url) as stores:
        await stores.sessions.open(user, cap=None)
        await stores.sessions.open(kept, cap=None)
        master.do("WAIT", 1, 5_000)
        replica.freeze()
        await stores.sessions.revoke(user)
    master.kill()
    promote(replica)
    async with opened(replica.url) as stores:
        assert await stores.sessions.find(claimed(user)) is None
        assert await stores.sessions.find(claimed(kept)) == kept


@pytest.mark.parametrize("how", ["close", "rotate", "end a user with sessions", "end a user without"])
async def test_DU7_an_old_master_that_is_cut_off_is_not_believed_for_long(
    pair: tuple[RedisServer, RedisServer], opened: Opener, how: str
) -> None:
    """The master lives on, its successor is promoted elsewhere: two workers, each with one of them."""
    master, replica = pair
    user, mine, nothing = user_session(), user_session(), user_session()
    async with opened(master.url) as old:
        for _ in range(2):
            await old.sessions.revoke_user(nothing.tenant_id, nothing.user_id or "")
        await old.sessions.open(user, cap=None)
        await old.sessions.open(mine, cap=None)
        master.do("WAIT", 1, 5_000)
        promote(replica)
        endings: dict[str, Callable[[], Awaitable[object]]] = {
            "close": lambda: old.sessions.revoke(mine),
            "rotate": lambda: old.sessions.rotate(mine, NOW),
            "end a user with sessions": lambda: old.sessions.revoke_user(mine.tenant_id, mine.user_id or ""),
            "end a user without": lambda: old.sessions.revoke_user(nothing.tenant_id, nothing.user_id or ""),
        }
        async with opened(replica.url) as new:
            await new.sessions.revoke(user)
            with pytest.raises(StoreUnavailable):
                await endings[how]()
            await asyncio.sleep(1.1)
            with pytest.raises(StoreUnavailable):
                await old.sessions.find(claimed(user))


async def test_DU7_a_master_that_is_demoted_under_our_connections_is_noticed(
    pair: tuple[RedisServer, RedisServer], opened: Opener
) -> None:
    master, replica = pair
    user = user_session()
    async with opened(master.url) as stores:
        await stores.sessions.open(user, cap=None)
        promote(replica)
        master.do("REPLICAOF", "127.0.0.1", replica.port)
        await asyncio.sleep(1.1)
        with pytest.raises(StoreUnavailable):
            await stores.sessions.find(claimed(user))
        with pytest.raises(StoreUnavailable):
            await stores.sessions.open(user_session(), cap=None)
        await asyncio.sleep(0.5)  # several attempts later
        with pytest.raises(StoreUnavailable):
            await stores.sessions.find(claimed(user))


async def test_DU5_an_ending_is_seen_by_every_worker_at_once(any_redis: str, opened: Opener) -> None:
    async with opened(any_redis) as one, opened(any_redis) as other:
        for _ in range(30):
            session = user_session()
            await one.sessions.open(session, cap=None)
            done = asyncio.Event()

            async def watch(session: Session = session, done: asyncio.Event = done) -> None:
                inactive = False
                while not done.is_set():
                    began_after = done.is_set()
                    found = await other.sessions.find(claimed(session))
                    assert not (found and (inactive or began_after))
                    inactive = found is None

            watchers = [asyncio.create_task(watch()) for _ in range(3)]
            await asyncio.sleep(0)
            await one.sessions.revoke(session)
            assert await other.sessions.find(claimed(session)) is None
            done.set()
            await asyncio.gather(*watchers)


async def test_DU9_whoever_gives_up_shifts_nobody_elses_answer(any_redis: str, opened: Opener) -> None:
    whims = random.Random(11)
    rounds = 60 if os.environ.get("DOORWARD_TORTURE") else 12
    async with opened(any_redis) as stores:
        tenant = tenant_session(str(uuid4()))
        users = [user_session(tenant.tenant_id) for _ in range(200)]
        await stores.sessions.open(tenant, cap=None)
        await asyncio.gather(*(stores.sessions.open(session, cap=None) for session in users))
        answered = 0
        for _ in range(rounds):
            questions = [
                (session, asyncio.ensure_future(stores.sessions.find_pair(claimed(tenant), claimed(session))))
                for session in users
            ]
            touches = [
                asyncio.ensure_future(stores.sessions.touch([(s, NOW)], now=NOW)) for s in whims.sample(users, 20)
            ]
            await asyncio.sleep(whims.random() / 200)
            for question in [*(q for _, q in questions), *touches]:
                if whims.random() < 0.5:
                    question.cancel()
            for session, question in questions:
                try:
                    assert await question == (tenant, session)
                    answered += 1
                except asyncio.CancelledError:
                    assert question.cancelled()
            await asyncio.gather(*touches, return_exceptions=True)
        assert answered > rounds * 50


async def test_DU7_a_lagging_replica_that_takes_over_in_a_cluster_revives_nothing(opened: Opener) -> None:
    with own_cluster() as nodes, own_redis(cluster_enabled="yes", cluster_node_timeout="1000") as replica:
        replica.do("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        master_id = nodes[0].do("CLUSTER", "MYID")
        until(lambda: master_id in raw(replica, "CLUSTER", "NODES"))
        replica.do("CLUSTER", "REPLICATE", master_id)
        until(lambda: replica.do("INFO", "replication").get("master_link_status") == "up")
        until(lambda: all(b"slave" in raw(node, "CLUSTER", "NODES") for node in nodes))
        until(lambda: raw(replica, "CLUSTER", "NODES").count(b" connected") == 4)
        async with opened(f"redis://127.0.0.1:{nodes[1].port}?cluster=true") as stores:
            users = [user_session() for _ in range(30)]
            kept = [user_session() for _ in range(30)]
            for user in [*users, *kept]:
                await stores.sessions.open(user, cap=5)
            nodes[0].do("WAIT", 1, 5_000)
            replica.freeze()
            for number, user in enumerate(users):
                if number % 2:
                    await stores.sessions.revoke(user)
                else:
                    await stores.sessions.revoke_user(user.tenant_id, user.user_id or "")
            nodes[0].kill()
            replica.thaw()
            replica.do("CLUSTER", "FAILOVER", "TAKEOVER")
            for user in users:
                assert await patiently(stores, claimed(user), seconds=15) is None
            assert [await stores.sessions.find(claimed(user)) for user in kept] == kept
