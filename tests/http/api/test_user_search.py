"""`GET /user`: search by e-mail address, `sub` and id (N6)."""

from typing import Any

import pytest

from api_contract import assert_refused, faults, logins, wide
from harness import Tenant

ADDRESS = "Alice@Example.org"


def found(tenant: Tenant, **query: Any) -> list[str]:
    answer = tenant.get("/user", **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["nextCursor"] == "0"
    return [user["login"] for user in answer.json()["users"]]


def test_N6_a_user_is_found_by_address_sub_or_id_and_nobody_else(tenant: Tenant, other: Tenant) -> None:
    alice = tenant.create("alice", email=ADDRESS, sub="customer-1").json()
    tenant.create("bob", email="bob@example.org", sub="customer-10")
    foreign = other.create("alice", email=ADDRESS, sub="customer-1").json()
    for query in ({"email": ADDRESS}, {"sub": "customer-1"}, {"id": alice["id"]}):
        assert tenant.get("/user", **query).json() == {"users": [alice], "nextCursor": "0"}
        assert [user["id"] for user in tenant.get("/user", **query).json()["users"]] != [foreign["id"]]
    for nothing in (
        {"email": "lice@example.org"},
        {"email": "alice@example"},
        {"email": "%"},
        {"email": "no address"},
        {"sub": "customer"},
        {"sub": "CUSTOMER-1"},
        {"sub": "customer-%"},
        {"id": foreign["id"]},
        {"id": alice["id"].upper()},
        {"id": "alice"},
        {"id": "*"},
    ):
        assert found(tenant, **nothing) == []


@pytest.mark.parametrize("spelling", ["alice@example.org", "ALICE@EXAMPLE.ORG", wide("alice") + "@example.org"])
def test_N6_an_address_is_found_in_any_spelling_of_its_canonical_form(tenant: Tenant, spelling: str) -> None:
    tenant.create("alice", email=ADDRESS)
    tenant.create("bob", email="alice@example.com")
    assert found(tenant, email=spelling) == ["alice"]


def test_N6_an_address_with_characters_outside_ascii_is_found_alike(tenant: Tenant) -> None:
    tenant.create("günther", email="GÜNTHER@Straße.example")
    assert found(tenant, email="günther@STRASSE.example") == ["günther"]
    assert found(tenant, email="gunther@strasse.example") == []


def test_N6_a_changed_address_or_sub_is_found_and_the_former_one_is_not(tenant: Tenant) -> None:
    tenant.create("alice", email=ADDRESS, sub="customer-1")
    patched = {"email": "new@example.org", "sub": "customer-2"}
    tenant.http.patch("/user/alice", json=patched, headers=tenant.headers)
    assert found(tenant, email="NEW@example.org") == found(tenant, sub="customer-2") == ["alice"]
    assert found(tenant, email=ADDRESS) == found(tenant, sub="customer-1") == []
    body = {"email": ADDRESS, "sub": "customer-3", "password": "other"}
    tenant.http.put("/user/alice", json=body, headers=tenant.headers)
    assert found(tenant, email=ADDRESS) == found(tenant, sub="customer-3") == ["alice"]
    assert found(tenant, email="new@example.org") == found(tenant, sub="customer-2") == []
    tenant.delete("alice")
    assert found(tenant, email=ADDRESS) == found(tenant, sub="customer-3") == []


def test_N6_imported_users_are_found_by_address_and_sub(tenant: Tenant) -> None:
    rows = [{"login": f"user-{n}", "email": f"User-{n}@example.org", "sub": f"s-{n}"} for n in range(3)]
    assert tenant.post("/users/import", {"users": rows}).json()["created"] == 3
    assert found(tenant, email="user-1@EXAMPLE.org") == found(tenant, sub="s-1") == ["user-1"]


def test_N6_users_who_share_an_address_or_a_sub_are_listed_page_by_page(tenant: Tenant) -> None:
    family = [f"person-{number}" for number in range(7)]
    for login in family:
        tenant.create(login, email="Family@example.org", sub="family")
        tenant.create(f"{login}-friend", email="friend@example.org", sub="friend")
    for query in ({"email": "family@example.org"}, {"sub": "family"}):
        for limit in (1, 2, 7, 500):
            assert logins(tenant, limit=limit, **query) == family
        assert len(tenant.get("/user", limit=2, **query).json()["users"]) == 2


def test_N6_an_id_goes_with_a_cursor_like_every_other_field(tenant: Tenant) -> None:
    users = [tenant.create(login).json() for login in ("a", "b", "c")]
    cursor = tenant.get("/user", limit=2).json()["nextCursor"]
    assert found(tenant, id=users[2]["id"], cursor=cursor, limit=1) == ["c"]
    assert found(tenant, id=users[0]["id"], cursor=cursor) == []


def test_N6_a_list_is_restricted_by_one_field_at_most(tenant: Tenant) -> None:
    exclusive = ['at most one of "q", "email", "sub", "id" is allowed']
    for query in ({"q": "alice", "email": ADDRESS}, {"email": ADDRESS, "sub": "s"}, {"sub": "s", "id": "i"}):
        assert faults(tenant.get("/user", **query)) == exclusive


@pytest.mark.parametrize("field", ["email", "sub", "id"])
def test_N6_an_empty_or_overlong_text_to_find_is_refused(tenant: Tenant, field: str) -> None:
    rule = f'"{field}" length must be from 1 to 256 characters'
    assert faults(tenant.get("/user", **{field: ""})) == [rule]
    assert faults(tenant.get("/user", **{field: "a" * 257})) == [rule]
    both = [rule, '"limit" must be a whole number from 1 to 500']
    assert faults(tenant.get("/user", **{field: "", "limit": "0"})) == both


@pytest.mark.parametrize("field", ["email", "sub", "id"])
def test_N6_a_key_that_may_not_read_users_finds_none(tenant: Tenant, field: str) -> None:
    alice = tenant.create("alice", email=ADDRESS, sub="customer-1").json()
    key = tenant.post("/tenant/key", {"name": "gate", "permissions": ["verify", "users:write"]}).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    sentence = "This API key lacks the permission for this request"
    answer = tenant.http.get("/user", params={field: alice[field]}, headers=headers)
    assert_refused(answer, 403, "permission_denied", sentence)
