"""The published client applications of backend-auth, request by request.

Each story is named after its client and sends what that sends: bodies, headers and order. `docs/moving-in.md` lists
them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import bcrypt
import httpx
import pytest

from harness import Service, read_settings, running
from imports.import_run import bring_in
from legacy_server import COMPAT, redis_server

Send = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def service(store: dict[str, str], module_folder: Path) -> Iterator[Service]:
    with running(read_settings(module_folder, {**store, **COMPAT})) as started:
        yield started


def send(service: Service, method: str, path: str, headers: Mapping[str, str], content: bytes) -> httpx.Response:
    """Send a request with these headers and no others but `Host` and `Content-Length`."""
    return service.client().send(httpx.Request(method, service.url + path, headers=headers, content=content))


@pytest.fixture
def web_request(service: Service) -> Send:
    """The library of the Node clients, `web-request` over `request`, with `json` and `throwResponseError`."""

    def ask(method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        own = {"accept": "application/json", "Connection": "close"}
        own |= {"content-length": "0"} if body is None else {"content-type": "application/json"}
        given = {name.lower() for name in headers}
        sent = {**headers, **{name: value for name, value in own.items() if name.lower() not in given}}
        content = b"" if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        return send(service, method, path, sent, content)

    return ask


@pytest.fixture
def guzzle(service: Service) -> Send:
    """The library of the PHP clients. `json_encode` escapes slashes and what is not ASCII."""

    def ask(method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {
            "User-Agent": "GuzzleHttp/6.3.0 curl/7.52.1 PHP/7.1.9",
            "Accept": "application/json",
            "Content-Type": "application/json",
            **headers,
        }
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()
        return send(service, method, path, sent, content)

    return ask


def read(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def mail() -> str:
    return f"{uuid4().hex}@example.org"


def hashed(password: str) -> str:
    """Return what `bcrypt.hashSync` of bcrypt-nodejs gives the dashboards, at a lower cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, b"2a")).decode()


@pytest.fixture
def tenant(web_request: Send) -> dict[str, str]:
    """The header with which an application proves itself: it was registered once, and has the token in its settings."""
    return {"authorization": f"Bearer {read(web_request('POST', '/tenant', credentials()))['token']}"}


def credentials() -> dict[str, str]:
    return {"email": mail(), "password": "Password1"}


def test_auth_php_client_reads_accessToken_from_the_tenants_login(guzzle: Send) -> None:
    own = credentials()
    registered = read(guzzle("POST", "/tenant", own))
    assert (registered["email"], registered["login"]) == (own["email"], f"tenant:{own['email']}")
    token = read(guzzle("POST", "/tenant/login", own))["accessToken"]
    decoded = read(guzzle("POST", "/tenant/verify", {"token": token}))["decoded"]
    assert (decoded["id"], decoded["aud"], decoded["isTenant"]) == (registered["id"], "jincor.com", True)
    assert {"login", "jti", "iat"} <= set(decoded)
    proof = {"Authorization": f"Bearer {token}"}
    scope = {"0": "admin", "settings": "setting"}
    body = {"email": "user@example.com", "password": "Password1", "login": "emp_dev", "sub": "123", "scope": scope}
    user = read(guzzle("POST", "/user", body, **proof))
    assert {"id", "email", "login", "tenant", "sub"} <= set(user)
    assert user["scope"] == scope
    login = {"login": "emp_dev", "password": "Password1", "deviceId": "123"}
    user_token = read(guzzle("POST", "/auth", login, **proof))["accessToken"]
    claims = read(guzzle("POST", "/auth/verify", {"token": user_token}, **proof))["decoded"]
    assert (claims["deviceId"], claims["sub"], claims["scope"], type(claims["exp"])) == ("123", "123", scope, int)
    assert {"id", "login", "jti", "iat", "aud"} <= set(claims)
    assert read(guzzle("POST", "/auth/logout", {"token": user_token}, **proof)) == {"result": 1}
    assert guzzle("POST", "/auth/verify", {"token": user_token}, **proof).status_code == 400
    assert read(guzzle("DELETE", "/user/emp_dev", **proof)) == {"result": 1}
    assert read(guzzle("POST", "/tenant/logout", {"token": token})) == {"result": 1}
    assert guzzle("GET", "/user", **proof).status_code == 401


def test_laravel_auth_client_creates_users_without_a_scope(guzzle: Send, tenant: dict[str, str]) -> None:
    body = {"email": mail(), "login": "clerk", "password": "Password1", "sub": "7", "scope": None}
    assert read(guzzle("POST", "/user", body, **tenant))["scope"] is None


