"""Request bodies: size limits, and reading a body that has not arrived completely.

The parser (`http/connection/parser.py`) enforces the limits and passes that of a request on in its scope.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive

MAX_BODY_BYTES = 16_384
"""Limit of ordinary bodies; an endpoint may have a larger one (`Endpoint.max_body_bytes`)."""

LARGE_BODY = 1 << 20
"""Limit of endpoints that accept many rows at once."""

HANDLER_TIMEOUT = 5.0
"""Deadline of a handler in seconds. A handler that hashes has this time after the longest wait for a thread."""


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


@dataclass(frozen=True, slots=True)
class IncomingBody:
    """Body of which nothing has been read yet. `declared` is its length in bytes, None for a chunked body."""

    receive: Receive
    declared: int | None
    deadline: asyncio.Timeout

    async def read(self, charge: Callable[[int], None] | None = None) -> bytes:
        """Return the body. `charge` is called with the size of each piece.

        The handler's deadline is suspended meanwhile, since the connection has one for bodies.
        """
        self.deadline.reschedule(None)
        body = await read_body(self.receive, charge)
        self.deadline.reschedule(asyncio.get_running_loop().time() + HANDLER_TIMEOUT)
        return body


async def read_body(receive: Receive, charge: Callable[[int], None] | None = None) -> bytes:
    """Return the whole body; ClientGone if the client disconnects. `charge` is called with the size of each piece."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message.get("body", b""))
        if charge is not None:
            charge(len(parts[-1]))
        if not message.get("more_body", False):
            return b"".join(parts)
