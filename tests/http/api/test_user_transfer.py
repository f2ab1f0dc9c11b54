import asyncio
import json
import socket
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_contract import faults, fresh
from doorward.core import model
from doorward.core.errors import StoreUnavailable
from doorward.core.model import Caller
from doorward.core.passwords.hashing import Hasher
from doorward.core.users.transfer import UserRow, UserTransferService
from doorward.http.api.handlers import user_transfer
from doorward.http.api.user_rows import write_lines
from doorward.http.connection.registry import ConnectionLimits
from doorward.storage.relational.accounts import RelationalAccountStore
from doorward.stores import select_stores
from harness import KEY, Service, Tenant, TurnableClock, read_settings, running

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashes.json").read_text())
BCRYPT = "$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
EXTREME = "$argon2id$v=19$m=4194304,t=1,p=1$c2l4dGVlbiBieXRlcw$q22jzdDtRjfohIEIMfKJanIvRXXYKKusY2iccZ8f7R4"


def row(login: str = "alice", **more: Any) -> dict[str, Any]:
    return {"login": login, "email": f"{login}@example.org", "sub": f"sub-{login}", **more}


def take(tenant: Tenant, *rows: Any, query: str = "") -> dict[str, Any]:
    answer = tenant.post(f"/users/import{query}", {"users": list(rows)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def hand_out(tenant: Tenant, query: str = "") -> list[dict[str, Any]]:
    answer = tenant.get(f"/users/export{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def key_of(tenant: Tenant, *permissions: str) -> dict[str, str]:
    made = tenant.post("/tenant/key", {"name": "machine", "permissions": list(permissions)})
    return {"Authorization": f"Bearer {made.json()['key']}"}


def statuses(found: dict[str, Any]) -> list[tuple[str | None, str, str | None]]:
    return [(result.get("login"), result["status"], result.get("code")) for result in found["results"]]


@pytest.mark.one_setup
def test_users_of_another_system_log_in_with_the_passwords_they_had(tenant: Tenant) -> None:
    rows = [row(f"user{n}", passwordHash=vector["hash"]) for n, vector in enumerate(VECTORS)]
    assert take(tenant, *rows)["created"] == len(VECTORS)
    for n, vector in enumerate(VECTORS[::7]):
        login = f"user{n * 7}"
        assert tenant.login(login, vector["password"] + "!").status_code == 403
        assert tenant.login(login, vector["hash"]).status_code == 403
        assert tenant.login(login, vector["password"]).status_code == 200
        assert tenant.login(login, vector["password"]).status_code == 200


def test_PW8_at_the_first_login_the_hash_becomes_argon2id_and_never_before(tenant: Tenant) -> None:
    vector = next(v for v in VECTORS if v["maker"] == "passlib, ldap_salted_sha1")
    take(tenant, row(passwordHash=vector["hash"]))
    assert hand_out(tenant, "?hashes=true")[0]["passwordHash"] == vector["hash"]
    tenant.login("alice", "wrong")
    assert hand_out(tenant, "?hashes=true")[0]["passwordHash"] == vector["hash"]
    session = tenant.session("alice", vector["password"])
    assert hand_out(tenant, "?hashes=true")[0]["passwordHash"].startswith("$argon2id$")
    assert tenant.verify(session).status_code == 200
    assert tenant.login("alice", vector["password"]).status_code == 200


@pytest.mark.one_setup
def test_PW8_hostile_and_unknown_hashes_refuse_their_row_and_no_other(tenant: Tenant) -> None:
    found = take(
        tenant, row("a", passwordHash=EXTREME), row("b", passwordHash="5f4dcc3b5aa765d61d8327deb882cf99"), row("c")
    )
    assert (found["created"], found["exists"], found["refused"]) == (1, 0, 2)
    assert statuses(found) == [
        ("a", "refused", "hash_too_costly"),
        ("b", "refused", "hash_unreadable"),
        ("c", "created", None),
    ]
    assert all(result["error"] for result in found["results"][:2])
    assert [user["login"] for user in hand_out(tenant)] == ["c"]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"login": "alice", "sub": "x"}, '"email" is required'),
        ({"login": "", "email": "a@b", "sub": "x"}, '"login" is not allowed to be empty'),
        ({"login": "al\u200bice", "email": "a@b", "sub": "x"}, '"login" must not contain invisible characters'),
        ({"login": "alice", "email": "nobody", "sub": 7}, '"email" must be a valid email; "sub" must be a string'),
        (row(passwordHash=7), '"passwordHash" must be a string'),
        (row(scope=[[[[[[[[[1]]]]]]]]]), '"scope" must not nest deeper than 8 levels'),
        (row(metadata="m" * 5000), '"metadata" must not take more than 4096 bytes'),
        (row(disabled="no"), '"disabled" must be true or false'),
        ("alice", '"value" must be an object'),
        (None, '"value" must be an object'),
    ],
)
def test_a_bad_row_is_refused_by_the_rules_of_a_new_user_and_the_others_are_created(
    tenant: Tenant, bad: Any, says: str
) -> None:
    found = take(tenant, row("before"), bad, row("after"))
    assert [result["status"] for result in found["results"]] == ["created", "refused", "created"]
    assert (found["results"][1]["code"], found["results"][1]["error"]) == ("validation_error", says)


