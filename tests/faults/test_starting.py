"""Starts: concurrent, on old and newer data, and after an interrupted migration."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward.storage.relational.email_keys import email_key
from doorward.storage.relational.statements import load_migrations
from doorward.storage.sqlite.schema import WORDS, migrate
from faults.sizes import STARTERS, STARTS
from harness import KEY, PASSWORD, Process, Tenant, serving

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.sql"))
"""What services of former schemas left behind, one for each schema there ever was but the newest."""

VERSIONS = [migration.version for migration in load_migrations("sqlite", WORDS)]
"""A step that is another database's leaves a gap."""

NEWEST = VERSIONS[-1]


def restore(fixture: Path, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(fixture.read_text())
    return file


def schema(connection: sqlite3.Connection) -> set[tuple[str, str | None]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master"))


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_of(wanted: int) -> set[tuple[str, str | None]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in load_migrations("sqlite", WORDS):
            for statement in migration.statements if migration.version <= wanted else ():
                connection.execute(statement)
        return schema(connection)


Columns = Mapping[str, str]


def rows(connection: sqlite3.Connection, known: Columns) -> dict[str, list[Any]]:
    return {
        table: sorted(connection.execute(f"SELECT {names} FROM {table}"), key=repr) for table, names in known.items()
    }


def columns(connection: sqlite3.Connection) -> Columns:
    """Return the columns that each table has now: what is added later is not looked at."""
    return {
        table: ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
        for table in tables(connection)
    }


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_UP1_every_former_schema_has_a_fixture() -> None:
    assert [int(fixture.stem) for fixture in FIXTURES] == VERSIONS[:-1]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.stem)
def test_UP1_every_row_of_a_former_schema_is_kept(fixture: Path, tmp_path: Path) -> None:
    file = restore(fixture, tmp_path / "doorward.db")
    with closing(sqlite3.connect(file)) as connection:
        assert version(connection) == int(fixture.stem)
        kept = columns(connection)
        before = rows(connection, kept)
    assert migrate(file) == NEWEST
    with closing(sqlite3.connect(file)) as connection:
        assert version(connection) == NEWEST
        assert schema(connection) == schema_of(NEWEST)
        assert rows(connection, kept) == before


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.stem)
def test_N6_users_of_a_former_schema_get_the_keys_of_their_addresses(fixture: Path, tmp_path: Path) -> None:
    file = restore(fixture, tmp_path / "doorward.db")
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        keys = dict(connection.execute("SELECT email, email_key FROM users"))
    assert keys == {email: email_key(email) for email in keys}
    if fixture.stem == "0009":
        assert keys["GÜNTHER@Straße.example"] == "günther@strasse.example"


@pytest.mark.slow
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.stem)
def test_UP1_clients_of_a_former_schema_notice_nothing(fixture: Path, tmp_path: Path) -> None:
    restore(fixture, tmp_path / "data" / "doorward.db")
    known = json.loads(fixture.with_suffix(".json").read_text())
    with serving(tmp_path, {"JWT_KEY": KEY}) as process, httpx.Client(base_url=process.url, timeout=15) as http:
        tenant = Tenant(http, known["users"][0]["tenant"], "shop@example.org", PASSWORD, known["tenantToken"])
        assert tenant.get("/user").json()["users"] == known["users"]
        assert tenant.verify(known["userToken"]).json()["decoded"]["login"] == "Alice"
        assert tenant.verify(known["endedToken"]).status_code == 400
        assert tenant.login("alice", "pw-alice").status_code == 200
        assert tenant.login("bob", "pw-bob").status_code == 200
        again = http.post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
        assert again.status_code == 200
        assert tenant.delete("bob").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("start", [None, *FIXTURES], ids=lambda start: start.stem if start else "nothing")
def test_UP2_a_migration_that_is_killed_anywhere_is_completed_by_the_next_start(
    start: Path | None, tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("killed_migration.py")), str(deaths)]
    before: dict[str, list[Any]] = {}
    kept: Columns = {}
    if start is not None:
        file = restore(start, tmp_path / "start.db")
        command.append(str(file))
        with closing(sqlite3.connect(file)) as connection:
            kept = columns(connection)
            before = rows(connection, kept)
    subprocess.run(command, check=True, timeout=100)
    files = [folder / "doorward.db" for folder in deaths.iterdir()]
    assert len(files) > 8, "hardly a statement ran"
    found = set()
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            found.add(version(connection))
            assert schema(connection) == schema_of(version(connection)), "a step of the schema is there in part"
            assert rows(connection, kept) == before
        assert migrate(file) == NEWEST
        with closing(sqlite3.connect(file)) as connection:
            assert schema(connection) == schema_of(NEWEST)
            assert rows(connection, kept) == before
    first = int(start.stem) if start else 0
    assert found == {first, *(version for version in VERSIONS if version > first)}, "some step was never interrupted"


