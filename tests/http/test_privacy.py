"""Deleted users leave no data, unknown names leave no trace."""

import asyncio
from typing import Any

import pytest

from doorward.stores import select_stores
from harness import PASSWORD, Service, Tenant
from raw_store import Rows
from servers import Servers

NAMES = {"login": "canary-login", "email": "canary@mail.example", "sub": "canary-sub", "company": "canary-company"}
ENDINGS = {"revocations", "endings in Redis"}
"""Where the ids of whose sessions ended are remembered, so that a Redis that forgets is told again."""

WHERE = {"deviceId": "canary-device", "ip": "203.0.113.77", "userAgent": "canary-browser"}


@pytest.fixture
def rows(service: Service, servers: Servers) -> Rows:
    return Rows(service.settings, servers)


def sweep(service: Service) -> None:
    """Do at once what every worker does every half minute."""

    async def run() -> None:
        stores = select_stores(service.settings)
        await stores.open()
        try:
            assert service.clock
            # What a purge leaves to be swept is swept with the next one.
            for _ in range(2):
                await stores.sweep(service.clock, audit_retention=service.settings.audit_retention)
        finally:
            await stores.close()

    asyncio.run(run())


def settle_in(tenant: Tenant, **more: Any) -> str:
    """Let a user come to be known by everything that a service can know of it, and return its id."""
    made = tenant.create(**NAMES, metadata={"note": "canary-metadata"}, scope="canary-scope", **more).json()
    login = NAMES["login"]
    for refresh in (False, True):
        tenant.post("/auth", {"login": login, "password": "pw", **WHERE, "refresh": refresh})
    tenant.login(login, "wrong")
    tenant.post(f"/user/{login}/password", {"current": "pw", "password": "pw2"})
    tenant.post("/auth", {"login": login, "password": "pw2", **WHERE})
    tenant.post(f"/user/{login}/password/reset", {})
    assert len(tenant.get(f"/user/{login}/sessions").json()["sessions"]) == 1
    user_id: str = made["id"]
    return user_id


def test_PR1_nothing_of_a_deleted_user_is_left_in_the_database(service: Service, rows: Rows) -> None:
    tenant = service.tenant()
    user_id = settle_in(tenant)
    canaries = ["canary-", "canary@", WHERE["ip"]]
    assert {table for table, _ in rows.holding(*canaries)} >= {"users", "sessions"}
    assert tenant.delete(NAMES["login"]).status_code == 200
    assert rows.holding(*canaries) == []
    if rows.on_sqlite:
        assert rows.in_files(*canaries) == []
    # What happened is told for as long as the log is kept, of an id that names nobody any more.
    assert "audit" in {table for table, _ in rows.holding(user_id)}
    sweep(service)
    assert {table for table, _ in rows.holding(user_id)} - ENDINGS == {"audit"}


def test_PR1_TI3_who_has_the_same_names_elsewhere_is_still_there(service: Service, rows: Rows) -> None:
    tenant, other = service.tenant(), service.tenant("other@example.org")
    settle_in(tenant)
    settle_in(other)
    before = other.get("/user/canary-login").json(), other.get("/user/canary-login/sessions").json()
    tenant.delete(NAMES["login"])
    sweep(service)
    assert (other.get("/user/canary-login").json(), other.get("/user/canary-login/sessions").json()) == before
    assert {table for table, _ in rows.holding("canary-login", WHERE["ip"])} == {"users", "unindexed", "sessions"}


def test_PR2_nothing_of_a_deleted_tenant_is_left_in_any_table(service: Service, rows: Rows) -> None:
    tenant, other = service.tenant("canary-shop@example.org"), service.tenant("other@example.org")
    user_ids = [settle_in(tenant), tenant.create("second").json()["id"]]
    tenant.session("second")
    settle_in(other)
    choice = {"settings": {"sessionIdle": 3600}}
    tenant.http.patch("/tenant", json=choice, headers=tenant.headers)
    keys = [tenant.post("/tenant/key", {"name": "canary-key", "permissions": ["verify"]}).json() for _ in range(2)]
    tenant.http.delete(f"/tenant/key/{keys[0]['id']}", headers=tenant.headers)
    before = other.get("/tenant").json(), other.get("/user").json(), other.get("/tenant/audit").json()
    assert (
        tenant.http.request("DELETE", "/tenant", json={"password": PASSWORD}, headers=tenant.headers).status_code == 200
    )
    sweep(service)
    traces = [*user_ids, *(key["id"] for key in keys), "canary-shop", "canary-key", "second"]
    assert [found for found in rows.holding(*traces) if found[0] not in ENDINGS] == []
    # Of the tenant's own trail nothing is left; the service's says that one of this id was deleted.
    assert {table for table, _ in rows.holding(tenant.id)} - ENDINGS == {"audit"}
    assert rows.run(f"SELECT number FROM audit WHERE tenant_id = '{tenant.id}'") == []
    if rows.on_sqlite:
        assert rows.in_files(*traces) == []
    assert (other.get("/tenant").json(), other.get("/user").json(), other.get("/tenant/audit").json()) == before
    assert rows.run("SELECT * FROM departed") == []


def test_PR4_a_login_that_nobody_has_leaves_no_name(service: Service, rows: Rows) -> None:
    tenant = service.tenant()
    for _ in range(6):
        tenant.login("canary-nobody", "wrong", "canary-device")
        tenant.http.post("/tenant/login", json={"email": "canary-nobody@example.org", "password": "wrong"})
    assert rows.counters() == 2
    assert rows.holding("canary") == []
    if rows.on_sqlite:
        assert rows.in_files("canary") == []
    assert "canary" not in tenant.get("/tenant/audit").text
    # The same name has another pseudonym in another tenant, and with another key.
    other = service.tenant("other@example.org")
    other.login("canary-nobody", "wrong")
    told = [one.get("/tenant/audit", limit=1).json()["events"][0]["subject"] for one in (tenant, other)]
    assert told[0] != told[1]
    assert rows.counters() == 3
    assert service.clock
    service.clock.turn(seconds=400 * 86_400)
    sweep(service)
    # Redis removes them by itself, by the machine's clock.
    assert rows.run("SELECT * FROM attempts") == []
    assert "attempts" not in rows.kept_for_good()
