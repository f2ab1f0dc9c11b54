"""Imported sessions over HTTP: verification, introspection, revocation."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from harness import Service, read_settings, running
from imports.import_run import bring_in
from legacy_server import COMPAT, DUMP, Predecessor

pytestmark = pytest.mark.slow

ONE, TWO = (tenant["email"] for tenant in DUMP["tenants"])
ONE_ID = DUMP["tenants"][0]["id"]
TENANT_TOKENS = {
    email: [one["token"] for one in DUMP["live_tokens"] if (one["kind"], one["tenant"]) == ("tenant", email)]
    for email in (ONE, TWO)
}
PASSWORD = DUMP["tenants"][0]["plain_password"]


def live(login: str | None, device: str, tenant: str = ONE) -> dict[str, object]:
    [found] = [
        one
        for one in DUMP["live_tokens"]
        if one["kind"] == "user" and (one["login"], one["deviceId"], one["tenant"]) == (login, device, tenant)
    ][:1]
    return found  # type: ignore[no-any-return]


@pytest.fixture
def http(tmp_path: Path, predecessor: Predecessor) -> Iterator[httpx.Client]:
    """A client of a service that took over the dump; it carries the first tenant's imported token."""
    settings = read_settings(tmp_path, {**COMPAT, "FORWARD_AUTH_COOKIE": "session"})
    predecessor.load_dump()
    bring_in(settings, predecessor, keep_orphans=True)
    with running(settings) as service:
        yield client(service, TENANT_TOKENS[ONE][0])


def client(service: Service, token: str) -> httpx.Client:
    return service.client(headers={"Authorization": f"Bearer {token}"})


def is_alive(http: httpx.Client, token: object) -> bool:
    answer = http.post("/auth/verify", json={"token": token})
    assert answer.status_code in {200, 400}
    return answer.status_code == 200


def test_an_imported_tenant_token_may_do_what_a_native_one_may(http: httpx.Client) -> None:
    created = http.post("/user", json={"login": "new", "email": "n@example.org", "password": "pw", "sub": "s"})
    assert created.json()["tenant"] == ONE_ID
    native = http.post("/auth", json={"login": "new", "password": "pw", "deviceId": "d"}).json()["accessToken"]
    assert is_alive(http, native)
    assert http.get("/tenant").json()["email"] == ONE
    assert http.post("/tenant/key", json={"name": "gate", "permissions": ["verify"]}).status_code == 201


def test_introspection_speaks_of_an_imported_token_as_the_standard_wants_it(http: httpx.Client) -> None:
    made = http.post("/tenant/key", json={"name": "gate", "permissions": ["verify"]}).json()
    one = live("дейв", "телефон 😀")
    asking = {"Authorization": f"Bearer {made['key']}"}
    told = http.post("/oauth/introspect", data={"token": str(one["token"])}, headers=asking).json()
    payload = one["payload"]
    assert isinstance(payload, dict)
    assert 0 < told.pop("exp") - payload["iat"] // 1000 < 2 * 366 * 86_400
    assert told == {
        "active": True,
        "token_type": "Bearer",
        "client_id": ONE_ID,
        "username": "дейв",
        "sub": "тема",
        "aud": ["jincor.com", made["id"]],
        "jti": payload["jti"],
        "iat": payload["iat"] // 1000,
        "user_id": payload["id"],
        "device_id": "телефон 😀",
    }
    foreign = live("with:colon", "d", TWO)["token"]
    assert http.post("/oauth/introspect", data={"token": str(foreign)}, headers=asking).json() == {"active": False}


