"""Migration from the embedded database to PostgreSQL, with every token staying valid."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from doorward.core.clock import system_clock
from doorward.storage.sqlite.file import connect
from doorward.storage.sqlite.schema import migrate
from doorward.storage.transfer.tables import DERIVED, TABLES
from harness import PASSWORD, Service, Tenant, TurnableClock, read_settings, running
from servers import Servers, apart
from terminal import Operator


@pytest.fixture
def target(servers: Servers) -> Iterator[str]:
    database = servers.postgresql.make_database()
    yield database.url
    servers.postgresql.drop(database)


def fill(service: Service) -> tuple[Tenant, list[str]]:
    tenant = service.tenant()
    for number in range(30):
        tenant.create(f"user{number}")
    service.tenant("other@example.org").create("user1")
    return tenant, [tenant.session(f"user{number}") for number in range(3)]


def test_every_table_is_carried_or_made_from_others(tmp_path: Path) -> None:
    migrate(tmp_path / "a.db")
    connection = connect(tmp_path / "a.db", busy=1)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert names == {*TABLES, *DERIVED}


def test_tokens_go_on_and_what_was_ended_stays_ended(tmp_path: Path, target: str) -> None:
    with running(read_settings(tmp_path)) as service:
        tenant, sessions = fill(service)
        tenant.logout(sessions[0])
        key = tenant.post("/tenant/key", {"name": "ci", "permissions": ["verify"]}).json()["key"]
        tenant.http.patch("/user/user7", json={"emailVerified": True}, headers=tenant.headers)
    operator = Operator(tmp_path, {})
    words = ("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target)
    first = operator.read(*words)
    assert {one["table"]: one["rows"] for one in first}["users"] == 31
    assert operator.read(*words) == first
    with running(read_settings(tmp_path, {"DATABASE_URL": target})) as service:
        moved = Tenant(service.client(), tenant.id, tenant.email, PASSWORD, tenant.token)
        assert [moved.verify(token).status_code for token in sessions] == [400, 200, 200]
        body = {"token": sessions[1]}
        answer = moved.http.post("/auth/verify", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert moved.login("user7").status_code == 200
        assert [moved.get(f"/user/{login}").json().get("emailVerified") for login in ("user7", "user8")] == [True, None]
        moved.logout(sessions[1])
        assert moved.verify(sessions[1]).status_code == 400
    there = Operator(tmp_path, {"DATABASE_URL": target})
    there.do("audit", "verify")


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    with servers.redis.empty_database() as url:
        yield url


def test_with_Redis_live_sessions_go_on_there_and_those_that_ended_stay_so(
    tmp_path: Path, target: str, redis_url: str
) -> None:
    words = ("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target, "--sessions-to-redis")
    operator = Operator(tmp_path, {"REDIS_URL": redis_url})
    with running(read_settings(tmp_path)) as service:
        tenant, sessions = fill(service)
        chosen = tenant.http.patch("/tenant", json={"settings": {"sessionIdle": 3600}}, headers=tenant.headers)
        assert chosen.status_code == 200, chosen.text
        key = tenant.post("/tenant/key", {"name": "ci", "permissions": ["verify"]}).json()["key"]
        tenant.logout(sessions[0])
        # A first run, that was not the last: what ends after it must not live on in Redis.
        operator.do(*words)
        tenant.logout(sessions[1])
        listed = tenant.get("/user/user2/sessions").json()["sessions"]
        # Two tenants' own, one user's, and a key's.
        assert operator.do(*words).stderr.endswith("\n4 sessions copied to Redis.\n")
    with running(read_settings(tmp_path, {"DATABASE_URL": target, "REDIS_URL": redis_url})) as service:
        moved = Tenant(service.client(), tenant.id, tenant.email, PASSWORD, tenant.token)
        assert [moved.verify(token).status_code for token in sessions] == [400, 400, 200]
        asked = {"Authorization": f"Bearer {key}"}
        assert moved.http.post("/auth/verify", json={"token": sessions[2]}, headers=asked).status_code == 200
        assert [one["id"] for one in moved.get("/user/user2/sessions").json()["sessions"]] == [
            one["id"] for one in listed
        ]
    later = TurnableClock()
    later.now = system_clock() + 7_200_000
    with running(read_settings(tmp_path, {"DATABASE_URL": target, "REDIS_URL": redis_url}), later) as service:
        moved = Tenant(service.client(), tenant.id, tenant.email, PASSWORD, tenant.token)
        assert moved.get("/tenant").status_code == 200
        assert moved.verify(sessions[2]).status_code == 400, "what the tenant demands of sessions is forgotten"


def test_without_being_told_to_sessions_in_Redis_are_left_alone(tmp_path: Path, target: str, redis_url: str) -> None:
    settings = {"REDIS_URL": redis_url}
    with running(read_settings(tmp_path, settings)) as service:
        tenant, sessions = fill(service)
    said = (
        Operator(tmp_path, settings).do("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target).stderr
    )
    assert "--sessions-to-redis copies them to Redis" in said
    with running(read_settings(tmp_path, {**settings, "DATABASE_URL": target})) as service:
        moved = Tenant(service.client(), tenant.id, tenant.email, PASSWORD, tenant.token)
        assert moved.verify(sessions[0]).status_code == 200


@pytest.mark.slow
def test_what_is_killed_at_any_statement_leaves_the_target_as_it_was_and_begins_anew(
    tmp_path: Path, target: str
) -> None:
    operator, source = Operator(tmp_path, {}), tmp_path / "doorward.db"
    with running(read_settings(tmp_path)) as service:
        tenant, _ = fill(service)
        operator.do("migrate", "--from", f"sqlite:///{source}", "--to", target)
        tenant.create("later")
        tenant.delete("user3")
    script = Path(__file__).with_name("killed_migration.py")
    done = subprocess.run(
        [sys.executable, script, source, target], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    # Each table is at least emptied, filled and looked at once more.
    assert int(done.stdout) > 3 * len(TABLES)


def test_a_server_that_ends_the_work_is_one_sentence_and_nothing_is_kept(tmp_path: Path, target: str) -> None:
    operator = Operator(tmp_path, {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    there = Operator(tmp_path, {"DATABASE_URL": target})
    there.do("migrate")

    async def break_it() -> None:
        connection = await asyncpg.connect(target)
        await connection.execute("ALTER TABLE audit RENAME TO elsewhere")
        await connection.close()

    apart(break_it())
    answer = operator.run("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target)
    assert answer.exit_code == 1
    assert answer.stderr == (
        "The database failed (undefined table). The target is unchanged; run the same command again.\n"
    )
    assert there.read("tenant", "list") == []


def test_who_interrupts_it_is_told_what_is_left(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    operator = Operator(tmp_path, {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    monkeypatch.setattr("doorward.operations.data_migration.copy_table", interrupt)
    answer = operator.run("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("Interrupted. The target is unchanged")
    assert Operator(tmp_path, {"DATABASE_URL": target}).read("tenant", "list") == []


def test_a_target_of_somebody_else_is_left_as_it_is(tmp_path: Path, target: str) -> None:
    operator, there = Operator(tmp_path, {}), Operator(tmp_path, {"DATABASE_URL": target})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    there.do("tenant", "create", "--init", "b@example.org", typed=PASSWORD + "\n")
    answer = operator.run("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target)
    assert answer.exit_code == 1
    assert "1 tenants that the source does not have" in answer.stderr
    assert [one["email"] for one in there.read("tenant", "list")] == ["b@example.org"]


def test_without_a_source_the_schema_is_brought_up(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    assert re.fullmatch(r"The schema has version \d+\.\n", operator.do("migrate").stderr)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to", "sqlite:///x.db"), 2),
        (("--sessions-to-redis",), 2),
        (("--from", "sqlite:///x.db", "--to", "sqlite:///y.db", "--sessions-to-redis"), 2),
        (("--from", "sqlite:////nowhere/x.db", "--to", "sqlite:///y.db"), 1),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    assert Operator(tmp_path, {}).run("migrate", *words).exit_code == code
