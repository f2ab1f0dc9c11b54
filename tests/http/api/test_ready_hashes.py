"""Passwords and password hashes: a bcrypt string is a password, unless the tenant asks for the predecessor's rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from api_contract import faults, fresh
from harness import PASSWORD, Tenant, TurnableClock, read_settings, running

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashes.json").read_text())
COSTLY = "$argon2id$v=19$m=4194304,t=1,p=1$c2l4dGVlbiBieXRlcw$q22jzdDtRjfohIEIMfKJanIvRXXYKKusY2iccZ8f7R4"


def hashed(password: str, prefix: str = "$2a$") -> str:
    return prefix + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()[4:]


def put(tenant: Tenant, login: str = "alice", **secret: str) -> httpx.Response:
    body = {"email": "user@example.org", "sub": "sub-1", **secret}
    return tenant.http.put(f"/user/{login}", json=body, headers=tenant.headers)


def patch(tenant: Tenant, login: str = "alice", **changes: Any) -> httpx.Response:
    return tenant.http.patch(f"/user/{login}", json=changes, headers=tenant.headers)


def choose(tenant: Tenant, **settings: Any) -> None:
    answer = tenant.http.patch("/tenant", json={"settings": settings}, headers=tenant.headers)
    assert answer.status_code == 200, answer.text


def by_change(tenant: Tenant, password: str) -> httpx.Response:
    return tenant.post("/user/alice/password", {"current": "pw", "password": password})


def by_reset(tenant: Tenant, password: str) -> httpx.Response:
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    return tenant.post("/auth/reset", {"code": code, "password": password})


WAYS: dict[str, Callable[[Tenant, str], httpx.Response]] = {
    "PUT": lambda tenant, password: put(tenant, password=password),
    "PATCH": lambda tenant, password: patch(tenant, password=password),
    "change": by_change,
    "reset": by_reset,
}
"""Ways to give a user of the password "pw" a new password."""


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_PW3_C4_a_client_that_registers_a_bcrypt_string_logs_in_with_it(tenant: Tenant, prefix: str) -> None:
    string = hashed("the real one", prefix)
    assert string not in tenant.create("alice", string).text
    assert [tenant.login("alice", string).status_code for _ in range(2)] == [200, 200]
    assert tenant.login("alice", "the real one").status_code == 403
    assert tenant.login("alice", hashed("the real one", prefix)).status_code == 403
    assert put(tenant, "carol", password=string).status_code == 201
    assert tenant.login("carol", string).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_PW3_C4_no_way_to_change_a_password_takes_a_hash_for_one(tenant: Tenant, way: str, *, on: bool) -> None:
    choose(tenant, readyHashes=on)
    tenant.create()
    string = hashed("a")
    assert WAYS[way](tenant, string).status_code == 200
    assert tenant.login("alice", "a").status_code == 403
    assert tenant.login("alice", string).status_code == 200
    assert tenant.login("alice", "pw").status_code == 403


@pytest.mark.one_setup
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_PW5_C4_a_bcrypt_string_passes_the_policy_like_any_other_password(
    tenant: Tenant, way: str, *, on: bool
) -> None:
    tenant.create()
    choose(tenant, readyHashes=on, passwordPolicy={"minLength": 61})
    refused = WAYS[way](tenant, hashed("a"))
    assert faults(refused) == ['"password" length must be at least 61 characters long']
    assert tenant.login("alice", "pw").status_code == 200


def test_PW5_C4_a_new_user_with_a_bcrypt_string_passes_the_policy_too(tenant: Tenant) -> None:
    choose(tenant, passwordPolicy={"minLength": 61})
    assert faults(tenant.create("alice", hashed("a"))) == ['"password" length must be at least 61 characters long']
    assert faults(put(tenant, password=hashed("a"))) == ['"password" length must be at least 61 characters long']


def test_PW3_a_tenant_may_have_a_bcrypt_string_for_a_password(tenant: Tenant) -> None:
    string = "$2b$04$" + "aB3" * 17 + "ab"
    changed = tenant.post("/tenant/password", {"current": PASSWORD, "password": string})
    assert changed.status_code == 200
    body = {"email": f"two-{tenant.email}", "password": string}
    assert tenant.http.post("/tenant", json=body).status_code == 200
    for email in (tenant.email, body["email"]):
        assert tenant.http.post("/tenant/login", json={"email": email, "password": string}).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("vector", VECTORS[4:25:3], ids=lambda vector: vector["maker"])
def test_C4_users_are_created_and_changed_with_hashes_of_other_systems(tenant: Tenant, vector: dict[str, str]) -> None:
    answers = [
        tenant.create("post", passwordHash=vector["hash"]),
        put(tenant, "put", passwordHash=vector["hash"]),
        tenant.create("patch", "old"),
        patch(tenant, "patch", passwordHash=vector["hash"]),
    ]
    assert [answer.status_code for answer in answers] == [200, 201, 200, 200]
    for answer, login in zip(answers, ("post", "put", "patch", "patch"), strict=True):
        assert vector["hash"] not in answer.text
        assert tenant.login(login, vector["hash"]).status_code == 403
        # The first login renews the hash; the second finds the new one.
        assert [tenant.login(login, vector["password"]).status_code for _ in range(2)] == [200, 200]
        assert tenant.login(login, vector["password"] + "!").status_code == 403


def test_C4_a_user_has_a_password_or_a_hash_and_never_both(tenant: Tenant) -> None:
    both = {"password": "pw", "passwordHash": hashed("pw")}
    together = '"passwordHash" is not allowed together with "password"'
    tenant.create()
    assert faults(tenant.post("/user", {"login": "bob", "email": "b@example.org", "sub": "s", **both})) == [together]
    assert faults(put(tenant, "bob", **both)) == [together]
    assert faults(patch(tenant, **both)) == [together]
    assert faults(put(tenant, "bob")) == ['"password" is required']
    assert patch(tenant, sub="neither is a change too").status_code == 200
    empty = tenant.post("/user", {"passwordHash": ""})
    assert faults(empty) == [
        '"login" is required',
        '"email" is required',
        '"passwordHash" is not allowed to be empty',
        '"sub" is required',
    ]
    assert faults(tenant.create("bob", passwordHash=None)) == ['"passwordHash" must be a string']
    assert [user["login"] for user in tenant.get("/user").json()["users"]] == ["alice"]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        (COSTLY, "hash_too_costly", "demands more memory or time than is allowed"),
        ("$2b$15$" + "a" * 53, "hash_too_costly", "demands more memory or time than is allowed"),
        ("$2b$31$" + "a" * 53, "hash_too_costly", "demands more memory or time than is allowed"),
        ("$2b$03$" + "a" * 53, "hash_unreadable", "is of no known format, or not well-formed"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "hash_unreadable", "is of no known format, or not well-formed"),
        ("hunter2", "hash_unreadable", "is of no known format, or not well-formed"),
        ("\u00fc" * 60, "hash_unreadable", "is of no known format, or not well-formed"),
        ("$2b$04$" + "a" * 1018, "string.max", "length must be less than or equal to 1024 characters long"),
    ],
)
def test_PW3_PW8_a_hash_that_cannot_be_compared_is_refused(tenant: Tenant, text: str, code: str, sentence: str) -> None:
    tenant.create()
    for answer in (
        tenant.create("bob", passwordHash=text),
        put(tenant, "bob", passwordHash=text),
        patch(tenant, passwordHash=text),
    ):
        assert faults(answer) == [f'"passwordHash" {sentence}']
        [detail] = answer.json()["error"]["details"]
        assert (detail["path"], detail["type"]) == (["passwordHash"], code)
        assert text not in answer.text
    assert tenant.login().status_code == 200
    assert [user["login"] for user in tenant.get("/user").json()["users"]] == ["alice"]


def test_C4_another_hash_ends_the_sessions_and_the_same_one_does_not(tenant: Tenant) -> None:
    first, second = hashed("pw"), hashed("pw")
    put(tenant, passwordHash=first)
    put(tenant, "bob", passwordHash=first)
    bystander = tenant.session("bob")
    assert put(tenant, "carol", passwordHash=first).status_code == 201
    assert put(tenant, "carol", passwordHash=first).status_code == 200
    # A login renews the stored hash, so the same one counts as another from then on.
    changes: list[Callable[[], httpx.Response]] = [
        lambda: put(tenant, passwordHash=first),
        lambda: put(tenant, passwordHash=second),
        lambda: patch(tenant, passwordHash=first),
    ]
    for change in changes:
        token = tenant.session()
        assert change().status_code == 200
        assert tenant.verify(token).status_code == 400
    assert tenant.verify(bystander).status_code == 200


def test_C4_no_policy_can_judge_a_hash(tenant: Tenant) -> None:
    choose(tenant, passwordPolicy={"minLength": 15, "requireClasses": True, "blockCommon": True})
    assert tenant.create(passwordHash=hashed("a")).status_code == 200
    assert tenant.login("alice", "a").status_code == 200
    assert tenant.post("/user/alice/password", {"current": "a", "password": "b"}).status_code == 422


def test_C4_an_exported_hash_is_taken_where_hashes_are(tenant: Tenant) -> None:
    tenant.create()
    [user] = map(json.loads, tenant.get("/users/export", hashes="true").text.splitlines())
    assert tenant.create("bob", passwordHash=user["passwordHash"]).status_code == 200
    assert tenant.login("bob").status_code == 200
    assert put(tenant, passwordHash=user["passwordHash"]).status_code == 200


def test_C4_what_a_tenant_chooses_counts_for_its_own_new_users_alone(tenant: Tenant, other: Tenant) -> None:
    assert tenant.get("/tenant").json()["settings"]["readyHashes"] is False
    choose(tenant, readyHashes=True)
    assert tenant.get("/tenant").json()["settings"]["readyHashes"] is True
    for prefix in ("$2a$", "$2b$", "$2y$"):
        string = hashed("the real one", prefix)
        assert tenant.create(prefix, string).status_code == other.create(prefix, string).status_code == 200
        assert [tenant.login(prefix, "the real one").status_code for _ in range(2)] == [200, 200]
        assert tenant.login(prefix, string).status_code == 403
        assert other.login(prefix, string).status_code == 200
        assert other.login(prefix, "the real one").status_code == 403
    assert tenant.create("short", "$2b$10$" + "a" * 52).status_code == 200
    assert tenant.login("short", "$2b$10$" + "a" * 52).status_code == 200
    costly = tenant.create("costly", "$2b$31$" + "a" * 53)
    assert faults(costly) == ['"password" demands more memory or time than is allowed']
    for off in (False, None):
        choose(tenant, readyHashes=off)
        string = hashed("the real one")
        tenant.create(f"off-{off}", string)
        assert tenant.login(f"off-{off}", string).status_code == 200
    answer = tenant.http.patch("/tenant", json={"settings": {"readyHashes": "yes"}}, headers=tenant.headers)
    assert faults(answer) == ['"readyHashes" must be true or false']


def test_C4_the_service_may_read_all_its_tenants_new_users_as_the_predecessor_did(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    settings = read_settings(tmp_path, {**store, "LEGACY_READY_HASHES": "on", "EXISTING_LOGIN": "replace"})
    with running(settings, clock) as service:
        tenant, modern = fresh(service), fresh(service)
        choose(modern, readyHashes=False)
        assert [one.get("/tenant").json()["settings"]["readyHashes"] for one in (tenant, modern)] == [True, False]
        string = hashed("the real one")
        for one in (tenant, modern):
            one.create("alice", "old")
            token = one.session("alice", "old")
            assert one.create("alice", string).status_code == 200
            assert one.verify(token).status_code == 400
        assert [tenant.login("alice", given).status_code for given in ("the real one", string)] == [200, 403]
        assert [modern.login("alice", given).status_code for given in ("the real one", string)] == [403, 200]
        choose(modern, readyHashes=None)
        modern.create("alice", string)
        assert modern.login("alice", "the real one").status_code == 200
        # A person's new password is one, whatever it looks like.
        assert tenant.post("/user/alice/password", {"current": "the real one", "password": string}).status_code == 200
        assert [tenant.login("alice", given).status_code for given in ("the real one", string)] == [403, 200]
        assert put(tenant, password=hashed("x")).status_code == 200
        assert tenant.login("alice", "x").status_code == 403


def test_C4_an_existing_login_is_replaced_with_a_password_or_a_hash(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"}), clock) as service:
        tenant = fresh(service)
        first = tenant.create("alice", "old").json()
        string = hashed("new")
        assert tenant.create("alice", string).json()["id"] == first["id"]
        assert [tenant.login("alice", given).status_code for given in ("old", "new", string)] == [403, 403, 200]
        assert tenant.create("alice", passwordHash=string).json()["id"] == first["id"]
        assert [tenant.login("alice", given).status_code for given in (string, "new")] == [403, 200]
        assert faults(tenant.create("alice", passwordHash="none")) != []
        assert tenant.login("alice", "new").status_code == 200


def test_AU1_C4_the_log_says_where_a_hash_was_given(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"}), clock) as service:
        tenant = fresh(service)
        string = hashed("pw")
        tenant.create("a", string)
        tenant.create("a", passwordHash=string)
        tenant.create("b", passwordHash=string)
        put(tenant, "b", password="new")
        put(tenant, "b", passwordHash=string)
        put(tenant, "c", passwordHash=string)
        put(tenant, "c", passwordHash=string)
        patch(tenant, "c", password="new")
        patch(tenant, "c", passwordHash=string)
        choose(tenant, readyHashes=True)
        tenant.create("d", string)
        tenant.post("/users/import", {"users": [{"login": "e", "email": "e@example.org", "sub": "s"}]})
        body = {"login": "f", "email": "f@example.org", "sub": "s", "passwordHash": string}
        tenant.post("/users/import", {"users": [body]})
        events = tenant.get("/tenant/audit").json()["events"]
        told = [(one["action"], one.get("detail")) for one in reversed(events)]
        assert told == [
            ("tenant.create", None),
            ("user.create", None),
            ("user.replace", "hash"),
            ("user.create", "hash"),
            ("user.replace", None),
            ("user.replace", "hash"),
            ("user.create", "hash"),
            ("user.change", None),
            ("user.password", None),
            ("user.password", "hash"),
            ("tenant.settings", None),
            ("user.create", "hash"),
            ("users.import", None),
            ("users.import", "hash"),
        ]
        assert string not in json.dumps(events)