def test_auth_ts_client_does_what_its_tests_do(web_request: Send) -> None:
    own = credentials()
    registered = read(web_request("POST", "/tenant", own))
    token = read(web_request("POST", "/tenant/login", own))["accessToken"]
    assert read(web_request("POST", "/tenant/verify", {"token": token}))["decoded"]["id"] == registered["id"]
    proof = {"Authorization": f"Bearer {token}"}
    body = {"email": "test@test.com", "login": "test@test.com", "password": "Password1", "scope": "admin", "sub": "123"}
    user = read(web_request("POST", "/user", body, **proof))
    assert {name: user[name] for name in ("email", "login", "scope", "sub")} == {
        name: body[name] for name in ("email", "login", "scope", "sub")
    }
    login = {"deviceId": "123", "login": "test@test.com", "password": "Password1"}
    user_token = read(web_request("POST", "/auth", login, **proof))["accessToken"]
    decoded = read(web_request("POST", "/auth/verify", {"token": user_token}, **proof))["decoded"]
    assert (decoded["login"], decoded["scope"], decoded["deviceId"]) == ("test@test.com", "admin", "123")
    assert read(web_request("POST", "/auth/logout", {"token": user_token}, **proof)) == {"result": 1}
    assert read(web_request("DELETE", "/user/test@test.com", **proof)) == {"result": 1}
    assert read(web_request("POST", "/tenant/logout", {"token": token})) == {"result": 1}


@pytest.mark.parametrize(
    ("changes_sub", "scope"),
    [
        pytest.param(False, None, id="backend-token-wallets"),
        pytest.param(True, None, id="backend-ico-dashboard"),
        pytest.param(True, {"race": ["create"]}, id="backend-crypto-race"),
    ],
)
def test_dashboards_register_and_log_in_with_a_bcrypt_string_and_register_again_to_change_it(
    web_request: Send, tenant: dict[str, str], *, changes_sub: bool, scope: object
) -> None:
    email, first, second = mail(), hashed("their password"), hashed("another password")
    json_headers = {**tenant, "content-type": "application/json"}
    registered = {"email": email, "login": email, "password": first, "sub": str(uuid4())}
    user = read(web_request("POST", "/user", registered, **json_headers))
    login = {"login": email, "password": first, "deviceId": "device"}
    token = read(web_request("POST", "/auth", login, **tenant))["accessToken"]
    assert read(web_request("POST", "/auth/verify", {"token": token}, **tenant))["decoded"]["login"] == email
    # The password behind the string is not the password: it is compared by the dashboard.
    assert web_request("POST", "/auth", {**login, "password": "their password"}, **tenant).status_code == 403
    changed = {"email": email, "login": email, "password": second}
    changed["sub"] = str(uuid4()) if changes_sub else registered["sub"]
    if scope:
        changed["scope"] = scope  # type: ignore[assignment]  # it is of any type
    again = read(web_request("POST", "/user", changed, **json_headers))
    assert (again["id"], again["sub"]) == (user["id"], changed["sub"])
    token_after = read(web_request("POST", "/auth", {**login, "password": second}, **tenant))["accessToken"]
    claims = read(web_request("POST", "/auth/verify", {"token": token_after}, **tenant))["decoded"]
    assert (claims["sub"], claims.get("scope")) == (changed["sub"], scope)
    assert web_request("POST", "/auth", login, **tenant).status_code == 403
    assert web_request("POST", "/auth/verify", {"token": token}, **tenant).status_code == 400


def test_backend_company_keeps_more_about_an_employee_than_users_have(guzzle: Send, tenant: dict[str, str]) -> None:
    company, email, password = str(uuid4()), mail(), hashed("an employee's")
    body = {
        "email": email,
        "password": password,
        "login": f"{company}:{email}",
        "companyName": "Überland & Söhne / Кондитерская",
        "name": "Zoë D'Arc",
        "position": "CEO",
        "scope": "company-admin",
        "sub": f"@{company}_zoe:matrix.example.org",
    }
    assert read(guzzle("POST", "/user", body, **tenant))["login"] == body["login"]
    login = {"login": f"{company}:{email}", "password": password, "deviceId": "12345"}
    token = read(guzzle("POST", "/auth", login, **tenant))["accessToken"]
    claims = read(guzzle("POST", "/auth/verify", {"token": token}, **tenant))["decoded"]
    assert (claims["login"], claims["scope"], claims["sub"]) == (body["login"], body["scope"], body["sub"])
    # `identity:seed:employees` registers every employee once more.
    assert read(guzzle("POST", "/user", body, **tenant))["login"] == body["login"]
    assert read(guzzle("POST", "/auth", login, **tenant))["accessToken"]


def test_backend_admin_logs_in_with_a_password_and_looks_at_the_scope(guzzle: Send, tenant: dict[str, str]) -> None:
    email = mail()
    body = {"email": email, "login": email, "password": "Password1", "sub": "1", "scope": "jincor-admin"}
    read(guzzle("POST", "/user", body, **tenant))
    login = {"login": email, "password": "Password1", "deviceId": "777"}
    token = read(guzzle("POST", "/auth", login, **tenant))["accessToken"]
    claims = read(guzzle("POST", "/auth/verify", {"token": token}, **tenant))["decoded"]
    assert (claims["scope"], claims["login"]) == ("jincor-admin", email)
    assert read(guzzle("POST", "/auth/logout", {"token": token}, **tenant)) == {"result": 1}


