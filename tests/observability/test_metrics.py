"""Metrics: access, counts, and the sum of the workers' numbers."""

import json
import logging
import re
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from doorward.core.errors import StoreUnavailable
from doorward.core.model import SessionKind
from doorward.core.ports import SessionRef
from doorward.stores import select_stores
from harness import KEY, Service, Tenant, read_settings, running, serving
from redis_servers import own_redis
from servers import Servers
from store_configs import SETUPS

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
        assert found['doorward_verifications_total{outcome="active",question="verify"}'] == 3
        assert found['doorward_verifications_total{outcome="invalid_token",question="verify"}'] == 1
        assert found['doorward_logins_total{kind="user",outcome="ok"}'] == 1
        assert found['doorward_logins_total{kind="user",outcome="incorrect_password"}'] == 1
        assert found["doorward_password_hashes_total"] == 4
        # What is answered with yes is timed once in 64 times, everything else each time.
        assert found['doorward_http_request_duration_seconds_count{lane="express"}'] == 1
        assert found['doorward_http_request_duration_seconds_count{lane="login"}'] == 2
        assert found["doorward_connections"] >= 1
        assert found["doorward_process_resident_memory_bytes"] > 1 << 20
        # Asking twice counts nothing twice.
        again = read(service)
        assert again['doorward_verifications_total{outcome="active",question="verify"}'] == 3
        for _ in range(61):
            tenant.verify(token)
        later = read(service)
        assert later['doorward_verifications_total{outcome="active",question="verify"}'] == 64
        assert later['doorward_http_request_duration_seconds_count{lane="express"}'] == 65
        assert later['doorward_http_request_duration_seconds_bucket{lane="express",le="+Inf"}'] == 65
        assert 0 < later['doorward_http_request_duration_seconds_sum{lane="express"}'] < 60


def test_what_is_answered_about_tokens_is_counted_by_question(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "doorward.access")
    with running(read_settings(tmp_path, {**HERE, "ACCESS_LOG": "on"})) as service:
        tenant = service.tenant()
        tenant.create()
        alive, dead = tenant.session(), tenant.session()
        tenant.post("/auth/logout", {"token": dead})
        key = tenant.post("/tenant/key", {"name": "gate", "permissions": ["verify"]}).json()["key"]
        caplog.clear()
        for token in (alive, dead):
            proof = {"Authorization": f"Bearer {key}"}
            assert tenant.http.post("/oauth/introspect", data={"token": token}, headers=proof).status_code == 200
            proof = {"X-Doorward-Key": key, "Authorization": f"Bearer {token}"}
            tenant.http.get("/forward-auth", headers=proof)
        tenant.http.get("/forward-auth", headers={"X-Doorward-Key": key})
        found = read(service)
        for question, outcome, count in (
            ("introspect", "active", 1),
            ("introspect", "inactive", 1),
            ("forward_auth", "active", 1),
            ("forward_auth", "not_authenticated", 2),
        ):
            name = f'doorward_verifications_total{{outcome="{outcome}",question="{question}"}}'
            assert found[name] == count, name
        # A token that is not active is an answer, not a refusal.
        assert 'doorward_refusals_total{code="inactive"}' not in found
    told = [record.__dict__ for record in caplog.records if record.name == "doorward.access"]
    assert [line.get("tenant") for line in told if line["outcome"] != "not_authenticated"][:3] == [tenant.id] * 3
    assert [line.get("tenant") for line in told if line["outcome"] == "not_authenticated"] == [tenant.id] * 2


def test_F15_an_unready_service_is_no_refusal_with_the_code_ok(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, HERE)) as service:
        client = service.client()
        with sqlite3.connect(tmp_path / "doorward.db") as rows:
            rows.execute("BEGIN EXCLUSIVE")
            service.eventually(lambda: client.get("/health/ready").status_code == 503)
        found = read(service)
        assert found['doorward_refusals_total{code="store_unavailable"}'] >= 1
        assert 'doorward_refusals_total{code="ok"}' not in found


def test_what_goes_on_in_the_stores_is_counted(tmp_path: Path) -> None:
    with running(read_settings(tmp_path, HERE)) as service:
        tenant = service.tenant()
        tenant.create()
        tokens = [tenant.session() for _ in range(3)]
        before = read(service)
        assert tenant.post("/auth/logout", {"token": tokens[0]}).status_code == 200
        assert tenant.http.delete("/user/alice/sessions", headers=tenant.headers).status_code == 200
        tenant.login(password="wrong")
        found = read(service)
        assert found['doorward_sessions_opened_total{kind="user"}'] == 3
        assert found['doorward_sessions_opened_total{kind="tenant"}'] == 1
        assert found['doorward_sessions_ended_total{how="one",kind="user"}'] == 1
        assert found['doorward_sessions_ended_total{how="all",kind="user"}'] == 1
        assert found["doorward_audit_entries_total"] - before["doorward_audit_entries_total"] == 3
        assert found["doorward_hash_wait_seconds_count"] == found["doorward_password_hashes_total"]
        assert found["doorward_hash_threads_in_use"] == 0
        writes = 'doorward_store_duration_seconds_count{operation="write",store="sqlite"}'
        assert found[writes] - before[writes] >= 3
        assert found['doorward_store_duration_seconds_count{operation="read",store="sqlite"}'] > 0
        assert found['doorward_store_errors_total{store="sqlite"}'] == 0
        # Look-ups are so fast that of each second only one is timed.
        look_ups = 'doorward_store_duration_seconds_count{operation="look_up",store="sqlite"}'

        def timed() -> bool:
            tenant.verify(tokens[1])
            return read(service)[look_ups] > 0

        service.eventually(timed)


