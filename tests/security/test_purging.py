"""Expired and deleted rows are removed in small batches (docs/security/promises.md)."""

import asyncio
import os
import time
from uuid import uuid4

import pytest

from doorward.core.model import Session
from doorward.stores import select_stores
from factories import NOW, Workers, claimed, user_session
from harness import Service
from raw_store import Rows
from servers import Servers

TORTURE = bool(os.environ.get("DOORWARD_TORTURE"))
EXPIRED = 20_000 if TORTURE else 60
PIECE = 500 if TORTURE else 25


@pytest.mark.timeout(900)
async def test_OV6_a_piece_of_a_sweep_is_no_larger_than_asked_and_writers_get_in_between(workers: Workers) -> None:
    if workers.one.redis is not None:
        pytest.skip(
            "Redis removes each session by itself when its time is over: tests/storage/test_sweeping.py sees to that."
        )
    store, elsewhere = workers.sessions
    tenant_id, user_id = str(uuid4()), str(uuid4())
    # Other tests' leftovers are swept first, so that these are counted alone.
    while await store.sweep(NOW, limit=1000):
        continue
    for start in range(0, EXPIRED, 1000):
        expired = [
            user_session(tenant_id, user_id, expires_at=NOW - 1) for _ in range(start, min(start + 1000, EXPIRED))
        ]
        await store.open_many(expired)
    removed: list[int] = []
    waits: list[float] = []
    living: list[Session] = []
    while not removed or removed[-1]:
        sweeping = asyncio.ensure_future(store.sweep(NOW, limit=PIECE))
        session = user_session(tenant_id, user_id)
        began = time.monotonic()
        await elsewhere.open(session, cap=None)
        waits.append(time.monotonic() - began)
        living.append(session)
        removed.append(await sweeping)
    assert sum(removed) == EXPIRED
    assert max(removed) <= PIECE
    assert await elsewhere.find_many([claimed(session) for session in living]) == living
    if TORTURE:
        assert sorted(waits)[len(waits) * 99 // 100] < 1.0


def test_PR6_where_a_session_came_from_is_forgotten_with_it(service: Service, servers: Servers) -> None:
    rows, clock = Rows(service.settings, servers), service.clock
    assert clock
    tenant = service.tenant()
    tenant.create()
    places = {"ip": "203.0.113.99", "userAgent": "canary-browser"}
    assert tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", **places}).status_code == 200
    sessions = tenant.get("/user/alice/sessions").json()["sessions"]
    assert [session["ip"] for session in sessions] == [places["ip"]]
    assert {table for table, _ in rows.holding(*places.values())} == {"sessions"}
    clock.turn(seconds=8 * 86_400)

    async def sweep() -> None:
        stores = select_stores(service.settings)
        await stores.open()
        try:
            await stores.sweep(clock, audit_retention=30 * 86_400)
        finally:
            await stores.close()

    asyncio.run(sweep())
    if service.settings.redis_url:
        # Redis forgets by a clock of its own, which nobody turns: what counts is that it is told to.
        assert rows.kept_for_good(*places.values()) == []
    else:
        assert rows.holding(*places.values()) == []
    assert tenant.get("/user/alice/sessions").json()["sessions"] == []
