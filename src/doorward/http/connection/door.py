"""What the connections of one process share: limits, the lane, and the timer that cuts off what takes too long."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from doorward.http.connection.express import ExpressLane
from doorward.http.guard import MAX_BODY

_EVERY = 1.0
_AT_A_TIME = 250


class Connection(Protocol):
    """Something with a deadline: `due`, on the clock of the loop."""

    due: float

    def overdue(self) -> None:
        """Be told that the deadline has passed."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. `hash_queue_time` is added to the time of a handler that hashes."""

    target: int = 8192
    head: int = 16_384
    lines: int = 100
    body: int = MAX_BODY
    extensions: int = 4096
    first_byte: float = 15.0
    head_time: float = 5.0
    body_time: float = 10.0
    handler_time: float = 6.0
    hash_queue_time: float = 5.0
    idle: float = 75.0
    linger: float = 1.0
    connections: int = 10_000
    pipeline: int = 256


@dataclass(slots=True)
class Door:
    """What the connections of one process share. A single timer looks after all of them once a second, some at a time.

    `sizes` are the paths that take a larger body than others, with the most bytes of it.
    """

    lane: ExpressLane
    limits: Limits = field(default_factory=Limits)
    sizes: Mapping[bytes, int] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)
    _left: list[Connection] = field(default_factory=list)
    _pause: float = _EVERY
    _timer: asyncio.TimerHandle | None = None

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look after connections."""
        self._timer = loop.call_later(self._pause, self._look_after, loop)

    def close(self) -> None:
        """Stop looking after connections."""
        if self._timer:
            self._timer.cancel()

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        # Ten thousand in one go would keep everybody waiting for milliseconds, and longer where many are overdue.
        if not self._left:
            self._left = list(self.connections)
            self._pause = _EVERY / max(1, math.ceil(len(self._left) / _AT_A_TIME))
        now = loop.time()
        for connection in self._left[-_AT_A_TIME:]:
            if connection.due < now and connection in self.connections:
                connection.overdue()
        del self._left[-_AT_A_TIME:]
        self.open(loop)
