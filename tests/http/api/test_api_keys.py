"""`/tenant/key`: API keys with permissions."""

import hashlib
from itertools import product
from typing import Any

import httpx
import pytest

from doorward.core.model import Permission
from doorward.http.api.endpoint import Auth, Endpoint
from doorward.http.api.routes import ENDPOINTS
from harness import Service, Tenant

FORM = "application/x-www-form-urlencoded"
PROVEN = [endpoint for endpoint in ENDPOINTS if endpoint.auth is Auth.TENANT]


def make(tenant: Tenant, *permissions: str, **more: object) -> dict[str, Any]:
    answer = tenant.post("/tenant/key", {"name": "gateway", "permissions": list(permissions), **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ask(tenant: Tenant, endpoint: Endpoint, key: str) -> httpx.Response:
    path = endpoint.path.replace("{login}", "nobody").replace("{id}", "nothing")
    headers = {"Authorization": f"Bearer {key}", "X-Doorward-Key": key}
    if endpoint.is_form:
        return tenant.http.request(endpoint.method, path, data={"token": "x"}, headers=headers)
    body = endpoint.example if endpoint.request_body else None
    return tenant.http.request(endpoint.method, path, json=body, headers=headers)


def said(answer: httpx.Response) -> str:
    """Return the code of a refusal, or nothing."""
    body = {} if answer.status_code < 300 else answer.json()
    return str(body.get("code") or body.get("error") or "")


def test_a_key_is_shown_once_and_listed_without_itself(tenant: Tenant) -> None:
    made = make(tenant, "verify", "users:read")
    assert made["key"].startswith("dw_")
    shown = {name: value for name, value in made.items() if name != "key"}
    assert shown["permissions"] == ["users:read", "verify"]
    assert tenant.get("/tenant/key").json() == {"keys": [shown], "nextCursor": "0"}
    assert made["key"] not in tenant.get("/tenant/key").text
    assert tenant.http.delete(f"/tenant/key/{made['id']}", headers=tenant.headers).json() == {"result": 1}
    assert tenant.get("/tenant/key").json()["keys"] == []
    again = tenant.http.delete(f"/tenant/key/{made['id']}", headers=tenant.headers)
    assert (again.status_code, again.json()["code"]) == (404, "key_not_found")


def test_a_verify_key_can_ask_and_nothing_else(tenant: Tenant, other: Tenant) -> None:
    tenant.create("alice")
    other.create("alice")
    token, foreign = tenant.session("alice"), other.session("alice")
    headers = {"Authorization": f"Bearer {make(tenant, 'verify')['key']}"}
    assert tenant.http.post("/auth/verify", json={"token": token}, headers=headers).status_code == 200
    assert tenant.http.post("/auth/verify", json={"token": foreign}, headers=headers).status_code == 400
    for method, path in (
        ("GET", "/user"),
        ("DELETE", "/user/alice"),
        ("GET", "/tenant"),
        ("DELETE", "/tenant/sessions"),
    ):
        answer = tenant.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert tenant.http.post("/auth/logout", json={"token": token}, headers=headers).status_code == 403
    assert tenant.verify(token).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("endpoint", "permission"), list(product(PROVEN, Permission)), ids=lambda part: getattr(part, "path", part)
)
def test_a_key_does_what_it_is_allowed_and_is_refused_the_rest(
    tenant: Tenant, other: Tenant, endpoint: Endpoint, permission: Permission
) -> None:
    answer = ask(tenant, endpoint, make(tenant, permission)["key"])
    if endpoint.permission == permission:
        owners = ask(other, endpoint, other.token)
        assert (answer.status_code, said(answer)) == (owners.status_code, said(owners))
        assert said(answer) not in {"permission_denied", "not_authorized", "unauthorized_client", "invalid_client"}
    elif endpoint.is_form:
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    "forge",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key + "A",
        lambda key: key[:-1],
        lambda key: "DW_" + key[3:],
        lambda key: "\t" + key,
        lambda key: key + "=",
        lambda key: "dw_" + "A" * 22 + key[25:],
        lambda key: key[:25] + "A" * 22 + key[47:],
        lambda key: key[:46] + key[46].swapcase() + key[47:] if key[46].isalpha() else key + "x",
        lambda _: "dw_",
    ],
)
def test_TK4_a_key_has_one_spelling(tenant: Tenant, forge: "object") -> None:
    assert callable(forge)
    key = make(tenant, "users:read")["key"]
    answer = tenant.http.get("/user", headers={"Authorization": f"Bearer {forge(key)}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authorized")
    assert tenant.http.get("/user", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_key_is_no_token_and_dies_when_revoked_or_over(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    tenant.create("alice")
    token = tenant.session("alice")
    short = make(tenant, "verify", expiresAt=service.clock.now + 60_000)
    long = make(tenant, "verify")
    assert tenant.http.post("/tenant/verify", json={"token": long["key"]}).status_code == 400
    assert tenant.verify(long["key"]).status_code == 400

    def verify(made: dict[str, Any]) -> int:
        return tenant.http.post(
            "/auth/verify", json={"token": token}, headers={"Authorization": f"Bearer {made['key']}"}
        ).status_code

    assert (verify(short), verify(long)) == (200, 200)
    service.clock.turn(milliseconds=60_000)
    assert (verify(short), verify(long)) == (401, 200)
    tenant.http.delete(f"/tenant/key/{long['id']}", headers=tenant.headers)
    assert verify(long) == 401
    past = tenant.post("/tenant/key", {"name": "x", "permissions": ["verify"], "expiresAt": service.clock.now})
    assert past.status_code == 422


def test_keys_outlive_the_tenants_own_sessions(tenant: Tenant) -> None:
    key = make(tenant, "users:read")["key"]
    tenant.http.delete("/tenant/sessions?tenant=true", headers=tenant.headers)
    assert tenant.get("/user").status_code == 401
    assert tenant.http.get("/user", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.one_setup
def test_the_body_of_a_new_key_is_checked(tenant: Tenant) -> None:
    for body in (
        {"name": "", "permissions": ["verify"]},
        {"name": "x", "permissions": []},
        {"name": "x", "permissions": ["admin"]},
        {"name": "x", "permissions": "verify"},
        {"name": "x", "permissions": ["verify"], "expiresAt": "tomorrow"},
        {},
    ):
        answer = tenant.post("/tenant/key", body)
        assert answer.status_code == 422, body
        assert "admin" not in answer.text


def test_a_tenant_has_a_hundred_keys_at_most(tenant: Tenant) -> None:
    for _ in range(100):
        make(tenant, "verify")
    answer = tenant.post("/tenant/key", {"name": "x", "permissions": ["verify"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_keys")


def test_the_last_use_of_a_key_is_written_without_a_write_per_request(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    made = make(tenant, "users:read")
    assert made["lastUsed"] is None
    service.clock.turn(seconds=90)
    for _ in range(20):
        tenant.http.get("/user", headers={"Authorization": f"Bearer {made['key']}"})
    used = service.eventually(lambda: tenant.get("/tenant/key").json()["keys"][0]["lastUsed"])
    assert used == service.clock.now


REFUSED_USES: dict[str, tuple[int, str, str, dict[str, str], str]] = {
    "without the permission": (403, "GET", "/user", {}, ""),
    "for the tenant alone": (403, "POST", "/tenant/key", {}, "{}"),
    "a token that is none": (400, "POST", "/auth/verify", {}, '{"token":"x"}'),
    "no token": (422, "POST", "/auth/verify", {}, "{}"),
    "no JSON": (400, "POST", "/auth/verify", {}, "{"),
    "another type": (415, "POST", "/auth/verify", {"Content-Type": "text/plain"}, "{}"),
    "another type of answer": (406, "POST", "/auth/verify", {"Accept": "text/html"}, '{"token":"x"}'),
    "an empty batch": (422, "POST", "/auth/verify/batch", {}, '{"tokens":[]}'),
    "a large body without the permission": (403, "POST", "/users/import", {}, " " * 20_000),
    "a large body of another type": (415, "POST", "/auth/verify/batch", {"Content-Type": "text/csv"}, " " * 20_000),
    "introspection of nothing": (400, "POST", "/oauth/introspect", {"Content-Type": FORM}, "token="),
    "introspection of what is none": (200, "POST", "/oauth/introspect", {"Content-Type": FORM}, "token=x"),
    "revocation without the permission": (400, "POST", "/oauth/revoke", {"Content-Type": FORM}, "token=x"),
    "a gateway, without a token": (401, "GET", "/forward-auth", {"Authorization": ""}, ""),
    "a gateway, with one that is none": (401, "GET", "/forward-auth", {"Authorization": "Bearer x"}, ""),
}


def test_S20_a_refused_request_is_a_use_of_its_key_and_a_forged_one_is_none(service: Service) -> None:
    tenant = service.tenant()
    assert service.clock
    keys = {name: make(tenant, "verify") for name in (*REFUSED_USES, "forged", "idle")}
    service.clock.turn(seconds=90)
    for name, (status, method, path, fields, body) in REFUSED_USES.items():
        key = keys[name]["key"]
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", "X-Doorward-Key": key, **fields}
        answer = tenant.http.request(method, path, content=body or None, headers=sent)
        assert answer.status_code == status, (name, answer.text)
    forged = keys["forged"]["key"]
    for key in (forged[:-4] + ("AAAA" if forged[-4:] != "AAAA" else "BBBB"), forged + "A"):
        assert tenant.http.get("/user", headers={"Authorization": f"Bearer {key}"}).status_code == 401

    def uses() -> dict[str, int | None]:
        return {key["id"]: key["lastUsed"] for key in tenant.get("/tenant/key").json()["keys"]}

    service.eventually(lambda: sum(used is not None for used in uses().values()) >= len(REFUSED_USES))
    unused = {keys["forged"]["id"], keys["idle"]["id"]}
    assert uses() == {key["id"]: None if key["id"] in unused else service.clock.now for key in keys.values()}


def test_PW11_only_the_digest_of_a_key_is_kept(tenant: Tenant) -> None:
    from doorward.core.api_keys.format import parse_api_key

    key = make(tenant, "verify")["key"]
    parsed = parse_api_key(key.encode())
    assert parsed
    assert parsed.digest == hashlib.sha256(key.encode()).digest()
    assert parsed.tenant_id == tenant.id
