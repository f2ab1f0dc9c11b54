"""Introspection, revocation and their description, as the standards and a real client library have them."""

import json
from urllib.parse import quote

import httpx
import pytest
from authlib.integrations.httpx_client import OAuth2Client

from harness import Service, Tenant

Key = dict[str, str]


@pytest.fixture
def key(tenant: Tenant) -> Key:
    made: Key = tenant.post("/tenant/key", {"name": "rs", "permissions": ["verify", "sessions"]}).json()
    return made


def introspect(tenant: Tenant, key: Key, **form: str) -> httpx.Response:
    return tenant.http.post("/oauth/introspect", data=form, auth=(key["id"], key["key"]))


def test_RFC7662_a_live_token_is_active_with_its_claims(tenant: Tenant, key: Key) -> None:
    user = tenant.create("alice", scope="read write").json()
    token = tenant.session("alice")
    claims = tenant.verify(token).json()["decoded"]
    assert introspect(tenant, key, token=token, token_type_hint="access_token").json() == {
        "active": True,
        "token_type": "Bearer",
        "client_id": tenant.id,
        "username": "alice",
        "sub": "sub-1",
        "aud": "doorward",
        "jti": claims["jti"],
        "iat": claims["iat"],
        "exp": claims["exp"],
        "user_id": user["id"],
        "device_id": "laptop",
        "scope": "read write",
    }
    bearer = tenant.http.post(
        "/oauth/introspect", data={"token": token}, headers={"Authorization": f"Bearer {key['key']}"}
    )
    assert bearer.json()["active"] is True


def test_RFC7662_what_is_dead_foreign_or_no_token_is_inactive_and_nothing_more(
    tenant: Tenant, other: Tenant, key: Key
) -> None:
    tenant.create("alice", scope={"a": 1})
    other.create("alice")
    dead = tenant.session("alice")
    tenant.logout(dead)
    for token in (dead, other.session("alice"), tenant.token, key["key"], "x", "dr_x.y", "é"):
        assert introspect(tenant, key, token=token).text == '{"active":false}'
    live = introspect(tenant, key, token=tenant.session("alice")).json()
    assert "scope" not in live
    assert live["scope_data"] == {"a": 1}


