"""`emailVerified`: set by the tenant, shown, and lost with the address."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness import Tenant, TurnableClock, read_settings, running

Change = Callable[..., httpx.Response]
USER = {"email": "bob@example.org", "password": "pw", "sub": "s"}


def put(tenant: Tenant, **more: object) -> httpx.Response:
    return tenant.http.put("/user/bob", json={**USER, **more}, headers=tenant.headers)


def patch(tenant: Tenant, **changes: object) -> httpx.Response:
    return tenant.http.patch("/user/bob", json=changes, headers=tenant.headers)


def verified(tenant: Tenant) -> bool | None:
    found: bool | None = tenant.get("/user/bob").json().get("emailVerified")
    return found


def test_F14_a_tenant_vouches_for_an_address_and_it_is_shown_wherever_the_user_is(tenant: Tenant) -> None:
    created = tenant.create("bob", emailVerified=True).json()
    assert created["emailVerified"] is True
    assert tenant.get("/user/bob").json() == created == tenant.get("/user").json()["users"][0]
    assert tenant.get("/user", q="bob").json()["users"] == [created]
    assert "emailVerified" not in tenant.create("silent").json()
    assert "emailVerified" not in tenant.create("denied", emailVerified=False).json()
    refused = tenant.create("carol", emailVerified="yes")
    assert refused.json()["error"]["details"][0]["message"] == '"emailVerified" must be true or false'


@pytest.mark.one_setup
@pytest.mark.parametrize("change", [put, patch])
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"email": "bob@example.org"}, True),
        ({"email": "bob@example.org", "emailVerified": True}, True),
        ({"email": "bob@example.org", "emailVerified": False}, None),
        ({"email": "new@example.org"}, None),
        ({"email": "new@example.org", "emailVerified": False}, None),
        ({"email": "new@example.org", "emailVerified": True}, True),
        ({"email": "Bob@example.org"}, None),
        ({"email": "bob@EXAMPLE.org"}, None),
        ({"email": "\uff42ob@example.org"}, None),
    ],
)
def test_F14_another_address_is_not_verified_unless_the_tenant_vouches_for_it(
    tenant: Tenant, change: Change, more: dict[str, object], *, expected: bool | None
) -> None:
    put(tenant, emailVerified=True)
    answer = change(tenant, **more)
    assert answer.status_code == 200
    assert answer.json().get("emailVerified") is verified(tenant) is expected


@pytest.mark.parametrize("password", ["pw", "another"])
def test_F14_what_is_put_again_keeps_the_proof_of_the_same_address_whatever_the_password(
    tenant: Tenant, password: str
) -> None:
    put(tenant, emailVerified=True)
    put(tenant, password=password, sub="changed")
    assert verified(tenant) is True
    put(tenant, password=password + "!", emailVerified=False)
    assert verified(tenant) is None


def test_F14_other_changes_leave_the_address_as_it_was_verified(tenant: Tenant) -> None:
    put(tenant, emailVerified=True)
    for change in ({"sub": "n"}, {"disabled": True}, {"disabled": False}, {"password": "new"}, {"metadata": None}):
        assert patch(tenant, **change).json()["emailVerified"] is True
    code = tenant.post("/user/bob/password/reset", {}).json()["code"]
    assert tenant.post("/auth/reset", {"code": code, "password": "newer"}).status_code == 200
    assert tenant.login("bob", "newer").status_code == 200
    assert verified(tenant) is True
    assert patch(tenant, emailVerified=False).status_code == 200
    assert verified(tenant) is None
    assert patch(tenant, emailVerified=True).json()["emailVerified"] is True


def test_F14_replacing_an_existing_login_keeps_the_proof_of_the_same_address_only(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"}), clock) as service:
        tenant = service.tenant()
        tenant.create("bob", email="bob@example.org", emailVerified=True)
        assert tenant.create("bob", "new", email="bob@example.org").json()["emailVerified"] is True
        assert "emailVerified" not in tenant.create("bob", "newer", email="other@example.org").json()
        assert tenant.create("bob", "newest", email="third@example.org", emailVerified=True).json()["emailVerified"]


def test_F14_an_export_says_whose_address_is_verified(tenant: Tenant) -> None:
    tenant.create("bob", emailVerified=True)
    tenant.create("carol")
    lines = [line for line in tenant.get("/users/export").text.splitlines() if line]
    assert [line.count('"emailVerified":true') for line in lines] == [1, 0]
