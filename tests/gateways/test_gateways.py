"""Each gateway with its shipped configuration in front of a real service."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from gateways.gateways import KINDS, Application, Gateway, Place, application, free_port, gateway, prepare
from harness import Process, Tenant, serving

pytestmark = [pytest.mark.slow, pytest.mark.long]

PATIENCE: dict[str, float] = {"traefik": 40}
"""Seconds within which a silent Doorward is a refusal; Traefik waits for 30, and nothing in it says otherwise."""

NAMES = ("user-id", "login", "sub", "tenant", "scope", "device")


@dataclass
class House:
    """A gateway, the Doorward it asks, the application behind it, and a tenant with one user who is logged in."""

    gateway: Gateway
    doorward: Process
    app: Application
    tenant: Tenant
    key: str

    def login(self, name: str = "alice", scope: object = None) -> str:
        more: dict[str, Any] = {} if scope is None else {"scope": scope}
        self.tenant.create(name, **more)
        return self.tenant.session(name)


@contextlib.contextmanager
def _client(gateway: Gateway) -> Iterator[httpx.Client]:
    """A client that keeps one connection."""
    limits = httpx.Limits(max_connections=1)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{gateway.port}", timeout=60, limits=limits, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="module", params=KINDS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    environment = {"FORWARD_AUTH_COOKIE": "sid", "TENANT_WHITE_LIST": "*", "ALLOWED_HOSTS": "127.0.0.1,localhost"}
    with (
        serving(folder, environment) as doorward,
        httpx.Client(base_url=doorward.url, timeout=15, trust_env=False) as http,
        application() as app,
    ):
        tenant = Tenant.register(http, "shop@example.org")
        key = tenant.post("/tenant/key", {"name": "gateway", "permissions": ["verify"]}).json()["key"]
        with gateway(name, folder / "gateway", Place(doorward.port, app.port, key)) as front:
            yield House(front, doorward, app, tenant, key)


@pytest.fixture
def client(house: House) -> Iterator[httpx.Client]:
    house.app.seen.clear()
    with _client(house.gateway) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.check])
def test_the_shipped_configuration_satisfies_the_gateways_own_check(name: str, tmp_path: Path) -> None:
    made = prepare(name, tmp_path / "gateway", Place(free_port(), free_port(), "dw_x"))
    check = KINDS[name].check
    assert check
    done = subprocess.run(
        check(made.program, made.folder), cwd=made.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "[warn" not in done.stderr.lower()
    assert "[alert" not in done.stderr.lower()


def test_who_is_logged_in_is_let_through_and_the_application_is_told_who_it_is(
    house: House, client: httpx.Client
) -> None:
    scope = {"roles": ["ädmin"], "n": 1}
    token = house.login("Jürgen %", scope=scope)
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = client.request(method, "/shop?a=1&a=2&token=theirs", headers=bearer(token))
        assert answer.status_code == 200, house.gateway.says()
        seen = house.app.seen[-1]
        assert (seen.method, seen.path) == (method, "/shop?a=1&a=2&token=theirs")
        claims = house.tenant.verify(token).json()["decoded"]
        assert unquote(seen.headers["x-auth-login"]) == "Jürgen %"
        assert seen.headers["x-auth-user-id"] == claims["id"]
        assert seen.headers["x-auth-sub"] == "sub-1"
        assert seen.headers["x-auth-tenant"] == house.tenant.id
        assert json.loads(seen.headers["x-auth-scope"]) == scope
        assert seen.headers["x-auth-device"] == "laptop"
        assert house.key not in str(seen.headers)


@pytest.mark.parametrize("spelling", ["X-Auth-{}", "x-auth-{}", "X_Auth_{}", "X-Auth_{}"])
def test_what_a_client_says_about_itself_never_arrives(house: House, client: httpx.Client, spelling: str) -> None:
    token = house.login("alice")
    forged = {spelling.format(name.title()): "evil" for name in (*NAMES, "user_id")}
    assert client.get("/", headers={**bearer(token), **forged, "X-Doorward-Key": "dw_evil"}).status_code == 200
    # This user has no scope: then nothing is said about it, rather than what the client says.
    arrived = {name.replace("_", "-"): value for name, value in house.app.seen[-1].headers.items()}
    assert not arrived.get("x-auth-scope")
    assert "evil" not in [value for name, value in arrived.items() if name.startswith("x-auth-")]


def test_who_is_nobody_is_refused_and_the_application_hears_nothing(house: House, client: httpx.Client) -> None:
    house.tenant.create("alice")
    dead = house.tenant.session("alice")
    house.tenant.logout(dead)
    for headers in (
        {},
        bearer("x"),
        bearer(dead),
        bearer(house.tenant.token),
        bearer(house.key),
        {"Cookie": f"sid={dead}"},
    ):
        for method in ("GET", "POST"):
            answer = client.request(method, "/", headers=headers)
            assert answer.status_code == 401, headers
            assert answer.headers["www-authenticate"] == "Bearer"
    assert house.app.seen == []


def test_a_request_of_a_page_is_the_applications_whatever_its_host_and_origin(
    house: House, client: httpx.Client
) -> None:
    token = house.login("alice")
    page = {
        "Host": "shop.example",
        "Origin": "https://shop.example",
        "Accept": "text/html",
        "Content-Type": "text/plain",
    }
    assert client.post("/", headers={**bearer(token), **page}, content=b"x").status_code == 200
    assert house.app.seen[-1].headers["origin"] == "https://shop.example"


def test_a_session_that_ends_in_mid_stream_ends_on_the_next_request(house: House, client: httpx.Client) -> None:
    token = house.login("alice")
    for _ in range(3):
        assert client.get("/", headers=bearer(token)).status_code == 200
    assert house.tenant.logout(token).status_code == 200
    assert client.get("/", headers=bearer(token)).status_code == 401
    assert len(house.app.seen) == 3


def test_a_token_may_come_in_a_cookie(house: House, client: httpx.Client) -> None:
    token = house.login("alice")
    cookie = f'theme={{"dark":true}}; sid={token}; other=1'
    assert client.get("/", headers={"Cookie": cookie}).status_code == 200
    assert house.app.seen[-1].headers["x-auth-login"] == "alice"


def test_a_large_body_goes_to_the_application_and_not_to_doorward(house: House, client: httpx.Client) -> None:
    token = house.login("alice")
    body = b"x" * 5_000_000
    assert client.post("/upload", headers=bearer(token), content=body).status_code == 200
    assert house.app.seen[-1].size == len(body)
    # Doorward takes 16 kB: that this was no 413 shows that it never got any of it.
    assert client.post("/upload", content=iter([b"x" * 100_000] * 5), headers=bearer(token)).status_code == 200
    assert house.app.seen[-1].size == 500_000


def test_a_user_of_a_long_scope_is_let_through(house: House, client: httpx.Client) -> None:
    token = house.login("verbose", scope=["permission-é-" + str(number) for number in range(200)])
    assert client.get("/", headers=bearer(token)).status_code == 200
    assert len(json.loads(house.app.seen[-1].headers["x-auth-scope"])) == 200


def test_a_wrong_key_lets_nobody_through(house: House, tmp_path: Path) -> None:
    token = house.login("alice")
    place = Place(house.doorward.port, house.app.port, "dw_x")
    with gateway(house.gateway.name, tmp_path / "gateway", place) as front, _client(front) as client:
        house.app.seen.clear()
        assert client.get("/", headers=bearer(token)).status_code in {401, 503}
        assert house.app.seen == []


@pytest.mark.parametrize("status", [503, 500, 429, 404, 302])
def test_anything_but_a_clear_yes_of_doorward_is_a_no(house: House, tmp_path: Path, status: int) -> None:
    with application(status) as strange:
        place = Place(strange.port, house.app.port, house.key)
        with gateway(house.gateway.name, tmp_path / "gateway", place) as front, _client(front) as client:
            house.app.seen.clear()
            answer = client.get("/", headers=bearer("x"))
            assert answer.status_code >= 500 if status >= 500 else answer.status_code not in {200, 204}
            assert house.app.seen == []
            assert strange.seen


def test_doorward_is_told_what_it_needs_and_reuses_its_connections(house: House, tmp_path: Path) -> None:
    with application() as listener:
        place = Place(listener.port, house.app.port, house.key)
        with gateway(house.gateway.name, tmp_path / "gateway", place) as front, _client(front) as client:
            listener.seen.clear()
            listener.connections = 0
            sent = {**bearer("x"), "Cookie": "sid=y", "X-Doorward-Key": "dw_theirs", "Origin": "https://shop.example"}
            for _ in range(100):
                assert client.post("/a?b", headers=sent, content=b"x" * 2_000).status_code == 200
            assert len(listener.seen) == 100
            for seen in listener.seen:
                assert seen.path.startswith("/forward-auth")
                assert seen.size == 0
                assert seen.headers["authorization"] == "Bearer x"
                assert seen.headers["cookie"] == "sid=y"
                assert seen.headers["x-doorward-key"] == house.key
                # Caddy passes on everything, which does no harm.
                assert "origin" not in seen.headers or front.name == "caddy"
            if front.name != "haproxy":
                assert listener.connections <= 4


def test_doorward_that_is_down_or_silent_is_a_5xx_in_time_and_heals(house: House, client: httpx.Client) -> None:
    token = house.login("alice")
    assert client.get("/", headers=bearer(token)).status_code == 200
    assert house.doorward.process
    os.killpg(house.doorward.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert client.get("/", headers=bearer(token)).status_code >= 500
        assert time.monotonic() - began < PATIENCE.get(house.gateway.name, 10)
    finally:
        os.killpg(house.doorward.process.pid, signal.SIGCONT)
    house.doorward.kill()
    assert client.get("/", headers=bearer(token)).status_code >= 500
    assert len(house.app.seen) == 1
    house.doorward.start()
    deadline = time.monotonic() + 15
    while (status := client.get("/", headers=bearer(token)).status_code) != 200:
        assert status >= 500
        assert time.monotonic() < deadline
        time.sleep(0.1)
