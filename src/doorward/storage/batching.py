"""Batched look-ups: all keys requested in one iteration of the event loop share one round trip."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from doorward.core.errors import StoreUnavailable

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Coalescer(Generic[Key, Value]):
    """Fetches values by key, with the keys of many callers in one round trip.

    A round trip runs in its own task, so a caller that is cancelled affects no other. Keys that are requested while
    `max_running` round trips are under way wait for the next one. No caller joins a round trip that has begun, so a
    value is never older than the request for it.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[Key], float], Awaitable[Mapping[Key, Value]]],
        *,
        max_wait: float,
        max_running: int = 2,
        max_keys: int = 500,
    ) -> None:
        """Configure the round trips.

        Args:
            fetch: Returns the values of distinct keys by a deadline on the clock of the event loop. Keys without a
                value are missing in its result.
            max_wait: Seconds from a request to its deadline.
            max_running: Round trips at a time.
            max_keys: Number of keys from which a round trip takes no further caller.
        """
        self._fetch = fetch
        self._max_wait = max_wait
        self._max_running = max_running
        self._max_keys = max_keys
        self._waiting: deque[tuple[Sequence[Key], float, asyncio.Future[list[Value | None]]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    async def get(self, keys: Sequence[Key]) -> list[Value | None]:
        """Return the value of each key, None for a key without one. Raises the exceptions of `fetch`."""
        if not keys:
            return []
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[list[Value | None]] = loop.create_future()
        self._waiting.append((keys, loop.time() + self._max_wait, waiter))
        if not self._scheduled and len(self._running) < self._max_running:
            self._scheduled = True
            loop.call_soon(self._start)
        return await waiter

    async def close(self) -> None:
        """Wait for the round trips under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < self._max_running:
            deadline = self._waiting[0][1]
            requested: dict[Key, None] = {}
            waiters = []
            while self._waiting and len(requested) < self._max_keys:
                keys, _, waiter = self._waiting.popleft()
                if not waiter.done():
                    requested.update(dict.fromkeys(keys))
                    waiters.append((keys, waiter))
            if waiters:
                task = asyncio.get_running_loop().create_task(self._run(list(requested), deadline, waiters))
                self._running.add(task)
                task.add_done_callback(self._finish)

    async def _run(
        self,
        requested: Sequence[Key],
        deadline: float,
        waiters: list[tuple[Sequence[Key], "asyncio.Future[list[Value | None]]"]],
    ) -> None:
        try:
            values = await self._fetch(requested, deadline)
        except Exception as error:  # noqa: BLE001 - raised again in every caller
            for _, waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(_copy_of(error))
            return
        for keys, waiter in waiters:
            if not waiter.done():
                waiter.set_result([values.get(key) for key in keys])

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._start()


def _copy_of(error: Exception) -> Exception:
    # An exception that is raised in several tasks would collect the tracebacks of all of them.
    return StoreUnavailable(retry_after=error.retry_after) if isinstance(error, StoreUnavailable) else error
