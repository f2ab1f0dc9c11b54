"""Rows that a sweep leaves in a relational store."""

from pathlib import Path
from uuid import uuid4

import pytest

from doorward.core.ports import Backoff
from doorward.storage.relational.statements import load_statements
from doorward.storage.sqlite.file import connect
from doorward.storage.sqlite.schema import migrate
from factories import NOW, Workers, user_session
from harness import read_settings
from raw_store import Rows
from servers import Servers


async def test_OV6_expired_sessions_and_idle_counters_leave_no_row(workers: Workers) -> None:
    if workers.one.redis is not None:
        pytest.skip("Redis removes both by itself, by the machine's clock: the test below says so of every key.")
    store, tenant_id, user_id = workers.one.sessions, str(uuid4()), str(uuid4())
    expired = [user_session(tenant_id, user_id, expires_at=NOW - 1) for _ in range(3)]
    for session in expired:
        await store.open(session, cap=None)
    key = uuid4().hex
    await workers.one.counters.consume(key, period=100, burst=1, now=NOW)
    await workers.one.counters.settle(key, Backoff(), now=NOW)
    while await workers.other.sessions.sweep(NOW, limit=2) or await workers.other.counters.sweep(NOW + 10**12, limit=2):
        continue
    assert await store.list_user(tenant_id, user_id, limit=10) == []
    assert await workers.one.database.read("budget", {"key": key}) == []
    assert await workers.one.database.read("attempts", {"key": key}) == []


async def test_OV6_redis_is_told_to_remove_sessions_and_counters_by_itself(
    workers: Workers, store: dict[str, str], module_folder: Path, servers: Servers
) -> None:
    if workers.one.redis is None:
        pytest.skip("A database removes nothing by itself: the test above sweeps it.")
    key, lasting = uuid4().hex, user_session(str(uuid4()), str(uuid4()), expires_at=None)
    brief = user_session(str(uuid4()), str(uuid4()), expires_at=NOW + 60_000)
    for session in (brief, lasting):
        await workers.one.sessions.open(session, cap=None)
    await workers.one.counters.consume(key, period=100, burst=1, now=NOW)
    await workers.one.counters.settle(key, Backoff(), now=NOW)
    rows = Rows(read_settings(module_folder, store), servers)
    assert rows.kept_for_good(brief.id, brief.user_id or "", key) == []
    # A session that never expires stays, so this would see one that did.
    assert rows.kept_for_good(lasting.id) == ["sessions", "sessions"]


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
