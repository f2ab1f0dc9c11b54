"""Databases and keys are created by the commands for it, for their owner only."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from doorward.stores import migrate
from harness import KEY, PASSWORD, Tenant, read_settings, serving, without
from servers import Servers
from terminal import Operator

NEW = ("--password-file", "secret")
OTHERS = {
    "tenant list": [],
    "tenant show": ["a@example.org"],
    "tenant create": ["a@example.org", *NEW],
    "tenant password": ["a@example.org", *NEW],
    "tenant delete": ["a@example.org", "--yes"],
    "user list": ["--tenant", "a@example.org"],
    "user password": ["alice", "--tenant", "a@example.org", *NEW],
    "user export": ["--tenant", "a@example.org"],
    "user import": ["--tenant", "a@example.org", "users.json"],
    "import keycloak": ["users.json", "--tenant", "a@example.org"],
    "session revoke": ["--everybody", "--yes"],
    "apikey list": ["--tenant", "a@example.org"],
    "audit verify": [],
    "audit show": ["--tenant", "service"],
    "backup": ["backup"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what the commands read, and no data."""
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "users.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("key", [KEY, ""], ids=["key", "no key"])
@pytest.mark.parametrize("words", OTHERS)
def test_N2_a_command_without_a_database_names_the_folder_and_makes_nothing(folder: Path, words: str, key: str) -> None:
    before = contents(folder)
    answer = Operator(folder / "typo", {"JWT_KEY": key}).run(*words.split(), *OTHERS[words])
    assert answer.exit_code == 1, answer.output
    assert str(folder / "typo") in answer.stderr
    assert answer.stdout == ""
    assert contents(folder) == before
    assert not (folder / "typo").exists()


def test_N2_an_empty_file_is_no_database_either(folder: Path) -> None:
    (folder / "doorward.db").touch()
    answer = Operator(folder, {}).run("tenant", "list")
    assert (answer.exit_code, answer.stderr.partition(":")[0]) == (1, f"{folder} has no database doorward.db")
    assert (folder / "doorward.db").read_bytes() == b""


def test_N2_a_command_without_the_key_makes_none(folder: Path) -> None:
    Operator(folder / "data", {}).do("migrate")
    for words in (["tenant", "list"], ["key", "list"], ["key", "rotate"]):
        answer = Operator(folder / "data", {"JWT_KEY": ""}).run(*words)
        assert answer.exit_code == 1
        assert answer.stderr.startswith(f"JWT_KEY is missing, and {folder / 'data'} has no master.key")
    assert not (folder / "data" / "master.key").exists()


MAKERS = {
    "migrate": ([], {"doorward.db", "master.key"}),
    "tenant create": (["a@example.org", *NEW, "--init"], {"doorward.db", "master.key"}),
}


@pytest.mark.parametrize("words", MAKERS)
def test_N2_the_commands_that_are_meant_to_make_both(folder: Path, words: str) -> None:
    more, made = MAKERS[words]
    operator = Operator(folder / "data", {"JWT_KEY": ""})
    operator.do(*words.split(), *more)
    assert {path.name for path in (folder / "data").iterdir()} == made
    key = (folder / "data" / "master.key").read_bytes()
    operator.do("tenant", "list")
    operator.do("migrate")
    assert (folder / "data" / "master.key").read_bytes() == key


def test_N2_a_restore_makes_both(folder: Path) -> None:
    Operator(folder / "old", {}).do("tenant", "create", "--init", "a@example.org", *NEW)
    Operator(folder / "old", {}).do("backup", "backup")
    Operator(folder / "new", {"JWT_KEY": ""}).do("restore", "backup", "--yes")
    assert [one["email"] for one in Operator(folder / "new", {"JWT_KEY": ""}).read("tenant", "list")] == [
        "a@example.org"
    ]


def test_N2_a_postgresql_without_tables_is_no_database(folder: Path, servers: Servers) -> None:
    server = servers.postgresql
    database = server.make_database()
    try:
        operator = Operator(folder, {"DATABASE_URL": database.url})
        for words in (["tenant", "list"], ["user", "export", "--tenant", "a@example.org"]):
            answer = operator.run(*words)
            assert answer.exit_code == 1
            assert "has no tables of Doorward" in answer.stderr
        assert operator.run("doctor").exit_code == 3
        assert operator.run("tenant", "list").exit_code == 1
        operator.do("migrate")
        assert operator.read("tenant", "list") == []
        assert operator.run("doctor").exit_code == 0
    finally:
        server.drop(database)


def test_N2_the_doctor_changes_nothing(folder: Path) -> None:
    operator = Operator(folder / "data", {"JWT_KEY": ""})
    assert operator.run("doctor").exit_code == 3
    assert not (folder / "data").exists()
    operator.do("tenant", "create", "--init", "a@example.org", *NEW)
    before = contents(folder)
    assert operator.run("doctor").exit_code == 0
    assert contents(folder) == before


