"""Connection to a Redis server: sends batches of commands and returns their replies."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Self

import hiredis

from doorward.storage.redis.scripts import Word

_NOT_YET = object()

_pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # means any length

Reply = Any
CONNECTION_ERRORS = (OSError, EOFError, TimeoutError, hiredis.ProtocolError)
"""Exceptions of a connection."""


class GreetingRejected(Exception):
    """The server rejected AUTH or SELECT; the first word of the message is the error code."""


class RedisConnection(asyncio.Protocol):
    """Connection to one server. A caller that interrupts a batch has to close it, since its replies are unread.

    `identity` and `slot_range` are those of the server when the owner verified it, at `verified_at` on the clock of
    the event loop.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Create an unconnected instance; use `connect`."""
        self._parser = hiredis.Reader(notEnoughData=_NOT_YET)
        self._replies: list[Reply] = []
        self._expected = 0
        self._batch: asyncio.Future[list[Reply]] | None = None
        self.is_usable = False
        self.identity = ""
        self.slot_range = ""
        self.verified_at = 0.0

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None, greeting: Sequence[tuple[Word, ...]]
    ) -> Self:
        """Connect and send the greeting. Raises one of `CONNECTION_ERRORS`, or GreetingRejected."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port, ssl=tls)
        try:
            replies = await connection.run(greeting)
        except BaseException:
            connection.close()
            raise
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                connection.close()
                raise GreetingRejected(str(reply))
        return connection

    async def run(self, batch: Sequence[tuple[Word, ...]]) -> list[Reply]:
        """Send commands and return the replies, with errors as values. Raises one of `CONNECTION_ERRORS`."""
        if not batch:
            return []
        if not self.is_usable:
            raise EOFError("the server closed the connection")
        # No flow control: the caller bounds the batch, and the next batch waits for its replies.
        self._transport.write(b"".join(map(_pack, batch)))
        self._replies, self._expected = [], len(batch)
        self._batch = asyncio.get_running_loop().create_future()
        return await self._batch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Store the transport (asyncio.Protocol)."""
        self._transport = transport
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Parse replies (asyncio.Protocol)."""
        replies, gets = self._replies, self._parser.gets
        self._parser.feed(data)
        try:
            while (reply := gets()) is not _NOT_YET:
                replies.append(reply)
        except hiredis.ProtocolError as error:
            self._fail(error)
            return
        if len(replies) >= self._expected and replies:
            if self._batch is None or len(replies) > self._expected:
                self._fail(EOFError("the server sent a reply without a command"))
                return
            batch, self._batch = self._batch, None
            if not batch.done():
                batch.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Raise the error in the caller that waits (asyncio.Protocol)."""
        self._fail(exc or EOFError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        batch, self._batch = self._batch, None
        if batch is not None and not batch.done():
            batch.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close the connection at once."""
        self.is_usable = False
        self._transport.abort()