def test_a_user_is_taken_over_with_everything_that_is_said_of_it(tenant: Tenant) -> None:
    said = row(company="Example Ltd", scope=["orders:read"], metadata={"plan": 3}, disabled=True)
    take(tenant, {**said, "id": "mine", "tenant": "another", "registrationDate": 1, "isTenant": True})
    [user] = hand_out(tenant)
    assert {name: user[name] for name in said} == said
    assert user["tenant"] == tenant.id
    assert user["id"] != "mine"
    assert user["registrationDate"] != 1


def test_a_disabled_user_stays_out(tenant: Tenant) -> None:
    take(tenant, row(passwordHash=BCRYPT, disabled=True))
    vector = next(v for v in VECTORS if v["maker"] == "bcrypt")
    take(tenant, row("bob", passwordHash=vector["hash"], disabled=True))
    answer = tenant.login("bob", vector["password"])
    assert (answer.status_code, answer.json()["code"]) == (403, "user_disabled")


HASH = next(v for v in VECTORS if v["maker"] == "bcrypt")
NEVER = {"passwordHash": HASH["hash"], "emailVerified": False}


def logins_of(tenant: Tenant, *logins: str) -> list[str]:
    """Return the code of each login's answer, "in" where it succeeds."""
    answers = [tenant.login(login, HASH["password"]) for login in logins]
    return ["in" if answer.status_code == 200 else answer.json()["code"] for answer in answers]


def test_F14_users_whose_address_was_never_verified_come_in_disabled(tenant: Tenant) -> None:
    found = take(
        tenant,
        row("never", **NEVER),
        row("verified", **{**NEVER, "emailVerified": True}),
        row("unknown", **{**NEVER, "emailVerified": None}),
        row("silent", passwordHash=HASH["hash"]),
    )
    assert (found["created"], found["skipped"], found["unconfirmed"]) == (4, 0, 1)
    assert [result.get("unconfirmed") for result in found["results"]] == [True, None, None, None]
    assert logins_of(tenant, "never", "verified", "unknown", "silent") == ["user_disabled", "in", "in", "in"]
    shown = {user["login"]: user.get("emailVerified") for user in tenant.get("/user").json()["users"]}
    assert shown == {"never": None, "verified": True, "unknown": None, "silent": None}
    tenant.http.patch("/user/never", json={"disabled": False}, headers=tenant.headers)
    assert logins_of(tenant, "never") == ["in"]


