"""A relay in front of the real service that can be given a hole: what a broken proxy, or a broken service, would do."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def with_headers(self, **headers: str) -> "Asked":
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class Said:
    """An answer; header names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


Forward = Callable[[Asked], Said]
Hole = Callable[[Asked, Forward], Said | None]
"""What is answered to a request; None closes the connection without a word."""


def tight(asked: Asked, forward: Forward) -> Said:
    """No hole: everything goes through as it is."""
    return forward(asked)


def _forward(port: int) -> Forward:
    def forward(asked: Asked) -> Said:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {name: value for name, value in asked.headers.items() if name not in {"connection", "content-length"}}
        if asked.body or asked.method in {"POST", "PUT", "PATCH"}:
            headers["content-length"] = str(len(asked.body))
        try:
            connection.request(asked.method, asked.target, asked.body or None, headers)
            answer = connection.getresponse()
            found = tuple((name.lower(), value) for name, value in answer.getheaders())
            return Said(answer.status, found, answer.read())
        finally:
            connection.close()

    return forward


@contextlib.contextmanager
def relaying(port: int, hole: Hole = tight, *, one_body: bool = False) -> Iterator[str]:
    """Relay to the service at `port`, through a hole, and yield the URL to ask; with `one_body`, bodies one by one."""
    forward = _forward(port)
    reading: AbstractContextManager[object] = threading.Lock() if one_body else contextlib.nullcontext()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _relay(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            with reading:
                asked = Asked(self.command, self.path, headers, self.rfile.read(length))
            said = hole(asked, forward)
            if said is None:
                self.close_connection = True
                return
            lines = [f"HTTP/1.1 {said.status} Relayed"]
            skipped = {"content-length", "transfer-encoding", "connection"}
            lines += [f"{name}: {value}" for name, value in said.headers if name not in skipped]
            lines += [f"content-length: {len(said.body)}", "", ""]
            self.wfile.write("\r\n".join(lines).encode("latin-1") + said.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _relay

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
