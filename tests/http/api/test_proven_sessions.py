"""Failures of clients with a live session are counted separately, wherever a password is compared."""

import base64
import json
from collections.abc import Callable

import httpx
import pytest

from doorward.core.clock import system_clock
from doorward.core.ports import Backoff
from doorward.core.rate_limits.limiter import TENANTS
from harness import PASSWORD, Service, Tenant
from internals import carry_out, services

RULE = Backoff()
AT_ONCE = RULE.free_attempts + 1


def right_user(tenant: Tenant) -> httpx.Response:
    return tenant.login("alice", "pw")


def right_tenant(tenant: Tenant) -> httpx.Response:
    return tenant.http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD})


def assert_locked(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "account_locked")
    assert "retry-after" not in answer.headers, "no wait helps"


Proven = Callable[[Tenant, str, str], httpx.Response]


def log_in(tenant: Tenant, token: str, password: str) -> httpx.Response:
    return tenant.post("/auth", {"login": "alice", "password": password, "deviceId": "laptop", "token": token})


def change_password(tenant: Tenant, token: str, password: str) -> httpx.Response:
    body = {"current": password, "password": "pw", "keepToken": token}
    return tenant.post("/user/alice/password", body)


def log_tenant_in(tenant: Tenant, token: str, password: str) -> httpx.Response:
    body = {"email": tenant.email, "password": password, "token": token}
    return tenant.http.post("/tenant/login", json=body)


def change_tenant_password(tenant: Tenant, token: str, password: str) -> httpx.Response:
    body = {"current": password, "password": PASSWORD}
    return tenant.http.post("/tenant/password", json=body, headers={"Authorization": f"Bearer {token}"})


def delete_tenant(tenant: Tenant, token: str, password: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return tenant.http.request("DELETE", "/tenant", json={"password": password}, headers=headers)


OF_USERS = [log_in, change_password]
OF_TENANTS = [log_tenant_in, change_tenant_password, delete_tenant]


@pytest.fixture(params=[*OF_USERS, *OF_TENANTS], ids=lambda ask: ask.__name__)
def proven(request: pytest.FixtureRequest) -> Proven:
    """Every way to ask for a current password together with a live session."""
    ask: Proven = request.param
    return ask


def live_tokens(tenant: Tenant, proven: Proven) -> tuple[list[str], str]:
    """Return two live tokens of whose password is asked for, and the right password."""
    tenant.create("alice")
    if proven in OF_USERS:
        return [tenant.session("alice") for _ in range(2)], "pw"
    return [tenant.token, right_tenant(tenant).json()["token"]], PASSWORD


def lock(shared: Service, tenant: Tenant, proven: Proven, session: str = "") -> None:
    """Count as many failures as there may be."""
    throttle = services(shared).rate_limits
    realm, name = (tenant.id, "alice") if proven in OF_USERS else (TENANTS, tenant.email)

    async def fail() -> None:
        for _ in range(RULE.max_failures):
            await throttle.counter_store.settle(throttle.counter_key(realm, name, session), RULE, now=system_clock())

    carry_out(shared, fail())


def test_BF6_S6_failures_of_strangers_lock_no_live_session_out(shared: Service, tenant: Tenant, proven: Proven) -> None:
    tokens, password = live_tokens(tenant, proven)
    lock(shared, tenant, proven)
    right = right_user if proven in OF_USERS else right_tenant
    assert_locked(right(tenant))
    for token in ("garbage", f"{tokens[0]}x"):
        assert proven(tenant, token, password).status_code in {400, 401, 429}
    assert proven(tenant, tokens[0], password).status_code == 200


def test_BF1_BF2_BF5_S6_a_live_session_has_as_many_guesses_as_a_stranger_and_costs_no_other(
    tenant: Tenant, proven: Proven
) -> None:
    tokens, password = live_tokens(tenant, proven)
    for _ in range(AT_ONCE):
        assert proven(tenant, tokens[0], "Wrong-Password-1").status_code in {401, 403}
    refused = proven(tenant, tokens[0], password)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    assert refused.headers["retry-after"] == "1"
    # Neither who logs in without a token nor another session pays for it.
    right = right_user if proven in OF_USERS else right_tenant
    assert right(tenant).status_code == 200
    if proven is not delete_tenant:
        assert proven(tenant, tokens[1], password).status_code == 200


def test_BF1_S6_at_the_cap_a_live_session_is_refused_for_good(shared: Service, tenant: Tenant, proven: Proven) -> None:
    [token, _], password = live_tokens(tenant, proven)
    lock(shared, tenant, proven, tenant.verify(token).json()["decoded"]["jti"] if proven in OF_USERS else jti(token))
    assert_locked(proven(tenant, token, password))


def unlock(tenant: Tenant, login: str, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or tenant.token}"}
    return tenant.http.delete(f"/user/{login}/failures", headers=headers)


def test_BF1_N16_a_user_who_is_locked_is_unlocked_at_every_door_and_nobody_else(
    shared: Service, tenant: Tenant, other: Tenant
) -> None:
    for one in (tenant, other):
        one.create("alice")
    tokens = [tenant.session("alice") for _ in range(2)]
    for one in (tenant, other):
        lock(shared, one, log_in)
    lock(shared, tenant, log_in, jti(tokens[0]))
    tenant.create("bob")
    for _ in range(AT_ONCE):
        tenant.login("bob", "wrong")
    assert_locked(right_user(tenant))
    assert_locked(log_in(tenant, tokens[0], "pw"))
    assert unlock(tenant, "ALICE").json() == {"result": 1}
    assert right_user(tenant).status_code == 200
    for token in tokens:
        assert log_in(tenant, token, "pw").status_code == 200
        assert tenant.verify(token).status_code == 200
    assert tenant.login("bob").status_code == 429
    assert_locked(right_user(other))
    unlocked = tenant.get("/tenant/audit").json()["events"]
    assert [(event["action"], event["actor"]) for event in unlocked].count(("user.unlock", "tenant")) == 1


def test_N16_unlocking_needs_the_permission_to_change_users_and_a_user(tenant: Tenant) -> None:
    tenant.create("alice")
    reader = tenant.post("/tenant/key", {"name": "r", "permissions": ["users:read", "sessions", "tenant"]}).json()
    writer = tenant.post("/tenant/key", {"name": "w", "permissions": ["users:write"]}).json()
    assert unlock(tenant, "alice", reader["key"]).status_code == 403
    assert unlock(tenant, "alice", writer["key"]).status_code == 200
    missing = unlock(tenant, "nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "login_not_found")


def jti(token: str) -> str:
    payload = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    return found


@pytest.mark.parametrize("ask", [log_in, log_tenant_in])
def test_S6_a_live_token_of_another_account_opens_no_other(tenant: Tenant, other: Tenant, ask: Proven) -> None:
    for one in (tenant, other):
        one.create("alice")
    token = other.session("alice") if ask is log_in else other.token
    refused = ask(tenant, token, "pw" if ask is log_in else PASSWORD)
    # A user's token of another tenant is none; another tenant's own is one, of somebody else.
    assert refused.status_code == (200 if ask is log_in else 401)


def test_BF1_S6_a_tenants_new_password_ends_the_lock(shared: Service, tenant: Tenant) -> None:
    lock(shared, tenant, change_tenant_password)
    assert_locked(right_tenant(tenant))
    body = {"current": PASSWORD, "password": "Another-Password-1"}
    assert tenant.post("/tenant/password", body).status_code == 200
    login = {"email": tenant.email, "password": "Another-Password-1"}
    assert tenant.http.post("/tenant/login", json=login).status_code == 200
