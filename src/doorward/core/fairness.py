"""A fixed number of seats that tenants take in turn, so that one tenant's flood leaves the others their share."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from doorward.core.errors import Overloaded


class FairSeats:
    """Hands out `seats` seats; who has to wait, waits in its own group's line, and groups are served round robin.

    A newcomer whose wait would be longer than `patience` seconds is refused with `Overloaded` before it costs
    anything, and so is one who has waited that long because the estimate was wrong. The estimate counts only those who
    would be served before it, so a group with an empty line is still let in while another group's line is full.
    """

    def __init__(self, seats: int, *, patience: float, service_time: float) -> None:
        """Start with every seat free; `service_time` is a first guess, in seconds, corrected by measurement."""
        self._free = seats
        self._seats = seats
        self._patience = patience
        self._service_time = service_time
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many are waiting for a seat."""
        return sum(map(len, self._lines.values()))

    @property
    def taken(self) -> int:
        """How many seats somebody has."""
        return self._seats - self._free

    def _before(self, group: str) -> int:
        own = len(self._lines.get(group, ()))
        return sum(min(len(line), own + 1) for name, line in self._lines.items() if name != group) + own

    @asynccontextmanager
    async def seat(self, group: str) -> AsyncIterator[None]:
        """Wait for a seat and hold it; Overloaded where the wait would be too long."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(group)
        started = perf_counter()
        try:
            yield
        finally:
            # An eighth of each new measurement: settles within some dozen services, ignores single outliers.
            self._service_time += (perf_counter() - started - self._service_time) / 8
            self._free += 1
            self._next()

    def check(self, group: str) -> None:
        """Raise Overloaded where a newcomer of the group would be refused now; take nothing."""
        if self._free:
            return
        estimate = (self._before(group) + 1) * self._service_time / self._seats
        if estimate > self._patience:
            raise Overloaded(retry_after=max(1, round(estimate)))

    async def _wait(self, group: str) -> None:
        self.check(group)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(group, deque()).append(turn)
        try:
            await asyncio.wait([turn], timeout=self._patience)
        except asyncio.CancelledError:
            if turn.done():
                self._free += 1
                self._next()
            else:
                self._leave(group, turn)
            raise
        if not turn.done():
            self._leave(group, turn)
            raise Overloaded(retry_after=max(1, round(self._patience)))

    def _leave(self, group: str, turn: "asyncio.Future[None]") -> None:
        line = self._lines[group]
        line.remove(turn)
        if not line:
            del self._lines[group]

    def _next(self) -> None:
        while self._free and self._lines:
            group, line = next(iter(self._lines.items()))
            turn = line.popleft()
            # The group goes to the end of the round, or leaves it when nobody of it waits.
            del self._lines[group]
            if line:
                self._lines[group] = line
            self._free -= 1
            turn.set_result(None)
