"""`doorward doctor`: findings, advice, and exit code 3 for failures."""

import json
import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from certificates import Authority
from doorward.cli import doctor
from doorward.core.clock import system_clock
from doorward.settings import Settings
from doorward.storage.relational.database import ServerInfo
from doorward.stores import migrate, select_stores
from doorward.stores import servers as about
from factories import make_tenant, make_user
from faults.test_full_disk import read_only
from harness import PASSWORD, Service, read_settings, without
from redis_servers import own_redis
from servers import apart
from terminal import Operator


def test_a_healthy_installation_has_no_failure(operator: Operator, shared: Service) -> None:
    told = operator.read("doctor")
    found = {one["name"]: one["state"] for one in told}
    assert {"settings", "master key", "schema", "database", "disk", "hashing", "names", "workers", "open files"} <= set(
        found
    )
    settings = shared.settings
    assert ("clock" in found) == bool(settings.on_postgresql or settings.redis_url)
    assert ("sessions" in found) == bool(settings.redis_url)
    assert ("files" in found) == (not settings.on_postgresql)
    assert not {"https", "maintenance"} & set(found)
    assert "fail" not in found.values()
    said = operator.do("doctor").stdout
    assert len(said.splitlines()) == len(told)
    assert "\x1b" not in said


def test_stores_say_what_they_are(shared: Service) -> None:
    found = apart(about(shared.settings))
    assert found["database"].product.startswith("PostgreSQL 1" if shared.settings.on_postgresql else "SQLite 3.")
    assert (found["database"].clock is not None) == shared.settings.on_postgresql
    if shared.settings.redis_url:
        assert found["sessions"].product.split()[0] in {"Redis", "Valkey"}
        assert not found["sessions"].evicts


