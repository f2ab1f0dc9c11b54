"""One connection to a Redis server: batches of commands out, as many replies back."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Self

import hiredis

from doorward.storage.redis.scripts import Word

_NOT_YET = object()

_pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # means any length

Reply = Any
Trouble = (OSError, EOFError, TimeoutError, hiredis.ProtocolError)
"""What a connection may fail with."""


class Refused(Exception):
    """The server answered a greeting with an error; the first word of it says which."""


class RedisConnection(asyncio.Protocol):
    """A connection. Whoever interrupts a batch has to close it: the replies that are left belong to nobody.

    `life` and `territory` are what its owner knows of the server, `believed_at` (the loop's clock) since when.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        """Make one that is not connected yet; `connect` does both."""
        self._parser = hiredis.Reader(notEnoughData=_NOT_YET)
        self._replies: list[Reply] = []
        self._expected = 0
        self._batch: asyncio.Future[list[Reply]] | None = None
        self.is_usable = False
        self.life = ""
        self.territory = ""
        self.believed_at = 0.0

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None, greeting: Sequence[tuple[Word, ...]]
    ) -> Self:
        """Return a connection that has been greeted. Raises one of `Trouble`, or Refused."""
        _, link = await asyncio.get_running_loop().create_connection(cls, host, port, ssl=tls)
        try:
            replies = await link.run(greeting)
        except BaseException:
            link.close()
            raise
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                link.close()
                raise Refused(str(reply))
        return link

    async def run(self, batch: Sequence[tuple[Word, ...]]) -> list[Reply]:
        """Send commands and return the reply of each, errors among them as values. Raises one of `Trouble`."""
        if not batch:
            return []
        if not self.is_usable:
            raise EOFError("the server closed the connection")
        # Nothing is drained: a batch is as large as its caller made it, and the next one waits for its replies.
        self._transport.write(b"".join(map(_pack, batch)))
        self._replies, self._expected = [], len(batch)
        self._batch = asyncio.get_running_loop().create_future()
        return await self._batch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin (asyncio.Protocol)."""
        self._transport = transport
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Take a piece of a reply, or some of them."""
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
                self._fail(EOFError("the server said something that it was not asked"))
                return
            batch, self._batch = self._batch, None
            if not batch.done():
                batch.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self._fail(exc or EOFError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        batch, self._batch = self._batch, None
        if batch is not None and not batch.done():
            batch.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self.is_usable = False
        self._transport.abort()
