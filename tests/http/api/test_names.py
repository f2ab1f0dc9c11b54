"""Names in requests, and existing names from before the rules (F9, F10, F11, F33)."""

import json
from typing import Any
from uuid import uuid4

import pytest

from api_contract import assert_refused, faults, fresh, logins
from doorward.core.model import Tenant as TenantRow
from doorward.core.model import User as UserRow
from harness import PASSWORD, Service, Tenant
from internals import carry_out, services

VISIBLE, SPACE, SEGMENT, STABLE = (
    "must not contain invisible characters",
    "must not begin or end with white space, or have more than one in a row",
    "must not have a path segment that URL normalisation removes: one or two dots, or an empty one at either end",
    "must not contain characters so new that their canonical form differs between versions of Unicode",
)
REFUSED = {
    **dict.fromkeys([".", "..", "%2e%2E", "\u2025", "/", "kanarie/..", "kanarie/", "/kanarie"], SEGMENT),
    **dict.fromkeys(["bo\u034fb", "kanarie\ufe0f", "\u3164", "kanarie\u200dvogel", "\u0647\u200c", "\u2800"], VISIBLE),
    **dict.fromkeys(["bob ", " bob", " ", "bob  smith", "bob\u3000", "\xa0", "bob \u2003smith"], SPACE),
    "\U00010d50": STABLE,
}
ODD = ["bob ", " bob", " ", "bob  smith", "bo\u034fb", "bob\ufe0f", "\u3164", ".", "..", "/", "bob/", "a/../bob"]
"""Logins that earlier versions gave."""


def put(tenant: Tenant, login: str, **more: Any) -> Any:
    body = {"email": "a@b", "password": "pw", "sub": "s", **more}
    return tenant.http.put(at(tenant, login), json=body, headers=tenant.headers)


def at(tenant: Tenant, login: str) -> Any:
    """Return the URL of a user, with every byte of its login encoded: no client takes dots away then."""
    encoded = "".join(f"%{byte:02x}" for byte in login.encode()).encode()
    return tenant.http.base_url.copy_with(raw_path=b"/user/" + encoded)


def existing(service: Service, tenant: Tenant, *names: str) -> None:
    """Keep users as an earlier version did, each with the password `pw`."""
    passwords, accounts = services(service).users.passwords, services(service).users.accounts
    secret = carry_out(service, passwords.hash("pw", group=tenant.id))
    for login in names:
        user = UserRow(
            id=str(uuid4()),
            tenant_id=tenant.id,
            login=login,
            email="a@b",
            company=None,
            sub="s",
            scope=None,
            password_hash=secret,
            credentials=1,
            registration_date=1,
            last_activity=1,
        )
        assert carry_out(service, accounts.add_user(user))


@pytest.fixture
def shop(shared: Service) -> Tenant:
    return fresh(shared)


@pytest.mark.one_setup
@pytest.mark.parametrize("login", REFUSED, ids=ascii)
def test_IN5_F9_F10_F11_no_new_user_gets_such_a_login(shop: Tenant, login: str) -> None:
    message = f'"login" {REFUSED[login]}'
    for answer in (shop.create(login), put(shop, login)):
        assert faults(answer) == [message]
        assert answer.json()["error"]["details"][0]["path"] == ["login"]
        assert len(login) < 3 or login not in json.loads(answer.text)["error"]["details"][0]["message"]
    row = {"login": login, "email": "a@b", "sub": "s"}
    taken = shop.post("/users/import", {"users": [row, {**row, "login": "carol"}]}).json()
    assert (taken["created"], taken["refused"]) == (1, 1)
    assert taken["results"][0] == {"status": "refused", "code": "validation_error", "error": message}
    assert logins(shop) == ["carol"]


