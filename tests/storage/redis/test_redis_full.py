"""A full Redis: no session is opened, and every revocation works."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from harness import Service, Tenant, read_settings, running
from internals import carry_out, services
from redis_servers import RedisServer

pytest_plugins = ["redis_fixtures"]
pytestmark = pytest.mark.slow


@pytest.fixture
def service(redis_server: RedisServer, tmp_path: Path) -> Iterator[Service]:
    """A service whose write budget is on, since it is kept in Redis as well."""
    settings = {"REDIS_URL": redis_server.url, "BUDGET_WRITE": "50:100"}
    with running(read_settings(tmp_path, settings)) as service:
        yield service


@pytest.fixture
def tenant(service: Service) -> Tenant:
    tenant = service.tenant()
    for login in ("alice", "bob"):
        assert tenant.create(login).status_code == 200
    return tenant


def patch(tenant: Tenant, path: str, body: dict[str, object]) -> httpx.Response:
    return tenant.http.patch(path, json=body, headers=tenant.headers)


def readiness(service: Service) -> object:
    return service.client().get("/health/ready").json()["stores"]


def delete(tenant: Tenant, path: str) -> httpx.Response:
    return tenant.http.delete(path, headers=tenant.headers)


ENDINGS: dict[str, Callable[[Tenant, str], httpx.Response]] = {
    "disable": lambda tenant, _: patch(tenant, "/user/alice", {"disabled": True}),
    "password": lambda tenant, _: patch(tenant, "/user/alice", {"password": "new"}),
    "delete": lambda tenant, _: delete(tenant, "/user/alice"),
    "logout": lambda tenant, token: tenant.logout(token),
    "one device": lambda tenant, _: delete(tenant, "/user/alice/sessions?deviceId=laptop"),
    "all sessions": lambda tenant, _: delete(tenant, "/user/alice/sessions"),
    "everybody": lambda tenant, _: delete(tenant, "/tenant/sessions"),
    "idle time": lambda tenant, _: patch(tenant, "/tenant", {"settings": {"sessionLifetime": 1}}),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_TK14_S5_what_ends_sessions_needs_no_memory(
    service: Service, redis_server: RedisServer, tenant: Tenant, name: str
) -> None:
    token, neighbours = tenant.session("alice"), service.tenant("other@example.org")
    neighbours.create("alice")
    theirs = neighbours.session("alice")
    redis_server.do("CONFIG", "SET", "maxmemory", "1")
    service.eventually(lambda: readiness(service) == {"database": "ok", "sessions": "away"}, seconds=3)
    assert tenant.login("bob").status_code == 503, "there is memory left"
    assert tenant.verify(token).status_code == 200
    assert ENDINGS[name](tenant, token).status_code == 200
    if name == "idle time":
        service.eventually(lambda: tenant.verify(token).status_code == 400)
    assert tenant.verify(token).status_code == 400
    assert neighbours.verify(theirs).status_code == 200
    redis_server.do("CONFIG", "SET", "maxmemory", "0")
    assert tenant.verify(token).status_code == 400
    assert tenant.login("bob").status_code == 200
    service.eventually(lambda: readiness(service) == {"database": "ok", "sessions": "ok"}, seconds=3)


def test_TK14_S5_who_has_no_session_is_disabled_as_well(redis_server: RedisServer, tenant: Tenant) -> None:
    redis_server.do("CONFIG", "SET", "maxmemory", "1")
    for _ in range(2):
        assert patch(tenant, "/user/bob", {"disabled": True}).status_code == 200
    redis_server.do("CONFIG", "SET", "maxmemory", "0")
    assert tenant.login("bob").json()["code"] == "user_disabled"


def test_TK14_S5_an_api_key_is_revoked_and_a_tenant_disabled(
    service: Service, redis_server: RedisServer, tenant: Tenant
) -> None:
    from doorward.core.audit.operator_events import operator_caller

    token = tenant.session("alice")
    keys = [tenant.post("/tenant/key", {"name": "k", "permissions": ["verify"]}).json() for _ in range(2)]

    def verify(key: dict[str, str]) -> int:
        headers = {"Authorization": f"Bearer {key['key']}"}
        return tenant.http.post("/auth/verify", json={"token": token}, headers=headers).status_code

    assert [verify(key) for key in keys] == [200, 200]
    redis_server.do("CONFIG", "SET", "maxmemory", "1")
    assert delete(tenant, f"/tenant/key/{keys[0]['id']}").status_code == 200
    assert [verify(key) for key in keys] == [401, 200]
    carry_out(service, services(service).tenants.disable(operator_caller(tenant.id), disabled=True))
    assert [verify(key) for key in keys] == [401, 401]
    assert tenant.get("/tenant").status_code == 401


def test_S5_S16_a_session_in_use_does_not_end_as_idle(
    service: Service, redis_server: RedisServer, tenant: Tenant
) -> None:
    patch(tenant, "/tenant", {"settings": {"sessionIdle": 8}})
    token = tenant.session("alice")
    began = tenant.get("/user/alice/sessions").json()["sessions"][0]["lastActivity"]
    redis_server.do("CONFIG", "SET", "maxmemory", "1")

    def is_recorded() -> bool:
        assert tenant.verify(token).status_code == 200
        [session] = tenant.get("/user/alice/sessions").json()["sessions"]
        return bool(session["lastActivity"] > began)

    service.eventually(is_recorded)


def test_BF11_S5_changes_stay_within_a_budget(service: Service, redis_server: RedisServer, tenant: Tenant) -> None:
    from dataclasses import replace

    from doorward.core.rate_limits.budgets import Budget

    throttle = services(service).rate_limits
    throttle.budgets = replace(throttle.budgets, write=Budget(60_000, 3))
    redis_server.do("CONFIG", "SET", "maxmemory", "1")
    answers = [patch(tenant, "/user/bob", {"disabled": True}).status_code for _ in range(5)]
    assert answers == [200, 200, 200, 429, 429]
