"""Gathers the keys that are asked for in one turn of the event loop, and asks a network store for all at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from doorward.core.errors import StoreUnavailable

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Coalescer(Generic[Key, Answer]):
    """Answers by key, many callers to a trip.

    `ask` is given different keys and the moment (of the loop's clock) by which it has to have answered, and returns the
    answers of those keys that have one. It runs in a task of its own, so a caller who gives up neither stops it nor
    moves anybody else's answer. At most `lanes` trips are under way; what is asked meanwhile is gathered for the next
    one. An answer is never older than its question: nobody joins a trip that has begun.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Key], float], Awaitable[Mapping[Key, Answer]]],
        *,
        max_wait: float,
        lanes: int = 2,
        at_most: int = 500,
    ) -> None:
        """Ask with `ask`, within `patience` seconds of the question, for about `at_most` keys a trip."""
        self._ask = ask
        self._patience = max_wait
        self._lanes = lanes
        self._at_most = at_most
        self._waiting: deque[tuple[Sequence[Key], float, asyncio.Future[list[Answer | None]]]] = deque()
        self._trips: set[asyncio.Task[None]] = set()
        self._due = False

    async def get(self, keys: Sequence[Key]) -> list[Answer | None]:
        """Return the answer of each key, None where there is none. Raises what `ask` raises."""
        if not keys:
            return []
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[list[Answer | None]] = loop.create_future()
        self._waiting.append((keys, loop.time() + self._patience, waiter))
        if not self._due and len(self._trips) < self._lanes:
            self._due = True
            loop.call_soon(self._depart)
        return await waiter

    async def close(self) -> None:
        """Wait for the trips under way."""
        while self._trips:
            await asyncio.wait(self._trips)

    def _depart(self) -> None:
        self._due = False
        while self._waiting and len(self._trips) < self._lanes:
            deadline = self._waiting[0][1]
            wanted: dict[Key, None] = {}
            waiters = []
            while self._waiting and len(wanted) < self._at_most:
                keys, _, waiter = self._waiting.popleft()
                if not waiter.done():
                    wanted.update(dict.fromkeys(keys))
                    waiters.append((keys, waiter))
            if waiters:
                trip = asyncio.get_running_loop().create_task(self._travel(list(wanted), deadline, waiters))
                self._trips.add(trip)
                trip.add_done_callback(self._arrive)

    async def _travel(
        self,
        wanted: Sequence[Key],
        deadline: float,
        waiters: list[tuple[Sequence[Key], "asyncio.Future[list[Answer | None]]"]],
    ) -> None:
        try:
            found = await self._ask(wanted, deadline)
        except Exception as error:  # noqa: BLE001 - it is raised again in everybody who asked
            for _, waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(_another(error))
            return
        for keys, waiter in waiters:
            if not waiter.done():
                waiter.set_result([found.get(key) for key in keys])

    def _arrive(self, trip: "asyncio.Task[None]") -> None:
        self._trips.discard(trip)
        self._depart()


def _another(error: Exception) -> Exception:
    # An exception raised in several tasks would gather the traces of all of them.
    return StoreUnavailable(retry_after=error.retry_after) if isinstance(error, StoreUnavailable) else error