def test_F14_an_import_may_let_unconfirmed_users_in_or_leave_them_out(tenant: Tenant) -> None:
    rows = [
        row("never", **NEVER),
        row("NEVER", **{**NEVER, "emailVerified": True, "sub": "sub-never"}),
        row("out", **NEVER, disabled=True),
    ]
    admitted = take(tenant, *rows, query="?unconfirmed=admit&dryRun=true")
    assert statuses(admitted) == [("never", "created", None), ("NEVER", "exists", None), ("out", "created", None)]
    assert (admitted["unconfirmed"], hand_out(tenant)) == (2, [])
    skipped = take(tenant, *rows, query="?unconfirmed=skip&dryRun=true")
    assert statuses(skipped) == [("never", "skipped", None), ("NEVER", "created", None), ("out", "skipped", None)]
    assert (skipped["created"], skipped["skipped"], skipped["unconfirmed"]) == (1, 2, 2)
    assert take(tenant, *rows, query="?unconfirmed=skip")["created"] == 1
    assert [user["login"] for user in hand_out(tenant)] == ["NEVER"]
    assert logins_of(tenant, "never") == ["in"]
    assert take(tenant, row("let-in", **NEVER), rows[2], query="?unconfirmed=admit")["created"] == 2
    assert logins_of(tenant, "let-in", "out") == ["in", "user_disabled"]
    assert take(tenant, row("let-in", **NEVER))["exists"] == 1
    assert logins_of(tenant, "let-in") == ["in"]


@pytest.mark.one_setup
def test_F14_what_is_said_of_an_address_has_to_be_true_or_false(tenant: Tenant) -> None:
    found = take(tenant, row("a", emailVerified="no"), row("b", emailVerified=1))
    assert [result["error"] for result in found["results"]] == ['"emailVerified" must be true or false'] * 2
    for query in ("?unconfirmed=", "?unconfirmed=Admit", "?unconfirmed=true"):
        answer = tenant.post(f"/users/import{query}", {"users": [row()]})
        assert faults(answer) == ['"unconfirmed" must be one of admit, disable, skip']
    assert hand_out(tenant) == []


def test_nobody_logs_in_as_a_user_without_a_hash_until_a_reset(tenant: Tenant) -> None:
    take(tenant, row(), row("bob", passwordHash=None))
    for login in ("alice", "bob"):
        assert tenant.login(login, "anything").status_code == 403
        code = tenant.post(f"/user/{login}/password/reset", {}).json()["code"]
        assert tenant.post("/auth/reset", {"code": code, "password": "a new password"}).status_code == 200
        assert tenant.login(login, "a new password").status_code == 200


def test_the_same_rows_again_change_nothing(tenant: Tenant) -> None:
    rows = [row(f"user{n}", passwordHash=BCRYPT) for n in range(5)]
    assert take(tenant, *rows)["created"] == 5
    before = hand_out(tenant, "?hashes=true")
    found = take(tenant, *[{**each, "email": "other@example.org"} for each in rows])
    assert (found["created"], found["exists"], found["refused"]) == (0, 5, 0)
    assert hand_out(tenant, "?hashes=true") == before


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
def test_F7_spellings_of_one_login_are_one_user_where_the_sub_is_the_same(tenant: Tenant, query: str) -> None:
    found = take(
        tenant, row("Alice", sub="1"), row("alice", sub="1"), row("\uff21lice", sub="1"), row("bob"), query=query
    )
    assert [result["status"] for result in found["results"]] == ["created", "exists", "exists", "created"]
    assert [user["login"] for user in hand_out(tenant)] == ([] if query else ["Alice", "bob"])


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
def test_F7_a_login_of_another_sub_is_refused_with_both_logins(tenant: Tenant, query: str) -> None:
    take(tenant, row("Carol", sub="3"))
    rows = [row("Bob", sub="1"), row("bob", sub="2"), row("BOB", sub="1"), row("carol", sub="4"), row("CAROL", sub="3")]
    found = take(tenant, *rows, query=query)
    assert statuses(found) == [
        ("Bob", "created", None),
        ("bob", "refused", "login_taken"),
        ("BOB", "exists", None),
        ("carol", "refused", "login_taken"),
        ("CAROL", "exists", None),
    ]
    assert [result.get("takenBy") for result in found["results"]] == [None, "Bob", None, "Carol", None]
    assert (found["created"], found["exists"], found["refused"]) == (1, 2, 2)
    assert found["results"][1]["error"] == "The login is that of a user with another sub"
    assert {user["login"]: user["sub"] for user in hand_out(tenant)} == {"Carol": "3"} | ({} if query else {"Bob": "1"})