def test_IN5_F9_F10_F11_names_that_no_new_account_would_get_are_reported(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    operator.do("tenant", "create", "--init", "shop@example.org", typed=f"{PASSWORD}\n")
    assert found_names(operator) == ("ok", "None of 1 names would be rejected as a new name.")
    odd = ["bob ", "..", "bo\u034fb", *(f"user-{number} " for number in range(20))]
    keep_names(read_settings(tmp_path), "a\u034f@example.org", [*odd, "bob", "alice"])
    state, said = found_names(operator)
    assert state == "warn"
    assert said.startswith("24 of 27 names would be rejected as new names: ")
    assert r"'a\u034f@example.org'" in said
    assert r"'bo\u034fb' of 'a\u034f@example.org'" in said
    assert "'..' of " in said
    # The first few are named, and nothing is printed that cannot be seen.
    assert said.count(" of ") == 5
    assert said.endswith(" and 19 more.")
    assert said.isascii()


def test_IN5_F11_the_doctor_looks_at_a_bounded_number_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MAX_NAMES", 500)
    migrate(read_settings(tmp_path))
    keep_names(read_settings(tmp_path), "shop@example.org", [" ", *(f"user-{number}" for number in range(600))])
    assert found_names(Operator(tmp_path, {})) == (
        "warn",
        "1 of the first 500 names would be rejected as new names: ' ' of 'shop@example.org'.",
    )


def found_names(operator: Operator) -> tuple[str, str]:
    [found] = [one for one in operator.read("doctor") if one["name"] == "names"]
    return found["state"], found["said"]


def keep_names(settings: Settings, email: str, logins: list[str]) -> None:
    """Keep a tenant and its users as an earlier version did."""

    async def work() -> None:
        stores = select_stores(settings)
        await stores.open()
        tenant = make_tenant(email=email)
        assert await stores.accounts.add_tenant(tenant)
        assert all(await stores.accounts.add_users([make_user(tenant.id, login=login) for login in logins]))
        await stores.close()

    apart(work())


class Sick(NamedTuple):
    """Settings, the line that is expected of the doctor, and with which code it ends."""

    settings: dict[str, str]
    about: str
    state: str
    said: str
    code: int


SICK = {
    "a server that is not there": Sick(
        {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c", "DATABASE_WAIT": "0"},
        "stores",
        "fail",
        "cannot be reached",
        3,
    ),
    "more workers than cores": Sick({"WORKERS": "64"}, "workers", "warn", "Lower WORKERS to the number of cores.", 0),
    "a setting that makes no sense": Sick({"WORKERS": "many"}, "settings", "fail", "WORKERS has to be", 3),
    "a key that is missing": Sick(
        {"JWT_KEY": "", "REDIS_URL": "redis://127.0.0.1:1"}, "master key", "fail", "openssl rand", 3
    ),
    "more connections than can be open": Sick(
        {"MAX_CONNECTIONS": "1000000"}, "open files", "warn", "raise the limit, or lower the setting", 0
    ),
}


def test_a_folder_that_cannot_be_written_is_found_before_there_is_a_database(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    assert states(Operator(folder, {}), "files") == [], "there is nothing to look at yet"
    assert states(Operator(tmp_path / "new", {}), "files") == []
    with read_only(folder) as shut:
        if shut != folder:
            without("This test mounts a folder read-only, or runs as another user than root.")
        said = found_files(Operator(folder, {}))["said"]
        assert said in {f"{folder} cannot be written: it is mounted read-only.", f"{own_name()} cannot write {folder}."}


def test_a_file_in_place_of_the_folder_is_called_one(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("")
    operator = Operator(file, {"JWT_KEY": ""})
    assert found_files(operator)["said"] == f"{file} is not a folder."
    assert [one["said"] for one in told(operator) if one["name"] == "master key"] == [
        f"DATA_DIR: {file} is not a folder."
    ]
    answer = operator.run("migrate")
    assert (answer.exit_code, "is not a folder." in answer.stderr) == (1, True)


def own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def told(operator: Operator) -> list[dict[str, str]]:
    answer = operator.run("doctor", "--json")
    assert answer.exit_code == 3, answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


def found_files(operator: Operator) -> dict[str, str]:
    [found] = [one for one in told(operator) if one["name"] == "files"]
    assert found["state"] == "fail"
    return found


def test_a_folder_that_the_service_makes_is_its_owners_only(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "new", {})
    operator.do("migrate")
    assert states(operator, "files") == [("ok", "")]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no Redis."""
    monkeypatch.setattr("doorward.stores._REDIS_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", SICK)
def test_what_is_wrong_is_found(tmp_path: Path, name: str) -> None:
    sick = SICK[name]
    if name.startswith("more connections") and os.sysconf("SC_OPEN_MAX") > 1_000_256:
        pytest.skip("This machine lets a process open more files than the largest MAX_CONNECTIONS needs.")
    Operator(tmp_path, {}).do("migrate")
    answer = Operator(tmp_path, sick.settings).run("doctor")
    assert answer.exit_code == sick.code, answer.output
    [line] = [line for line in answer.stdout.splitlines() if line[6:].startswith(sick.about)]
    assert line.startswith(sick.state)
    assert sick.said in line


def states(operator: Operator, name: str) -> list[tuple[str, str]]:
    """What the doctor says under a name: states and what to do."""
    told = [json.loads(line) for line in operator.run("doctor", "--json").stdout.splitlines()]
    return [(one["state"], one["todo"]) for one in told if one["name"] == name]


def test_a_database_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    tmp_path.chmod(0o755)
    operator.do("migrate")
    (tmp_path / "doorward.db").chmod(0o644)
    assert states(operator, "files") == [("warn", f"chmod 700 {tmp_path}.")]
    tmp_path.chmod(0o700)
    assert states(operator, "files") == [("ok", "")]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can get into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user who may do nothing, as far as files go."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_database_that_the_user_cannot_write_is_a_failure(open_folder: Path) -> None:
    settings = read_settings(open_folder)
    migrate(settings)
    database = open_folder / "doorward.db"
    database.chmod(0o444)
    with nobody():
        found = doctor._files(settings)
        user = pwd.getpwuid(os.geteuid()).pw_name
    assert found is not None
    assert found.state == "fail"
    assert found.todo == f"If the service runs as {user}: chown {user} {database}."


FREE = {"plenty": (5 << 30, "ok"), "little": (500 << 20, "warn"), "hardly any": (10 << 20, "fail")}


@pytest.mark.parametrize("name", FREE)
def test_room_on_the_disk_is_looked_at_where_the_database_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    free, state = FREE[name]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(
        "doorward.cli.doctor.shutil.disk_usage",
        lambda folder: type("Usage", (), {"free": free if folder.name == "elsewhere" else 5 << 30}),
    )
    found = states(Operator(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/elsewhere/a.db"}), "disk")
    assert [one for one, _ in found] == ["ok", state]
    assert bool(found[1][1]) == (state != "ok")


STORES: dict[str, tuple[float, Callable[[int], ServerInfo], str, str]] = {
    "near": (0.2, lambda now: ServerInfo("PostgreSQL 16.1", now, 97), "database", "ok"),
    "far away": (45.0, lambda now: ServerInfo("PostgreSQL 16.1", now, 97), "database", "warn"),
    "few connections": (0.2, lambda now: ServerInfo("PostgreSQL 16.1", now, 7), "database", "warn"),
    "clocks that agree": (0.2, lambda now: ServerInfo("PostgreSQL 16.1", now - 500, 97), "clock", "ok"),
    "a clock behind": (0.2, lambda now: ServerInfo("PostgreSQL 16.1", now - 60_000, 97), "clock", "fail"),
    "a clock ahead": (0.2, lambda now: ServerInfo("PostgreSQL 16.1", now + 60_000, 97), "clock", "fail"),
    "eviction": (0.2, lambda now: ServerInfo("Redis 7.2", now, 97, evicts=True), "sessions", "warn"),
    "keys of backend-auth": (
        0.2,
        lambda now: ServerInfo("Redis 7.2", now, 97, is_predecessors=True),
        "sessions",
        "warn",
    ),
}


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_judged_by_how_it_answers(tmp_path: Path, name: str) -> None:
    took, server, about_what, state = STORES[name]
    store = "sessions" if about_what == "sessions" else "database"
    settings = read_settings(tmp_path)
    found = list(doctor._store(settings, store, server(system_clock())._replace(took=took)))
    assert ("fail" if any(one.state == "fail" for one in found) else "") == ("fail" if state == "fail" else "")
    [last] = [one for one in found if one.name == about_what][-1:]
    assert last.state == state
    assert bool(last.todo) == (state != "ok")


def test_a_redis_that_evicts_sessions_is_found(tmp_path: Path) -> None:
    with own_redis(maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        operator = Operator(tmp_path, {"REDIS_URL": server.url})
        operator.do("migrate")
        assert ("warn", "Set its maxmemory-policy to noeviction.") in states(operator, "sessions")
        assert [state for state, _ in states(operator, "clock")] == ["ok"]


TERMS = {
    "a long time": (-10, 60, "ok"),
    "a quarter of it left": (-60, 15, "warn"),
    "renewed in time": (-50, 40, "ok"),
    "a year's, a month left": (-336, 29, "warn"),
    "expired": (-30, -1, "fail"),
    "not yet": (2, 30, "fail"),
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("listener", ["https", "maintenance"])
def test_a_certificate_says_how_long_it_holds(tmp_path: Path, listener: str, name: str) -> None:
    begins, ends, state = TERMS[name]
    pair = Authority(tmp_path).issue("server", file="server", begins=begins, ends=ends)
    for file in (pair.key, pair.both):
        Path(file).chmod(0o600)
    settings = {
        "https": {"HTTPS_SERVER": "on", "HTTPS_CERT": pair.certificate, "HTTPS_KEY": pair.key},
        "maintenance": {
            "MAINTAIN_TLS_PORT": "3444",
            "MAINTAIN_TLS_PEM": pair.both,
            "MAINTAIN_TLS_CA": Authority(tmp_path, "clients").file,
            "MAINTAIN_TLS_CA_CN": "operator",
        },
    }[listener]
    operator = Operator(tmp_path / "data", settings)
    operator.do("migrate")
    answer = operator.run("doctor")
    assert answer.exit_code == (3 if state == "fail" else 0), answer.output
    [(found, todo)] = states(operator, listener)
    assert found == state
    assert bool(todo) == (state != "ok")
    assert "CN=server" in answer.stdout
    assert [one for one, _ in states(operator, "clients' CA")] == ["ok"] * (listener == "maintenance")


def https(certificate: str, key: str) -> dict[str, str]:
    return {"HTTPS_SERVER": "on", "HTTPS_CERT": certificate, "HTTPS_KEY": key}


def test_a_key_of_another_certificate_and_a_file_that_is_not_there_are_failures(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, two = (authority.issue(name, file=name) for name in ("one", "two"))
    (tmp_path / "nothing").write_text("nothing\n")
    for certificate, key in ((one.certificate, two.key), ("nowhere", one.key), (str(tmp_path / "nothing"), one.key)):
        answer = Operator(tmp_path / "data", https(certificate, key)).run("doctor")
        assert answer.exit_code == 3
        assert "HTTPS_CERT and HTTPS_KEY cannot be used" in answer.stdout


def test_a_key_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server", file="server")
    Path(pair.key).chmod(0o644)
    found = states(Operator(tmp_path / "data", https(pair.certificate, pair.key)), "https")
    assert found == [("warn", f"chmod 600 {pair.key}."), ("ok", "")]


def test_an_authority_of_ours_or_the_clients_that_has_expired_is_found_in_a_bundle(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, expired = authority.issue("server", file="server"), authority.issue("old", begins=-9, ends=-1)
    for file in (server.key, server.both):
        Path(file).chmod(0o600)
    chain = tmp_path / "chain.pem"
    chain.write_text(Path(server.both).read_text() + Path(expired.certificate).read_text())
    chain.chmod(0o600)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Path(expired.certificate).read_text() + Path(authority.file).read_text())
    settings = {"MAINTAIN_TLS_PORT": "3444", "MAINTAIN_TLS_PEM": str(chain), "MAINTAIN_TLS_CA_CN": "operator"}
    both = Operator(tmp_path / "data", {**settings, "MAINTAIN_TLS_CA": str(bundle)})
    assert [state for state, _ in states(both, "maintenance")] == ["ok", "warn"]
    assert [state for state, _ in states(both, "clients' CA")] == ["warn", "ok"]
    alone = Operator(tmp_path / "data", {**settings, "MAINTAIN_TLS_CA": expired.certificate})
    assert [state for state, _ in states(alone, "clients' CA")] == ["fail"]
