"""A tiny HTTP client that sends exactly the bytes it is given, reads answers, and notices when it is hung up on."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PATIENCE = 20.0
"""Seconds after which a silent server fails the test."""


class HungUpError(Exception):
    """The server closed the connection before a whole answer had come."""


@dataclass(frozen=True)
class Reply:
    """One answer. Names of headers are in lower case."""

    version: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of the one header of this name, None where there is none."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of an error; every error has to have the one shape."""
        found = self.json()
        assert found["status"] == self.status, found
        assert found["error"], found
        code: str = found["code"]
        return code


class Wire:
    """One connection."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, receive_buffer: int | None = None, source: str | None = None
    ) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, data: bytes) -> "Wire":
        """Send bytes; a server that has hung up meanwhile is noticed when its answer is read."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)
        return self

    def trickle(self, data: bytes, pause: float, seconds: float = 60.0) -> None:
        """Send bytes one by one until the server hangs up or answers, or all are sent."""
        end = time.monotonic() + seconds
        self.socket.settimeout(pause)
        try:
            for number in range(len(data)):
                if time.monotonic() > end:
                    return
                self.socket.sendall(data[number : number + 1])
                with contextlib.suppress(TimeoutError):
                    came = self.socket.recv(65_536)
                    self._unread += came
                    return
        except ConnectionError:
            return
        finally:
            self.socket.settimeout(PATIENCE)

    def _more(self) -> None:
        try:
            came = self.socket.recv(65_536)
        except ConnectionError as error:
            raise HungUpError(self._unread) from error
        if not came:
            raise HungUpError(self._unread)
        self._unread += came

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._more()
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def reply(self, *, to_head: bool = False) -> Reply:
        """Read the next answer; `to_head` says that it answers a HEAD and has no body. HungUpError if none comes."""
        while b"\r\n\r\n" not in self._unread:
            self._more()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        pairs = [line.split(": ", 1) for line in lines]
        headers = [(name.lower(), value) for name, value in pairs]
        answer = Reply(version, int(status), headers, b"")
        bare = to_head or answer.status in {100, 204}
        body = b"" if bare else self._take(int(answer.header("content-length") or 0))
        return Reply(version, answer.status, headers, body)

    def is_closed(self, within: float = PATIENCE) -> bool:
        """Tell whether the server closes the connection without another word."""
        if self._unread:
            return False
        self.socket.settimeout(within)
        try:
            self._unread = self.socket.recv(65_536)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return not self._unread

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def wire(port: int, host: str = "127.0.0.1", *, receive_buffer: int | None = None) -> Iterator[Wire]:
    """Hold a connection for a while."""
    connection = Wire(port, host, receive_buffer=receive_buffer)
    try:
        yield connection
    finally:
        connection.close()


def exchange(port: int, data: bytes, host: str = "127.0.0.1") -> Reply:
    """Send bytes on a connection of their own and return the first answer."""
    with wire(port, host) as connection:
        return connection.send(data).reply()


def request(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"", *, version: str = "HTTP/1.1"
) -> bytes:
    """Return the bytes of an ordinary request. A body brings its length and its type along; headers may override."""
    fields = {"Host": "localhost"}
    if body:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= headers or {}
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
