"""Registry of the open connections of one process: limits on their number, and a timer for their deadlines."""

import asyncio
import heapq
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from doorward.http.bodies import MAX_BODY_BYTES
from doorward.http.client_address import peer_key
from doorward.http.connection.fast_path import FastPath

_TICK_SECONDS = 1.0
_CHECKED_PER_TURN = 250
_CANDIDATES = 256
_SEARCH_EVERY = 0.1
_REFUSALS = 64
"""Connections beyond the limit that get an error response; any more are closed without one."""
_by_deadline = attrgetter("deadline")

EVICTED, BUSY, ADDRESS = "evicted", "busy", "address"
HANDSHAKE, SILENT, SLOW, UNREAD = "handshake", "silent", "slow", "unread"
"""Reasons for closing a connection, for the metrics: an idle one for a new one; a new one while all are busy, or above
the limit of its address; a client too slow with its handshake, first byte, request, or reading of a response."""


class Connection(Protocol):
    """Connection as the registry sees it. `deadline` is on the clock of the event loop."""

    deadline: float

    def on_timeout(self) -> None:
        """Handle the expiry of the deadline."""
        ...

    def is_silent(self) -> bool:
        """Return whether the client has sent nothing so far, or gets no further response."""
        ...

    def is_idle(self) -> bool:
        """Return whether every request has its response, so that closing loses nothing."""
        ...

    def evict(self) -> None:
        """Close the connection at once."""
        ...


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of connections: sizes in bytes, times in seconds.

    `hash_queue_time` is added to the time of a handler that hashes. `max_per_address` is None for no such limit.
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
    """Open connections of one process, and what they share. A timer checks their deadlines, some at a time.

    `body_limits` has the body limit in bytes of each path whose limit is not `limits.body`.
    """

    fast_path: FastPath
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    body_limits: Mapping[bytes, int] = field(default_factory=dict)
    connections: dict[Connection, str] = field(default_factory=dict)
    """Every open connection with the address that it counts for; "" for none."""
    closed: Counter[str] = field(default_factory=Counter)
    """Number of closed connections by reason."""
    _per_address: dict[str, int] = field(default_factory=dict)
    _silent: dict[Connection, None] = field(default_factory=dict)
    _idle: deque[tuple[float, Connection]] = field(default_factory=deque)
    _searched_at: float = -math.inf
    _unchecked: list[Connection] = field(default_factory=list)
    _pause: float = _TICK_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the timer."""
        self._timer = loop.call_later(self._pause, self._check_deadlines, loop)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def register(self, connection: Connection, peer: str, now: float) -> bool:
        """Register a connection of an address; return whether the limits admit it.

        At the limit on connections, another one is closed for it: the oldest that has sent nothing, or else the one
        that has been idle for the longest time. A connection that is not admitted is registered too, so that it has a
        deadline, but it does not count for its address.
        """
        key = "" if self.limits.max_per_address is None or self._is_proxy(peer) else peer_key(peer)
        share = self._per_address.get(key, 0)
        has_room = not key or self.limits.max_per_address is None or share < self.limits.max_per_address
        if not has_room:
            self.closed[ADDRESS] += 1
        while has_room and len(self.connections) >= self.limits.max_connections:
            has_room = self.evict_idle(now)
            self.closed[BUSY] += not has_room
        if key and has_room:
            self._per_address[key] = share + 1
        self.connections[connection] = key if has_room else ""
        self._silent[connection] = None
        return has_room

    def unregister(self, connection: Connection) -> None:
        """Remove a connection, if it is registered."""
        key = self.connections.pop(connection, "")
        self._silent.pop(connection, None)
        if key:
            self._per_address[key] -= 1
            if not self._per_address[key]:
                del self._per_address[key]

    def evict_idle(self, now: float) -> bool:
        """Close a silent or idle connection; return whether there was one."""
        while self._silent:
            connection = next(iter(self._silent))
            del self._silent[connection]
            if connection.is_silent():
                return self._evict(connection)
        if not self._idle and now >= self._searched_at + _SEARCH_EVERY:
            # With ten thousand connections a search takes milliseconds, so it finds many and is not repeated at once.
            self._searched_at = now
            idle = (connection for connection in self.connections if connection.is_idle())
            candidates = heapq.nsmallest(_CANDIDATES, idle, key=_by_deadline)
            self._idle.extend((connection.deadline, connection) for connection in candidates)
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
        """Return whether the number of rejected connections that wait to be closed has reached its limit too."""
        return len(self.connections) > self.limits.max_connections + _REFUSALS

    def _is_proxy(self, peer: str) -> bool:
        return not peer or self.fast_path.proxies.is_trusted(peer)

    def _check_deadlines(self, loop: asyncio.AbstractEventLoop) -> None:
        # Checking ten thousand at once would block the event loop for milliseconds, and longer if many have expired.
        if not self._unchecked:
            self._unchecked = list(self.connections)
            self._pause = _TICK_SECONDS / max(1, math.ceil(len(self._unchecked) / _CHECKED_PER_TURN))
        now = loop.time()
        for connection in self._unchecked[-_CHECKED_PER_TURN:]:
            if connection.deadline < now and connection in self.connections:
                connection.on_timeout()
        del self._unchecked[-_CHECKED_PER_TURN:]
        self.open(loop)
