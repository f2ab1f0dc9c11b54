"""`PUT` and `PATCH /user/{login}`, password change and reset."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness import Service, Tenant
from internals import OverloadedPasswords, services
from internals import put as put_part

USER = {"email": "bob@example.org", "password": "pw", "sub": "s"}


def put(tenant: Tenant, login: str, **more: object) -> httpx.Response:
    return tenant.http.put(f"/user/{login}", json={**USER, **more}, headers=tenant.headers)


def patch(tenant: Tenant, login: str, **changes: object) -> httpx.Response:
    return tenant.http.patch(f"/user/{login}", json=changes, headers=tenant.headers)


def test_a_user_is_shown_as_the_list_shows_it(tenant: Tenant) -> None:
    created = tenant.create("alice", scope={"a": [1]}, company="Example Ltd").json()
    assert tenant.get("/user/alice").json() == created == tenant.get("/user").json()["users"][0]
    assert tenant.get("/user/ALICE").json() == created
    missing = tenant.get("/user/nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "login_not_found")


def test_a_put_creates_then_replaces_and_keeps_the_id(tenant: Tenant) -> None:
    first = put(tenant, "bob", company="A", metadata={"plan": "gold"})
    assert first.status_code == 201
    second = put(tenant, "bob", sub="other")
    assert second.status_code == 200
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["sub"] == "other"
    assert "company" not in second.json()
    assert "metadata" not in second.json()
    assert second.json()["registrationDate"] == first.json()["registrationDate"]


def test_a_put_ends_sessions_only_where_the_password_is_another(tenant: Tenant) -> None:
    put(tenant, "bob")
    token = tenant.session("bob")
    put(tenant, "bob", email="new@example.org")
    assert tenant.verify(token).status_code == 200
    put(tenant, "bob", password="other")
    assert tenant.verify(token).status_code == 400
    assert tenant.login("bob", "pw").status_code == 403
    assert tenant.login("bob", "other").status_code == 200


def test_a_put_refuses_a_login_that_cannot_be_seen(tenant: Tenant) -> None:
    answer = put(tenant, "a%E2%80%8Bb")
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["path"] == ["login"]


def test_a_patch_changes_what_it_names_and_nothing_else(tenant: Tenant) -> None:
    before = put(tenant, "bob", company="A", scope=["read"]).json()
    after = patch(tenant, "bob", email="new@example.org", company=None, metadata=[1, {"x": None}]).json()
    expected = {**before, "email": "new@example.org", "metadata": [1, {"x": None}]}
    del expected["company"]
    assert after == expected
    assert "metadata" not in patch(tenant, "bob", metadata=None).json()
    assert patch(tenant, "bob", scope=None).json()["scope"] is None
    assert patch(tenant, "nobody", sub="s").status_code == 404
    assert patch(tenant, "bob", disabled="yes", email="x").json()["error"]["details"] == [
        {
            "message": '"email" must be a valid email',
            "path": ["email"],
            "type": "string.email",
            "context": {"key": "email"},
        },
        {
            "message": '"disabled" must be true or false',
            "path": ["disabled"],
            "type": "boolean.base",
            "context": {"key": "disabled"},
        },
    ]


def test_changes_of_different_fields_at_once_are_all_kept(tenant: Tenant) -> None:
    put(tenant, "bob")
    changes: list[dict[str, object]] = [{"email": "n@example.org"}, {"sub": "n"}, {"company": "n"}, {"metadata": "n"}]
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda change: patch(tenant, "bob", **change).status_code, changes))
    assert statuses == [200] * 4
    now = tenant.get("/user/bob").json()
    assert (now["email"], now["sub"], now["company"], now["metadata"]) == ("n@example.org", "n", "n", "n")


def test_TK14_a_disabled_user_is_out_at_once_and_back_without_its_old_sessions(tenant: Tenant) -> None:
    put(tenant, "bob")
    token = tenant.session("bob")
    assert patch(tenant, "bob", disabled=True).json()["disabled"] is True
    assert tenant.verify(token).status_code == 400
    refused = tenant.login("bob")
    assert (refused.status_code, refused.json()["code"]) == (403, "user_disabled")
    wrong = tenant.login("bob", "wrong")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "incorrect_password")
    changed = tenant.post("/user/bob/password", {"current": "pw", "password": "new"})
    assert (changed.status_code, changed.json()["code"]) == (403, "user_disabled")
    assert "disabled" not in patch(tenant, "bob", disabled=False).json()
    assert tenant.verify(token).status_code == 400
    assert tenant.login("bob").status_code == 200
    put(tenant, "carol")
    patch(tenant, "carol", disabled=True)
    assert put(tenant, "carol", sub="n").json()["disabled"] is True


def test_TK14_PW9_a_changed_password_ends_every_session_but_the_one_that_is_kept(tenant: Tenant) -> None:
    put(tenant, "bob")
    tokens = [tenant.session("bob", device=f"device {number}") for number in range(4)]
    wrong = tenant.post("/user/bob/password", {"current": "wrong", "password": "new"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "incorrect_password")
    body = {"current": "pw", "password": "new", "keepToken": tokens[2]}
    assert tenant.post("/user/bob/password", body).json() == {"result": 1}
    assert [tenant.verify(token).status_code for token in tokens] == [400, 400, 200, 400]
    assert len(tenant.get("/user/bob/sessions").json()["sessions"]) == 1
    assert tenant.login("bob", "pw").status_code == 403
    assert tenant.login("bob", "new").status_code == 200
    assert tenant.post("/user/bob/password", {"current": "new", "password": "newer"}).status_code == 200
    assert tenant.verify(tokens[2]).status_code == 400


def test_a_password_is_not_changed_to_keep_somebody_elses_session(tenant: Tenant, other: Tenant) -> None:
    put(tenant, "bob")
    put(tenant, "carol")
    put(other, "bob")
    for token in (tenant.session("carol"), other.session("bob"), "garbage"):
        answer = tenant.post("/user/bob/password", {"current": "pw", "password": "new", "keepToken": token})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_token")
    assert tenant.login("bob", "pw").status_code == 200


def test_PW9_a_reset_code_works_once_for_ten_minutes_and_ends_all_sessions(service: Service) -> None:
    tenant = service.tenant()
    put(tenant, "bob")
    token = tenant.session("bob")
    offered = tenant.post("/user/bob/password/reset", {}).json()
    assert offered["expiresIn"] == 600
    assert len(offered["code"]) >= 22
    body = {"code": offered["code"], "password": "new"}
    assert tenant.post("/auth/reset", body).json() == {"result": 1}
    assert tenant.verify(token).status_code == 400
    assert tenant.login("bob", "new").status_code == 200
    again = tenant.post("/auth/reset", body)
    assert (again.status_code, again.json()["code"]) == (401, "invalid_reset_code")
    late = tenant.post("/user/bob/password/reset", {}).json()["code"]
    assert service.clock
    service.clock.turn(seconds=600)
    assert tenant.post("/auth/reset", {"code": late, "password": "x"}).status_code == 401


def test_PW9_a_code_dies_with_a_newer_one_and_with_a_change_of_the_password(tenant: Tenant, other: Tenant) -> None:
    put(tenant, "bob")
    first = tenant.post("/user/bob/password/reset", {}).json()["code"]
    second = tenant.post("/user/bob/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": first, "password": "x"}).status_code == 401
    assert other.post("/auth/reset", {"code": second, "password": "x"}).status_code == 401
    patch(tenant, "bob", password="changed")
    assert tenant.post("/auth/reset", {"code": second, "password": "x"}).status_code == 401
    assert tenant.login("bob", "changed").status_code == 200
    assert tenant.post("/user/nobody/password/reset", {}).status_code == 404


def test_PW9_S14_a_code_voided_while_it_is_redeemed_in_vain_stays_void(service: Service) -> None:
    tenant = service.tenant()
    put(tenant, "bob")
    first = tenant.post("/user/bob/password/reset", {}).json()["code"]
    users = services(service).users
    real, overloaded = users.passwords, OverloadedPasswords(users.passwords)
    put_part(users, "passwords", overloaded)
    with ThreadPoolExecutor(1) as pool:
        redeemed = pool.submit(tenant.post, "/auth/reset", {"code": first, "password": "x"})
        assert overloaded.asked.wait(10)
        second = tenant.post("/user/bob/password/reset", {}).json()["code"]
        overloaded.opened.set()
        assert redeemed.result(10).status_code == 503
    # Nobody asked for a newer one this time, so this one is as good as before.
    assert tenant.post("/auth/reset", {"code": second, "password": "x"}).status_code == 503
    put_part(users, "passwords", real)
    assert tenant.post("/auth/reset", {"code": first, "password": "x"}).status_code == 401
    assert tenant.post("/auth/reset", {"code": second, "password": "y"}).status_code == 200
    assert tenant.login("bob", "y").status_code == 200


def test_PW9_two_uses_of_a_code_at_once_have_one_winner(tenant: Tenant) -> None:
    put(tenant, "bob")
    code = tenant.post("/user/bob/password/reset", {}).json()["code"]
    with ThreadPoolExecutor(8) as pool:
        bodies = [{"code": code, "password": f"new {number}"} for number in range(8)]
        statuses = list(pool.map(lambda body: tenant.post("/auth/reset", body).status_code, bodies))
    assert sorted(statuses) == [200] + [401] * 7
    assert tenant.login("bob", f"new {statuses.index(200)}").status_code == 200


def test_BF5_a_wrong_current_password_counts_as_a_failed_login(service: Service) -> None:
    tenant = service.tenant()
    put(tenant, "bob")
    for _ in range(5):
        tenant.post("/user/bob/password", {"current": "wrong", "password": "new"})
    locked = tenant.login("bob")
    assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
    assert tenant.post("/user/bob/password", {"current": "pw", "password": "new"}).status_code == 429
    code = tenant.post("/user/bob/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": code, "password": "new"}).status_code == 200
    assert tenant.login("bob", "new").status_code == 200


def test_BF6_failures_from_elsewhere_lock_nobody_out_of_a_device_that_is_logged_in(service: Service) -> None:
    tenant = service.tenant()
    put(tenant, "bob")
    put(tenant, "carol")
    bobs, carols = tenant.session("bob"), tenant.session("carol")
    for _ in range(5):
        tenant.login("bob", "wrong")
    assert tenant.login("bob").status_code == 429
    body = {"login": "bob", "password": "pw", "deviceId": "laptop"}
    assert tenant.post("/auth", {**body, "token": bobs}).status_code == 200
    assert tenant.post("/auth", {**body, "token": "garbage"}).status_code == 429
    assert tenant.post("/auth", {**body, "token": carols}).status_code in {404, 429}
    for _ in range(5):
        tenant.post("/auth", {**body, "password": "wrong", "token": bobs})
    assert tenant.post("/auth", {**body, "token": bobs}).status_code == 429


@pytest.mark.parametrize("login", ["a/b", "a?b=c", "sessions", "ü%41", "key"])
def test_every_login_can_stand_in_a_path(tenant: Tenant, login: str) -> None:
    from urllib.parse import quote

    path = f"/user/{quote(login, safe='')}"
    assert tenant.http.put(path, json=USER, headers=tenant.headers).json()["login"] == login
    assert tenant.get(path).json()["login"] == login
    assert tenant.get(f"{path}/sessions").json() == {"sessions": []}
