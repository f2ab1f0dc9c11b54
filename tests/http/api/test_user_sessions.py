"""`/user/{login}/sessions` and `/auth/verify/batch`: lists, revocation, batch verification."""

import pytest

from harness import Service, Tenant


def test_sessions_are_listed_newest_first_with_what_the_tenant_said_of_them(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice")
    assert service.clock
    start = service.clock.now
    body = {"login": "alice", "password": "pw", "deviceId": "phone", "ip": "192.0.2.7", "userAgent": "Firefox"}
    phone = tenant.post("/auth", body).json()["accessToken"]
    service.clock.turn(seconds=5)
    tenant.session("alice", device="laptop")
    laptop, first = tenant.get("/user/alice/sessions").json()["sessions"]
    assert first == {
        "id": tenant.verify(phone).json()["decoded"]["jti"],
        "deviceId": "phone",
        "createdAt": start,
        "lastActivity": start,
        "expiresAt": start // 1000 * 1000 + 604_800_000,
        "ip": "192.0.2.7",
        "userAgent": "Firefox",
    }
    assert laptop["deviceId"] == "laptop"
    assert "ip" not in laptop
    service.clock.turn(seconds=604_800 - 4)
    assert [session["deviceId"] for session in tenant.get("/user/alice/sessions").json()["sessions"]] == ["laptop"]
    assert tenant.get("/user/nobody/sessions").status_code == 404


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("agent", "status"),
    [("", 422), ("x" * 1024, 200), ("x" * 1025, 422), ("🦉" * 512, 200), ("🦉" * 513, 422)],
    ids=["none", "1024 characters", "1025 characters", "2048 bytes", "2052 bytes"],
)
def test_T9_a_user_agent_is_kept_up_to_its_maximum_and_refused_beyond(tenant: Tenant, agent: str, status: int) -> None:
    tenant.create("alice")
    body = {"login": "alice", "password": "pw", "deviceId": "phone", "userAgent": agent}
    assert tenant.post("/auth", body).status_code == status
    kept = [session["userAgent"] for session in tenant.get("/user/alice/sessions").json()["sessions"]]
    assert kept == ([agent] if status == 200 else [])


def test_TK14_one_session_a_device_or_all_of_them_end_at_once(tenant: Tenant) -> None:
    tenant.create("alice")
    tokens = {
        name: tenant.session("alice", device=name.rstrip("12")) for name in ("phone1", "phone2", "tv1", "laptop1")
    }

    def alive() -> set[str]:
        return {name for name, token in tokens.items() if tenant.verify(token).status_code == 200}

    tv = tenant.verify(tokens["tv1"]).json()["decoded"]["jti"]
    path = "/user/alice/sessions"
    assert tenant.http.delete(f"{path}/{tv}", headers=tenant.headers).json() == {"result": 1}
    assert alive() == {"phone1", "phone2", "laptop1"}
    again = tenant.http.delete(f"{path}/{tv}", headers=tenant.headers)
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")
    assert tenant.http.delete(f"{path}?deviceId=phone", headers=tenant.headers).json() == {"result": 1}
    assert alive() == {"laptop1"}
    assert tenant.http.delete(f"{path}?deviceId=phone", headers=tenant.headers).json() == {"result": 1}
    assert tenant.http.delete(path, headers=tenant.headers).json() == {"result": 1}
    assert alive() == set()


def test_TI2_a_session_of_one_user_is_not_found_under_another(tenant: Tenant, other: Tenant) -> None:
    for owner in (tenant, other):
        owner.create("alice")
        owner.create("bob")
    token = tenant.session("alice")
    session = tenant.verify(token).json()["decoded"]["jti"]
    for caller, login in ((tenant, "bob"), (other, "alice")):
        answer = caller.http.delete(f"/user/{login}/sessions/{session}", headers=caller.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert tenant.verify(token).status_code == 200


def test_TI3_all_of_a_tenants_user_sessions_end_and_nobody_elses(tenant: Tenant, other: Tenant) -> None:
    for owner in (tenant, other):
        for login in ("alice", "bob"):
            owner.create(login)
    mine = [tenant.session(login) for login in ("alice", "alice", "bob")]
    theirs = other.session("alice")
    assert tenant.http.delete("/tenant/sessions", headers=tenant.headers).json() == {"result": 1}
    assert [tenant.verify(token).status_code for token in mine] == [400, 400, 400]
    assert other.verify(theirs).status_code == 200
    assert tenant.verify(tenant.session("alice")).status_code == 200
    assert tenant.http.delete("/tenant/sessions?tenant=maybe", headers=tenant.headers).status_code == 422
    assert tenant.http.delete("/tenant/sessions?tenant=true", headers=tenant.headers).json() == {"result": 1}
    assert tenant.get("/user").status_code == 401


def test_many_tokens_are_answered_in_their_order(tenant: Tenant, other: Tenant) -> None:
    for owner in (tenant, other):
        owner.create("alice")
    good, dead, foreign = tenant.session("alice"), tenant.session("alice"), other.session("alice")
    tenant.logout(dead)
    answer = tenant.post("/auth/verify/batch", {"tokens": [good, "garbage", dead, foreign, tenant.token, good]})
    alive = {"active": True, "decoded": tenant.verify(good).json()["decoded"]}
    assert answer.json() == {"results": [alive, *[{"active": False}] * 4, alive]}


def test_a_batch_has_bounds(tenant: Tenant) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    assert len(tenant.post("/auth/verify/batch", {"tokens": [token] * 500}).json()["results"]) == 500
    for tokens in ([], [token] * 501, token, {"0": token}, 1, None):
        answer = tenant.post("/auth/verify/batch", {"tokens": tokens})
        assert answer.status_code == 422, tokens
        assert answer.json()["error"]["details"][0]["path"][0] == "tokens"
    assert tenant.post("/auth/verify/batch", {"tokens": ["x" * 3000] * 400}).status_code == 413
    assert tenant.http.post("/auth/verify/batch", json={"tokens": [token]}).status_code == 401
