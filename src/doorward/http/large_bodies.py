"""Bodies above 16 kB: read for authenticated callers only, charged by size before that, and bounded in memory."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from doorward.core.memory import release_memory
from doorward.http.endpoints import Endpoint, Handler
from doorward.http.errors import TooManyLargeBodies
from doorward.http.guard import IncomingBody
from doorward.http.services import Services
from doorward.http.wire import Answer, Call


@dataclass(slots=True)
class BodyMemory:
    """Memory of one process for large bodies: at most `limit` bytes of them are in flight at any time.

    A tenant may hold as much as stays free for others: half of the memory at most, and less while others hold some.
    """

    limit: int = 16 << 20
    taken: int = 0
    _held: dict[str, int] = field(default_factory=dict)
    _reserved: int = 0
    _reserved_before: int = 0
    _given_back: int = 0

    @contextmanager
    def reserve(self, size: int, tenant_id: str) -> Iterator[None]:
        """Hold so many bytes for a tenant for a while; TooManyLargeBodies where they are not left for it."""
        # The first body of a tenant may take all that is left.
        if self.taken + self._held.get(tenant_id, 0) + size > self.limit:
            raise TooManyLargeBodies(retry_after=1)
        self._hold(tenant_id, size)
        self._reserved += 1
        try:
            yield
        finally:
            self._hold(tenant_id, -size)

    def _hold(self, tenant_id: str, size: int) -> None:
        self.taken += size
        held = self._held.pop(tenant_id, 0) + size
        if held:
            self._held[tenant_id] = held

    async def rest(self) -> None:
        """Return freed memory to the system, unless there was a large body since this was last called."""
        before, self._reserved_before = self._reserved_before, self._reserved
        if not self.taken and self._reserved == before and self._reserved != self._given_back:
            self._given_back = self._reserved
            await asyncio.get_running_loop().run_in_executor(None, release_memory)


def read_first(endpoint: Endpoint, incoming: IncomingBody, memory: BodyMemory) -> Handler:
    """Return a handler that authenticates the caller, charges it for its body, reads that, and then does as `endpoint`.

    The handler of `endpoint` authenticates once more: the session may have ended while the body arrived.
    """

    async def handle(services: Services, call: Call) -> Answer:
        caller = await services.caller(call)
        charge = partial(services.throttle.consume_body, caller.tenant_id)
        size = endpoint.largest if incoming.declared is None else incoming.declared
        with memory.reserve(size, caller.tenant_id):
            if incoming.declared is not None:
                charge(incoming.declared)
            call.body = await incoming.read(charge if incoming.declared is None else None)
            return await endpoint.handler(services, call)

    return handle
