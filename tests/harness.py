"""Fixtures of a running service: a turnable clock, a cheap hasher, a real server on a real socket."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
import uvloop

from doorward.app import Overrides, build
from doorward.core.passwords.hashing import Argon2Parameters
from doorward.http.connection.protocol import DoorwardProtocol
from doorward.http.connection.registry import ConnectionLimits
from doorward.settings import Settings

CHEAP = Argon2Parameters(memory=64, passes=1, lanes=1)
PASSWORD = "Correct-Horse-9"
KEY = "zIsRPtR3xGdd0CqNEwZ9Bq1vX2mWv7JkLhTyUo4sQfA="
# Reading the machine's certificates takes longer than most tests, and there is no TLS here.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNTHROTTLED = {
    "THROTTLER_MAX": "0",
    "BUDGET_LOGIN": "off",
    "BUDGET_VERIFY": "off",
    "BUDGET_WRITE": "off",
    "LOGIN_FAILURE_TIME": "0",
}


def without(sentence: str) -> NoReturn:
    """End a test that lacks a program of the system: CI has to have every one, a developer's machine need not."""
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


class TurnableClock:
    """A clock that stands still unless it is turned. Milliseconds, as the service's."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.passed = 0

    def __call__(self) -> int:
        return self.now

    def monotonic(self) -> int:
        """The time that has passed, whatever the clock was set to."""
        return self.passed

    def turn(self, *, seconds: float = 0, milliseconds: int = 0) -> None:
        """Let time pass."""
        by = int(seconds * 1000) + milliseconds
        assert by >= 0, "time passes in one direction: `set_by` sets the clock"
        self.now += by
        self.passed += by

    def set_by(self, *, seconds: float) -> None:
        """Set the clock forward or back, without any time passing."""
        self.now += int(seconds * 1000)


@dataclass
class Service:
    """A running service in this process, on a thread of its own: real uvicorn, real sockets, real store."""

    settings: Settings
    clock: TurnableClock | None = None
    limits: ConnectionLimits | None = None
    url: str = ""
    port: int = 0
    app: Any = None
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None
    _clients: list[httpx.Client] = field(default_factory=list)

    def start(self) -> Self:
        parts = Overrides(hashing=CHEAP, limits=self.limits)
        if self.clock:
            parts = replace(parts, clock=self.clock, monotonic=self.clock.monotonic)
        self.app = build(self.settings, parts)
        config = uvicorn.Config(
            self.app,
            host=self.settings.host,
            port=0,
            http=DoorwardProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the service did not start")
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        self.url = f"http://{host}:{self.port}"
        return self

    def _run(self) -> None:
        assert self._server
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._server.serve())

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(10)

    def eventually(self, ask: Callable[[], Any], seconds: float = 8) -> Any:
        """Return what `ask` says as soon as it says something: for what is written a moment later."""
        deadline = time.monotonic() + seconds
        while not (found := ask()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)
        return found

    def client(self, **options: Any) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=15, verify=_NO_CERTIFICATES, **options)
        self._clients.append(client)
        return client

    def tenant(self, email: str = "shop@example.org", password: str = PASSWORD) -> "Tenant":
        return Tenant.register(self.client(), email, password)


@dataclass
class Tenant:
    """A client of the service: one tenant with its token. Every method is one request and returns the response."""

    http: httpx.Client
    id: str
    email: str
    password: str
    token: str

    @classmethod
    def register(cls, http: httpx.Client, email: str, password: str = PASSWORD) -> "Tenant":
        answer = http.post("/tenant", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return cls(http, answer.json()["id"], email, password, answer.json()["token"])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, json=body, headers=self.headers)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query or None, headers=self.headers)

    def create(self, login: str = "alice", password: str = "pw", **more: Any) -> httpx.Response:
        secret = {} if "passwordHash" in more else {"password": password}
        return self.post("/user", {"login": login, "email": "user@example.org", **secret, "sub": "sub-1", **more})

    def delete(self, login: str) -> httpx.Response:
        from urllib.parse import quote

        return self.http.delete(f"/user/{quote(login, safe='')}", headers=self.headers)

    def login(self, login: str = "alice", password: str = "pw", device: str = "laptop") -> httpx.Response:
        return self.post("/auth", {"login": login, "password": password, "deviceId": device})

    def session(self, login: str = "alice", password: str = "pw", device: str = "laptop") -> str:
        answer = self.login(login, password, device)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["accessToken"]
        return token

    def verify(self, token: str) -> httpx.Response:
        return self.post("/auth/verify", {"token": token})

    def logout(self, token: str) -> httpx.Response:
        return self.post("/auth/logout", {"token": token})


def read_settings(folder: Path, more: Mapping[str, str] | None = None) -> Settings:
    """Return settings for a service whose data lies in `folder`, unthrottled unless `more` says otherwise."""
    return Settings.read({"DATA_DIR": str(folder), "JWT_KEY": KEY, **UNTHROTTLED, **(more or {})}, folder)


@contextlib.contextmanager
def running(
    settings: Settings, clock: TurnableClock | None = None, limits: ConnectionLimits | None = None
) -> Iterator[Service]:
    service = Service(settings, clock, limits).start()
    try:
        yield service
    finally:
        service.stop()


@dataclass
class Process:
    """The service as an operator starts it: `python -m doorward serve` in processes of its own.

    `begun` is called with the id of the process as soon as there is one.
    """

    folder: Path
    environment: Mapping[str, str]
    begun: Callable[[int], object] | None = None
    process: "subprocess.Popen[bytes] | None" = None
    url: str = ""
    port: int = 0

    def start(self, seconds: float = 20) -> Self:
        log = (self.folder / "log.txt").open("ab")
        begin = log.tell()
        base = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "COVERAGE_PROCESS_START"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "doorward", "serve"],
            env={
                **base,
                "PORT": str(self.port),
                "DATA_DIR": str(self.folder / "data"),
                **UNTHROTTLED,
                **self.environment,
            },
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        if self.begun:
            self.begun(self.process.pid)
        workers = int(self.environment.get("WORKERS", "1"))
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            said = (self.folder / "log.txt").read_bytes()[begin:].decode()
            if said.count('"event": "ready"') >= workers:
                self.url = said.split("listens on  ")[1].split()[0]
                self.port = int(self.url.rpartition(":")[2])
                # Said when the stores are open, a moment before the last worker listens.
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection((urlsplit(self.url).hostname, self.port), 5),
                ):
                    return self
            time.sleep(0.01)
        raise RuntimeError(f"the service did not start: {(self.folder / 'log.txt').read_text()}")

    def log(self) -> str:
        return (self.folder / "log.txt").read_text()

    def kill(self) -> None:
        """End every process of the service at once, as a power cut of the host would."""
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Ask the service to stop, and return its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(35)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextlib.contextmanager
def serving(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    process = Process(folder, environment or {}).start()
    try:
        yield process
    finally:
        process.kill()