@pytest.mark.parametrize(("login", "device", "tenant"), [("bob", "dev:with:colons", ONE), (None, "default", TWO)])
def test_a_gateway_lets_an_imported_token_through(
    http: httpx.Client, login: str | None, device: str, tenant: str
) -> None:
    credential = {"Authorization": f"Bearer {TENANT_TOKENS[tenant][0]}"}
    key = http.post("/tenant/key", json={"name": "gate", "permissions": ["verify"]}, headers=credential).json()["key"]
    one = live(login, device, tenant)
    headers = {"X-Doorward-Key": key, "Authorization": f"Bearer {one['token']}"}
    answer = http.get("/forward-auth", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-auth-login"] == (login or "")
    assert answer.headers["x-auth-device"] == device


def test_a_batch_answers_for_imported_tokens_with_what_they_say(http: httpx.Client) -> None:
    ours, theirs, orphan = live("bob", "dev:with:colons"), live("with:colon", "d", TWO), live("ghost", "d")
    tokens = [one["token"] for one in (ours, theirs, orphan, ours)] + ["garbage"]
    answer = http.post("/auth/verify/batch", json={"tokens": tokens}).json()["results"]
    assert answer == [
        {"active": True, "decoded": ours["payload"]},
        {"active": False},
        {"active": True, "decoded": orphan["payload"]},
        {"active": True, "decoded": ours["payload"]},
        {"active": False},
    ]


def test_lists_show_imported_sessions_and_each_can_be_ended(http: httpx.Client) -> None:
    listed = http.get("/user/alice/sessions").json()["sessions"]
    assert sorted(one["deviceId"] for one in listed) == ["laptop", "laptop", "phone"]
    assert [one["createdAt"] for one in listed] == sorted((one["createdAt"] for one in listed), reverse=True)
    phone = next(one["id"] for one in listed if one["deviceId"] == "phone")
    assert http.delete(f"/user/alice/sessions/{quote(phone, safe='')}").status_code == 200
    assert not is_alive(http, live("alice", "phone")["token"])
    assert http.delete("/user/alice/sessions", params={"deviceId": "laptop"}).status_code == 200
    assert http.get("/user/alice/sessions").json()["sessions"] == []
    strange = http.get(f"/user/{quote('дейв')}/sessions").json()["sessions"][0]["id"]
    assert http.delete(f"/user/{quote('дейв')}/sessions/{quote(strange, safe='')}").status_code == 200
    assert not is_alive(http, live("дейв", "телефон 😀")["token"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/user/bob", None),
        ("DELETE", "/user/bob/sessions", None),
        ("DELETE", "/tenant/sessions", None),
        ("PATCH", "/user/bob", {"disabled": True}),
        ("PATCH", "/user/bob", {"password": "another"}),
        ("POST", "/user/bob/password", {"current": "bob-pw", "password": "another"}),
        ("POST", "/user", {"login": "BOB", "email": "b@example.org", "password": "pw", "sub": "s"}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_TK14_whatever_ends_a_users_sessions_ends_imported_ones(
    http: httpx.Client, method: str, path: str, body: object
) -> None:
    token = live("bob", "dev:with:colons")["token"]
    assert is_alive(http, token)
    answer = http.request(method, path, json=body) if body else http.request(method, path)
    assert answer.status_code == 200, answer.text
    assert not is_alive(http, token)


def test_a_changed_password_keeps_the_imported_session_it_is_told_to_keep(http: httpx.Client) -> None:
    kept, other = live("alice", "phone")["token"], live("alice", "laptop")["token"]
    body = {"current": "alice-pw", "password": "another", "keepToken": kept}
    assert http.post("/user/alice/password", json=body).status_code == 200
    assert (is_alive(http, kept), is_alive(http, other)) == (True, False)


def test_TK14_a_tenants_new_password_ends_its_other_tokens_and_keeps_the_one_that_asks(http: httpx.Client) -> None:
    ours, other = TENANT_TOKENS[ONE]
    body = {"current": PASSWORD, "password": "Another-Horse-9"}
    assert http.post("/tenant/password", json=body).status_code == 200
    assert http.post("/tenant/verify", json={"token": ours}).status_code == 200
    assert http.post("/tenant/verify", json={"token": other}).status_code == 400
    assert is_alive(http, live("bob", "dev:with:colons")["token"])


def test_a_deleted_tenant_takes_its_imported_sessions_along(http: httpx.Client) -> None:
    assert http.request("DELETE", "/tenant", json={"password": PASSWORD}).status_code == 200
    assert http.get("/tenant").status_code == 401
    theirs = {"Authorization": f"Bearer {TENANT_TOKENS[TWO][0]}"}
    token = live("bob", "dev:with:colons")["token"]
    assert http.post("/auth/verify", json={"token": token}, headers=theirs).status_code == 400


def test_TI2_a_session_whose_user_is_gone_belongs_to_the_tenant_that_asked_first(http: httpx.Client) -> None:
    theirs = {"Authorization": f"Bearer {TENANT_TOKENS[TWO][0]}"}
    ghost, other = live("ghost", "d")["token"], live("flag", "before-overwrite", TWO)["token"]
    assert is_alive(http, ghost)
    assert http.post("/auth/verify", json={"token": ghost}, headers=theirs).status_code == 400
    assert http.post("/auth/logout", json={"token": ghost}, headers=theirs).status_code == 400
    assert is_alive(http, ghost)
    assert http.post("/auth/logout", json={"token": other}, headers=theirs).status_code == 200
    assert not is_alive(http, other)


def test_without_the_legacy_key_no_imported_token_lives(tmp_path: Path, predecessor: Predecessor) -> None:
    predecessor.load_dump()
    bring_in(read_settings(tmp_path, COMPAT), predecessor)
    with running(read_settings(tmp_path)) as service:
        answer = client(service, TENANT_TOKENS[ONE][0]).post("/auth/verify", json={"token": "x"})
        assert answer.status_code == 401
    with running(read_settings(tmp_path, {**COMPAT, "LEGACY_JWT_KEY": "another"})) as service:
        answer = client(service, "x").post("/tenant/verify", json={"token": TENANT_TOKENS[ONE][0]})
        assert answer.status_code == 400
