"""One connection to a Redis server: batches of commands out, as many replies back."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Self

import hiredis

from doorward.storage.redis.scripts import Word

_CHUNK = 65_536
_NOT_YET = object()

_pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # means any length

Reply = Any
Trouble = (OSError, EOFError, TimeoutError, hiredis.ProtocolError)
"""What a connection may fail with."""


class Refused(Exception):  # noqa: N818 - it is the server's refusal
    """The server answered a greeting with an error; the first word of it says which."""


class Link:
    """A connection. Whoever interrupts a batch has to close it: the replies that are left belong to nobody.

    `life` and `territory` are what its owner knows of the server, `believed_at` (the loop's clock) since when.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap an open connection."""
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(notEnoughData=_NOT_YET)
        self.life = ""
        self.territory = ""
        self.believed_at = 0.0

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None, greeting: Sequence[tuple[Word, ...]]
    ) -> Self:
        """Return a connection that has been greeted. Raises one of `Trouble`, or Refused."""
        link = cls(*await asyncio.open_connection(host, port, ssl=tls))
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

    @property
    def is_usable(self) -> bool:
        """Whether the server has not closed it."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def run(self, batch: Sequence[tuple[Word, ...]]) -> list[Reply]:
        """Send commands and return the reply of each, errors among them as values. Raises one of `Trouble`."""
        self._writer.write(b"".join(map(_pack, batch)))
        await self._writer.drain()
        replies: list[Reply] = []
        while len(replies) < len(batch):
            reply = self._parser.gets()
            if reply is not _NOT_YET:
                replies.append(reply)
                continue
            data = await self._reader.read(_CHUNK)
            if not data:
                raise EOFError("the server closed the connection")
            self._parser.feed(data)
        return replies

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self._writer.transport.abort()
