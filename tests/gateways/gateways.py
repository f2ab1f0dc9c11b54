"""Real gateways, started with the configurations that are shipped: only addresses, paths and the key are put in."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from harness import without

SHIPPED = Path(__file__).parents[2] / "deploy" / "gateways"
PLACEHOLDER = "REPLACE-WITH-THE-KEY"
DOORWARD, APPLICATION, LOGIN, FRONT = 3000, 8080, 8081, 8000
LOGIN_PAGE = "https://login.example.org/"


@dataclass(frozen=True)
class Kind:
    """A gateway: its program, where to get it, its files (the main one first), and how it is started and checked."""

    program: str
    missing: str
    files: tuple[str, ...]
    start: Callable[[str, Path], list[str]]
    check: Callable[[str, Path], list[str]] | None = None


def _nginx(program: str, folder: Path) -> list[str]:
    own = "user root; " if os.geteuid() == 0 else ""
    directives = f"{own}daemon off; pid {folder}/nginx.pid; error_log stderr;"
    return [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", directives]


def _debian(package: str) -> str:
    return f"{package} is missing, and the configuration shipped for it has to be tried: apt-get install {package}"


_PYTHON = (
    "{} is missing, and the configuration shipped for it has to be tried: pip install -r requirements/gateways.txt"
)

KINDS: dict[str, Kind] = {
    "nginx": Kind(
        "nginx", _debian("nginx"), ("nginx.conf",), _nginx, lambda program, folder: [*_nginx(program, folder), "-t"]
    ),
    "caddy": Kind(
        "caddy",
        _debian("caddy"),
        ("Caddyfile",),
        lambda program, folder: [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
        lambda program, folder: [program, "validate", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
    ),
    "haproxy": Kind(
        "haproxy",
        _debian("haproxy"),
        ("haproxy.cfg", "doorward.lua"),
        lambda program, folder: [program, "-db", "-f", str(folder / "haproxy.cfg")],
        lambda program, folder: [program, "-c", "-f", str(folder / "haproxy.cfg")],
    ),
    "traefik": Kind(
        "traefik",
        _PYTHON.format("traefik"),
        ("traefik.yml", "traefik-dynamic.yml"),
        lambda program, folder: [program, f"--configFile={folder / 'traefik.yml'}"],
    ),
    "envoy": Kind(
        "envoy",
        _PYTHON.format("envoy"),
        ("envoy.yaml",),
        lambda program, folder: [
            program,
            "-c",
            str(folder / "envoy.yaml"),
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ],
        lambda program, folder: [program, "-c", str(folder / "envoy.yaml"), "--mode", "validate"],
    ),
}


def find(program: str, missing: str) -> str:
    """Return the path of a program; a test that needs it ends without it."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        without(missing)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Gateway:
    """A gateway that runs, and its port."""

    name: str
    folder: Path
    port: int
    program: str

    def says(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")


@dataclass(frozen=True)
class Place:
    """What a gateway stands between: Doorward's port, the application's, and the key it asks with.

    With `login`, the port of a login page, it is configured to use one.
    """

    doorward: int
    application: int
    key: str
    login: int = 0


def nginx_folders(folder: Path) -> str:
    """Return the directives that make nginx write into `folder`, whatever the account that runs the tests."""
    parts = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{part}_temp_path {folder}/{part};\n" for part in parts)


def _write(kind: Kind, folder: Path, place: Place, port: int) -> None:
    ports = {DOORWARD: place.doorward, APPLICATION: place.application, LOGIN: place.login, FRONT: port}
    for name in kind.files:
        text = (SHIPPED / name).read_text()
        assert "127.0.0.1" in text, name
        for shipped, real in ports.items():
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{real}")
            text = text.replace(f"port_value: {shipped}}}", f"port_value: {real}}}")
        text = text.replace(f"http://:{FRONT}", f"http://:{port}").replace(PLACEHOLDER, place.key)
        text = text.replace("/etc/haproxy/", f"{folder}/").replace("/etc/traefik/", f"{folder}/")
        if place.login:
            text = text.replace("#login ", "").replace('LOGIN_PAGE = ""', f'LOGIN_PAGE = "{LOGIN_PAGE}"')
        if name == "nginx.conf":
            text = text.replace("http {\n", f"http {{\naccess_log off;\n{nginx_folders(folder)}", 1)
        (folder / name).write_text(text)


def prepare(name: str, folder: Path, place: Place) -> Gateway:
    """Write the configuration of a gateway into a folder of its own."""
    kind = KINDS[name]
    program = find(kind.program, kind.missing)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    _write(kind, folder, place, port)
    return Gateway(name, folder, port, program)


@contextlib.contextmanager
def gateway(name: str, folder: Path, place: Place) -> Iterator[Gateway]:
    """Run a gateway."""
    with started(prepare(name, folder, place)) as made:
        yield made


@contextlib.contextmanager
def configured(name: str, folder: Path, configuration: str, port: int) -> Iterator[Gateway]:
    """Run a gateway with a configuration of the test's own, which listens on `port`."""
    kind = KINDS[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / kind.files[0]).write_text(configuration)
    with started(Gateway(name, folder, port, find(kind.program, kind.missing))) as made:
        yield made


@contextlib.contextmanager
def started(made: Gateway) -> Iterator[Gateway]:
    """Run a gateway whose configuration is written."""
    folder = made.folder
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            KINDS[made.name].start(made.program, folder),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _await(made, process)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(made: Gateway, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", made.port), timeout=1) as connection:
            # Some listen before they know their routes; then they say 404 to everything.
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            connection.settimeout(40)
            said = b""
            while piece := connection.recv(65_536):
                said += piece
            if said and b"404 page not found" not in said:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{made.name} did not start: {made.says()}")


@dataclass
class Seen:
    """One request as the application got it. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    size: int


@dataclass
class Application:
    """The application behind the gateway. It says yes to everything and remembers what came."""

    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    status: int = 200
    connections: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    application: ClassVar[Application]

    def setup(self) -> None:
        super().setup()
        self.application.connections += 1

    def answer(self) -> None:
        size = 0
        left = int(self.headers.get("content-length", 0))
        while left > 0:
            piece = self.rfile.read(min(left, 65_536))
            size += len(piece)
            left -= len(piece)
        if self.headers.get("transfer-encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                size += len(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.application.seen.append(Seen(self.command, self.path, headers, size))
        self.send_response(self.application.status)
        if self.application.status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nobody reads it."""


@contextlib.contextmanager
def application(status: int = 200) -> Iterator[Application]:
    """Run an application that gives every answer this status."""
    made = Application(status=status)

    class Handler(_Handler):
        application = made

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
