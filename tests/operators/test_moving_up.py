"""From the embedded database to PostgreSQL, with every token going on."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.storage.sqlite import connect, migrate
from doorward.storage.tables import DERIVED, TABLES
from harness import PASSWORD, Service, Tenant, read_settings, running
from operators.desk import Operator
from servers import Servers


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
        moved.logout(sessions[1])
        assert moved.verify(sessions[1]).status_code == 400
    there = Operator(tmp_path, {"DATABASE_URL": target})
    there.do("audit", "verify")


def test_a_target_of_somebody_else_is_left_as_it_is(tmp_path: Path, target: str) -> None:
    operator, there = Operator(tmp_path, {}), Operator(tmp_path, {"DATABASE_URL": target})
    operator.do("tenant", "create", "a@example.org", typed=PASSWORD + "\n")
    there.do("tenant", "create", "b@example.org", typed=PASSWORD + "\n")
    answer = operator.run("migrate", "--from", f"sqlite:///{tmp_path}/doorward.db", "--to", target)
    assert answer.exit_code == 1
    assert "1 tenants that the source has not" in answer.stderr
    assert [one["email"] for one in there.read("tenant", "list")] == ["b@example.org"]


def test_without_a_source_the_schema_is_brought_up(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    assert re.fullmatch(r"The schema has version \d+\.\n", operator.do("migrate").stderr)


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--to", "sqlite:///x.db"), 2), (("--from", "sqlite:////nowhere/x.db", "--to", "sqlite:///y.db"), 1)],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    assert Operator(tmp_path, {}).run("migrate", *words).exit_code == code
