"""Passwords and tokens appear in no response, log line, row or file."""

import base64
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_contract import BODIES, FORMS, credential_for, email, encode, example, place, send
from doorward.http.api.endpoint import Endpoint
from doorward.http.api.routes import ENDPOINTS
from harness import KEY, Tenant, read_settings, running, serving
from raw_store import Rows
from servers import Servers

CANARY = "CANARY-Kanarienvogel-7f3a9c"
TRACES = (CANARY, CANARY.lower(), base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex())
OWN_LIBRARIES = ("httpx", "httpcore")
"""What the test's client logs is not the service's."""


SECRETS = ("password", "current", "code", "token", "refreshToken", "keepToken", "tokens")
"""The fields that hold a secret."""


def bodies(good: dict[str, Any]) -> Iterator[bytes]:
    """Yield the canary as a secret in well-formed, invalid and malformed bodies."""
    for name in SECRETS:
        yield json.dumps({**good, name: CANARY}).encode()
        yield json.dumps({**good, name: [CANARY]}).encode()
        yield json.dumps({**good, name: {CANARY: CANARY}}).encode()
    whole = json.dumps({**good, "password": CANARY}).encode()
    yield whole
    yield json.dumps({"password": CANARY}).encode()
    yield json.dumps({**dict.fromkeys(good, 1), "password": CANARY}).encode()
    yield json.dumps({**good, "password": CANARY * 20}).encode()
    yield json.dumps({**good, "password": CANARY * 1000}).encode()
    yield json.dumps({**good, "password": f"{CANARY}\ud800"}).encode()
    yield json.dumps({**good, "password": f"$2b$31${CANARY}".ljust(60, "a")}).encode()
    yield json.dumps({**good, CANARY: 1}).encode()
    yield json.dumps([{**good, "password": CANARY}]).encode()
    yield json.dumps(CANARY).encode()
    yield whole[:-2]
    yield whole + whole
    yield whole[:-1] + b',"password":"' + CANARY.encode() + b'"}'
    yield whole.replace(b":", b"=")
    yield b"\xff" + whole
    yield whole.decode().encode("utf-16")
    yield CANARY.encode()


def forms(endpoint: Endpoint) -> Iterator[bytes]:
    yield encode(endpoint, {"token": CANARY})
    yield encode(endpoint, {"token": CANARY, "client_secret": CANARY, "token_type_hint": CANARY})
    yield encode(endpoint, {"token": CANARY}) * 2
    yield encode(endpoint, {"token": CANARY}) + b"&token=" + CANARY.encode()
    yield encode(endpoint, {CANARY: "x"})
    yield b"token=%ff" + CANARY.encode()
    yield CANARY.encode()
    yield json.dumps({"token": CANARY}).encode()


def everywhere(tenant: Tenant) -> Iterator[httpx.Response]:
    """Send the canary to every route in every place where a confused client might put a password."""
    http = tenant.http
    for endpoint in BODIES:
        for body in bodies(example(endpoint)):
            yield send(http, endpoint, tenant, body)
            yield http.request(endpoint.method, place(endpoint.path), content=body)
            yield send(http, endpoint, tenant, body, **{"Content-Type": "application/x-www-form-urlencoded"})
    for endpoint in FORMS:
        for body in forms(endpoint):
            yield send(http, endpoint, tenant, body)
            yield http.request(endpoint.method, endpoint.path, content=body)
            yield send(http, endpoint, tenant, body, **{"Content-Type": "application/json"})
    form = f"password={CANARY}".encode()
    for endpoint in ENDPOINTS:
        path = re.sub(r"\{\w+\}", CANARY, endpoint.path)
        credential = credential_for(endpoint, tenant)
        proof = {"Authorization": credential} if credential else {}
        basic = base64.b64encode(f"alice:{CANARY}".encode()).decode()
        yield http.request(endpoint.method, path, headers={"Authorization": f"Bearer {CANARY}"})
        yield http.request(endpoint.method, path, headers={"Authorization": f"Basic {basic}"})
        yield http.request(endpoint.method, path, headers={**proof, "Cookie": f"password={CANARY}; token={CANARY}"})
        for key in (CANARY, f"dw_{CANARY}", tenant.token):
            headers = {"X-Doorward-Key": key, "Authorization": f"Bearer {CANARY}"}
            yield http.request(endpoint.method, path, headers=headers)
        yield http.request(endpoint.method, path, headers={"Authorization": f"Bearer dw_{CANARY}"})
        yield http.request(endpoint.method, path, headers=proof, params={"password": CANARY})
        yield http.request(endpoint.method, path, headers=proof, params={"token": CANARY})
        yield http.request(
            endpoint.method, path, headers=proof, params={"limit": CANARY, "cursor": CANARY, "q": CANARY}
        )
        yield http.request(endpoint.method, path, headers=proof, content=form)
    tenant.create("carol", f"{CANARY}1")
    yield tenant.login("carol", f"{CANARY}1")
    yield tenant.login("carol", CANARY)
    yield tenant.login(CANARY, "x")
    change = {"current": f"{CANARY}1", "password": f"{CANARY}2"}
    yield tenant.post("/user/carol/password", {**change, "keepToken": CANARY})
    yield tenant.post("/user/carol/password", {**change, "current": CANARY})
    yield tenant.post("/user/carol/password", change)
    code = tenant.post("/user/carol/password/reset", {}).json()["code"]
    yield tenant.post("/auth/reset", {"code": code, "password": f"{CANARY}3"})
    for method, whole in (
        ("PUT", {"email": "a@b", "sub": "s", "password": f"{CANARY}4"}),
        ("PATCH", {"password": f"{CANARY}5"}),
    ):
        yield http.request(method, "/user/carol", json=whole, headers=tenant.headers)
    yield tenant.login("carol", f"{CANARY}5")
    yield tenant.post("/tenant/password", {"current": f"{CANARY}1", "password": f"{CANARY}6"})
    yield tenant.get("/user")
    yield tenant.get("/user/carol/sessions")
    yield tenant.get("/tenant")
    yield tenant.get("/tenant/key")
    yield tenant.get("/tenant/audit", limit=500)
    yield http.post("/tenant/login", json={"email": f"{CANARY}@example.org", "password": CANARY})


