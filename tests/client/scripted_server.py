"""A real HTTP server that does what it is told to, step by step: answer, hang up, or say nothing."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple


class Say(NamedTuple):
    """Answer."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class HangUp(NamedTuple):
    """Read the request and close the connection without a word."""


class Wait(NamedTuple):
    """Read the request and say nothing until the server stops."""


class BreakOff(NamedTuple):
    """Promise more than is sent, and close the connection."""

    body: bytes


Step = Say | HangUp | Wait | BreakOff


class Seen(NamedTuple):
    """A request that came, with its headers' names in lower case and the port it came from."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    port: int


@dataclass
class Stubborn:
    """The server, and what it has seen. After the last step it repeats that."""

    url: str
    steps: list[Step]
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def stubborn(*steps: Step) -> Iterator[Stubborn]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append(Seen(self.command, self.path, headers, body, self.client_address[1]))
            step = state.steps.pop(0) if len(state.steps) > 1 else state.steps[0]
            if isinstance(step, Say):
                self._say(step)
                self.wfile.flush()
                return
            if isinstance(step, Wait):
                state.over.wait(20)
            if isinstance(step, BreakOff):
                self.send_response(200)
                self.send_header("Content-Length", str(len(step.body) + 100))
                self.end_headers()
                self.wfile.write(step.body)
            self.close_connection = True

        def _say(self, step: Say) -> None:
            body = step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode()
            self.send_response(step.status)
            for name, value in {"Content-Length": str(len(body)), **step.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Stubborn(f"http://127.0.0.1:{server.server_address[1]}", list(steps))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