def test_a_dry_run_tells_what_would_happen_and_keeps_nothing(tenant: Tenant) -> None:
    take(tenant, row("old"))
    rows = [row("old"), row("new"), row("NEW", sub="sub-new"), row("bad", passwordHash="x")]
    dry = take(tenant, *rows, query="?dryRun=true")
    assert [user["login"] for user in hand_out(tenant)] == ["old"]
    assert take(tenant, *rows, query="?dryRun=false") == dry
    assert [user["login"] for user in hand_out(tenant)] == ["new", "old"]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, ['"users" is required']),
        ({"users": {}}, ['"users" must be an array']),
        ({"users": []}, ['"users" must contain from 1 to 1000 items']),
        ({"users": [{}] * 1001}, ['"users" must contain from 1 to 1000 items']),
    ],
)
def test_what_is_no_list_of_at_most_a_thousand_rows_is_refused(tenant: Tenant, body: Any, says: list[str]) -> None:
    assert faults(tenant.post("/users/import", body)) == says


def test_a_thousand_rows_fit_into_one_call(tenant: Tenant) -> None:
    rows = [row(f"user{n:04}", passwordHash=BCRYPT, metadata={"n": "m" * 400}) for n in range(1000)]
    assert take(tenant, *rows)["created"] == 1000
    assert [user["login"] for user in hand_out(tenant)] == [f"user{n:04}" for n in range(1000)]


@pytest.mark.one_setup
def test_a_body_of_more_than_a_megabyte_is_refused(tenant: Tenant) -> None:
    answer = tenant.post("/users/import", {"users": [row(metadata="m" * (1 << 20))]})
    assert answer.status_code == 413


