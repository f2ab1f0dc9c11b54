"""Recorder of last activity, on the embedded database."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

import pytest

from doorward.core.errors import StoreUnavailable
from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.ports import SessionPolicy, SessionRef
from doorward.core.sessions.activity import ActivityRecorder
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.storage.relational.credentials import RelationalApiKeyStore
from doorward.storage.relational.sessions import RelationalSessionStore
from doorward.storage.sqlite.database import SqliteDatabase
from harness import TurnableClock


class Watched(RelationalAccountStore):
    """Accounts on the real database that note what is written, and may be told to refuse or to take their time."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self.writes: list[dict[str, int]] = []
        self.down = False
        self.gate: asyncio.Event | None = None

    async def touch_users(self, seen: Mapping[str, int], *, now: int) -> None:
        if self.gate:
            await self.gate.wait()
        if self.down:
            raise StoreUnavailable
        self.writes.append(dict(seen))
        await super().touch_users(seen, now=now)


class Seen(ActivityRecorder):
    """Activity that is told of sessions as a verification finds them: read from the store at that moment."""

    def __init__(
        self, accounts: Watched, sessions: RelationalSessionStore, keys: RelationalApiKeyStore, clock: TurnableClock
    ) -> None:
        super().__init__(accounts, sessions, keys, clock)
        self.store = sessions

    async def see(self, user_id: str) -> None:
        session = await self.store.find(SessionRef(f"session of {user_id}", user_id, SessionKind.USER))
        assert session
        self.record(session)


def session(user_id: str | None, now: int) -> Session:
    kind = SessionKind.USER if user_id else SessionKind.TENANT
    return Session(f"session of {user_id}", kind, "tenant-a", user_id, "laptop", b"k", now, None, seen_at=now - 60_000)


@pytest.fixture
async def accounts(database: SqliteDatabase, clock: TurnableClock) -> Watched:
    accounts = Watched(database)
    await accounts.add_tenant(Tenant("tenant-a", "shop@example.org", "x", 1, clock()))
    for name in ("alice", "bob"):
        await accounts.add_user(User(name, "tenant-a", name, "u@x", None, "sub", None, "x", 1, clock(), clock()))
    return accounts


@pytest.fixture
async def activity(accounts: Watched, database: SqliteDatabase, clock: TurnableClock) -> Seen:
    sessions = RelationalSessionStore(database)
    for name in ("alice", "bob"):
        await sessions.open(session(name, clock()), cap=None)
    return Seen(accounts, sessions, RelationalApiKeyStore(database), clock)


async def last_seen(accounts: Watched, user_id: str = "alice") -> int:
    user = await accounts.user_by_id("tenant-a", user_id)
    assert user
    return user.last_activity


async def test_TK12_seeing_somebody_writes_nothing_until_the_next_flush(
    activity: Seen, accounts: Watched, clock: TurnableClock
) -> None:
    before = clock()
    clock.turn(seconds=5)
    for _ in range(1_000):
        await activity.see("alice")
    assert await last_seen(accounts) == before
    await activity.flush()
    assert await last_seen(accounts) == clock()
    assert len(accounts.writes) == 1


async def test_TK12_who_is_seen_all_the_time_is_written_once_a_minute(
    activity: Seen, accounts: Watched, clock: TurnableClock
) -> None:
    written: list[int] = []
    for _ in range(600):
        await activity.see("alice")
        clock.turn(seconds=1)
        await activity.see("alice")
        known = len(accounts.writes)
        await activity.flush()
        written += [clock()] * (len(accounts.writes) - known)
    assert all(later - earlier >= 60_000 for earlier, later in pairwise(written))
    # And it is not forgotten either: never older than a minute and a half.
    assert all(later - earlier <= 90_000 for earlier, later in pairwise(written))
    assert 6 <= len(written) <= 10


async def test_TK12_who_is_seen_while_a_flush_is_under_way_is_not_written_again_at_once(
    activity: Seen, accounts: Watched, clock: TurnableClock
) -> None:
    accounts.gate = asyncio.Event()
    await activity.see("alice")
    flush = asyncio.create_task(activity.flush())
    await asyncio.sleep(0)
    clock.turn(seconds=1)
    await activity.see("alice")
    accounts.gate.set()
    await flush
    clock.turn(seconds=1)
    await activity.flush()
    assert len(accounts.writes) == 1
    clock.turn(seconds=60)
    await activity.flush()
    assert await last_seen(accounts) == clock() - 61_000


async def test_what_was_seen_late_in_a_minute_is_written_after_it(
    activity: Seen, accounts: Watched, clock: TurnableClock
) -> None:
    await activity.see("alice")
    await activity.flush()
    clock.turn(seconds=10)
    seen = clock()
    await activity.see("alice")
    await activity.flush()
    assert await last_seen(accounts) == seen - 10_000
    clock.turn(seconds=60)
    await activity.flush()
    assert await last_seen(accounts) == seen


