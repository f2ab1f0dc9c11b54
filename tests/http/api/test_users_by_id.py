"""`/users/{userId}`: users by id, also those whose login no path can contain (F32)."""

from uuid import uuid4

import httpx
import pytest

from api_contract import assert_refused, essence, logins
from doorward.http.api.routes import ENDPOINTS
from harness import Service, Tenant

GONE = (404, "login_not_found", "Specified login does not exist or was already deleted.")
LOGIN = "sales/alice"
BY_LOGIN = {(it.method, it.path.removeprefix("/user/{login}")) for it in ENDPOINTS if it.path.startswith("/user/{")}
BY_ID = {(it.method, it.path.removeprefix("/users/{userId}")) for it in ENDPOINTS if it.path.startswith("/users/{")}


def ask(tenant: Tenant, method: str, path: str, **body: object) -> httpx.Response:
    return tenant.http.request(method, path, json=body or None, headers=tenant.headers)


def test_F32_what_there_is_of_a_user_by_login_there_is_by_id_but_for_PUT() -> None:
    assert {("PUT", "")} == BY_LOGIN - BY_ID
    assert BY_ID <= BY_LOGIN


def test_F32_a_user_with_a_slash_in_its_login_is_kept_by_its_id_alone(service: Service) -> None:
    tenant = service.tenant()
    user = tenant.create(LOGIN).json()
    path = f"/users/{user['id']}"
    assert tenant.get(path).json() == user
    changed = ask(tenant, "PATCH", path, company="Example Ltd").json()
    assert changed == {**user, "company": "Example Ltd"}

    token = tenant.session(LOGIN)
    [session] = tenant.get(f"{path}/sessions").json()["sessions"]
    assert ask(tenant, "DELETE", f"{path}/sessions/{session['id']}").json() == {"result": 1}
    assert tenant.verify(token).status_code == 400
    tokens = [tenant.session(LOGIN, device=device) for device in ("phone", "laptop")]
    assert ask(tenant, "DELETE", f"{path}/sessions?deviceId=phone").json() == {"result": 1}
    assert [tenant.verify(token).status_code for token in tokens] == [400, 200]
    assert ask(tenant, "DELETE", f"{path}/sessions").json() == {"result": 1}
    assert tenant.verify(tokens[1]).status_code == 400

    passage = {"current": "pw", "password": "new"}
    assert tenant.post(f"{path}/password", passage).json() == {"result": 1}
    code = tenant.post(f"{path}/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": code, "password": "newer"}).json() == {"result": 1}
    for _ in range(5):
        tenant.login(LOGIN, "wrong")
    assert tenant.login(LOGIN, "newer").status_code == 429
    assert ask(tenant, "DELETE", f"{path}/failures").json() == {"result": 1}
    assert tenant.login(LOGIN, "newer").status_code == 200

    assert ask(tenant, "PATCH", path, login="alice").json()["login"] == "alice"
    assert tenant.get(path).json()["login"] == "alice"
    assert ask(tenant, "DELETE", path).json() == {"result": 1}
    assert_refused(tenant.get(path), *GONE)
    assert logins(tenant) == []


@pytest.mark.parametrize(("method", "rest"), sorted(BY_ID))
def test_F32_an_id_of_no_user_of_the_tenant_is_answered_like_any_text(
    tenant: Tenant, other: Tenant, method: str, rest: str
) -> None:
    alice = tenant.create("alice").json()
    foreign = other.create("alice").json()
    body = {"password": {"current": "pw", "password": "x"}, "": {"sub": "x"}}.get(rest.strip("/"), {})
    body = body if method in {"PATCH", "POST"} else {}
    answers = [
        ask(tenant, method, f"/users/{user_id}{rest}".replace("{id}", "x"), **body)
        for user_id in (str(uuid4()), foreign["id"], foreign["id"].upper(), "alice", "x", "*", "a%2Fb", "9" * 500)
    ]
    assert_refused(answers[0], *GONE)
    assert len({str(essence(answer)) for answer in answers}) == 1
    assert tenant.get("/user/alice").json() == alice
    assert other.get("/user/alice").json() == foreign


def test_F32_an_id_in_upper_case_is_the_same_id(tenant: Tenant) -> None:
    user = tenant.create("alice").json()
    path = f"/users/{user['id'].upper()}"
    assert ask(tenant, "GET", path).json() == user
    assert ask(tenant, "PATCH", path, sub="other").json()["sub"] == "other"
    assert ask(tenant, "DELETE", path).status_code == 200
    assert tenant.get("/user/alice").status_code == 404


def test_F32_an_id_is_no_login_and_a_login_no_id(tenant: Tenant) -> None:
    alice = tenant.create("alice").json()
    mimic = tenant.create(alice["id"]).json()
    assert tenant.get(f"/users/{alice['id']}").json() == alice
    assert tenant.get(f"/user/{alice['id']}").json() == mimic
    assert ask(tenant, "DELETE", f"/users/{alice['id']}").json() == {"result": 1}
    assert logins(tenant) == [alice["id"]]


@pytest.mark.one_setup
def test_F32_paths_that_are_spelled_out_come_before_ids(tenant: Tenant) -> None:
    assert tenant.post("/users/import", {"users": []}).status_code == 422
    assert tenant.get("/users/export").headers["content-type"] == "application/x-ndjson"
    for method, path, allowed in (
        ("GET", "/users/import", "OPTIONS, POST"),
        ("DELETE", "/users/export", "GET, HEAD, OPTIONS"),
        ("PUT", f"/users/{uuid4()}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ):
        answer = ask(tenant, method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_F32_a_user_that_is_renamed_stays_where_its_id_is(tenant: Tenant) -> None:
    alice = tenant.create("alice").json()
    ask(tenant, "PATCH", f"/users/{alice['id']}", login="bob")
    second = tenant.create("alice").json()
    assert tenant.get(f"/users/{alice['id']}").json() == {**alice, "login": "bob"}
    assert tenant.get(f"/users/{second['id']}").json() == second
