"""Traces: activation, content of spans, and unavailable collectors."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from doorward.observability import tracing
from doorward.settings import Settings
from doorward.settings.sources import telemetry
from harness import KEY, UNTHROTTLED, Process, Tenant, serving

CANARY = "CANARY-7e2b19"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENVIRONMENT = {"JWT_KEY": KEY, **UNTHROTTLED}


@dataclass
class Collector:
    """A collector that speaks OTLP over HTTP, as far as traces need it."""

    url: str = ""
    raw: list[bytes] = field(default_factory=list)

    @property
    def spans(self) -> list[dict[str, Any]]:
        found = []
        for body in self.raw:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        attributes = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
                        found.append(
                            {
                                "name": span.name,
                                "trace": span.trace_id.hex(),
                                "parent": span.parent_span_id.hex(),
                                "id": span.span_id.hex(),
                                "fault": span.status.code == 2,
                                **attributes,
                            }
                        )
        return found

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]


@contextlib.contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.raw.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def client(process: Process) -> Iterator[Tenant]:
    with httpx.Client(base_url=process.url, timeout=10) as http:
        yield Tenant.register(http, "shop@example.org")


@pytest.mark.slow
def test_each_request_has_a_span_that_continues_its_callers_trace(tmp_path: Path) -> None:
    with collecting() as collector:
        with serving(tmp_path, {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as process:
            with client(process) as tenant:
                tenant.create()
                token = tenant.session()
                given = {**tenant.headers, "traceparent": f"00-{TRACE}-{PARENT}-01"}
                assert tenant.http.post("/auth/verify", json={"token": token}, headers=given).status_code == 200
                assert tenant.http.get("/user/nobody", headers=given).status_code == 404
                tenant.http.get("/nowhere")
            # All of it is sent before the process has ended.
            process.stop()
        [verify] = collector.named("POST /auth/verify")
        [user] = collector.named("GET /user/{login}")
        assert (verify["trace"], verify["parent"]) == (TRACE, PARENT)
        assert (user["trace"], user["parent"]) == (TRACE, PARENT)
        assert verify["http.route"] == "/auth/verify"
        assert verify["http.request.method"] == "POST"
        assert (verify["http.response.status_code"], user["http.response.status_code"]) == (200, 404)
        [nowhere] = collector.named("GET")
        assert "http.route" not in nowhere
        assert nowhere["trace"] != TRACE
        [looked] = [span for span in collector.spans if span["parent"] == verify["id"]]
        assert (looked["name"], looked["db.system.name"]) == ("look_up sqlite", "sqlite")
        [registered] = collector.named("POST /tenant")
        assert {"write sqlite"} <= {span["name"] for span in collector.spans if span["parent"] == registered["id"]}
        # What the service does by itself has none.
        assert all(span["parent"] for span in collector.spans if "db.system.name" in span)
        assert b"doorward" in collector.raw[0]


@pytest.mark.slow
def test_PW11_a_span_repeats_nothing_that_the_sender_chose(tmp_path: Path) -> None:
    with collecting() as collector:
        with serving(tmp_path, {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as process:
            with client(process) as tenant:
                given = {**tenant.headers, "traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": f"a={CANARY}"}
                tenant.create(CANARY, CANARY)
                token = tenant.session(CANARY, CANARY, CANARY)
                tenant.http.post("/auth/verify", json={"token": token}, headers=given)
                tenant.http.post("/auth/verify", json={"token": CANARY}, headers={**given, "X-Request-Id": CANARY})
                tenant.http.get(f"/user/{CANARY}", params={"q": CANARY}, headers={**given, CANARY: CANARY})
                tenant.http.request(CANARY.replace("-", ""), f"/{CANARY}", headers=given)
            process.stop()
        assert len(collector.named("POST /auth/verify")) == 2
        sent = b"".join(collector.raw)
        for secret in (b"CANARY", token.encode(), tenant.token.encode(), b"shop@", tenant.id.encode(), b"127.0.0.1"):
            assert secret not in sent


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, None])
def test_a_collector_that_is_away_disturbs_no_request_and_no_end(tmp_path: Path, status: int | None) -> None:
    with collecting(status or 200) as collector:
        url = collector.url
        if status is not None:
            with serving(tmp_path, {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": url}) as process:
                _disturbed(process)
    if status is None:
        with serving(tmp_path, {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": url}) as process:
            _disturbed(process)


def _disturbed(process: Process) -> None:
    with client(process) as tenant:
        for _ in range(50):
            assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
    began = time.monotonic()
    assert process.stop() in {0, -15}
    assert time.monotonic() - began < 15


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "imported"), [(False, False), (True, True)])
def test_the_library_is_imported_only_where_traces_are_asked_for(
    tmp_path: Path, *, asked: bool, imported: bool
) -> None:
    program = (
        "import sys; from doorward.app import from_environment; import doorward.cli, doorward.runtime.server; "
        "from_environment(); print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {**ENVIRONMENT, "OTEL_SERVICE_NAME": "x"}
    if asked:
        environment["OTEL_TRACES_EXPORTER"] = "otlp"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == str(imported)


@pytest.mark.slow
def test_without_the_library_there_is_one_warning_and_no_traces(tmp_path: Path) -> None:
    (tmp_path / "without" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "without" / "opentelemetry" / "__init__.py").write_text("raise ImportError\n")
    environment = {**ENVIRONMENT, "OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(tmp_path / "without")}
    with serving(tmp_path, environment) as process:
        with client(process) as tenant:
            assert tenant.http.post("/tenant/verify", json={"token": tenant.token}).status_code == 200
        warnings = [line for line in process.log().splitlines() if '"warning"' in line]
        assert len(warnings) == 1
        assert "pip install 'doorward[otel]'" in warnings[0]


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "auth"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True),
    ],
)
def test_there_are_no_traces_where_they_are_not_asked_for_or_cannot_be_sent(
    caplog: pytest.LogCaptureFixture, variables: dict[str, str], *, warned: bool
) -> None:
    assert tracing.start_tracing(variables) is None
    assert [record.getMessage()[:9] for record in caplog.records] == ["no traces"] * warned


def test_the_librarys_variables_are_no_mistakes_in_either_place(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTEL_TRACES_EXPORTER=otlp\nOTEL_SERVICE_NAME=file\n")
    given = {"JWT_KEY": KEY, "OTEL_SERVICE_NAME": "auth", "OTEL_HASH_MEMORY": "1"}
    assert Settings.read(given, tmp_path).jwt_key
    assert telemetry(given, tmp_path) == {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_SERVICE_NAME": "auth",
        "OTEL_HASH_MEMORY": "1",
    }
