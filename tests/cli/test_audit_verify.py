"""`doorward audit verify`: a valid chain, or its first invalid entry."""

import json
from pathlib import Path

import pytest

from doorward.settings import Settings
from doorward.storage.sqlite.file import connect
from harness import Service, Tenant, read_settings
from servers import apart
from terminal import Operator

ENTRIES = 7


def tamper(settings: Settings, statement: str) -> None:
    """Do to the database what nobody should."""
    if not settings.on_postgresql:
        connection = connect(settings.database_path, busy=5)
        connection.execute(statement)
        connection.close()
        return

    async def run() -> None:
        import asyncpg

        connection = await asyncpg.connect(settings.database_url)
        await connection.execute(statement)
        await connection.close()

    apart(run())


@pytest.fixture
def trail(tenant: Tenant) -> Tenant:
    """A tenant with an audit trail of seven entries: its own creation and six users'."""
    for number in range(ENTRIES - 1):
        tenant.create(f"user{number}")
    return tenant


def verify(operator: Operator, tenant: Tenant) -> tuple[int, dict[str, object], str]:
    answer = operator.run("audit", "verify", "--tenant", tenant.email, "--json")
    return answer.exit_code, json.loads(answer.stdout.splitlines()[0]), answer.stderr


def test_AU3_a_chain_that_nobody_touched_is_whole(operator: Operator, trail: Tenant) -> None:
    code, found, _ = verify(operator, trail)
    assert (code, found["entries"], found["broken_at"]) == (0, ENTRIES, None)
    assert operator.do("audit", "verify").exit_code == 0


TAMPERED = {
    "an entry was changed": ("UPDATE audit SET entry = '{}' WHERE number = 3 AND tenant_id = '{id}'", 3),
    "an entry was removed": ("DELETE FROM audit WHERE number = 4 AND tenant_id = '{id}'", 4),
    "the newest entry was removed": ("DELETE FROM audit WHERE number = 7 AND tenant_id = '{id}'", 7),
    "the oldest entry was removed": ("DELETE FROM audit WHERE number = 1 AND tenant_id = '{id}'", 1),
    "an entry's hash was changed": ("UPDATE audit SET hash = 'x' WHERE number = 5 AND tenant_id = '{id}'", 5),
    "the head was changed": ("UPDATE audit_chains SET hash = 'x' WHERE tenant_id = '{id}'", 7),
    "all entries were removed": ("DELETE FROM audit WHERE tenant_id = '{id}'", 1),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_AU3_tampering_is_found_at_the_entry(
    operator: Operator, trail: Tenant, store: dict[str, str], module_folder: Path, name: str
) -> None:
    statement, number = TAMPERED[name]
    tamper(read_settings(module_folder, store), statement.replace("{id}", trail.id))
    code, found, said = verify(operator, trail)
    assert (code, found["broken_at"]) == (3, number)
    assert said == f"The chain of {trail.id} is broken at entry {number}.\n"


def test_AU1_what_an_operator_does_is_in_the_trail(operator: Operator, tenant: Tenant, shared: Service) -> None:
    assert shared.url
    operator.do("tenant", "disable", tenant.id)
    operator.do("tenant", "enable", tenant.id)
    operator.do("tenant", "delete", tenant.id, "--yes")
    [told] = [one for one in operator.read("audit", "show", "--tenant", "service") if one["subject"] == tenant.id]
    assert (told["action"], told["actor"]) == ("tenant.delete", "operator")
    shown = operator.do("audit", "show", "--tenant", "service", "--limit", "1").stdout
    assert "tenant.delete" in shown