def test_UP2_a_file_left_to_be_rolled_back_is_rolled_back(tmp_path: Path) -> None:
    file, copy = tmp_path / "doorward.db", tmp_path / "copy" / "doorward.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        connection.execute("PRAGMA cache_size=2")  # so that changes reach the file before they are committed
        connection.execute("BEGIN")
        connection.execute("DROP TABLE t")
        connection.execute("CREATE TABLE u AS SELECT zeroblob(300000)")
        copy.parent.mkdir()
        for name in ("doorward.db", "doorward.db-journal"):
            shutil.copy(file.with_name(name), copy.with_name(name))
    assert migrate(copy) == NEWEST
    with closing(sqlite3.connect(copy)) as connection:
        assert tables(connection) >= {"t", "users"}
        assert "u" not in tables(connection)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def newer(folder: Path, journal: str) -> Path:
    """Make the database of a newer program; `left over` is one whose last transactions are only in the log."""
    file = folder / "original" / "doorward.db"
    migrate(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={'WAL' if journal == 'left over' else journal}")
        connection.execute("CREATE TABLE of_the_future (id TEXT)")
        connection.execute(f"PRAGMA user_version={NEWEST + 1}")
        data = folder / "data"
        data.mkdir()
        if journal == "left over":
            for name in ("doorward.db", "doorward.db-wal"):
                shutil.copy(file.with_name(name), data / name)
    if journal != "left over":
        shutil.copy(file, data / file.name)
    return data


def contents(data: Path) -> dict[str, bytes]:
    """Return what is in the folder, apart from the index of the log, which is no data and may be made by readers."""
    files = {path.name: path.read_bytes() for path in data.iterdir() if not path.name.endswith("-shm")}
    return {name: content for name, content in files.items() if content}


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["WAL", "DELETE", "left over"])
def test_UP5_UP7_a_newer_schema_is_refused_and_not_touched(tmp_path: Path, journal: str) -> None:
    data = newer(tmp_path, journal)
    before = contents(data)
    with pytest.raises(RuntimeError, match=f"schema version {NEWEST + 1}"):
        Process(tmp_path, {"JWT_KEY": KEY}).start()
    assert contents(data) == before


@contextmanager
def started_together(folder: Path, number: int) -> Iterator[list[Process]]:
    """Start that many services at once, each by itself, on one data folder."""
    processes = []
    for index in range(number):
        own = folder / f"starter-{index}"
        own.mkdir(parents=True)
        processes.append(Process(own, {"DATA_DIR": str(folder / "data")}))
    try:
        with ThreadPoolExecutor(number) as pool:
            yield list(pool.map(Process.start, processes))
    finally:
        for process in processes:
            if process.process:
                process.kill()


@pytest.mark.slow
def test_UP3_many_that_start_together_agree_on_one_key_and_one_schema(tmp_path: Path) -> None:
    for start in range(STARTS):
        folder = tmp_path / str(start)
        with started_together(folder, STARTERS) as processes, ExitStack() as stack:
            https = [stack.enter_context(httpx.Client(base_url=process.url, timeout=15)) for process in processes]
            tenant = Tenant.register(https[0], "shop@example.org")
            assert tenant.create("alice").status_code == 200
            tokens = [replace(tenant, http=http).session("alice") for http in https]
            for http in https:
                asking = replace(tenant, http=http)
                assert [asking.verify(token).status_code for token in tokens] == [200] * STARTERS
        names = {path.name for path in (folder / "data").iterdir()}
        assert names <= {"doorward.db", "doorward.db-wal", "doorward.db-shm", "master.key", "workers"}, (
            "a draft was left behind"
        )
        with closing(sqlite3.connect(folder / "data" / "doorward.db")) as connection:
            assert version(connection) == NEWEST
            assert schema(connection) == schema_of(NEWEST)
