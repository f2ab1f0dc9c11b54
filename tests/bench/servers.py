"""The servers that are measured, and what fills them: tenants, users, tokens, all made through the published API."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import urllib.request
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from bench import machine
from bench.load import Target
from doorward.core.clock import system_clock
from doorward.core.sessions.service import SessionLifetimes, SessionService
from doorward.core.tokens.codec import Codec
from doorward.settings import Settings
from doorward.stores import select_stores
from harness import KEY, PASSWORD, Process, read_settings
from redis_servers import own_redis
from servers import own_postgresql

# Every budget of verify at its default: the load is spread over tenants instead. Logins are let through to the hasher.
DEFAULTS = {"BUDGET_VERIFY": "1000:2000", "BUDGET_LOGIN": "10:30", "BUDGET_WRITE": "50:100"}


class Prepared(NamedTuple):
    """A set-up of stores: the settings that choose it, and the processes of its servers."""

    environment: Mapping[str, str]
    stores: tuple[int, ...] = ()


@dataclass(frozen=True)
class Setup:
    """A set-up of stores by name, and how to start it; its servers share the load's core.

    `aim` is what a verification on it should cost at most, in no-op answers.
    """

    name: str
    prepare: Callable[[Path], AbstractContextManager[Prepared]]
    aim: float = 1.5


@contextlib.contextmanager
def _sqlite(_folder: Path) -> Iterator[Prepared]:
    yield Prepared({})


@contextlib.contextmanager
def _postgresql(_folder: Path) -> Iterator[Prepared]:
    with own_postgresql() as server:
        assert server._process
        yield Prepared({"DATABASE_URL": server.make_database().url}, (server._process.pid,))


@contextlib.contextmanager
def _redis(_folder: Path) -> Iterator[Prepared]:
    with own_redis() as server:
        assert server.process
        yield Prepared({"REDIS_URL": server.url}, (server.process.pid,))


SQLITE = Setup("SQLite", _sqlite)
SETUPS = (SQLITE, Setup("PostgreSQL", _postgresql, 2.3), Setup("SQLite and Redis", _redis, 2.0))


@dataclass
class Server:
    """A server that runs. `group` is its process group, 0 if it was not started here and its CPU cannot be read."""

    name: str
    port: int
    group: int
    host: str = "127.0.0.1"
    stores: tuple[int, ...] = ()
    pids: list[int] = field(default_factory=list)
    settings: Settings | None = None

    def __post_init__(self) -> None:
        self.pids = self.pids or machine.members(self.group)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def cpu(self) -> float:
        return machine.cpu_seconds(self.pids)

    def store_cpu(self) -> float:
        return sum(machine.cpu_seconds(machine.family(pid)) for pid in self.stores)


@contextlib.contextmanager
def doorward(setup: Setup, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Doorward as an operator starts it, on the servers' core."""
    folder.mkdir(parents=True, exist_ok=True)
    with setup.prepare(folder) as prepared:
        chosen = {"JWT_KEY": KEY, **DEFAULTS, **prepared.environment, **(environment or {})}
        process = Process(folder, chosen, machine.share_place)
        with machine.pinned(machine.cores()[0]):
            process.start()
        assert process.process
        try:
            yield Server(
                f"Doorward on {setup.name}",
                process.port,
                process.process.pid,
                stores=prepared.stores,
                settings=read_settings(folder / "data", prepared.environment),
            )
        finally:
            process.kill()


