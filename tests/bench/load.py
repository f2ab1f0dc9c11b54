"""Load from one core: as fast as the server answers (for CPU per request), or at a constant rate (for latency)."""

import contextlib
import json
import multiprocessing
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from time import perf_counter, sleep
from typing import NamedTuple

HOW_TO_GET_WRK = "wrk is not installed (apt install wrk, brew install wrk): the slower client of the benchmark is used."

_SCRIPT = """
local requests = { %s }
local at = 0
request = function() at = at %% #requests + 1; return requests[at] end
done = function(summary, latency, rates)
  local e = summary.errors
  io.write(string.format("RESULT %%d %%d %%d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


_BREATH = 5e-5
"""Seconds between two looks at the sockets: a loop that never sleeps keeps the kernel from delivering on its core."""
_NICER = 10


class Load(NamedTuple):
    """What a run of load came to."""

    requests: int
    seconds: float


class Refused(Exception):
    """Answers that were no success where nothing but success counts."""


@dataclass
class Target:
    """A server under load. `requests` are whole HTTP messages, sent in turn."""

    port: int
    requests: list[bytes]
    host: str = "127.0.0.1"


def saturate(target: Target, seconds: float, connections: int = 16) -> Load:
    """Keep every connection busy for a while; Refused where anything but success comes back."""
    if shutil.which("wrk"):
        return _wrk(target, seconds, connections)
    if not _told:
        _told.append(True)
        sys.stderr.write(f"{HOW_TO_GET_WRK}\n")
    return _busy(target, seconds, connections)


_told: list[bool] = []


def _wrk(target: Target, seconds: float, connections: int) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(_SCRIPT % ", ".join(json.dumps(request.decode()) for request in target.requests))
        url = f"http://{target.host}:{target.port}/"
        length = str(max(1, round(seconds)))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{length}s", "-s", str(script), url]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    requests, duration, errors = map(int, said.partition("RESULT ")[2].split())
    if errors:
        raise Refused(said)
    return Load(requests, duration / 1e6)


def _connect(target: Target) -> socket.socket:
    connection = socket.create_connection((target.host, target.port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    return bool(separator) and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0])


def _busy(target: Target, seconds: float, connections: int) -> Load:
    """`saturate` without wrk: every connection sends its next request as soon as it has its answer."""
    requests = cycle(target.requests)
    sockets = {connection.fileno(): connection for connection in (_connect(target) for _ in range(connections))}
    answers = dict.fromkeys(sockets, b"")
    epoll = select.epoll()
    done = 0
    started = perf_counter()
    for number, connection in sockets.items():
        epoll.register(number, select.EPOLLIN)
        connection.sendall(next(requests))
    while perf_counter() - started < seconds:
        for number, _ in epoll.poll(1):
            answers[number] += sockets[number].recv(65_536)
            if _whole(answers[number]):
                if not answers[number].startswith(b"HTTP/1.1 200"):
                    raise Refused(answers[number].decode(errors="replace"))
                done += 1
                answers[number] = b""
                sockets[number].sendall(next(requests))
    took = perf_counter() - started
    epoll.close()
    for connection in sockets.values():
        connection.close()
    return Load(done, took)


@dataclass
class Stream:
    """Requests at a constant rate. `latencies` are seconds from when a request was due, whether or not it could be sent
    then: a server that stalls is charged for everything it kept waiting (no coordinated omission). An answer that is no
    success counts as `penalty` seconds, where one is given: a client that is refused fast has still been served nothing.
    """

    target: Target
    rate: float
    connections: int
    penalty: float | None = None
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    unanswered: int = 0

    def percentile(self, share: float) -> float:
        return percentile(self.latencies, share)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which so large a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Sender:
    """One stream under way."""

    def __init__(self, stream: Stream, epoll: select.epoll) -> None:
        self.stream = stream
        self._requests = cycle(stream.target.requests)
        self._waiting: deque[float] = deque()
        self._started: dict[int, float] = {}
        self._answers: dict[int, bytes] = {}
        self.sockets = {c.fileno(): c for c in (_connect(stream.target) for _ in range(stream.connections))}
        self._free = list(self.sockets)
        for number in self.sockets:
            epoll.register(number, select.EPOLLIN)

    def send(self, now: float, sent: int, began: float) -> int:
        while (due := began + sent / self.stream.rate) <= now:
            self._waiting.append(due)
            sent += 1
        while self._waiting and self._free:
            number = self._free.pop()
            self._started[number] = self._waiting.popleft()
            self.sockets[number].sendall(next(self._requests))
        return sent

    def receive(self, number: int) -> None:
        answer = self._answers.pop(number, b"") + self.sockets[number].recv(65_536)
        if not _whole(answer):
            self._answers[number] = answer
            return
        status = int(answer[9:12])
        waited = perf_counter() - self._started.pop(number)
        refused = self.stream.penalty is not None and status != HTTPStatus.OK
        self.stream.latencies.append(self.stream.penalty or 0.0 if refused else waited)
        self.stream.statuses[status] = self.stream.statuses.get(status, 0) + 1
        self._free.append(number)

    def close(self) -> None:
        self.stream.unanswered = len(self._started) + len(self._waiting)
        for connection in self.sockets.values():
            connection.close()


def constant(stream: Stream, seconds: float) -> float:
    """Run a stream. Return the p99 of the seconds between two looks at its sockets: what this adds to a latency itself."""
    epoll = select.epoll()
    sender = _Sender(stream, epoll)
    sent = 0
    looks: list[float] = []
    began = now = perf_counter()
    while now < began + seconds:
        sent = sender.send(now, sent, began)
        for number, _ in epoll.poll(0):
            sender.receive(number)
        sleep(_BREATH)
        before, now = now, perf_counter()
        looks.append(now - before)
    sender.close()
    epoll.close()
    return percentile(looks, 0.99)


@contextlib.contextmanager
def beside(stream: Stream, seconds: float) -> Iterator[list[Stream]]:
    """Run a stream in a process of its own, nicer than this one; what became of it is there in the end.

    A process that receives the answers of two streams keeps those of one waiting while it deals with the other's.
    """
    found: list[Stream] = []
    with multiprocessing.get_context("spawn").Pool(1, initializer=os.nice, initargs=(_NICER,)) as pool:
        pool.apply(os.getpid)
        running = pool.apply_async(_run, (stream, seconds))
        yield found
        found.append(running.get())


def _run(stream: Stream, seconds: float) -> Stream:
    constant(stream, seconds)
    return stream
