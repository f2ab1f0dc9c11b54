"""Bodies above 16 kB: read for authenticated callers only, charged by size before that, and bounded in memory."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from doorward.core.memory import give_back
from doorward.http.endpoints import Endpoint, Handler
from doorward.http.errors import TooManyLargeBodies
from doorward.http.guard import IncomingBody
from doorward.http.services import Services
from doorward.http.wire import Answer, Call


@dataclass(slots=True)
class BodyMemory:
    """Memory of one process for large bodies: at most `limit` bytes of them are in flight at any time."""

    limit: int = 16 << 20
    taken: int = 0
    _reserved: int = 0
    _reserved_before: int = 0
    _given_back: int = 0

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold so many bytes for a while; TooManyLargeBodies where they are not left."""
        if self.taken + size > self.limit:
            raise TooManyLargeBodies(retry_after=1)
        self.taken += size
        self._reserved += 1
        try:
            yield
        finally:
            self.taken -= size

    async def rest(self) -> None:
        """Return freed memory to the system, unless there was a large body since this was last called."""
        before, self._reserved_before = self._reserved_before, self._reserved
        if not self.taken and self._reserved == before and self._reserved != self._given_back:
            self._given_back = self._reserved
            await asyncio.get_running_loop().run_in_executor(None, give_back)


def read_first(endpoint: Endpoint, incoming: IncomingBody, memory: BodyMemory) -> Handler:
    """Return a handler that authenticates the caller, charges it for its body, reads that, and then does as `endpoint`.

    The handler of `endpoint` authenticates once more: the session may have ended while the body arrived.
    """

    async def handle(services: Services, call: Call) -> Answer:
        caller = await services.caller(call)
        charge = partial(services.throttle.body, caller.tenant_id)
        with memory.reserve(endpoint.largest if incoming.declared is None else incoming.declared):
            if incoming.declared is not None:
                charge(incoming.declared)
            call.body = await incoming.read(charge if incoming.declared is None else None)
            return await endpoint.handler(services, call)

    return handle