@contextlib.contextmanager
def noop() -> Iterator[Server]:
    """The floor, on the servers' core."""
    with machine.pinned(machine.cores()[0]):
        process = subprocess.Popen(
            [machine.PYTHON, str(Path(__file__).with_name("noop.py"))], stdout=subprocess.PIPE, start_new_session=True
        )
        machine.share_place(process.pid)
    assert process.stdout
    try:
        yield Server("no-op ASGI handler", int(process.stdout.readline()), process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


class Crowd(NamedTuple):
    """What became of a crowd: idle connections that the server closed, and how often it cut a slow sender off."""

    closed: int
    cut: int


@contextlib.contextmanager
def surrounded(server: Server, idle: int, slow: int) -> Iterator[list[Crowd]]:
    """Surround a server with connections that say nothing and with slow senders; afterwards says what became of them."""
    found: list[Crowd] = []
    command = [machine.PYTHON, str(Path(__file__).with_name("crowd.py")), str(server.port), str(idle), str(slow)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            if process.stdout.readline() != b"there\n":
                raise RuntimeError("the crowd did not come")
            yield found
            process.stdin.close()
            found.append(Crowd(*map(int, process.stdout.readline().split())))
        finally:
            process.kill()


def foreign(url: str, pid: int | None) -> Server:
    """A server that speaks the same API and runs already."""
    parts = urlsplit(url)
    return Server(url, parts.port or 80, 0, parts.hostname or "127.0.0.1", pids=[pid] if pid else [])


def call(server: Server, path: str, body: Any, token: str = "") -> Any:
    """One request through the API; the answer's JSON. urllib's HTTPError where it is no success."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
        return json.load(answer)


# A ready hash of the password "pw" at bcrypt's least cost, so that filling a server takes no time.
_READY = "$2b$04$d3l/URSb2YNzoQLFtZP47O0bhHp17oHyMjgL5OJrnBARYuPJobDS6"


class User(NamedTuple):
    """A user who is logged in, and the tenant's token to ask with."""

    tenant_token: str
    login: str
    token: str


def fill(server: Server, tenants: int) -> list[User]:
    """Register tenants with a user each, and log the users in."""
    users = []
    for _ in range(tenants):
        email = f"{uuid4().hex}@example.org"
        tenant = call(server, "/tenant", {"email": email, "password": PASSWORD})
        # Another implementation of the API need not know hashes.
        secret = {"passwordHash": _READY} if server.settings else {"password": "pw"}
        body = {"login": f"user-{uuid4().hex}", "email": email, **secret, "sub": "customer-17"}
        call(server, "/user", {**body, "scope": ["read", "write"]}, tenant["token"])
        login = {"login": body["login"], "password": "pw", "deviceId": "laptop"}
        issued = call(server, "/auth", login, tenant["token"])
        users.append(User(tenant["token"], body["login"], issued["accessToken"]))
    return users


def log_in_again(settings: Settings, users: list[User], times: int) -> list[User]:
    """Return more logins of each user, made beside the server on the same stores, since each would cost a hash."""

    async def open_sessions() -> list[User]:
        stores = select_stores(settings)
        await stores.open()
        masters = {kid: key.encode() for kid, key in settings.jwt_key}
        door = SessionService(stores.sessions, Codec(masters, settings.jwt_audience), system_clock, SessionLifetimes())
        found: list[User] = []
        try:
            for user in users:
                claims = json.loads(urlsafe_b64decode(user.token.split(".")[1] + "=="))
                known = await stores.accounts.user_by_id(claims["tenant"], claims["id"])
                assert known
                opened = await asyncio.gather(*(door.open_user_session(known, "laptop") for _ in range(times)))
                found += [user._replace(token=issued.token) for issued in opened]
        finally:
            await stores.close()
        return found

    return asyncio.run(open_sessions())


def message(server: Server, path: str, body: Any, token: str) -> bytes:
    """The bytes of a request, with the headers that a small client sends."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nAccept: */*\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    ).encode() + text


def verifying(server: Server, users: list[User]) -> Target:
    """Questions about every user's token, in turn."""
    requests = [message(server, "/auth/verify", {"token": user.token}, user.tenant_token) for user in users]
    return Target(server.port, requests, server.host)


def asking_in_batches(server: Server, users: list[User], size: int) -> Target:
    """Questions about `size` tokens at once, of one tenant's users."""
    own = [user for user in users if user.tenant_token == users[0].tenant_token]
    tokens = [own[number % len(own)].token for number in range(size)]
    return Target(
        server.port,
        [message(server, "/auth/verify/batch", {"tokens": tokens}, own[0].tenant_token)],
        server.host,
    )


def asking_for_a_gateway(server: Server, users: list[User]) -> Target:
    """What a gateway asks about requests of every user, in turn, each with an API key of the user's tenant."""
    requests = []
    for user in users:
        key = call(server, "/tenant/key", {"name": "gateway", "permissions": ["verify"]}, user.tenant_token)["key"]
        head = (
            f"GET /forward-auth HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nX-Doorward-Key: {key}\r\n"
            f"Authorization: Bearer {user.token}\r\n\r\n"
        )
        requests.append(head.encode())
    return Target(server.port, requests, server.host)


def logging_in(server: Server, users: list[User], password: str = "pw") -> Target:
    """Logins of every user, in turn."""
    requests = [
        message(server, "/auth", {"login": user.login, "password": password, "deviceId": "laptop"}, user.tenant_token)
        for user in users
    ]
    return Target(server.port, requests, server.host)
