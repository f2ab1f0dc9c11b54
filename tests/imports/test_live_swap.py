"""The switch from backend-auth: import of its data while its clients go on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from doorward.stores import Stores
from harness import Service, read_settings, running
from imports.import_run import bring_in, with_stores
from legacy_server import COMPAT, DUMP, Client, redis_server

pytestmark = pytest.mark.slow

LIVE = DUMP["live_tokens"]
USERS = [user for user in DUMP["users"] if user["plain_password"]]
TENANT_TOKEN = {one["tenant"]: one["token"] for one in LIVE if one["kind"] == "tenant"}


@pytest.fixture(scope="module")
def swapped(store: dict[str, str], module_folder: Path) -> Iterator[Service]:
    """A service that took over the dump."""
    settings = read_settings(module_folder, {**store, **COMPAT})
    with redis_server() as predecessor:
        predecessor.load_dump()
        bring_in(settings, predecessor, keep_orphans=True)
    with running(settings) as service:
        yield service


@pytest.fixture(params=["typescript", "php"])
def client(swapped: Service, request: pytest.FixtureRequest) -> Client:
    return Client(swapped.client(), php=request.param == "php")


@pytest.mark.parametrize(
    "live", LIVE, ids=lambda one: f"{one['kind']} {one.get('login', one['tenant'])} {one['how'][:12]}"
)
def test_UP6_every_live_token_goes_on_and_says_what_it_said(client: Client, live: dict[str, Any]) -> None:
    if live["kind"] == "tenant":
        assert client.read("decoded", "POST", "/tenant/verify", {"token": live["token"]}) == live["payload"]
    else:
        credential = TENANT_TOKEN[live["tenant"]]
        assert client.read("decoded", "POST", "/auth/verify", {"token": live["token"]}, credential) == live["payload"]


@pytest.mark.parametrize("dead", DUMP["dead_tokens"], ids=lambda one: f"{one['kind']} {one['how']}")
def test_UP6_every_dead_token_stays_dead(client: Client, dead: dict[str, Any]) -> None:
    path = "/tenant/verify" if dead["kind"] == "tenant" else "/auth/verify"
    answer = client.send("POST", path, {"token": dead["token"]}, TENANT_TOKEN[dead["tenant"]])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid token")


@pytest.mark.parametrize("tenant", DUMP["tenants"], ids=lambda tenant: tenant["email"])
def test_UP6_every_tenant_logs_in_with_its_password(client: Client, tenant: dict[str, Any]) -> None:
    body = {"email": tenant["email"], "password": tenant["plain_password"]}
    token = client.read("token", "POST", "/tenant/login", body)
    decoded = client.read("decoded", "POST", "/tenant/verify", {"token": token})
    assert (decoded["id"], decoded["login"], decoded["aud"]) == (
        tenant["id"],
        f"tenant:{tenant['email']}",
        "jincor.com",
    )


@pytest.mark.parametrize("user", USERS, ids=lambda user: f"{user['tenant']} {user['login']}")
def test_UP6_every_user_logs_in_with_its_password_and_gets_a_new_hash(
    swapped: Service, client: Client, user: dict[str, Any]
) -> None:
    credential = TENANT_TOKEN[user["tenant"]]
    body = {"login": user["login"], "password": user["plain_password"], "deviceId": "new/device"}
    wrong = client.send("POST", "/auth", {**body, "password": "wrong"}, credential)
    assert (wrong.status_code, wrong.json()["error"]) == (403, "Incorrect password")
    token = client.read("accessToken", "POST", "/auth", body, credential)
    decoded = client.read("decoded", "POST", "/auth/verify", {"token": token}, credential)
    assert (decoded["id"], decoded["login"], decoded["deviceId"]) == (user["id"], user["login"], "new/device")
    assert hash_of(swapped, decoded["tenant"], user["login"]).startswith("$argon2id$")
    assert client.read("result", "POST", "/auth/logout", {"token": token}, credential) == 1
    assert client.send("POST", "/auth/verify", {"token": token}, credential).status_code == 400


def hash_of(service: Service, tenant_id: str, login: str) -> str:
    async def look(stores: Stores) -> str:
        user = await stores.accounts.user_by_login(tenant_id, login)
        assert user
        return user.password_hash

    return with_stores(service.settings, look)


def test_UP6_a_row_whose_password_is_no_hash_cannot_log_in_with_it(swapped: Service, client: Client) -> None:
    credential = TENANT_TOKEN["legacy-two@example.com"]
    answer = client.send("POST", "/auth", {"login": "broken60", "password": "p" * 60, "deviceId": "d"}, credential)
    assert answer.status_code == 403
    two = next(tenant["id"] for tenant in DUMP["tenants"] if tenant["email"] == "legacy-two@example.com")
    assert hash_of(swapped, two, "broken60") == ""


def test_users_are_as_they_were(client: Client) -> None:
    import json

    rows = [json.loads(row["value"]) for row in DUMP["keys"] if row["kind"] == "user"]
    for row in rows:
        row.pop("password")
        tenant = next(one["email"] for one in DUMP["tenants"] if one["id"] == row["tenant"])
        answer = client.send(
            "GET", f"/user/{quote(row.get('login', 'undefined'), safe='')}", token=TENANT_TOKEN[tenant]
        )
        shown = answer.json()
        assert shown.pop("lastActivity") >= row.pop("lastActivity")
        # What the predecessor left out has to be there by the contract: a login, the one it is kept by, and an address.
        assert shown == {"login": "undefined", "email": "", **row}


def test_a_new_creation_replaces_a_user_and_ends_its_imported_sessions(client: Client) -> None:
    credential = TENANT_TOKEN["legacy-one@example.com"]
    [carol] = [one for one in LIVE if one.get("login") == "carol"]
    login = f"carol{client.php:d}"
    if client.php:
        body = {"login": "carol", "email": "c@example.com", "password": "new password", "sub": "s"}
        assert client.read("id", "POST", "/user", body, credential) == carol["payload"]["id"]
        assert client.send("POST", "/auth/verify", {"token": carol["token"]}, credential).status_code == 400
        assert client.read("accessToken", "POST", "/auth", {**body, "deviceId": "d"}, credential)
    else:
        body = {"login": login, "email": "c@example.com", "password": "first", "sub": "s"}
        first = client.read("id", "POST", "/user", body, credential)
        assert client.read("id", "POST", "/user", {**body, "password": "second"}, credential) == first
        assert client.read("accessToken", "POST", "/auth", {**body, "password": "second", "deviceId": "d"}, credential)
        assert client.read("result", "DELETE", f"/user/{login}", token=credential) == 1


def test_an_imported_token_is_logged_out_once(client: Client) -> None:
    if client.php:
        [one] = [one for one in LIVE if one.get("login") == "with:colon"]
        path, credential = "/auth/logout", TENANT_TOKEN[one["tenant"]]
    else:
        one = next(one for one in LIVE if one["kind"] == "tenant" and one["token"] not in TENANT_TOKEN.values())
        path, credential = "/tenant/logout", ""
    assert client.read("result", "POST", path, {"token": one["token"]}, credential) == 1
    assert client.send("POST", path, {"token": one["token"]}, credential).status_code == 400