def test_RFC7662_a_refresh_token_is_active_until_it_is_spent(tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    pair = tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}).json()
    assert introspect(tenant, key, token=pair["refreshToken"]).json()["active"] is True
    tenant.post("/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert introspect(tenant, key, token=pair["refreshToken"]).json() == {"active": False}


def test_RFC6749_errors_are_those_of_section_5_2(tenant: Tenant, key: Key) -> None:
    ask = tenant.http.post
    refused = ask("/oauth/introspect", data={"token": "x"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert refused.headers["www-authenticate"]
    for auth in ((key["id"], "wrong"), ("wrong", key["key"]), (key["key"], key["id"])):
        assert ask("/oauth/introspect", data={"token": "x"}, auth=auth).json()["error"] == "invalid_client"
    for content in (b"", b"token=", b"tok=x", b"token=a&token=b", b"token=%ff", b"&" * 100):
        answer = ask(
            "/oauth/introspect",
            content=content,
            auth=(key["id"], key["key"]),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), content
    as_json = ask("/oauth/introspect", json={"token": "x"}, auth=(key["id"], key["key"]))
    assert as_json.status_code == 415
    narrow = tenant.post("/tenant/key", {"name": "x", "permissions": ["users:read"]}).json()
    assert introspect(tenant, narrow, token="x").json()["error"] == "unauthorized_client"


def test_RFC7009_revoking_ends_the_session_and_unknown_tokens_are_as_good_as_revoked(
    tenant: Tenant, other: Tenant, key: Key
) -> None:
    tenant.create("alice")
    other.create("alice")
    pair = tenant.post("/auth", {"login": "alice", "password": "pw", "deviceId": "d", "refresh": True}).json()
    plain, foreign = tenant.session("alice"), other.session("alice")

    def revoke(token: str) -> httpx.Response:
        return tenant.http.post("/oauth/revoke", data={"token": token}, auth=(key["id"], key["key"]))

    for token in (plain, plain, "x", foreign):
        assert revoke(token).status_code == 200
    assert tenant.verify(plain).status_code == 400
    assert other.verify(foreign).status_code == 200
    assert revoke(pair["refreshToken"]).status_code == 200
    assert tenant.verify(pair["accessToken"]).status_code == 400
    assert tenant.http.post("/oauth/revoke", data={"token": "x"}).status_code == 401


def test_RFC8414_the_description_is_true(shared: Service, tenant: Tenant, key: Key) -> None:
    found = shared.client().get("/.well-known/oauth-authorization-server").json()
    issuer = found["issuer"]
    assert issuer.startswith("http")
    for name in ("introspection_endpoint", "revocation_endpoint"):
        path = found[name].removeprefix(issuer)
        assert found[f"{name}_auth_methods_supported"] == ["client_secret_basic"]
        assert tenant.http.post(path, data={"token": "x"}, auth=(key["id"], key["key"])).status_code == 200
    assert found["response_types_supported"] == []


def test_authlib_introspects_and_revokes(shared: Service, tenant: Tenant, key: Key) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    with OAuth2Client(key["id"], key["key"], token_endpoint_auth_method="client_secret_basic") as client:
        answer = client.introspect_token(f"{shared.url}/oauth/introspect", token=token, token_type_hint="access_token")
        assert json.loads(answer.text)["username"] == "alice"
        assert client.revoke_token(f"{shared.url}/oauth/revoke", token=token).status_code == 200
        gone = client.introspect_token(f"{shared.url}/oauth/introspect", token=token)
        assert json.loads(gone.text) == {"active": False}


def test_a_gateway_learns_who_a_requests_user_is(tenant: Tenant, key: Key) -> None:
    user = tenant.create("Jürgen %", scope={"roles": ["ä"]}).json()
    token = tenant.session("Jürgen %", device="my phone")
    headers = {"Authorization": f"Bearer {token}", "X-Doorward-Key": key["key"]}
    for method, path in (
        ("GET", "/forward-auth"),
        ("POST", "/forward-auth/some/path?x=1"),
        ("DELETE", "/forward-auth/"),
    ):
        answer = tenant.http.request(method, path, headers=headers)
        assert (answer.status_code, answer.text) == (200, "")
        assert answer.headers["x-auth-user-id"] == user["id"]
        assert answer.headers["x-auth-login"] == quote("Jürgen %", safe=" ")
        assert answer.headers["x-auth-tenant"] == tenant.id
        assert json.loads(answer.headers["x-auth-scope"]) == {"roles": ["ä"]}
        assert answer.headers["x-auth-device"] == "my phone"


def test_a_gateway_hears_401_for_everybody_who_is_none(tenant: Tenant, other: Tenant, key: Key) -> None:
    tenant.create("alice")
    other.create("alice")
    dead = tenant.session("alice")
    tenant.logout(dead)

    def ask(**headers: str) -> httpx.Response:
        return tenant.http.get(
            "/forward-auth", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    for token in (dead, other.session("alice"), tenant.token, "x"):
        answer = ask(Authorization=f"Bearer {token}", X_Doorward_Key=key["key"])
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert ask(X_Doorward_Key=key["key"]).json()["code"] == "not_authenticated"
    live = f"Bearer {tenant.session('alice')}"
    assert ask(Authorization=live).json()["code"] == "not_authorized"
    assert ask(Authorization=live, X_Doorward_Key="dw_x").json()["code"] == "not_authorized"
    assert (
        tenant.http.get("/forward-auth", params={"token": live}, headers={"X-Doorward-Key": key["key"]}).status_code
        == 400
    )
