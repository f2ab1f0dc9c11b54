"""Every revocation is immediate and complete, and affects no other session."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from doorward.core.audit.operator_events import operator_caller
from doorward.core.model import Caller, Permission
from harness import PASSWORD, Service, Tenant, running
from internals import HeldHasher, carry_out, gate_logins, gate_writes, services

Act = Callable[[Tenant], httpx.Response]
USER = {"email": "user@example.org", "sub": "sub-1"}


def request(method: str, path: str, body: Any = None) -> Act:
    return lambda tenant: tenant.http.request(method, path, json=body, headers=tenant.headers)


def redeem(tenant: Tenant) -> httpx.Response:
    code = tenant.post("/user/alice/password/reset", {}).json()["code"]
    return tenant.post("/auth/reset", {"code": code, "password": "new"})


def end_each(tenant: Tenant) -> httpx.Response:
    for session in tenant.get("/user/alice/sessions").json()["sessions"]:
        answer = tenant.http.delete(f"/user/alice/sessions/{session['id']}", headers=tenant.headers)
    return answer


CREDENTIAL_CHANGES: dict[str, Act] = {
    "a password that is set": request("PATCH", "/user/alice", {"password": "new"}),
    "a password that is changed": request("POST", "/user/alice/password", {"current": "pw", "password": "new"}),
    "a password that is reset": redeem,
    "a replacement with another password": request("PUT", "/user/alice", {**USER, "password": "new"}),
    "a user disabled": request("PATCH", "/user/alice", {"disabled": True}),
    "a user deleted": request("DELETE", "/user/alice"),
    "the tenant deleted": request("DELETE", "/tenant", {"password": PASSWORD}),
}
ENDINGS: dict[str, Act] = {
    **CREDENTIAL_CHANGES,
    "all sessions of a user ended": request("DELETE", "/user/alice/sessions"),
    "the sessions of a device ended": request("DELETE", "/user/alice/sessions?deviceId=laptop"),
    "each session ended": end_each,
    "all sessions of all users ended": request("DELETE", "/tenant/sessions"),
    "all sessions of the tenant ended": request("DELETE", "/tenant/sessions?tenant=true"),
}


def pair(tenant: Tenant) -> dict[str, str]:
    body = {"login": "alice", "password": "pw", "deviceId": "laptop", "refresh": True}
    made: dict[str, str] = tenant.post("/auth", body).json()
    return made


@pytest.mark.parametrize("ending", ENDINGS)
def test_TK14_TI3_an_ending_holds_on_every_worker_at_once_and_for_nobody_else(service: Service, ending: str) -> None:
    tenant, other = service.tenant(), service.tenant("other@example.org")
    for owner in (tenant, other):
        owner.create("alice", "pw", **USER)
    made, theirs = pair(tenant), pair(other)
    tokens = [made["accessToken"], *(tenant.session() for _ in range(4))]
    their_user, their_list = other.get("/user/alice").json(), other.get("/user/alice/sessions").json()
    with running(service.settings, service.clock) as elsewhere:
        there = elsewhere.client()
        key = tenant.post("/tenant/key", {"name": "k", "permissions": list(Permission)}).json()["key"]
        proof = {"Authorization": f"Bearer {key}"}
        for http in (tenant.http, there):
            assert http.post("/auth/verify", json={"token": tokens[0]}, headers=proof).status_code == 200
        assert ENDINGS[ending](tenant).json() == {"result": 1} or ending.startswith("a ")
        dead = 401 if ending == "the tenant deleted" else 400
        for http in (there, tenant.http):
            for token in tokens:
                assert http.post("/auth/verify", json={"token": token}, headers=proof).status_code == dead
            batch = http.post("/auth/verify/batch", json={"tokens": tokens}, headers=proof)
            assert batch.json().get("results", [{"active": False}] * 5) == [{"active": False}] * 5
            for token in (tokens[0], made["refreshToken"]):
                asked = http.post("/oauth/introspect", data={"token": token}, headers=proof)
                assert asked.json() == {"active": False} or asked.status_code == dead == 401
            passed = http.get("/forward-auth", headers={"X-Doorward-Key": key, "Authorization": f"Bearer {tokens[0]}"})
            assert passed.status_code == 401
            renewed = http.post("/auth/refresh", json={"refreshToken": made["refreshToken"]}, headers=proof)
            assert renewed.status_code == 401
    assert other.get("/user/alice").json() == their_user
    assert other.get("/user/alice/sessions").json() == their_list
    assert other.verify(theirs["accessToken"]).status_code == 200
    assert other.login("alice", "pw").status_code == 200
    renewed = other.post("/auth/refresh", {"refreshToken": theirs["refreshToken"]})
    assert renewed.status_code == 200


def test_TK14_a_disabled_tenant_is_out_with_its_keys_and_users_and_back_with_its_keys_only(service: Service) -> None:
    tenant, other = service.tenant(), service.tenant("other@example.org")
    tenant.create("alice", "pw")
    key = tenant.post("/tenant/key", {"name": "k", "permissions": ["verify"]}).json()["key"]
    proof = {"Authorization": f"Bearer {key}"}
    token = tenant.session()
    use_case = services(service).tenants
    operator = Caller(tenant.id, "operator")
    carry_out(service, use_case.disable(operator, disabled=True))
    body = {"email": tenant.email, "password": tenant.password}
    assert tenant.get("/user").status_code == 401
    assert tenant.http.post("/auth/verify", json={"token": token}, headers=proof).status_code == 401
    refused = tenant.http.post("/tenant/login", json=body)
    unknown = tenant.http.post("/tenant/login", json={**body, "email": "nobody@example.org"})
    assert (refused.status_code, refused.json()) == (401, unknown.json())
    assert other.get("/user").status_code == 200
    carry_out(service, use_case.disable(operator, disabled=False))
    assert tenant.get("/user").status_code == 401
    assert tenant.http.post("/auth/verify", json={"token": token}, headers=proof).status_code == 400
    tenant.token = tenant.http.post("/tenant/login", json=body).json()["token"]
    fresh = tenant.session()
    assert tenant.http.post("/auth/verify", json={"token": fresh}, headers=proof).status_code == 200


@pytest.mark.parametrize("change", CREDENTIAL_CHANGES)
def test_TK15_a_login_whose_password_was_right_a_moment_ago_opens_nothing_that_lasts(
    service: Service, change: str
) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw", **USER)
    gate = gate_logins(service)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(Tenant(service.client(), tenant.id, tenant.email, "", tenant.token).login, "alice", "pw")
        assert gate.found.wait(10)
        assert CREDENTIAL_CHANGES[change](tenant).status_code == 200
        gate.opened.set()
        answer = late.result(10)
    if answer.status_code == 200:
        assert tenant.verify(answer.json()["accessToken"]).status_code in {400, 401}
    else:
        assert answer.status_code in {401, 403, 404}
    if change != "the tenant deleted":
        assert tenant.get("/user/alice/sessions").json().get("sessions", []) == []


def test_TK15_a_tenants_login_in_flight_does_not_outlive_its_password(service: Service) -> None:
    tenant = service.tenant()
    gate = gate_logins(service)
    body = {"email": tenant.email, "password": PASSWORD}
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(service.client().post, "/tenant/login", json=body)
        assert gate.found.wait(10)
        change = {"current": PASSWORD, "password": "Another-Horse-7"}
        assert tenant.post("/tenant/password", change).status_code == 200
        gate.opened.set()
        answer = late.result(10)
    assert answer.status_code == 401
    assert tenant.get("/user").status_code == 200


@pytest.mark.parametrize("change", CREDENTIAL_CHANGES)
def test_T4_a_login_with_the_old_password_before_the_commit_of_a_change_is_ended_by_it(
    service: Service, change: str
) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw", **USER)
    gate = gate_writes(service, "change_user", "put_user", "delete_user", "delete_tenant")
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(CREDENTIAL_CHANGES[change], tenant)
        assert gate.reached.wait(10)
        # Where sessions are in Redis they have been ended by now, and the old password is still right.
        early = Tenant(service.client(), tenant.id, tenant.email, "", tenant.token)
        if change == "the tenant deleted":
            body = {"email": tenant.email, "password": PASSWORD}
            early.token = early.http.post("/tenant/login", json=body).json()["token"]
        token = early.session("alice", "pw")
        gate.opened.set()
        assert changing.result(10).status_code == 200
    assert early.verify(token).status_code == (401 if change == "the tenant deleted" else 400)


def test_T4_a_tenants_login_before_the_commit_of_its_new_password_is_ended_by_it(service: Service) -> None:
    tenant = service.tenant()
    gate = gate_writes(service, "change_tenant")
    with ThreadPoolExecutor(1) as pool:
        change = {"current": PASSWORD, "password": "Another-Horse-7"}
        changing = pool.submit(tenant.post, "/tenant/password", change)
        assert gate.reached.wait(10)
        http = service.client()
        token = http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD}).json()["token"]
        gate.opened.set()
        assert changing.result(10).status_code == 200
    assert http.get("/user", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert tenant.get("/user").status_code == 200


def test_T4_a_tenants_login_before_the_commit_of_an_operators_new_password_is_ended_by_it(service: Service) -> None:
    tenant, other = service.tenant(), service.tenant("other@example.org")
    gate = gate_writes(service, "change_tenant")
    tenants = services(service).tenants
    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(carry_out, service, tenants.set_password(operator_caller(tenant.id), "Another-Horse-7"))
        assert gate.reached.wait(10)
        http = service.client()
        body = {"email": tenant.email, "password": PASSWORD}
        token = http.post("/tenant/login", json=body).json()["token"]
        gate.opened.set()
        changing.result(10)
    assert http.get("/user", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert tenant.get("/user").status_code == 401
    assert other.get("/user").status_code == 200
    again = http.post("/tenant/login", json={**body, "password": "Another-Horse-7"})
    tenant.token = again.json()["token"]
    actions = [(entry["action"], entry["actor"]) for entry in tenant.get("/tenant/audit").json()["events"]]
    assert actions[:2] == [("tenant.login", "tenant"), ("tenant.password", "operator")]


def test_T4_logins_before_the_commit_of_disabling_a_tenant_are_ended_by_it(service: Service) -> None:
    tenant = service.tenant()
    tenant.create("alice", "pw")
    gate = gate_writes(service, "change_tenant")
    disable = services(service).tenants.disable
    with ThreadPoolExecutor(1) as pool:
        disabling = pool.submit(carry_out, service, disable(Caller(tenant.id, "operator"), disabled=True))
        assert gate.reached.wait(10)
        early = Tenant(service.client(), tenant.id, tenant.email, "", "")
        body = {"email": tenant.email, "password": PASSWORD}
        early.token = early.http.post("/tenant/login", json=body).json()["token"]
        token = early.session("alice", "pw")
        gate.opened.set()
        disabling.result(10)
    carry_out(service, disable(Caller(tenant.id, "operator"), disabled=False))
    assert early.get("/user").status_code == 401
    tenant.token = tenant.http.post("/tenant/login", json=body).json()["token"]
    assert tenant.verify(token).status_code == 400


def test_TI8_a_flood_of_one_tenants_logins_leaves_another_its_turn(service: Service) -> None:
    tenant, other = service.tenant(), service.tenant("other@example.org")
    other.create("alice", "mine")
    passwords: Any = services(service).passwords
    held = passwords._hasher = HeldHasher(passwords._hasher)
    threads: int = passwords._ordinary.threads._max_workers

    def flood(number: int) -> int:
        client = Tenant(service.client(), tenant.id, tenant.email, "", tenant.token)
        return client.login(f"nobody {number}", f"flood {number}").status_code

    def wait_for(waiting: int) -> None:
        deadline = time.monotonic() + 10
        while passwords.waiting < waiting:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    with ThreadPoolExecutor(16) as pool:
        floods = [pool.submit(flood, number) for number in range(12 + threads)]
        wait_for(12)
        mine = pool.submit(other.login, "alice", "mine")
        wait_for(13)
        held.released.set()
        assert mine.result(20).status_code == 200
        assert {one.result(20) for one in floods} == {404}
    # Twelve were there before it; at most one of them, and those whose turn it was already, go first.
    assert held.order.index("mine") <= threads + 1
