"""Connection pool of PostgreSQL: replaces broken connections and backs off while the server rejects new ones."""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from doorward.core.errors import StoreUnavailable
from doorward.storage.postgres.faults import FAULTS

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Pool:
    """Pool of up to `size` connections, opened on demand.

    Connections are opened one at a time. After a failure the next try waits, with exponential backoff and jitter;
    meanwhile `acquire` raises StoreUnavailable at once where no connection is idle.
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int) -> None:
        """Open connections with `connect`."""
        self._connect = connect
        self.size = size
        self._free = size
        self._idle: list[Any] = []
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._opening = asyncio.Lock()
        self._failures = 0
        self._closed_until = 0.0

    @property
    def in_use(self) -> int:
        """Number of connections that are acquired or being opened."""
        return self.size - self._free - len(self._idle)

    async def acquire(self, *, first: bool = False) -> Any:
        """Return a connection for exclusive use until `release`, in the order of the calls.

        With `first`, the call is served before those that wait.
        """
        if self._waiters and not first:
            await self._wait_for_turn()
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._free += 1
            if self._free:
                return await self._open()
            await self._wait_for_turn(ahead=True)

    def release(self, connection: Any, *, reusable: bool) -> None:
        """Return a connection to the pool; one that is not `reusable` is terminated."""
        if reusable and not connection.is_closed():
            self._idle.append(connection)
        else:
            connection.terminate()
            self._free += 1
        self._wake()

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=1)
            except FAULTS:
                connection.terminate()

    async def _open(self) -> Any:
        self._free -= 1
        opened = False
        try:
            async with self._opening:
                if asyncio.get_running_loop().time() < self._closed_until:
                    raise StoreUnavailable(retry_after=1)
                try:
                    connection = await self._connect()
                except BaseException:
                    self._back_off()
                    raise
            self._failures = 0
            opened = True
        finally:
            if not opened:
                self._free += 1
                self._wake()
        return connection

    def _back_off(self) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._closed_until = asyncio.get_running_loop().time() + pause * (0.5 + secrets.randbelow(500) / 1000)

    async def _wait_for_turn(self, *, ahead: bool = False) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiters.appendleft if ahead else self._waiters.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # The turn may have been given to this cancelled waiter, so it is passed on.
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
