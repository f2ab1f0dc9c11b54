"""Tenants at their quotas: `MAX_USERS_PER_TENANT` and `MAX_AUDIT_BYTES_PER_TENANT`."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from api_contract import assert_refused
from doorward.core.clock import system_clock
from doorward.core.errors import QuotaExceeded
from doorward.settings import Settings
from doorward.stores import select_stores
from harness import Service, Tenant, read_settings, running

MOST = 4


@pytest.fixture(scope="module")
def shared(store: dict[str, str], module_folder: Path) -> Iterator[Service]:
    """A service whose tenants may have a few users."""
    with running(read_settings(module_folder, {**store, "MAX_USERS_PER_TENANT": str(MOST)})) as service:
        yield service


@pytest.fixture
def full(shared: Service) -> Tenant:
    """A tenant that has as many users as it may have."""
    tenant = shared.tenant(f"{uuid4().hex}@example.org")
    for n in range(MOST):
        assert tenant.create(f"user{n}").status_code == 200
    return tenant


def assert_full(answer: httpx.Response) -> None:
    assert_refused(answer, 409, "quota_exceeded", QuotaExceeded.sentence)


def put(tenant: Tenant, login: str, email: str = "put@example.org") -> httpx.Response:
    body = {"email": email, "password": "pw", "sub": "sub-1"}
    return tenant.http.put(f"/user/{login}", json=body, headers=tenant.headers)


def logins(tenant: Tenant) -> list[str]:
    return [user["login"] for user in tenant.get("/user", limit=100).json()["users"]]


def take(tenant: Tenant, *names: str, query: str = "") -> list[tuple[str, str | None]]:
    rows = [{"login": login, "email": "new@example.org", "sub": "sub-1"} for login in names]
    answer = tenant.post(f"/users/import{query}", {"users": rows})
    assert answer.status_code == 200, answer.text
    return [(result["status"], result.get("code")) for result in answer.json()["results"]]


def test_S5_one_user_too_many_is_refused(full: Tenant, other: Tenant) -> None:
    for refused in (full.create("surplus"), put(full, "surplus")):
        assert_full(refused)
    assert full.get("/user/surplus").status_code == 404
    assert len(logins(full)) == MOST
    actions = [entry["action"] for entry in full.get("/tenant/audit").json()["events"]]
    assert actions.count("user.create") == MOST
    assert other.create("surplus").status_code == 200


def test_S5_a_full_tenant_goes_on_with_its_users(full: Tenant) -> None:
    assert put(full, "user0").status_code == 200
    changed = full.http.patch("/user/user1", json={"email": "new@example.org"}, headers=full.headers)
    assert changed.status_code == 200
    assert full.verify(full.session("user2")).status_code == 200
    assert full.create("user2").json()["code"] == "login_exists"
    assert full.delete("user3").status_code == 200
    assert put(full, "another").status_code == 201
    assert_full(full.create("surplus"))
    assert logins(full) == ["another", "user0", "user1", "user2"]


def test_S5_an_import_creates_as_many_users_as_there_is_room_for(shared: Service) -> None:
    tenant = shared.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("a").status_code == 200
    names = ("b", "A", "c", "d", "e", "E", "b")
    expected = [
        ("created", None),
        ("exists", None),
        ("created", None),
        ("created", None),
        ("refused", "quota_exceeded"),
        ("refused", "quota_exceeded"),
        ("exists", None),
    ]
    assert take(tenant, *names, query="?dryRun=true") == expected
    assert logins(tenant) == ["a"]
    assert take(tenant, *names) == expected
    assert logins(tenant) == ["a", "b", "c", "d"]
    imported = [entry for entry in tenant.get("/tenant/audit").json()["events"] if entry["action"] == "users.import"]
    assert [entry["subject"] for entry in imported] == ["3 users"]
    assert take(tenant, "d", "e") == [("exists", None), ("refused", "quota_exceeded")]
    assert tenant.delete("c").status_code == 200
    assert take(tenant, "d", "e") == [("exists", None), ("created", None)]


def test_S5_requests_at_once_never_exceed_the_quota(shared: Service, other: Tenant) -> None:
    tenant = shared.tenant(f"{uuid4().hex}@example.org")

    def create(n: int) -> int:
        if n % 3 == 0:
            return 200 if take(tenant, f"user{n}") == [("created", None)] else 409
        return (put(tenant, f"user{n}") if n % 3 == 1 else tenant.create(f"user{n}")).status_code

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(create, range(12)))
        assert [answer for answer in answers if answer not in {200, 201, 409}] == []
        assert sum(answer != 409 for answer in answers) == MOST == len(logins(tenant))
    assert other.create().status_code == 200


def test_S5_the_same_import_at_once_never_lacks_room_for_users_that_are_there(shared: Service) -> None:
    names = [f"user{n}" for n in range(MOST)]
    for _ in range(5):
        tenant = shared.tenant(f"{uuid4().hex}@example.org")
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(take, tenant, *names) for _ in range(4)]
            results = [result for answer in answers for result in answer.result()]
        assert {code for _, code in results} == {None}
        assert [status for status, _ in results].count("created") == MOST


def test_S5_a_login_that_is_replaced_needs_no_room(store: dict[str, str], module_folder: Path) -> None:
    settings = {**store, "MAX_USERS_PER_TENANT": "1", "EXISTING_LOGIN": "replace"}
    with running(read_settings(module_folder, settings)) as service:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        first = tenant.create("alice", "pw").json()["id"]
        assert tenant.create("ALICE", "another").json()["id"] == first
        assert_full(tenant.create("bob"))
        assert tenant.login("alice", "another").status_code == 200


def test_S5_a_quota_counts_the_users_of_before_it_was_set(store: dict[str, str], module_folder: Path) -> None:
    unlimited = read_settings(module_folder, store)
    limited = read_settings(module_folder, {**store, "MAX_USERS_PER_TENANT": str(MOST)})
    with running(unlimited) as service:
        tenant = service.tenant(f"{uuid4().hex}@example.org")
        for n in range(MOST + 1):
            assert tenant.create(f"user{n}").status_code == 200
    with running(limited) as service:
        tenant.http = service.client()
        assert tenant.delete("user0").status_code == 200
        assert_full(tenant.create("surplus"))
        assert tenant.delete("user1").status_code == 200
        assert tenant.create("user1").status_code == 200
    with running(unlimited) as service:
        tenant.http = service.client()
        assert tenant.delete("user1").status_code == tenant.delete("user2").status_code == 200
    with running(limited) as service:
        tenant.http = service.client()
        assert [tenant.create(f"new{n}").status_code for n in range(3)] == [200, 200, 409]


def sweep(settings: Settings) -> None:
    """Remove what a service with these settings removes every half minute."""

    async def run() -> None:
        stores = select_stores(settings)
        await stores.open()
        try:
            await stores.sweep(system_clock, audit_retention=settings.audit_retention)
        finally:
            await stores.close()

    asyncio.run(run())


def audited(tenant: Tenant) -> list[dict[str, str]]:
    """Return the tenant's audit entries, oldest first."""
    found: list[dict[str, str]] = tenant.get("/tenant/audit", limit=500).json()["events"]
    return found[::-1]


