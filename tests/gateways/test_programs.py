"""Programs with unusual HTTP: protocol upgrades, HTTP/1.0 without `Host`, expectations."""

import contextlib
import csv
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gateways.gateways import configured, find, free_port, nginx_folders
from harness import Service, Tenant, read_settings, running
from internals import connections
from raw_http import Reply, request, wire

pytestmark = [pytest.mark.slow, pytest.mark.one_setup]

ANSWERS = [200, 200, 200, 200, 200, 200, 404]
"""What each of the requests of Ask.java is answered with."""

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


@pytest.fixture(scope="module")
def service(store: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that serves one host, as behind a proxy."""
    more = {**store, "ALLOWED_HOSTS": "127.0.0.1,auth.example.org"}
    with running(read_settings(tmp_path_factory.mktemp("programs"), more)) as service:
        yield service


@pytest.fixture
def tenant(service: Service) -> Tenant:
    tenant = service.tenant(f"{uuid4().hex}@example.org")
    assert tenant.create("alice").status_code == 200
    return tenant


def test_F5_the_default_client_of_Java_is_answered(service: Service, tenant: Tenant) -> None:
    java = find("java", "Java is missing, and its default client has to be tried: apt-get install default-jdk-headless")
    find("javac", "A Java compiler is missing: apt-get install default-jdk-headless")
    before = set(connections(service))
    program = Path(__file__).with_name("Ask.java")
    done = subprocess.run(
        [java, "-Xshare:auto", str(program), service.url, tenant.token, tenant.session("alice")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [f"HTTP_1_1 {status}" for status in ANSWERS * 3]
    assert len(set(connections(service)) - before) <= 1, "one connection does for all"


@pytest.mark.parametrize("expecting", [False, True])
def test_F5_curl_that_offers_HTTP_2_is_answered_and_keeps_its_connection(
    service: Service, tenant: Tenant, tmp_path: Path, *, expecting: bool
) -> None:
    curl = find("curl", "curl is missing, and what it offers has to be tried: apt-get install curl")
    token = tenant.session("alice")
    bodies = {"/auth/verify": {"token": token}, "/auth/verify/batch": {"tokens": [token] * 100}}
    command = [curl, "--silent", "--show-error", "--max-time", "20", "--http2"]
    for path, body in bodies.items():
        (tmp_path / "body.json").write_text(json.dumps(body))
        file = tmp_path / f"{path.rpartition('/')[2]}.json"
        file.write_text(json.dumps(body))
        for _ in range(2):
            command += ["--next", "--http2"] if "--url" in command else []
            command += ["--url", f"{service.url}{path}", "--data-binary", f"@{file}", "--output", "/dev/null"]
            command += [
                "--header",
                f"Authorization: Bearer {tenant.token}",
                "--header",
                "Content-Type: application/json",
            ]
            command += ["--header", "Expect: 100-continue" if expecting else "Expect:"]
            command += ["--write-out", "%{http_version} %{response_code} %{num_connects}\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["1.1 200 1", "1.1 200 0", "1.1 200 0", "1.1 200 0"]


CHECKS = {
    "OPTIONS": "option httpchk /health/live",
    "GET": "option httpchk GET /health/ready",
    "HEAD": "option httpchk HEAD /health/live",
    "HTTP/1.1 with another Host": "option httpchk\n    http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host 10.0.0.7",
}


def statistics(path: Path) -> dict[str, str]:
    """Return the state of each server, as HAProxy's own statistics have it."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(path))
        stream.sendall(b"show stat\n")
        said = b""
        while piece := stream.recv(65_536):
            said += piece
    rows = csv.DictReader(said.decode().removeprefix("# ").splitlines())
    # An asterisk says that the next check is under way.
    states = {row["svname"]: f"{row['status']} {row['check_status'].removeprefix('* ')}" for row in rows}
    return {name: state for name, state in states.items() if not state.endswith(" ")}


def test_F21_the_checks_of_HAProxy_find_the_service_alive(service: Service, tmp_path: Path) -> None:
    # Without more said, HAProxy asks in HTTP/1.0 and without Host.
    port = free_port()
    backends = "".join(
        f"backend b{number}\n    mode http\n    {check}\n"
        f"    server s{number} 127.0.0.1:{service.port} check inter 200ms fall 1 rise 1\n"
        for number, check in enumerate(CHECKS.values())
    )
    sockets = tmp_path / "h.sock"
    configuration = (
        f"global\n    stats socket {sockets} mode 600 level operator\ndefaults\n    mode http\n    timeout client 5s\n"
        "    timeout server 5s\n    timeout connect 5s\n"
        f"frontend f\n    bind 127.0.0.1:{port}\n    default_backend b0\n{backends}"
    )
    with configured("haproxy", tmp_path / "haproxy", configuration, port):
        deadline = time.monotonic() + 15
        found: dict[str, str] = {}
        while len(found) < len(CHECKS) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = {name: state for name, state in statistics(sockets).items() if "INI" not in state}
        assert found == {f"s{number}": "UP L7OK" for number in range(len(CHECKS))}, CHECKS


@contextlib.contextmanager
def nginx(folder: Path, service: Service, key: str) -> Iterator[int]:
    """Run nginx with what everybody copies for WebSockets, in front of the service and of an application it guards."""
    port = free_port()
    websockets = (
        'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    )
    configuration = f"""
events {{ worker_connections 256; }}
http {{
    access_log off;
    {nginx_folders(folder)}
    upstream doorward {{ server 127.0.0.1:{service.port}; keepalive 2; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://doorward;
            proxy_set_header Host $http_host;
            {websockets}
        }}
        location /page {{
            auth_request /_doorward;
            try_files /nothing =404;
        }}
        location = /_doorward {{
            internal;
            proxy_pass http://doorward/forward-auth;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Doorward-Key "{key}";
            {websockets}
        }}
    }}
}}
"""
    with configured("nginx", folder, configuration, port):
        yield port


def test_F16_nginx_may_pass_on_the_offer_of_a_WebSocket(service: Service, tenant: Tenant, tmp_path: Path) -> None:
    token = tenant.session("alice")
    before = set(connections(service))

    with nginx(tmp_path / "nginx", service, tenant.token) as port, wire(port) as line:

        def ask(method: str, path: str, headers: dict[str, str], body: object = None) -> Reply:
            content = b"" if body is None else json.dumps(body).encode()
            return line.send(request(method, path, headers, content)).reply()

        host = {"Host": "auth.example.org"}
        for offer in (WEBSOCKET, {}, {"Connection": "Upgrade", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}):
            proven = {**host, **offer, **tenant.headers}
            assert ask("POST", "/auth/verify", proven, {"token": token}).json()["decoded"]["login"] == "alice"
            assert len(ask("POST", "/auth/verify/batch", proven, {"tokens": [token] * 100}).json()["results"]) == 100
            assert ask("GET", "/user", proven).status == 200
            # Nothing is at this page, which only those see who are let through.
            for credential, status in ((token, 404), ("garbage", 401), (token, 404)):
                headers = {**host, **offer, "Authorization": f"Bearer {credential}"}
                assert ask("GET", "/page", headers).status == status, offer
        assert len(set(connections(service)) - before) <= 4
