"""Connections to a PostgreSQL server: shared, replaced when they break, and not asked for faster than is good."""

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
    """Up to `size` connections, opened when they are needed.

    Connections are opened one at a time. When one cannot be, the next try waits, exponentially longer and never at the
    same pace as other processes; who needs a connection meanwhile is refused at once (`StoreUnavailable`).
    """

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int) -> None:
        """Open connections with `connect`."""
        self._connect = connect
        self.size = size
        self._free = size
        self._idle: list[Any] = []
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._door = asyncio.Lock()
        self._failures = 0
        self._closed_until = 0.0

    @property
    def in_use(self) -> int:
        """How many connections somebody has, or is opening."""
        return self.size - self._free - len(self._idle)

    async def acquire(self, *, first: bool = False) -> Any:
        """Return a connection for exclusive use until `release`. Where all are in use, first come, first served.

        With `first`, it comes before those that wait already.
        """
        if self._waiters and not first:
            await self._turn()
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._free += 1
            if self._free:
                return await self._open()
            await self._turn(ahead=True)

    def release(self, connection: Any, *, reusable: bool) -> None:
        """Take a connection back; one that is not `reusable` is cut off, whatever it was doing."""
        if reusable and not connection.is_closed():
            self._idle.append(connection)
        else:
            connection.terminate()
            self._free += 1
        self._wake()

    async def close(self) -> None:
        """Say good-bye on idle connections."""
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
            async with self._door:
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

    async def _turn(self, *, ahead: bool = False) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiters.appendleft if ahead else self._waiters.append)(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # The turn may have been given just when nobody wanted it any more, or others may queue behind nobody.
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