def test_keys_import_and_export_as_far_as_their_permissions_go(tenant: Tenant) -> None:
    take(tenant, row(passwordHash=BCRYPT))
    reader, writer, both = (
        key_of(tenant, *given) for given in (["users:read"], ["users:write"], ["users:read", "users:write"])
    )
    body = {"users": [row("bob")]}
    assert tenant.http.post("/users/import", json=body, headers=reader).json()["code"] == "permission_denied"
    assert tenant.http.post("/users/import", json=body, headers=writer).status_code == 200
    assert tenant.http.get("/users/export", headers=writer).json()["code"] == "permission_denied"
    assert "passwordHash" not in tenant.http.get("/users/export", headers=reader).text
    refused = tenant.http.get("/users/export?hashes=true", headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert BCRYPT in tenant.http.get("/users/export?hashes=true", headers=both).text


def test_PR3_an_export_has_all_and_only_the_tenants_users_and_no_secret(tenant: Tenant, other: Tenant) -> None:
    take(other, row("theirs", passwordHash=BCRYPT))
    assert hand_out(tenant) == []
    take(tenant, *[row(f"user{n:03}", passwordHash=BCRYPT) for n in range(600)])
    found = hand_out(tenant)
    assert [user["login"] for user in found] == [f"user{n:03}" for n in range(600)]
    assert {user["tenant"] for user in found} == {tenant.id}
    assert "$2b$" not in json.dumps(found)
    assert found[0] == tenant.get("/user/user000").json()


def test_what_was_exported_can_be_imported_by_another_tenant(tenant: Tenant, other: Tenant) -> None:
    vector = VECTORS[0]
    take(
        tenant,
        row(passwordHash=vector["hash"], scope=None, metadata={"a": [1, "\u00e9"]}, company="X"),
        row("bob", disabled=True),
        row("carol", emailVerified=True),
    )
    first = hand_out(tenant, "?hashes=true")
    assert [user.get("emailVerified") for user in first] == [None, None, True]
    assert take(other, *first)["created"] == 3
    second = hand_out(other, "?hashes=true")
    own = {"id", "tenant", "registrationDate", "lastActivity"}
    assert [{k: v for k, v in user.items() if k not in own} for user in second] == [
        {k: v for k, v in user.items() if k not in own} for user in first
    ]
    assert other.login("alice", vector["password"]).status_code == 200


def test_HEAD_of_an_export_reads_nothing_and_leaves_no_trace(tenant: Tenant) -> None:
    take(tenant, row())
    answer = tenant.http.head("/users/export", headers=tenant.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert [e["action"] for e in tenant.get("/tenant/audit").json()["events"]] == ["users.import", "tenant.create"][
        : len(tenant.get("/tenant/audit").json()["events"])
    ]


def test_AU1_the_log_says_who_moved_users_and_how_many(tenant: Tenant) -> None:
    take(tenant, row("a"), row("b"), row("bad", passwordHash="x"))
    take(tenant, row("a"))
    hand_out(tenant)
    hand_out(tenant, "?hashes=true")
    told = [(e["action"], e.get("subject")) for e in tenant.get("/tenant/audit").json()["events"]]
    assert told[:3] == [("users.export", "with hashes"), ("users.export", None), ("users.import", "2 users")]
    assert [action for action, _ in told].count("users.import") == 1


@pytest.mark.one_setup
def test_an_export_is_refused_by_a_name_that_is_neither_true_nor_false(tenant: Tenant) -> None:
    assert faults(tenant.get("/users/export", hashes="yes")) == ['"hashes" must be true or false']
    assert faults(tenant.post("/users/import?dryRun=1", {"users": [row()]})) == ['"dryRun" must be true or false']


def test_imports_and_exports_have_a_budget(store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> None:
    with running(read_settings(tmp_path, {**store, "BUDGET_WRITE": "50:20"}), clock) as service:
        tenant = fresh(service)
        assert [tenant.get("/users/export").status_code for _ in range(3)] == [200, 200, 429]
        refused = tenant.post("/users/import", {"users": [row()]})
        assert (refused.status_code, refused.json()["budget"]) == (429, "bulk")
        clock.turn(seconds=int(refused.headers["retry-after"]))
        assert tenant.post("/users/import", {"users": [row()]}).status_code == 200


def _raw(service: Service, tenant: Tenant, version: str = "1.1") -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", service.port))
    head = f"GET /users/export HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {tenant.token}\r\n\r\n"
    client.sendall(head.encode())
    return client


def test_an_export_is_sent_in_chunks_and_the_connection_serves_on(tenant: Tenant) -> None:
    take(tenant, *[row(f"user{n}") for n in range(300)])
    with tenant.http.stream("GET", "/users/export", headers=tenant.headers) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert len(list(answer.iter_lines())) == 300
    assert len(hand_out(tenant)) == 300


def test_a_client_of_an_older_protocol_is_told_that_it_cannot_have_a_stream(shared: Service, tenant: Tenant) -> None:
    with _raw(shared, tenant, "1.0") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 505")


def test_a_fault_in_mid_stream_ends_the_connection_so_that_clients_notice(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(tenant, *[row(f"user{n}") for n in range(600)])
    real, count = write_lines, iter(range(100))

    def fail(*args: Any, **kwargs: Any) -> bytes:
        if next(count) == 1:
            raise OSError("the disk is gone")
        return real(*args, **kwargs)

    monkeypatch.setattr(user_transfer, "write_lines", fail)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        tenant.get("/users/export")


def test_a_fault_before_anything_was_sent_is_an_error_like_any_other(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(tenant, row())

    def fail(*_: Any, **__: Any) -> bytes:
        raise OSError("the disk is gone")

    monkeypatch.setattr(user_transfer, "write_lines", fail)
    assert tenant.get("/users/export").status_code == 500


LARGE = 4000
"""Rows of two kilobytes: more than the buffers of two sockets hold."""


def _fill(folder: Path, tenant: Tenant) -> None:
    with closing(sqlite3.connect(folder / "doorward.db")) as database:
        database.executemany(
            "INSERT INTO users (id, tenant_id, login, login_key, email, sub, password_hash, credentials,"
            " registration_date, last_activity, metadata, disabled, version)"
            " VALUES (?, ?, ?, ?, 'a@b', 's', '', 1, 0, 0, ?, 0, 1)",
            ((f"id{n}", tenant.id, f"user{n:05}", f"user{n:05}", json.dumps("m" * 2000)) for n in range(LARGE)),
        )
        database.commit()


@pytest.fixture
def hasty(tmp_path: Path) -> Any:
    with running(read_settings(tmp_path), limits=ConnectionLimits(handler_time=1.5)) as service:
        tenant = fresh(service)
        _fill(tmp_path, tenant)
        yield service, tenant


def test_a_client_that_reads_slowly_but_on_gets_a_long_answer_whole(hasty: tuple[Service, Tenant]) -> None:
    service, tenant = hasty
    with _raw(service, tenant) as client:
        began, received = time.monotonic(), b""
        # Longer than any deadline, in small pieces; then the rest at once.
        while time.monotonic() - began < 5:
            received += client.recv(2048)
            time.sleep(0.02)
        while not received.endswith(b"\r\n0\r\n\r\n"):
            piece = client.recv(1 << 16)
            assert piece, "cut off"
            received += piece
    assert received.count(b'"login"') == LARGE


def test_a_client_that_stops_reading_a_long_answer_is_cut_off(hasty: tuple[Service, Tenant]) -> None:
    service, tenant = hasty
    with _raw(service, tenant) as client:
        assert client.recv(1000)
        time.sleep(5)
        received = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                received += piece
        assert received.count(b'"login"') < LARGE
        assert not received.endswith(b"\r\n0\r\n\r\n")


def test_a_long_answer_outlives_the_deadline_of_handlers_as_long_as_pieces_come(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doorward.http import middleware

    take(tenant, *[row(f"user{n:04}") for n in range(1000)])
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT", 0.5)
    real = write_lines

    def slow(*args: Any, **kwargs: Any) -> bytes:
        time.sleep(0.3)
        return real(*args, **kwargs)

    monkeypatch.setattr(user_transfer, "write_lines", slow)
    assert len(hand_out(tenant)) == 1000


async def test_nothing_more_is_read_for_a_client_that_has_gone(hasty: tuple[Service, Tenant]) -> None:
    service, tenant = hasty
    client = _raw(service, tenant)
    client.recv(1000)
    client.close()
    # The service is free again at once: another export is whole.
    assert len(await asyncio.to_thread(hand_out, tenant)) == LARGE


async def test_two_imports_of_the_same_rows_at_once_create_each_user_once(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"JWT_KEY": KEY})
    stores = select_stores(settings)
    await stores.open()
    users = UserTransferService(stores.accounts, stores.audit, TurnableClock())
    await stores.accounts.add_tenant(model.Tenant("tenant", "a@b", "", 1, 0))
    caller = Caller("tenant", "operator")
    rows = [UserRow(f"user{n}", "a@b", "s") for n in range(200)]
    first, second = await asyncio.gather(users.import_users(caller, rows), users.import_users(caller, rows))
    created = [a.status == "created" for a in (*first, *second)]
    assert sum(created) == 200
    await stores.close()


@pytest.mark.parametrize("fault", ["no memory", "no store"])
def test_PW8_a_hash_that_cannot_be_made_anew_today_keeps_nobody_out(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def cannot_hash(*_: object) -> str:
        raise MemoryError

    async def cannot_keep(*_: object) -> bool:
        raise StoreUnavailable

    vector = VECTORS[0]
    take(tenant, row(passwordHash=vector["hash"]))
    with monkeypatch.context() as broken:
        if fault == "no memory":
            broken.setattr(Hasher, "hash", cannot_hash)
        else:
            broken.setattr(RelationalAccountStore, "set_user_hash", cannot_keep)
        assert tenant.login("alice", vector["password"]).status_code == 200
    assert hand_out(tenant, "?hashes=true")[0]["passwordHash"] == vector["hash"]
    assert tenant.login("alice", vector["password"]).status_code == 200
    assert hand_out(tenant, "?hashes=true")[0]["passwordHash"].startswith("$argon2id$")
