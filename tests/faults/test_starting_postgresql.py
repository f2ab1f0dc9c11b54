"""Starts on PostgreSQL after an interrupted migration, with or without a crash of the server."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doorward.storage.postgres.address import Address
from doorward.storage.postgres.schema import WORDS, prepare
from doorward.storage.relational.statements import load_migrations
from faults.sizes import DEATH_STRIDE, DEATHS_OF_SERVERS
from servers import Database, OwnPostgres, apart, own_postgresql

pytestmark = [pytest.mark.slow, pytest.mark.long]

MIGRATIONS = load_migrations("postgresql", WORDS)
NEWEST = MIGRATIONS[-1].version
STATEMENTS = sum(len(migration.statements) for migration in MIGRATIONS)
"""Those of the schema; each step has some of its own around them."""

_SCHEMA = """
SELECT 'column', table_name, column_name, data_type, is_nullable, column_default, collation_name
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'doorward_schema'
UNION ALL SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'doorward_schema'
UNION ALL SELECT 'policy', tablename, policyname, qual, '', '', '' FROM pg_policies
UNION ALL SELECT 'guarded', relname, relrowsecurity::text, relforcerowsecurity::text, '', '', '' FROM pg_class
WHERE relrowsecurity
UNION ALL SELECT 'function', proname, prosrc, '', '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgresql() as server:
        yield server


@pytest.fixture
def database(server: OwnPostgres) -> Database:
    return server.make_database()


def schema(database: Database) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in database.run(_SCHEMA)}


def version(database: Database) -> int:
    if database.run("SELECT to_regclass('doorward_schema')")[0][0] is None:
        return 0
    [row] = database.run("SELECT version FROM doorward_schema")
    return int(row[0])


def empty(database: Database) -> None:
    database.run("DROP SCHEMA public CASCADE", f"CREATE SCHEMA public AUTHORIZATION {database.role}")


def schemas(database: Database) -> dict[int, set[tuple[Any, ...]]]:
    """Return what every version of the schema looks like when nobody dies."""
    found = {0: schema(database)}
    for migration in MIGRATIONS:
        database.run(*migration.statements)
        found[migration.version] = schema(database)
    empty(database)
    return found


def alone(database: Database) -> None:
    """Wait until the server has noticed that whoever died is gone."""
    deadline = time.monotonic() + 30
    while database.run(f"SELECT 1 FROM pg_stat_activity WHERE usename = '{database.role}'"):
        assert time.monotonic() < deadline, "the server goes on with the work of a client that died"
        time.sleep(0.005)


def migrate(database: Database) -> int:
    return apart(prepare(Address.read(database.url), wait=10))


@contextmanager
def dying() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_postgresql_migration.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == 0
    finally:
        process.kill()


def told(process: "subprocess.Popen[str]", line: str) -> list[str]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().split()


@pytest.mark.parametrize("how", ["before", "sent"])
def test_UP2_a_migration_that_is_killed_at_any_statement_is_completed_by_the_next_start(
    database: Database, how: str
) -> None:
    expected = schemas(database)
    found = set()
    with dying() as process:
        for number in itertools.count(1, DEATH_STRIDE):
            said = told(process, f"{database.url} {number} {how}")
            if said != ["died"]:
                break
            alone(database)
            found.add(version(database))
            assert schema(database) == expected[version(database)], "a step of the schema is there in part"
            assert migrate(database) == NEWEST
            assert schema(database) == expected[NEWEST]
            empty(database)
    assert said == ["ended", "0"]
    assert number > STATEMENTS, "some statement was not interrupted"
    assert found >= {*expected} - {NEWEST}, "some step was never interrupted"


def test_UP2_a_migration_whose_server_is_killed_with_it_is_completed_by_the_next_start(
    server: OwnPostgres, database: Database
) -> None:
    expected = schemas(database)
    with dying() as process:
        for number in range(1, STATEMENTS, max(1, STATEMENTS // DEATHS_OF_SERVERS)):
            still, child = told(process, f"{database.url} {number} still")
            assert still == "still"
            server.kill()
            os.kill(int(child), signal.SIGKILL)
            server.start()
            assert schema(database) == expected[version(database)], "a step of the schema is there in part"
            assert migrate(database) == NEWEST
            assert schema(database) == expected[NEWEST]
            empty(database)
