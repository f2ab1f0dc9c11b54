"""A password goes in and is never seen again (PROMISES.md, PW10 and PW11)."""

import base64
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from contract import BODIES, credential_for, email, example, send

from doorward.http.routes import ENDPOINTS
from harness import KEY, Tenant, read_settings, running, serving

CANARY = "CANARY-Kanarienvogel-7f3a9c"
TRACES = (CANARY, CANARY.lower(), base64.b64encode(CANARY.encode()).decode(), CANARY.encode().hex())
OWN_LIBRARIES = ("httpx", "httpcore")
"""What the test's client logs is not the service's."""


def bodies(good: dict[str, Any]) -> Iterator[bytes]:
    """Yield the canary as a password in well-formed, invalid and malformed bodies."""
    whole = json.dumps({**good, "password": CANARY}).encode()
    yield whole
    yield json.dumps({"password": CANARY}).encode()
    yield json.dumps({**dict.fromkeys(good, 1), "password": CANARY}).encode()
    yield json.dumps({**good, "password": [CANARY]}).encode()
    yield json.dumps({**good, "password": {CANARY: CANARY}}).encode()
    yield json.dumps({**good, "password": CANARY * 20}).encode()
    yield json.dumps({**good, "password": CANARY * 1000}).encode()
    yield json.dumps({**good, "password": f"{CANARY}\ud800"}).encode()
    yield json.dumps({**good, "password": f"$2b$31${CANARY}".ljust(60, "a")}).encode()
    yield json.dumps({**good, "token": CANARY}).encode()
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


def everywhere(tenant: Tenant) -> Iterator[httpx.Response]:
    """Send the canary to every route in every place where a confused client might put a password."""
    http = tenant.http
    for endpoint in BODIES:
        for body in bodies(example(endpoint)):
            yield send(http, endpoint, tenant, body)
            yield http.request(endpoint.method, endpoint.path, content=body)
            yield send(http, endpoint, tenant, body, **{"Content-Type": "application/x-www-form-urlencoded"})
    form = f"password={CANARY}".encode()
    for endpoint in ENDPOINTS:
        path = re.sub(r"\{\w+\}", CANARY, endpoint.path)
        credential = credential_for(endpoint, tenant)
        proof = {"Authorization": credential} if credential else {}
        basic = base64.b64encode(f"alice:{CANARY}".encode()).decode()
        yield http.request(endpoint.method, path, headers={"Authorization": f"Bearer {CANARY}"})
        yield http.request(endpoint.method, path, headers={"Authorization": f"Basic {basic}"})
        yield http.request(endpoint.method, path, headers={**proof, "Cookie": f"password={CANARY}"})
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
    yield tenant.get("/user")
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


def test_PW11_a_password_is_in_no_answer_log_line_or_file(
    store: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with running(read_settings(tmp_path, store)) as service:
        hunt_answers(service.tenant(email(), f"{CANARY}1"))
        hunt_files(tmp_path)
    hunt_files(tmp_path)
    records = [record for record in caplog.records if not record.name.startswith(OWN_LIBRARIES)]
    assert any(record.name.startswith("doorward") for record in records)
    for record in records:
        assert_unseen(f"{record.getMessage()} {record.__dict__} {record.exc_text}")


@pytest.mark.slow
def test_PW11_a_password_is_in_no_log_or_file_of_a_process(store: dict[str, str], tmp_path: Path) -> None:
    environment = {**store, "JWT_KEY": KEY, "LOG_LEVEL": "debug", "ACCESS_LOG": "on"}
    with serving(tmp_path, environment) as process, httpx.Client(base_url=process.url, timeout=30) as http:
        hunt_answers(Tenant.register(http, email(), f"{CANARY}1"))
        hunt_files(tmp_path)
        process.stop()
        assert '"event": "stopped"' in process.log()
    hunt_files(tmp_path)
