"""A crowd, in a process of its own: connections that say nothing, and senders that never come to the end of it.

Started with a port and two numbers; says `there` when every connection is open, and leaves when its input ends.
"""

import contextlib
import heapq
import os
import resource
import select
import socket
import struct
import sys
from itertools import cycle
from time import monotonic

_PACE = 0.5
"""Seconds between two bytes of a slow sender."""
_AT_ONCE = 100
_ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = b"POST /auth/verify HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000
_BODY = (
    b"POST /auth/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
)
# All of it but what the sender is slow with is sent at once.
_SLOW = ((_HEAD[:60], _HEAD[60:]), (_BODY, b" " * 999))


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    # Reset at the end: closed in the usual way, each would keep its port for a minute, and a round takes ten thousand.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return connection


class Slow:
    """One slow sender: of a head or of a body, a byte at a time; it connects again whenever it is cut off."""

    def __init__(self, port: int, story: tuple[bytes, bytes]) -> None:
        self._port = port
        self._story = story
        self.cut = -1
        self._begin()

    def _begin(self) -> None:
        self.cut += 1
        at_once, slowly = self._story
        self._connection = _connect(self._port)
        self._connection.sendall(at_once)
        self._connection.setblocking(False)
        self._left = iter(slowly)

    def go_on(self) -> None:
        """Send the next byte."""
        try:
            if not self._is_answered():
                self._connection.send(bytes([next(self._left)]))
                return
        except (OSError, StopIteration):
            pass
        self._connection.close()
        self._begin()

    def _is_answered(self) -> bool:
        # 408, and nothing behind it.
        with contextlib.suppress(BlockingIOError):
            self._connection.recv(4096)
            return True
        return False


def _open_idle(port: int, many: int) -> list[socket.socket]:
    """Return connections of which each has had an answer and asks nothing more."""
    found: list[socket.socket] = []
    while len(found) < many:
        some = [_connect(port) for _ in range(min(_AT_ONCE, many - len(found)))]
        for one in some:
            one.sendall(_ASK)
        for one in some:
            if not one.recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit("an idle connection was refused")
        found += some
    return found


def _closed(connections: list[socket.socket]) -> int:
    """Count the connections that the server has closed."""
    closed = 0
    for one in connections:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            # The rest of its answer may still be there.
            while one.recv(4096):
                pass
            closed += 1
    return closed


def main() -> None:
    port, idle, slow = map(int, sys.argv[1:])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, idle + slow + 64)), hard))
    # It shares a core with the questions that are measured, and must not keep them waiting.
    os.nice(10)
    waiting = _open_idle(port, idle)
    senders = [Slow(port, story) for story, _ in zip(cycle(_SLOW), range(slow), strict=False)]
    now = monotonic()
    due = [(now + _PACE * number / max(1, slow), number) for number in range(slow)]
    sys.stdout.write("there\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], max(0.0, due[0][0] - monotonic()) if due else 1.0)[0]:
        while due and due[0][0] <= monotonic():
            at, number = due[0]
            senders[number].go_on()
            heapq.heapreplace(due, (at + _PACE, number))
    sys.stdout.write(f"{_closed(waiting)} {sum(sender.cut for sender in senders)}\n")


if __name__ == "__main__":
    main()