async def test_the_last_flush_writes_everything(activity: Seen, accounts: Watched, clock: TurnableClock) -> None:
    await activity.see("alice")
    await activity.flush()
    clock.turn(seconds=1)
    await activity.see("alice")
    await activity.flush(everything=True)
    assert await last_seen(accounts) == clock()


@pytest.mark.parametrize("seen_meanwhile", [False, True])
async def test_a_failed_flush_remembers_for_the_next_one(
    activity: Seen, accounts: Watched, clock: TurnableClock, *, seen_meanwhile: bool
) -> None:
    clock.turn(seconds=1)
    await activity.see("alice")
    await activity.see("bob")
    seen = clock()
    accounts.down = True
    accounts.gate = asyncio.Event()
    for _ in range(3):
        accounts.gate.clear()
        flush = asyncio.create_task(activity.flush())
        await asyncio.sleep(0)
        clock.turn(seconds=2)
        if seen_meanwhile:
            await activity.see("bob")
        accounts.gate.set()
        with pytest.raises(StoreUnavailable):
            await flush
    accounts.down = False
    await activity.flush()
    assert await last_seen(accounts, "alice") == seen
    assert await last_seen(accounts, "bob") == (clock() if seen_meanwhile else seen)
    await activity.flush()
    assert len(accounts.writes) == 1


async def test_S16_what_is_urgent_is_written_at_once_and_nothing_else(
    activity: Seen, accounts: Watched, database: SqliteDatabase, clock: TurnableClock
) -> None:
    await RelationalSessionStore(database).set_policy("tenant-a", SessionPolicy(idle=10_000))
    for name in ("alice", "bob"):
        await activity.see(name)
    await activity.flush()
    urgent = asyncio.create_task(activity.flush_urgent())
    clock.turn(milliseconds=4_999)
    await activity.see("alice")
    await asyncio.sleep(0.05)
    assert not urgent.done()
    clock.turn(milliseconds=1)
    await activity.see("bob")
    await urgent
    assert await last_seen(accounts, "bob") == clock()
    assert await last_seen(accounts, "alice") == clock() - 1, "it was due"
    # It is not urgent any more.
    again = asyncio.create_task(activity.flush_urgent())
    await activity.see("bob")
    await asyncio.sleep(0.05)
    assert not again.done()
    again.cancel()


async def test_S16_a_use_is_known_here_until_the_store_knows_it(activity: Seen, clock: TurnableClock) -> None:
    clock.turn(seconds=1)
    await activity.see("alice")
    assert activity.last_seen("session of alice") == clock()
    assert activity.last_seen("session of bob") == 0
    await activity.flush()
    assert activity.last_seen("session of alice") == 0


async def test_DU11_who_was_deleted_does_not_come_back(activity: Seen, accounts: Watched, clock: TurnableClock) -> None:
    clock.turn(seconds=1)
    await activity.see("alice")
    await activity.see("bob")
    assert await accounts.delete_user("tenant-a", "alice")
    await activity.flush()
    assert await accounts.user_by_id("tenant-a", "alice") is None
    assert [user.id for user in await accounts.list_users("tenant-a", after="", limit=10)] == ["bob"]
    assert await last_seen(accounts, "bob") == clock()


async def test_activity_does_not_move_back_where_clocks_differ(
    activity: Seen, accounts: Watched, clock: TurnableClock
) -> None:
    clock.turn(seconds=100)
    await accounts.touch_users({"alice": clock()}, now=clock())
    newest = clock()
    clock.set_by(seconds=-20)
    await activity.see("alice")
    await activity.flush()
    assert await last_seen(accounts) == newest


@pytest.mark.parametrize("step", [-7_200, -30 * 86_400])
async def test_F2_who_is_seen_after_the_clock_was_set_back_was_last_seen_then(
    activity: Seen, accounts: Watched, clock: TurnableClock, step: int
) -> None:
    clock.turn(seconds=100)
    for name in ("alice", "bob"):
        await activity.see(name)
    await activity.flush()
    before = await last_seen(accounts, "bob")
    clock.set_by(seconds=step)
    await activity.see("alice")
    await activity.flush()
    assert await last_seen(accounts) == clock()
    session = await activity.store.find(SessionRef("session of alice", "alice", SessionKind.USER))
    assert session
    assert session.seen_at == clock()
    assert await last_seen(accounts, "bob") == before, "it was not seen since"


async def test_a_tenants_own_session_is_nobodys_activity(activity: Seen, accounts: Watched) -> None:
    activity.record(session(None, 100_000_000))
    await activity.flush(everything=True)
    assert accounts.writes == []
