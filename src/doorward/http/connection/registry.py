"""Registry of the open connections of one process: how many there may be, and a timer for their deadlines."""

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from doorward.http.client_address import peer_key
from doorward.http.connection.fast_path import FastPath
from doorward.http.middleware import MAX_BODY_BYTES

_TICK_SECONDS = 1.0
_CHECKED_PER_TICK = 250
_CANDIDATES = 256
_SEARCH_EVERY = 0.1
_REFUSALS = 64
"""Connections beyond the limit that are told why they are refused; any more are just closed."""
_by_deadline = attrgetter("deadline")

EVICTED, BUSY, ADDRESS = "evicted", "busy", "address"
HANDSHAKE, SILENT, SLOW, UNREAD = "handshake", "silent", "slow", "unread"
"""Limits that close connections, for the metrics: one closed for another, one without room among busy ones, one beyond
the share of its address; one too slow in its handshake, with its first byte, with its request, or reading answers."""


class Connection(Protocol):
    """Something with a `deadline`, on the clock of the loop."""

    deadline: float

    def on_timeout(self) -> None:
        """Be told that the deadline has passed."""
        ...

    def is_silent(self) -> bool:
        """Return whether its client has sent nothing so far, or is owed nothing any more."""
        ...

    def is_idle(self) -> bool:
        """Return whether every request was answered, so that nothing is lost when it is closed."""
        ...

    def evict(self) -> None:
        """Close it at once."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Sizes in bytes, times in seconds.

    `hash_queue_time` is added to the time of a handler that hashes. `share` is the most connections of one address,
    None for no such limit.
    """

    target: int = 8192
    head: int = 16_384
    lines: int = 100
    body: int = MAX_BODY_BYTES
    extensions: int = 4096
    handshake: float = 5.0
    first_byte: float = 15.0
    head_time: float = 5.0
    body_time: float = 10.0
    handler_time: float = 6.0
    hash_queue_time: float = 5.0
    idle: float = 75.0
    linger: float = 1.0
    max_connections: int = 10_000
    max_per_address: int | None = None
    pipeline: int = 256


@dataclass(slots=True)
class ConnectionRegistry:
    """The connections of one process, and what they share. A timer looks after some of them at a time.

    `sizes` are the paths that take a larger body than others, with the most bytes of it.
    """

    fast_path: FastPath
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    sizes: Mapping[bytes, int] = field(default_factory=dict)
    connections: dict[Connection, str] = field(default_factory=dict)
    """Every open connection, with the address whose share it counts for; "" for none."""
    closed: Counter[str] = field(default_factory=Counter)
    """Connections that a limit has closed, by the limit."""
    _shares: dict[str, int] = field(default_factory=dict)
    _silent: dict[Connection, None] = field(default_factory=dict)
    _idle: deque[tuple[float, Connection]] = field(default_factory=deque)
    _searched: float = -math.inf
    _departed: list[Connection] = field(default_factory=list)
    _pause: float = _TICK_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look after connections."""
        self._timer = loop.call_later(self._pause, self._check_deadlines, loop)

    def close(self) -> None:
        """Stop looking after connections."""
        if self._timer:
            self._timer.cancel()

    def register(self, connection: Connection, peer: str, now: float) -> bool:
        """Register a connection of this address; return whether there is room for it.

        When all connections that may be open are open, one that has sent nothing yet is closed for it, the oldest
        first; without one, that which has been idle for the longest time. A connection without room is registered too,
        so that it has a deadline, but it counts for no share.
        """
        key = "" if self.limits.max_per_address is None or self._is_proxy(peer) else peer_key(peer)
        share = self._shares.get(key, 0)
        has_room = not key or self.limits.max_per_address is None or share < self.limits.max_per_address
        if not has_room:
            self.closed[ADDRESS] += 1
        while has_room and len(self.connections) >= self.limits.max_connections:
            has_room = self.evict_idle(now)
            self.closed[BUSY] += not has_room
        if key and has_room:
            self._shares[key] = share + 1
        self.connections[connection] = key if has_room else ""
        self._silent[connection] = None
        return has_room

    def unregister(self, connection: Connection) -> None:
        """Forget a connection. One that is not registered, or no longer, is no error."""
        key = self.connections.pop(connection, "")
        self._silent.pop(connection, None)
        if key:
            self._shares[key] -= 1
            if not self._shares[key]:
                del self._shares[key]

    def evict_idle(self, now: float) -> bool:
        """Close a connection that serves nobody now; return whether there was one."""
        while self._silent:
            connection = next(iter(self._silent))
            del self._silent[connection]
            if connection.is_silent():
                return self._evict(connection)
        if not self._idle and now >= self._searched + _SEARCH_EVERY:
            # Among ten thousand this takes milliseconds, so it finds many, and is not repeated at once.
            self._searched = now
            idle = (connection for connection in self.connections if connection.is_idle())
            self._idle.extend((one.deadline, one) for one in heapq.nsmallest(_CANDIDATES, idle, key=_by_deadline))
        while self._idle:
            deadline, connection = self._idle.popleft()
            if connection.deadline == deadline and connection in self.connections and connection.is_idle():
                return self._evict(connection)
        return False

    def _evict(self, connection: Connection) -> bool:
        self.unregister(connection)
        self.closed[EVICTED] += 1
        connection.evict()
        return True

    def is_full(self) -> bool:
        """Return whether so many connections are being refused that there is no room to answer another one."""
        return len(self.connections) > self.limits.max_connections + _REFUSALS

    def _is_proxy(self, peer: str) -> bool:
        return not peer or self.fast_path.proxies.is_trusted(peer)

    def _check_deadlines(self, loop: asyncio.AbstractEventLoop) -> None:
        # Ten thousand in one go would keep everybody waiting for milliseconds, and longer where many are overdue.
        if not self._departed:
            self._departed = list(self.connections)
            self._pause = _TICK_SECONDS / max(1, math.ceil(len(self._departed) / _CHECKED_PER_TICK))
        now = loop.time()
        for connection in self._departed[-_CHECKED_PER_TICK:]:
            if connection.deadline < now and connection in self.connections:
                connection.on_timeout()
        del self._departed[-_CHECKED_PER_TICK:]
        self.open(loop)
