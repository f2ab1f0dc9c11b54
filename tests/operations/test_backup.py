"""Backups of a service in use, and restores that bring back no revoked credential."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from doorward.operations.data_migration import BackupFile, write_backup_file
from doorward.storage.sqlite.file import connect
from harness import PASSWORD, Service, Tenant, read_settings, running
from terminal import Operator

CANARY = "Canary-Passw0rd-7f3a9c"


def status(tenant: Tenant, key: str) -> int:
    return tenant.http.get("/user", headers={"Authorization": f"Bearer {key}"}).status_code


def log_in(service: Service, tenant: Tenant) -> Tenant:
    answer = service.client().post("/tenant/login", json={"email": tenant.email, "password": tenant.password})
    assert answer.status_code == 200, answer.text
    return Tenant(tenant.http, tenant.id, tenant.email, tenant.password, answer.json()["token"])


def test_BK2_a_restore_revives_no_session_no_user_no_tenant_and_no_key(
    operator: Operator, shared: Service, tenant: Tenant, other: Tenant, tmp_path: Path
) -> None:
    for login in ("alice", "bob"):
        tenant.create(login)
    live, ended = tenant.session("bob"), tenant.session("bob", device="phone")
    kept, revoked = (tenant.post("/tenant/key", {"name": name, "permissions": ["users:read"]}).json() for name in "ab")
    file = tmp_path / "backup"
    operator.do("backup", str(file))
    tenant.logout(ended)
    tenant.delete("alice")
    tenant.http.delete(f"/tenant/key/{revoked['id']}", headers=tenant.headers)
    tenant.create("later")
    operator.do("tenant", "delete", other.email, "--yes")
    said = operator.do("restore", str(file), "--yes").stderr
    assert "3 tenants, users and API keys that were deleted since then stayed deleted" in said
    assert tenant.get("/tenant").status_code == 401
    again = log_in(shared, tenant)
    assert [again.verify(token).status_code for token in (live, ended)] == [400, 400]
    assert [one["login"] for one in again.get("/user").json()["users"]] == ["bob"]
    assert (status(tenant, kept["key"]), status(tenant, revoked["key"])) == (200, 401)
    gone = shared.client().post("/tenant/login", json={"email": other.email, "password": other.password})
    assert gone.status_code == 401
    assert again.login("bob").status_code == 200
    assert operator.do("audit", "verify").exit_code == 0
    [told] = operator.read("audit", "show", "--tenant", "service", "--limit", "1")
    assert told["action"] == "operator.restore"


def test_BK1_a_backup_under_load_is_one_state_and_BK4_the_drill_works(
    operator: Operator, shared: Service, tenant: Tenant, tmp_path: Path
) -> None:
    stop = threading.Event()

    def load() -> None:
        client, number = shared.client(), 0
        while not stop.is_set():
            body = {"login": f"load{number}", "email": "a@example.org", "password": "pw", "sub": "s"}
            assert client.post("/user", json=body, headers=tenant.headers).status_code == 200
            number += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for number in range(3):
            operator.do("backup", str(tmp_path / str(number)))
    finally:
        stop.set()
        thread.join()
    # Put back into an empty place, as on another machine.
    there = Operator(tmp_path / "other", {})
    there.do("restore", str(tmp_path / "2"), "--yes")
    users = there.read("user", "list", "--tenant", tenant.email)
    logins = {one["login"] for one in users}
    # Users were created one after the other, each with its entry in the trail: a consistent state has no gaps.
    assert logins == {f"load{number}" for number in range(len(logins))}
    created = [
        one
        for one in there.read("audit", "show", "--tenant", tenant.email, "--limit", "100000")
        if one["action"] == "user.create"
    ]
    assert len(created) == len(logins)
    there.do("audit", "verify")


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_BK3_a_backup_holds_no_secret_in_clear(
    operator: Operator, tenant: Tenant, tmp_path: Path, passphrase: str | None
) -> None:
    tenant.create("alice", password=CANARY)
    session = tenant.session("alice", CANARY)
    key = tenant.post("/tenant/key", {"name": "ci", "permissions": ["verify"]}).json()["key"]
    file = tmp_path / "backup"
    operator.do("backup", str(file), *(["--encrypt"] if passphrase else []), typed=f"{passphrase}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    from doorward.storage.transfer.backup_file import Reader

    with file.open("rb") as opened:
        frames = list(Reader(opened).frames(passphrase))
    assert {table for table, *_ in frames} == {"tenants", "users", "departed", "api_keys", "audit_chains", "audit"}
    text = repr(frames)
    assert tenant.id in text
    for secret in (CANARY, session, key, PASSWORD, tenant.token):
        assert secret not in text
    if passphrase:
        assert tenant.id.encode() not in file.read_bytes()


def restored_users(folder: Path, file: Path, tenant: Tenant) -> dict[str, object]:
    there = Operator(folder, {})
    there.do("restore", str(file), "--yes")
    lines = there.do("user", "export", "--tenant", tenant.email).stdout.splitlines()
    return {user["login"]: user.get("emailVerified") for user in map(json.loads, lines)}


def test_F14_a_backup_keeps_whose_address_is_verified(operator: Operator, tenant: Tenant, tmp_path: Path) -> None:
    tenant.create("alice", emailVerified=True)
    tenant.create("bob")
    operator.do("backup", str(tmp_path / "backup"))
    assert restored_users(tmp_path / "other", tmp_path / "backup", tenant) == {"alice": True, "bob": None}


def test_UP1_a_backup_from_before_a_column_was_added_is_restored_without_it(
    operator: Operator, tenant: Tenant, tmp_path: Path
) -> None:
    from doorward.storage.transfer.backup_file import Reader, Writer

    tenant.create("alice", email="ÄLICE@example.org", emailVerified=True)
    operator.do("backup", str(tmp_path / "backup"))
    with (tmp_path / "backup").open("rb") as new, (tmp_path / "old").open("wb") as old:
        reader = Reader(new)
        writer = Writer(old, schema=7, taken_at=reader.header.taken_at, passphrase=None)
        for table, columns, rows in reader.frames(None):
            if table == "users":
                kept = [place for place, name in enumerate(columns) if name not in {"email_verified_at", "email_key"}]
                former = [[row[place] for place in kept] for row in rows]
                writer.add(table, [columns[place] for place in kept], former)
            else:
                writer.add(table, columns, rows)
        writer.end()
    assert restored_users(tmp_path / "other", tmp_path / "old", tenant) == {"alice": None}
    with closing(connect(read_settings(tmp_path / "other", {}).database_path, busy=5)) as connection:
        keys = connection.execute("SELECT email_key FROM users WHERE tenant_id = ?", (tenant.id,)).fetchall()
        assert keys == [("älice@example.org",)]


def break_byte(raw: bytes) -> bytes:
    return raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a byte": break_byte,
    "the end": lambda raw: raw[:-20],
    "the last frame": lambda raw: raw[:-90],
    "everything": lambda _: b"nothing\n",
    "something added": lambda raw: raw + b"x",
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_damaged_backup_changes_nothing(tmp_path: Path, name: str, passphrase: str | None) -> None:
    operator = Operator(tmp_path, {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    file = tmp_path / "backup"
    operator.do("backup", str(file), *(["--encrypt"] if passphrase else []), typed=f"{passphrase}\n")
    operator.do("tenant", "create", "--init", "b@example.org", typed=PASSWORD + "\n")
    file.write_bytes(DAMAGE[name](file.read_bytes()))
    answer = operator.run("restore", str(file), "--yes", typed=f"{passphrase}\n")
    assert answer.exit_code == 1, answer.output
    assert "Traceback" not in answer.output
    assert len(operator.read("tenant", "list")) == 2


def test_another_passphrase_opens_nothing(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    operator.do("migrate")
    operator.do("backup", str(tmp_path / "backup"), "--encrypt", typed="right\n")
    answer = operator.run("restore", str(tmp_path / "backup"), "--yes", typed="wrong\n")
    assert (answer.exit_code, answer.stderr) == (1, "The passphrase is wrong, or the backup is damaged.\n")


def test_an_encrypted_backup_asks_for_its_passphrase_and_a_short_one_is_warned_about(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    operator.do("migrate")
    file, other = tmp_path / "backup", tmp_path / "other"
    short = operator.do("backup", str(file), "--encrypt", typed="elevenchars\n").stderr
    assert short.startswith("The passphrase has fewer than 12 characters. An attacker who has the file can guess it.\n")
    assert "fewer" not in operator.do("backup", str(other), "--encrypt", typed="twelve chars\n").stderr
    answer = operator.run("restore", str(file), "--yes")
    assert (answer.exit_code, answer.stderr) == (1, "This backup is encrypted: give --passphrase-file.\n")
    (tmp_path / "passphrase").write_text("elevenchars\n")
    operator.do("restore", str(file), "--yes", "--passphrase-file", str(tmp_path / "passphrase"))


def test_a_restore_needs_no_master_key_and_API_keys_go_on_under_another(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "one", {"JWT_KEY": ""})
    operator.do("tenant", "create", "--init", "shop@example.org", typed=PASSWORD + "\n")
    key = operator.do(
        "apikey", "create", "gate", "--tenant", "shop@example.org", "--permission", "users:read", "--json"
    )
    operator.do("backup", str(tmp_path / "backup"))
    elsewhere = Operator(tmp_path / "two", {"JWT_KEY": ""})
    elsewhere.do("restore", str(tmp_path / "backup"), "--yes")
    one, two = (place.folder / "master.key" for place in (operator, elsewhere))
    assert one.read_text() != two.read_text()
    with running(read_settings(elsewhere.folder, {"JWT_KEY": ""})) as service:
        proof = {"Authorization": f"Bearer {json.loads(key.stdout)['key']}"}
        assert service.client().get("/user", headers=proof).status_code == 200
        body = {"email": "shop@example.org", "password": PASSWORD}
        assert service.client().post("/tenant/login", json=body).status_code == 200


def test_UP7_a_backup_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    from doorward.storage.transfer.backup_file import Writer

    with (tmp_path / "backup").open("wb") as file:
        Writer(file, schema=9999, taken_at=0, passphrase=None).end()
    answer = Operator(tmp_path, {}).run("restore", str(tmp_path / "backup"), "--yes")
    assert answer.exit_code == 1
    assert answer.stderr.startswith("The backup has schema version 9999")


def test_N9_a_file_that_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "data", {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    file = tmp_path / "doorward.bak"
    file.write_bytes(b"yesterday's")
    refused = operator.run("backup", str(file))
    assert (refused.exit_code, refused.stderr) == (
        1,
        f"{file} exists; choose another name, or replace it with --force.\n",
    )
    assert file.read_bytes() == b"yesterday's"
    operator.do("backup", str(file), "--force")
    operator.do("restore", str(file), "--yes")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_N9_not_even_force_replaces_the_database_by_its_backup(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "data", {})
    operator.do("tenant", "create", "--init", "a@example.org", typed=PASSWORD + "\n")
    database = tmp_path / "data" / "doorward.db"
    (tmp_path / "link").symlink_to(database)
    for file in (database, tmp_path / "link"):
        refused = operator.run("backup", str(file), "--force")
        assert (refused.exit_code, refused.stderr) == (1, f"{file} is the database itself; choose another name.\n")
    assert "a@example.org" in operator.do("tenant", "list").stdout


def test_F36_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    operator = Operator(tmp_path / "data", {})
    operator.do("tenant", "create", "--init", "shop@example.org", typed=PASSWORD + "\n")
    for more in ([], ["--force"], ["--passphrase-file", "phrase"]):
        (tmp_path / "phrase").write_text("a passphrase\n")
        written = operator.do("backup", "-", *more)
        assert "The backup contains" in written.stderr
        file = tmp_path / "piped.bak"
        file.write_bytes(written.stdout_bytes)
        operator.do("restore", str(file), "--yes", *more[1:] and more)
        assert [one["email"] for one in operator.read("tenant", "list")] == ["shop@example.org"]
    assert not (tmp_path / "-").exists()


def test_N9_a_file_that_appears_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "data", {})
    operator.do("migrate")
    file = tmp_path / "doorward.bak"
    work = write_backup_file(
        tmp_path / "data" / "doorward.db",
        BackupFile(file),
        schema=1,
        taken_at=0,
        passphrase=None,
        step=lambda _: file.write_bytes(b"another's") and None,
    )
    with pytest.raises(FileExistsError):
        asyncio.run(work)
    assert file.read_bytes() == b"another's"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