def test_N2_the_doctor_leaves_an_old_schema_as_it_is(folder: Path) -> None:
    operator = Operator(folder / "data", {})
    operator.do("migrate")
    database = folder / "data" / "doorward.db"
    with closing(sqlite3.connect(database)) as connection:
        [newest] = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={newest - 1}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = contents(folder)
    told = {one["name"]: one for one in operator.read("doctor")}
    assert told["schema"]["state"] == "warn"
    assert f"version {newest}" in told["schema"]["todo"]
    assert contents(folder) == before


@pytest.mark.slow
def test_N2_the_doctor_looks_at_a_running_service(folder: Path) -> None:
    with serving(folder, {"JWT_KEY": KEY}) as process:
        with httpx.Client(base_url=process.url) as http:
            Tenant.register(http, "a@example.org")
        told = {one["name"]: one["state"] for one in Operator(folder / "data", {}).read("doctor")}
    assert (told["schema"], told["database"], told["files"]) == ("ok", "ok", "ok")


# --- for their owner alone ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_S18_what_the_service_writes_is_for_its_owner_alone(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o755)
    umask = os.umask(0)
    try:
        with serving(folder, {"WORKERS": "2"}):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
    finally:
        os.umask(umask)
    assert {"doorward.db", "doorward.db-wal", "doorward.db-shm", "master.key", "workers"} < modes.keys()
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_S18_a_database_is_made_for_its_owner_whatever_the_process_makes_files_with(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        migrate(read_settings(tmp_path))
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "doorward.db").stat().st_mode) == 0o600


def test_S18_commands_leave_the_mask_of_their_caller_alone(folder: Path) -> None:
    umask = os.umask(0o022)
    try:
        Operator(folder / "data", {}).do("migrate")
        Operator(folder / "data", {}).do("backup", "backup")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(umask)
    assert stat.S_IMODE((folder / "backup").stat().st_mode) == 0o600


@pytest.mark.slow
def test_S18_a_database_that_others_can_read_is_warned_about_at_the_start(folder: Path) -> None:
    Operator(folder / "data", {}).do("migrate")
    (folder / "data" / "doorward.db").chmod(0o644)
    (folder / "data").chmod(0o755)
    with serving(folder, {"JWT_KEY": KEY}) as process:
        assert f"chmod 600 {folder / 'data' / 'doorward.db'}" in process.log()


# --- where it cannot be written -----------------------------------------------------------------------------------

# Without the capabilities by which root passes over modes, where there are some.
POWERLESS = ["--bounding-set=-dac_override,-dac_read_search"]
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77; shift; exec "$@"'


def made(folder: Path) -> Path:
    """Make an installation that was stopped, and return its folder."""
    Operator(folder / "data", {"JWT_KEY": ""}).do("migrate")
    return folder / "data"


def start(folder: Path, *before: str) -> "subprocess.CompletedProcess[str]":
    command = [*before, sys.executable, "-m", "doorward", "serve"]
    environment = {"PATH": os.environ["PATH"], "PORT": "0", "DATA_DIR": str(folder / "data")}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def refused(found: "subprocess.CompletedProcess[str]", what: str) -> None:
    assert found.returncode == 1, found.stderr
    assert found.stdout == "", "there was a banner"
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith("doorward cannot start. ")
    assert what in found.stderr


def powerless() -> list[str]:
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv") or without("setpriv of util-linux is missing")
    return [program, *POWERLESS]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["doorward.db", "workers", "."])
def test_N8_a_file_or_folder_that_cannot_be_written_is_one_sentence_before_the_banner(folder: Path, name: str) -> None:
    place = made(folder) / name
    if name == "workers":
        place.mkdir(mode=0o500)
    place.chmod(0o500 if place.is_dir() else 0o400)
    try:
        refused(start(folder, *powerless()), f"{place if name != '.' else folder / 'data'}")
    finally:
        place.chmod(0o700)


@pytest.mark.slow
def test_N8_a_read_only_mount_is_one_sentence_before_the_banner(folder: Path) -> None:
    data = made(folder)
    program = shutil.which("unshare") or without("unshare of util-linux is missing")
    found = start(folder, program, "--mount", "sh", "-c", READ_ONLY, "sh", str(data))
    if found.returncode == 77 or "unshare: " in found.stderr:
        without("making a read-only mount takes root")
    refused(found, "cannot be written")


@pytest.mark.slow
def test_N8_a_key_file_that_cannot_be_changed_is_one_sentence(folder: Path) -> None:
    lock = made(folder) / ".master.key.lock"
    lock.touch(mode=0o400)
    lock.chmod(0o400)
    found = subprocess.run(
        [*powerless(), sys.executable, "-m", "doorward", "key", "add"],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder / "data")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (1, f"{lock} cannot be written (Permission denied).\n")