def test_backend_ico_admin_gives_browsers_the_tenants_token(web_request: Send) -> None:
    own = credentials()
    read(web_request("POST", "/tenant", own))
    token = read(web_request("POST", "/tenant/login", own))["accessToken"]
    for _ in range(3):
        assert read(web_request("POST", "/tenant/verify", {"token": token}))["decoded"]["isTenant"]
    assert web_request("POST", "/tenant/verify", {"token": f"{token}x"}).status_code == 400
    assert read(web_request("POST", "/tenant/logout", {"token": token})) == {"result": 1}


def test_backend_verify_asks_about_tenants_tokens_and_takes_no_users(web_request: Send, tenant: dict[str, str]) -> None:
    token = tenant["authorization"].removeprefix("Bearer ")
    decoded = read(web_request("POST", "/tenant/verify", {"token": token}, accept="application/json"))["decoded"]
    assert decoded["isTenant"]
    body = {"email": mail(), "login": "person", "password": "Password1", "sub": "s"}
    read(web_request("POST", "/user", body, **tenant))
    login = {"login": "person", "password": "Password1", "deviceId": "d"}
    users = read(web_request("POST", "/auth", login, **tenant))["accessToken"]
    assert web_request("POST", "/tenant/verify", {"token": users}, accept="application/json").status_code == 400


def test_aag_backend_ts_registers_again_to_change_a_role(web_request: Send, tenant: dict[str, str]) -> None:
    email = mail()
    scope = {"facebook": "104", "oneSignal": "6fe1"}
    body = {"email": email, "login": email, "password": "dummy", "sub": "user", "scope": scope}
    login = {"login": email, "password": "dummy", "deviceId": "dummy"}
    read(web_request("POST", "/user", body, **tenant))
    read(web_request("POST", "/auth", login, **tenant))
    read(web_request("POST", "/user", {**body, "sub": "advisor"}, **tenant))
    token = read(web_request("POST", "/auth", login, **tenant))["accessToken"]
    assert read(web_request("POST", "/auth/verify", {"token": token}, **tenant))["decoded"]["sub"] == "advisor"


def test_backend_wallets_and_backend_contracts_ask_about_users_tokens(
    web_request: Send, tenant: dict[str, str]
) -> None:
    email, password = mail(), hashed("a")
    body = {"email": email, "login": email, "password": password, "sub": "s"}
    read(web_request("POST", "/user", body, **tenant))
    token = read(web_request("POST", "/auth", {"login": email, "password": password, "deviceId": "d"}, **tenant))
    headers = {"Accept": "application/json", "Content-Type": "application/json", **tenant}
    decoded = read(web_request("POST", "/auth/verify", {"token": token["accessToken"]}, **headers))["decoded"]
    assert decoded["login"]
    assert decoded["jti"]
    assert web_request("POST", "/auth/verify", {"token": "x"}, **headers).status_code == 400


@pytest.mark.one_setup
@pytest.mark.slow
def test_a_dashboards_users_and_its_token_go_on_after_an_import_of_the_older_keys(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, COMPAT)
    presented, tenant_id, email, issued = hashed("their password"), str(uuid4()), mail(), 1_700_000_000_000
    session = str(uuid4())
    with redis_server() as predecessor:
        owner = {"id": tenant_id, "login": "tenant:ico@example.org", "email": "ico@example.org"}
        predecessor.keep("jincor_auth_tenant:ico@example.org", {**owner, "passwordHash": hashed("Password1")})
        # Older versions hash whatever comes: the string was the password.
        user = {"id": str(uuid4()), "login": email, "password": hashed(presented), "email": email, "sub": "s"}
        predecessor.keep(f"jincor_auth_{tenant_id}:{email}", {**user, "tenant": tenant_id})
        predecessor.keep(f"jincor_auth_{tenant_id}{issued}", session)
        bring_in(settings, predecessor)
    with running(settings) as service:
        http = service.client()
        login = http.post("/tenant/login", json={"email": "ico@example.org", "password": "Password1"})
        tenant = {"authorization": f"Bearer {login.json()['accessToken']}"}
        body = {"login": email, "password": presented, "deviceId": "device"}
        assert http.post("/auth", json=body, headers=tenant).status_code == 200
        changed = {"email": email, "login": email, "password": hashed("new"), "sub": "s2"}
        assert read(http.post("/user", json=changed, headers=tenant))["id"] == user["id"]
        assert http.post("/auth", json={**body, "password": changed["password"]}, headers=tenant).status_code == 200
        assert read(http.get(f"/user/{quote(email)}", headers=tenant))["registrationDate"] == 0