def test_S5_failed_logins_push_out_nothing_and_a_full_quota_blocks_nothing(
    store: dict[str, str], module_folder: Path
) -> None:
    settings = read_settings(module_folder, {**store, "MAX_AUDIT_BYTES_PER_TENANT": "6000"})
    with running(settings) as service:
        tenant, bystander = (service.tenant(f"{uuid4().hex}@example.org") for _ in range(2))
        for one in (tenant, bystander):
            assert one.create("alice").status_code == 200
        session, other_session = tenant.session(), tenant.session(device="phone")
        sweep(settings)
        history, theirs = audited(tenant), audited(bystander)
        for n in range(20):
            assert tenant.login(f"stranger{n}", "guess").status_code == 404
        # Without any credential, too.
        wrong = {"email": tenant.email, "password": "guess-guess"}
        assert tenant.http.post("/tenant/login", json=wrong).status_code == 401
        sweep(settings)
        found = audited(tenant)
        assert found[: len(history)] == history
        assert 0 < len(found) - len(history) < 20
        # At a full quota sessions still end, and their ends are recorded.
        assert tenant.logout(session).status_code == 200
        assert tenant.http.delete("/user/alice/sessions", headers=tenant.headers).status_code == 200
        assert tenant.verify(other_session).status_code == 400
        assert [entry["action"] for entry in audited(tenant)[-2:]] == ["user.logout", "session.revoke_all"]
        for n in range(40):
            assert put(tenant, "alice", f"alice{n}@example.org").status_code == 200
        sweep(settings)
        assert audited(tenant)[-1]["action"] == "user.change"
        assert len(audited(tenant)) < 40
        assert tenant.verify(tenant.session()).status_code == 200
        assert audited(bystander) == theirs
