"""What a sweep leaves in the tables of a relational store."""

from pathlib import Path
from uuid import uuid4

import pytest

from doorward.core.ports import Backoff
from doorward.storage.sqlite import connect, migrate
from doorward.storage.statements import load_statements
from made import NOW, Workers, user_session


async def test_OV6_expired_sessions_and_idle_counters_leave_no_row(workers: Workers) -> None:
    if workers.one.redis is not None:
        # Redis removes both by itself, by the machine's clock, which no test can turn.
        return
    store, tenant_id, user_id = workers.one.sessions, str(uuid4()), str(uuid4())
    expired = [user_session(tenant_id, user_id, expires_at=NOW - 1) for _ in range(3)]
    for session in expired:
        await store.open(session, cap=None)
    key = uuid4().hex
    await workers.one.counters.take(key, period=100, burst=1, now=NOW)
    await workers.one.counters.settle(key, Backoff(), now=NOW)
    while await workers.other.sessions.sweep(NOW, limit=2) or await workers.other.counters.sweep(NOW + 10**12, limit=2):
        continue
    assert await store.list_user(tenant_id, user_id, limit=10) == []
    assert await workers.one.database.read("budget", {"key": key}) == []
    assert await workers.one.database.read("attempts", {"key": key}) == []


@pytest.mark.parametrize("statement", ["sweep_expired_sessions", "sweep_ended_sessions", "forget_ended"])
def test_OV6_no_sweep_goes_through_all_sessions_while_writers_wait(tmp_path: Path, statement: str) -> None:
    migrate(tmp_path / "doorward.db")
    found = load_statements("?")[statement]
    plan = connect(tmp_path / "doorward.db", busy=1).execute(
        f"EXPLAIN QUERY PLAN {found.sql}", found.arguments({"now": NOW, "limit": 10})
    )
    steps = [row[3] for row in plan]
    assert steps
    assert not [step for step in steps if step.startswith("SCAN s")]