@pytest.mark.one_setup
def test_IN5_F9_F10_F11_all_faults_of_a_body_are_still_listed(shop: Tenant) -> None:
    answer = shop.post("/user", {"login": "..", "email": "bo\u034fb@example.org", "sub": "\u200c"})
    assert faults(answer) == [
        f'"login" {SEGMENT}',
        '"email" must be a valid email',
        '"password" is required',
        f'"sub" {VISIBLE}',
    ]


def test_IN5_F9_F10_F11_a_user_with_such_a_login_goes_on_as_before(shared: Service, shop: Tenant) -> None:
    shop.create("bob")
    existing(shared, shop, *ODD)
    assert sorted(logins(shop)) == sorted([*ODD, "bob"])
    for login in ODD:
        assert shop.verify(shop.session(login)).json()["decoded"]["login"] == login
        assert_refused(shop.login(login, "wrong"), 403, "incorrect_password", "Incorrect password")
        assert shop.http.get(at(shop, login), headers=shop.headers).json()["login"] == login
        changed = shop.http.patch(at(shop, login), json={"sub": "other"}, headers=shop.headers)
        assert (changed.status_code, changed.json()["sub"]) == (200, "other")
        replaced = put(shop, login, password="new")
        assert (replaced.status_code, replaced.json()["login"]) == (200, login)
        assert shop.session(login, "new")
    # They are users of their own all the while.
    assert shop.session("bob")
    for login in ODD:
        assert shop.http.delete(at(shop, login), headers=shop.headers).json() == {"result": 1}
        assert_refused(shop.login(login), 404, "user_not_found", "User does not exist")
    assert logins(shop) == ["bob"]
    assert shop.session("bob")


def test_IN5_F10_a_tenant_with_such_an_address_goes_on_as_before(shared: Service, shop: Tenant) -> None:
    address = f"bo\u034fb-{uuid4().hex}@example.org"
    body = {"email": address, "password": PASSWORD}
    assert faults(shop.http.post("/tenant", json=body)) == ['"email" must be a valid email']
    tenants = services(shared).tenants
    secret = carry_out(shared, tenants.passwords.hash(PASSWORD, group="tenants"))
    kept = TenantRow(str(uuid4()), address, secret, credentials=1, created_at=1)
    assert carry_out(shared, tenants.accounts.add_tenant(kept))
    token = shop.http.post("/tenant/login", json=body).json()["token"]
    assert shop.http.post("/tenant/verify", json={"token": token}).json()["decoded"]["id"] == kept.id


@pytest.mark.one_setup
def test_IN5_F10_device_ids_are_identifiers_too(shop: Tenant) -> None:
    shop.create("alice")
    for device in ("lap\u034ftop", "laptop\ufe0f", "\u3164", "laptop\u200b", "\u2800", "a\u200db"):
        assert faults(shop.login(device=device)) == [f'"deviceId" {VISIBLE}']
    for device in ("Alice's laptop ", " ", "..", "\u0646\u0627\u0645\u0647\u200c\u0647\u0627", "\U0001fae9"):
        claims = shop.verify(shop.session(device=device)).json()["decoded"]
        assert claims["deviceId"] == device


PERSIAN = "\u0646\u0627\u0645\u0647\u200c\u0647\u0627"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525"
NEW = "\U0001fae9\U0002ebf0"


def test_IN5_F33_names_of_people_are_written_as_they_are(shop: Tenant) -> None:
    for number, text in enumerate((PERSIAN, FAMILY, NEW)):
        more: dict[str, Any] = {"company": text, "sub": text, "metadata": {"name": text, text: [text]}, "scope": text}
        created = shop.create(f"user-{number}", **more)
        assert created.status_code == 200, created.text
        shown = shop.get(f"/user/user-{number}").json()
        assert {name: shown[name] for name in more} == more
    for login in (PERSIAN, NEW, "\u0915\u094d\u200d\u0937"):
        assert shop.create(login).json()["login"] == login
        assert shop.verify(shop.session(login)).json()["decoded"]["login"] == login
        assert shop.create(login).status_code == 409
