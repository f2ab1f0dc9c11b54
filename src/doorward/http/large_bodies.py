"""Bodies above 16 kB: read for authenticated callers only, charged by size before that, and bounded in memory."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from doorward.core.memory import release_memory
from doorward.http.api.endpoint import Endpoint, Handler
from doorward.http.api.services import Services
from doorward.http.bodies import IncomingBody
from doorward.http.errors import TooManyLargeBodies
from doorward.http.request import Request
from doorward.http.response import Response


@dataclass(slots=True)
class BodyMemory:
    """Memory of one process for large bodies: at most `limit` bytes at any time.

    A tenant may hold as much as stays free for others: at most half of the memory, and less while others hold some.
    """

    limit: int = 16 << 20
    in_use: int = 0
    _held: dict[str, int] = field(default_factory=dict)
    _reserved: int = 0
    _reserved_before: int = 0
    _released: int = 0

    @contextmanager
    def reserve(self, size: int, tenant_id: str) -> Iterator[None]:
        """Reserve memory for a body of a tenant; raises TooManyLargeBodies where its share is exhausted."""
        # A tenant that holds none may take all that is free.
        if self.in_use + self._held.get(tenant_id, 0) + size > self.limit:
            raise TooManyLargeBodies(retry_after=1)
        self._hold(tenant_id, size)
        self._reserved += 1
        try:
            yield
        finally:
            self._hold(tenant_id, -size)

    def _hold(self, tenant_id: str, size: int) -> None:
        self.in_use += size
        held = self._held.pop(tenant_id, 0) + size
        if held:
            self._held[tenant_id] = held

    async def release(self) -> None:
        """Return freed memory to the operating system, unless there was a large body since the last call."""
        before, self._reserved_before = self._reserved_before, self._reserved
        if not self.in_use and self._reserved == before and self._reserved != self._released:
            self._released = self._reserved
            await asyncio.get_running_loop().run_in_executor(None, release_memory)


def authenticate_and_read(endpoint: Endpoint, incoming: IncomingBody, memory: BodyMemory) -> Handler:
    """Return a handler that authenticates the caller and charges it before it reads the body.

    It then calls the handler of `endpoint`, which authenticates again: the session may have been revoked while the body
    arrived.
    """

    async def handle(services: Services, request: Request) -> Response:
        caller = await services.authenticate_caller(request)
        charge = partial(services.rate_limits.consume_body, caller.tenant_id)
        size = endpoint.max_body_bytes if incoming.declared is None else incoming.declared
        with memory.reserve(size, caller.tenant_id):
            if incoming.declared is not None:
                charge(incoming.declared)
            request.body = await incoming.read(charge if incoming.declared is None else None)
            return await endpoint.handler(services, request)

    return handle
