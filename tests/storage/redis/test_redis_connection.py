"""Connections to a Redis server, and servers with malformed replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from doorward.storage.redis.connection import CONNECTION_ERRORS, RedisConnection


@asynccontextmanager
async def connected(*talk: bytes | None) -> AsyncIterator[RedisConnection]:
    """A link to a server that says these pieces, one by one, whatever it is told; None: it hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        for piece in talk:
            if piece is None:
                break
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        if None not in talk:
            await reader.read(65_536)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    link = await RedisConnection.connect("127.0.0.1", server.sockets[0].getsockname()[1], None, ())
    try:
        yield link
    finally:
        link.close()
        server.close()


PING = ("PING",)


async def test_replies_come_in_the_order_of_the_commands_however_they_are_cut() -> None:
    pieces = [bytes([byte]) for byte in b"+one\r\n$3\r\ntwo\r\n-ERR three\r\n"]
    async with connected(*pieces) as link:
        one, two, three = await link.run([PING, PING, PING])
        assert (one, two, str(three)) == (b"one", b"two", "ERR three")
        assert isinstance(three, hiredis.ReplyError)
        assert link.is_usable


async def test_nothing_asked_is_nothing_waited_for() -> None:
    async with connected() as link:
        assert await link.run([]) == []


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n\r\n"], id="it speaks another language"),
        pytest.param([b"+one\r\n+two\r\n"], id="it says more than it was asked"),
        pytest.param([None], id="it hangs up at once"),
        pytest.param([b"$10\r\nhalf", None], id="it hangs up in the middle of a reply"),
    ],
)
async def test_whatever_is_no_reply_is_trouble_and_the_connection_is_never_used_again(talk: list[bytes | None]) -> None:
    async with connected(*talk) as link:
        with pytest.raises(CONNECTION_ERRORS):
            await asyncio.wait_for(link.run([PING]), 5)
        assert not link.is_usable
        with pytest.raises(CONNECTION_ERRORS):
            await link.run([PING])


async def test_DU9_what_is_said_between_two_batches_is_taken_for_no_answer() -> None:
    async with connected(b"+one\r\n", b"+late\r\n") as link:
        assert await link.run([PING]) == [b"one"]
        await asyncio.sleep(0.05)
        assert not link.is_usable