def assert_unseen(text: str) -> None:
    for trace in TRACES:
        assert trace not in text


def hunt_answers(tenant: Tenant) -> None:
    statuses = set()
    for answer in everywhere(tenant):
        assert answer.status_code < 500
        assert_unseen(answer.text)
        assert_unseen(repr(answer.headers.raw))
        # The description shows the form of hashes that can be imported.
        if answer.request.url.path not in {"/openapi.json", "/docs"}:
            assert "$argon2" not in answer.text
            assert "$2b$" not in answer.text
        statuses.add(answer.status_code)
    assert statuses >= {200, 400, 401, 403, 404, 409, 413, 415, 422}


def hunt_files(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        for trace in TRACES:
            assert trace.encode() not in content, path


def test_PW11_a_password_is_in_no_answer_log_line_row_or_file(
    store: dict[str, str], servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = read_settings(tmp_path, store)
    with running(settings) as service:
        hunt_answers(service.tenant(email(), f"{CANARY}1"))
        hunt_files(tmp_path)
        assert Rows(settings, servers).holding(*TRACES) == []
    hunt_files(tmp_path)
    hunt_logs(caplog)


def hunt_logs(caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    records = [record for record in caplog.records if not record.name.startswith(OWN_LIBRARIES)]
    assert any(record.name.startswith("doorward") for record in records)
    for record in records:
        text = f"{record.getMessage()} {record.__dict__} {record.exc_text}"
        assert_unseen(text)
        assert [secret for secret in secrets if secret in text] == []


def test_PW10_AU5_no_secret_that_was_given_out_is_seen_again(
    store: dict[str, str], servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = read_settings(tmp_path, store)
    with running(settings) as service:
        tenant = service.tenant(email())
        tenant.create()
        body = {"login": "alice", "password": "pw", "deviceId": "laptop", "refresh": True}
        pair = tenant.post("/auth", body).json()
        renewed = tenant.post("/auth/refresh", {"refreshToken": pair["refreshToken"]}).json()
        used, unused = (tenant.post("/user/alice/password/reset", {}).json()["code"] for _ in range(2))
        everything = ["verify", "users:read", "users:write", "sessions", "tenant"]
        key = tenant.post("/tenant/key", {"name": "k", "permissions": everything}).json()["key"]
        tokens = [pair["accessToken"], pair["refreshToken"], renewed["accessToken"], renewed["refreshToken"]]
        secrets = [tenant.token, *tokens, used, unused, key]
        proof = {"Authorization": f"Bearer {key}"}
        paths = ("/user", "/user/alice", "/user/alice/sessions", "/tenant", "/tenant/key", "/tenant/audit")
        answers = [tenant.http.get(path, headers=proof) for path in paths]
        for token in secrets:
            answers += [
                tenant.verify(token),
                tenant.post("/auth/verify/batch", {"tokens": [token]}),
                tenant.http.post("/oauth/introspect", data={"token": token}, headers=proof),
                tenant.post("/auth/reset", {"code": token, "password": ""}),
                tenant.http.get(f"/user/{token}", headers=proof),
                tenant.http.get("/user", headers={"Authorization": f"Bearer {token}x"}),
            ]
        for token in [*tokens, key]:
            answers += [
                tenant.post("/auth/logout", {"token": token}),
                tenant.post("/auth/refresh", {"refreshToken": token}),
                tenant.http.post("/oauth/revoke", data={"token": token}, headers=proof),
            ]
        answers.append(tenant.http.get("/tenant/audit", headers=proof))
        for answer in answers:
            assert [secret for secret in secrets if secret in answer.text or secret in str(answer.headers)] == []
            assert "$argon2" not in answer.text
        # A session's key, an API key's and a code's digest are all that is kept, and no token begins in any row.
        parts = [part for secret in secrets for part in secret.split(".")[1:]]
        assert Rows(settings, servers).holding(*secrets, *parts) == []
        if not settings.on_postgresql:
            assert Rows(settings, servers).in_files(*secrets, *parts) == []
    hunt_logs(caplog, *secrets)


@pytest.mark.slow
def test_PW11_a_password_is_in_no_log_or_file_of_a_process(store: dict[str, str], tmp_path: Path) -> None:
    environment = {**store, "JWT_KEY": KEY, "LOG_LEVEL": "debug", "ACCESS_LOG": "on"}
    with serving(tmp_path, environment) as process, httpx.Client(base_url=process.url, timeout=30) as http:
        hunt_answers(Tenant.register(http, email(), f"{CANARY}1"))
        hunt_files(tmp_path)
        process.stop()
        assert '"event": "stopped"' in process.log()
    hunt_files(tmp_path)
