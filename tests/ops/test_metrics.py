"""What monitoring sees: who may ask, what is counted, and that the workers' numbers are one."""

import json
import re
import time
from pathlib import Path

import httpx
import pytest

from harness import KEY, Service, Tenant, read_settings, running, serving

HERE = {"METRICS_WHITE_LIST": "127.0.0.1"}


def read(service: Service) -> dict[str, float]:
    answer = service.client().get("/metrics")
    assert answer.status_code == 200
    return parse(answer.text)


def parse(text: str) -> dict[str, float]:
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_requests_questions_logins_and_hashes_are_counted(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, HERE)) as service:
        tenant = service.tenant()
        tenant.create()
        token = tenant.session()
        tenant.login(password="wrong")
        for _ in range(3):
            tenant.verify(token)
        tenant.verify("garbage")
        found = read(service)
        assert found['doorward_http_requests_total{method="POST",route="/auth/verify",status="200"}'] == 3
        assert found['doorward_verifications_total{outcome="active"}'] == 3
        assert found['doorward_verifications_total{outcome="invalid_token"}'] == 1
        assert found['doorward_logins_total{kind="user",outcome="ok"}'] == 1
        assert found['doorward_logins_total{kind="user",outcome="incorrect_password"}'] == 1
        assert found["doorward_password_hashes_total"] == 4
        # What is answered with yes is timed once in 64 times, everything else each time.
        assert found['doorward_http_request_duration_seconds_count{lane="express"}'] == 1
        assert found["doorward_connections"] >= 1
        assert found["doorward_process_resident_memory_bytes"] > 1 << 20
        # Asking twice counts nothing twice.
        again = read(service)
        assert again['doorward_verifications_total{outcome="active"}'] == 3
        for _ in range(61):
            tenant.verify(token)
        later = read(service)
        assert later['doorward_verifications_total{outcome="active"}'] == 64
        assert later['doorward_http_request_duration_seconds_count{lane="express"}'] == 65
        assert later['doorward_http_request_duration_seconds_bucket{lane="express",le="+Inf"}'] == 65
        assert 0 < later['doorward_http_request_duration_seconds_sum{lane="express"}'] < 60


def test_for_everybody_else_there_are_no_metrics(tmp_path: Path) -> None:
    for number, listed in enumerate(({}, {"METRICS_WHITE_LIST": "192.0.2.1", "TRUSTED_PROXIES": "127.0.0.1"})):
        with running(read_settings(tmp_path / str(number), listed)) as service:
            answer = service.client().get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.status_code == 404


def test_PW11_no_tenant_login_or_token_is_in_the_metrics(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, HERE)) as service:
        tenant = service.tenant()
        tenant.create("CANARY-login", "CANARY-password")
        tenant.login("CANARY-login", "CANARY-password", "CANARY-device")
        tenant.get("/CANARY-path", q="CANARY-query")
        tenant.verify("CANARY-token")
        text = service.client().get("/metrics").text
        assert "CANARY" not in text
        assert tenant.id not in text
        assert set(re.findall(r'(\w+)="', text)) <= {
            "method", "route", "status", "code", "outcome", "kind", "lane", "le", "version",
        }  # fmt: skip


@pytest.mark.slow
def test_the_listener_for_metrics_answers_for_all_workers_and_nothing_else(tmp_path: Path) -> None:
    environment = {"JWT_KEY": KEY, "METRICS_PORT": "0", "WORKERS": "2"}
    with serving(tmp_path, environment) as process:
        line = next(line for line in process.log().splitlines() if line.strip().startswith("metrics "))
        place = line.split()[-1]
        with httpx.Client(base_url=process.url) as http:
            tenant = Tenant.register(http, "shop@example.org")
        for _ in range(20):
            # A connection each, so that both workers have something to count.
            httpx.post(f"{process.url}/tenant/verify", json={"token": tenant.token})
        name = 'doorward_verifications_total{outcome="active"}'
        deadline = time.monotonic() + 10
        while parse(httpx.get(f"{place}/metrics").text).get(name) != 20:
            assert time.monotonic() < deadline, httpx.get(f"{place}/metrics").text
            time.sleep(0.1)
        assert parse(httpx.get(f"{place}/metrics").text)["doorward_workers"] == 2
        assert httpx.get(f"{place}/health/live").status_code == 404
        assert httpx.post(f"{place}/tenant/verify", json={"token": tenant.token}).status_code == 404
        assert httpx.get(f"{process.url}/metrics").status_code == 404


@pytest.mark.parametrize("file", ["deploy/grafana/doorward.json", "deploy/alerts/doorward.yml", "docs/metrics.md"])
def test_what_is_drawn_and_what_alerts_names_metrics_that_exist(tmp_path: Path, file: str) -> None:
    text = (Path(__file__).parents[2] / file).read_text()
    named = set(re.findall(r"\bdoorward_[a-z_]+", text))
    assert len(named) > 6
    with running(read_settings(tmp_path, HERE)) as service:
        tenant = service.tenant()
        tenant.verify("garbage")
        tenant.login()
        kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", service.client().get("/metrics").text, re.MULTILINE))
    parts = {f"{name}_bucket" for name, kind in kinds.items() if kind == "histogram"}
    ours = {name for name in kinds if name.startswith("doorward_") and not name.endswith("_created")}
    assert named <= ours | parts
    if file.endswith(".md"):
        assert named == ours


def test_the_rules_and_the_dashboard_can_be_read() -> None:
    import yaml

    root = Path(__file__).parents[2] / "deploy"
    [group] = yaml.safe_load((root / "alerts" / "doorward.yml").read_text())["groups"]
    assert all({"alert", "expr", "annotations"} <= set(rule) for rule in group["rules"])
    panels = json.loads((root / "grafana" / "doorward.json").read_text())["panels"]
    assert all(panel["targets"][0]["expr"] for panel in panels)
