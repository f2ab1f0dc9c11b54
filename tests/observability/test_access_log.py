"""The access log: its fields, its privacy, and that it delays no request."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from doorward.http.request import UnparsedRequest
from doorward.observability.recorder import RequestRecorder, RouteKey
from harness import KEY, UNTHROTTLED, Service, Tenant, read_settings, running, serving
from internals import put, services
from raw_http import exchange, request

CANARY = "CANARY-4c1d8e"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.name == "doorward.access"]


def last(service: Service, caplog: pytest.LogCaptureFixture, count: int) -> dict[str, Any]:
    service.eventually(lambda: len(lines(caplog)) >= count)
    return lines(caplog)[-1]


def test_every_request_has_one_line_on_either_lane(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(
        read_settings(tmp_path, {"ACCESS_LOG": "on", "TRUSTED_PROXIES": "127.0.0.1", "TENANT_WHITE_LIST": "*"})
    ) as service:
        tenant = service.tenant()
        tenant.create()
        token = tenant.session()
        assert len(lines(caplog)) == 3
        proof = {**tenant.headers, "X-Forwarded-For": "198.51.100.7"}
        answer = tenant.http.post("/auth/verify", json={"token": token}, headers=proof)
        line = last(service, caplog, 4)
        assert line["request_id"] == answer.headers["x-request-id"]
        assert (line["method"], line["route"], line["status"]) == ("POST", "/auth/verify", 200)
        assert (line["outcome"], line["lane"], line["tenant"]) == ("ok", "express", tenant.id)
        assert line["address"] == "198.51.100.7"
        assert 0 < line["milliseconds"] < 5000
        answer = tenant.http.get("/user/nobody", headers={**tenant.headers, "X-Request-Id": "mine-1"})
        line = last(service, caplog, 5)
        assert (line["request_id"], line["route"], line["status"]) == ("mine-1", "/user/{login}", 404)
        assert (line["outcome"], line["lane"], line["tenant"]) == ("login_not_found", "router", tenant.id)
        tenant.http.get("/nowhere")
        line = last(service, caplog, 6)
        assert (line["route"], line["status"], line["outcome"]) == ("", 404, "not_found")
        assert "tenant" not in line
        exchange(service.port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        line = last(service, caplog, 7)
        assert (line["status"], line["outcome"], line["lane"]) == (400, "bad_host", "protocol")
        assert len(lines(caplog)) == 7
        assert {line["address"] for line in lines(caplog)} == {"198.51.100.7", "unknown"}


def test_BF7_F1_a_request_that_is_refused_early_has_the_address_of_its_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(read_settings(tmp_path, {"ACCESS_LOG": "on", "TRUSTED_PROXIES": "127.0.0.1"})) as service:
        for hop in (b"203.0.113.9:51234", b"[2001:db8::5]:80", b"::ffff:203.0.113.9", b"kanarienvogel"):
            for refused in (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n"):
                exchange(service.port, refused + b"X-Forwarded-For: " + hop + b"\r\nConnection: close\r\n\r\n")
        service.eventually(lambda: len(lines(caplog)) >= 8)
    addresses = [line["address"] for line in lines(caplog)]
    assert addresses == [one for one in ("203.0.113.9", "2001:db8::5", "203.0.113.9", "unknown") for _ in range(2)]


def test_PW11_a_line_repeats_nothing_that_the_sender_chose(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(read_settings(tmp_path, {"ACCESS_LOG": "on"})) as service:
        tenant = service.tenant()
        tenant.login(CANARY, CANARY, CANARY)
        tenant.get("/user", q=CANARY, password=CANARY)
        tenant.http.get(f"/{CANARY}/{CANARY}", headers={CANARY: CANARY})
        tenant.http.request(CANARY.replace("-", ""), "/user")
        tenant.verify(CANARY)
        exchange(service.port, request("POST", f"/{CANARY}", {"X-Request-Id": f"{CANARY} x"}, CANARY.encode()))
        service.eventually(lambda: len(lines(caplog)) >= 7)
    assert "CANARY" not in repr(lines(caplog))


@pytest.mark.parametrize(("access", "statuses"), [("on", [200, 404, 500, 500]), ("errors", [500, 500]), ("off", [])])
def test_the_setting_says_which_requests_have_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, access: str, statuses: list[int]
) -> None:
    caplog.set_level(logging.INFO)
    with running(read_settings(tmp_path, {"ACCESS_LOG": access})) as service:
        tenant = service.tenant()
        tenant.get("/user/nobody")
        put(services(service), "rate_limits", None)
        token = tenant.token
        for path, body in (
            ("/tenant/verify", {"token": token}),
            ("/tenant/login", {"email": "a@b.c", "password": "x"}),
        ):
            answer = tenant.http.post(path, json=body)
            assert answer.status_code == 500
            # The traceback can be found by what the client was given, on either lane.
            failed = [record for record in caplog.records if record.getMessage() == "request failed"]
            assert failed[-1].__dict__["request_id"] == answer.headers["x-request-id"]
            assert failed[-1].exc_info
    assert [line["status"] for line in lines(caplog)] == statuses


def test_a_flood_of_errors_is_counted_and_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = RequestRecorder("errors")
    asked = RouteKey("POST", "/auth/verify", "express")
    for _ in range(1000):
        watch.record(asked, 503, "store_unavailable", 0.001, UnparsedRequest())
    assert 50 <= len(lines(caplog)) <= 200
    time.sleep(1.01)
    watch.record(asked, 503, "store_unavailable", 0.001, UnparsedRequest())
    assert lines(caplog)[-1]["left_out"] + len(lines(caplog)) - 1 >= 1000 - 150
    assert watch.responses == {(asked, 503, "store_unavailable"): 1001}


@pytest.mark.slow
def test_AU7_a_reader_that_has_stopped_holds_nothing_up(tmp_path: Path) -> None:
    out, into = os.pipe()
    (tmp_path / "first").mkdir()
    with serving(tmp_path / "first", {"JWT_KEY": KEY}) as other:
        port = other.port
    environment = {"PATH": os.environ["PATH"], "JWT_KEY": KEY, "PORT": str(port), "ACCESS_LOG": "on", **UNTHROTTLED}
    command = [sys.executable, "-m", "doorward", "serve"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=into)
    os.close(into)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    http.get("/health/live")
                    break
                time.sleep(0.05)
            tenant = Tenant.register(http, "shop@example.org")
            # Four times what a pipe holds, and nobody reads it.
            for _ in range(1000):
                assert http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
        process.terminate()
        assert process.wait(20) in {0, -15}
        begin = os.read(out, 65_536).decode()
        assert json.loads(begin.splitlines()[0])["event"] == "ready"
    finally:
        process.kill()
        process.wait(10)
        os.close(out)