@pytest.mark.parametrize(("setup", "asked"), [("postgresql", "postgresql"), ("postgresql+redis", "redis")])
def test_servers_are_timed_and_their_connections_counted(
    tmp_path: Path, servers: Servers, setup: str, asked: str
) -> None:
    with SETUPS[setup](servers) as where, running(read_settings(tmp_path, {**HERE, **where})) as service:
        tenant = service.tenant()
        tenant.create()
        token = tenant.session()
        before = read(service)
        for _ in range(5):
            assert tenant.verify(token).status_code == 200
        found = read(service)
        look_ups = f'doorward_store_duration_seconds_count{{operation="look_up",store="{asked}"}}'
        assert found[look_ups] - before[look_ups] == 5
        assert found[f'doorward_store_duration_seconds_count{{operation="write",store="{asked}"}}'] > 0
        assert found['doorward_store_duration_seconds_count{operation="write",store="postgresql"}'] > 0
        assert found["doorward_database_pool_size"] == service.settings.database_pool
        assert found["doorward_database_pool_in_use"] == 0


@pytest.mark.slow
def test_a_server_that_is_away_is_counted(tmp_path: Path) -> None:
    with own_redis() as server:
        where = {**HERE, "REDIS_URL": server.url}
        with running(read_settings(tmp_path, where)) as service:
            tenant = service.tenant()
            server.kill()
            assert service.client().post("/tenant/verify", json={"token": tenant.token}).status_code == 503
            found = read(service)
            assert found['doorward_store_errors_total{store="redis"}'] >= 1
            assert found['doorward_store_errors_total{store="sqlite"}'] == 0
            assert found['doorward_verifications_total{outcome="store_unavailable",question="tenant_verify"}'] == 1


@pytest.mark.parametrize("timed", [True, False])
async def test_a_database_that_cannot_answer_is_counted_once(tmp_path: Path, *, timed: bool) -> None:
    stores = select_stores(read_settings(tmp_path))
    await stores.open()
    database = stores.metrics.database
    asked = SessionRef("nobody", "nobody", SessionKind.TENANT)
    assert await stores.sessions.find(asked) is None
    with sqlite3.connect(tmp_path / "doorward.db") as other:
        other.execute("ALTER TABLE sessions RENAME TO gone")
    if timed:
        database.sample()
    with pytest.raises(StoreUnavailable):
        await stores.sessions.find(asked)
    assert database.errors == 1
    assert sum(database.meter.durations["look_up"].counts) == timed
    await stores.close()


def test_for_everybody_else_there_are_no_metrics(tmp_path: Path) -> None:
    for number, listed in enumerate(({}, {"METRICS_WHITE_LIST": "192.0.2.1", "TRUSTED_PROXIES": "127.0.0.1"})):
        with running(read_settings(tmp_path / str(number), listed)) as service:
            answer = service.client().get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.status_code == 404


def test_BF7_F1_S10_metrics_are_not_there_for_what_a_listed_proxy_forwards(tmp_path: Path) -> None:
    forwarding: tuple[dict[str, str], ...] = (
        {},
        {"X-Forwarded-For": "x"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    )
    with running(read_settings(tmp_path / "trusted", {**HERE, "TRUSTED_PROXIES": "127.0.0.1"})) as service:
        answers = [service.client().get("/metrics", headers=fields) for fields in forwarding]
        assert [answer.status_code for answer in answers] == [404, 404, 404, 404]
    with running(read_settings(tmp_path / "unconfigured", HERE)) as service:
        answers = [service.client().get("/metrics", headers=fields) for fields in forwarding]
        assert [answer.status_code for answer in answers] == [200, 404, 404, 404]


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
            "question", "how", "store", "operation",
        }  # fmt: skip


@pytest.mark.slow
def test_the_listener_for_metrics_answers_for_all_workers_and_nothing_else(tmp_path: Path) -> None:
    environment = {"JWT_KEY": KEY, "METRICS_PORT": "0", "WORKERS": "2"}
    with serving(tmp_path, environment) as process:
        line = next(line for line in process.log().splitlines() if line.strip().startswith("metrics "))
        place = line.split()[-1].removesuffix("/metrics")
        with httpx.Client(base_url=process.url) as http:
            tenant = Tenant.register(http, "shop@example.org")
        for _ in range(20):
            # A connection each, so that both workers have something to count.
            httpx.post(f"{process.url}/tenant/verify", json={"token": tenant.token})
        name = 'doorward_verifications_total{outcome="active",question="tenant_verify"}'
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
    ours = {name for name in kinds if name.startswith("doorward_")}
    # C17: nobody draws the time at which a series began.
    assert not [name for name in kinds if name.endswith("_created")]
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
