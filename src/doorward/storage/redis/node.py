"""One Redis server as this process sees it: a few connections, and a gate that is closed while it cannot be reached."""

import asyncio
import logging
import secrets
from collections.abc import Sequence

from doorward.core.error_text import describe_error
from doorward.core.errors import StoreUnavailable
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import RedisConnection, Refused, Reply, Trouble
from doorward.storage.redis.scripts import Word
from doorward.storage.redis.server_trust import IDENTITY_COMMANDS, ServerTrust, UntrustedServer

log = logging.getLogger(__name__)

_CONNECTIONS = 8
_CONNECT_SECONDS = 1.0
_TELL_SECONDS = 60.0
_BELIEVED_SECONDS = 1.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0

# After one of these the server is asked who it is before anything else.
_ROLE_CHECK_ERRORS = ("READONLY", "LOADING", "MASTERDOWN")


class Node:
    """Runs batches on one server. Raises StoreUnavailable when it cannot, at once while it is known that it cannot.

    A batch has a connection of its own, and one that did not get all its replies is closed. So `run` belongs into a
    task that nobody cancels.
    """

    def __init__(self, place: Place, address: Address, lives: ServerTrust) -> None:
        """Name the server; `run` connects when it has to."""
        self.place = place
        self._address = address
        self._lives = lives
        self._idle: list[RedisConnection] = []
        self._room = asyncio.Semaphore(_CONNECTIONS)
        self._revival: asyncio.Task[None] | None = None
        self._territory = ""

    def serve_slots(self, slot_range: str) -> None:
        """Say which slots of a Cluster it serves. With others than before it has to be told what was ended there."""
        if slot_range != self._territory:
            self._territory = slot_range
            self._drop_idle()

    async def run(self, batch: Sequence[tuple[Word, ...]], deadline: float, *, ending: bool = False) -> list[Reply]:
        """Return the replies of a server that is believed, by `deadline` (the loop's clock).

        `ending` says that something is ended by it: then no other server may have taken over meanwhile.
        """
        if self._revival is not None:
            raise StoreUnavailable(retry_after=1)
        if self._room.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._room.acquire()
            except TimeoutError:
                raise StoreUnavailable(retry_after=1) from None
        else:
            # At once, and without a timeout, which would cost more than the rest of this.
            await self._room.acquire()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._run(batch, ending=ending)
        except (*Trouble, UntrustedServer, Refused) as error:
            self._mark_down(error)
            raise StoreUnavailable(retry_after=1) from error
        finally:
            self._room.release()

    async def _run(self, batch: Sequence[tuple[Word, ...]], *, ending: bool) -> list[Reply]:
        link = self._take() or await self._connect()
        try:
            replies = await self._ask(link, batch)
            if ending:
                await self._lives.refuse_superseded(link)
        except BaseException:
            link.close()
            raise
        if any(isinstance(reply, Exception) and str(reply).startswith(_ROLE_CHECK_ERRORS) for reply in replies):
            link.believed_at = 0.0
        if link.territory == self._territory and self._revival is None:
            self._idle.append(link)
        else:
            link.close()
        return replies

    async def _ask(self, link: RedisConnection, batch: Sequence[tuple[Word, ...]]) -> list[Reply]:
        now = asyncio.get_running_loop().time()
        if now - link.believed_at < _BELIEVED_SECONDS:
            return await link.run(batch)
        server, replication, *replies = await link.run([*IDENTITY_COMMANDS, *batch])
        await self._lives.confirm(link, server, replication)
        link.believed_at = now
        return replies

    def _take(self) -> RedisConnection | None:
        while self._idle:
            link = self._idle.pop()
            if link.is_usable:
                return link
            link.close()
        return None

    async def _connect(self) -> RedisConnection:
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout(_CONNECT_SECONDS):
            link = await RedisConnection.connect(*self.place, self._address.tls, self._address.greeting)
        try:
            link.territory = self._territory
            await self._lives.verify_server(link)
        except BaseException:
            link.close()
            raise
        link.believed_at = now
        return link

    def _mark_down(self, error: BaseException) -> None:
        self._drop_idle()
        if self._revival is None:
            log.warning("redis does not answer", extra={"server": "{}:{}".format(*self.place), "reason": _why(error)})
            self._revival = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            # Half of the pause is chance, so that many processes do not come back at the same moment.
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(500) / 1000))
            try:
                async with asyncio.timeout(_TELL_SECONDS):
                    link = await self._connect()
            except (*Trouble, UntrustedServer, Refused, StoreUnavailable):
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                break
        self._idle.append(link)
        self._revival = None
        log.warning("redis answers again", extra={"server": "{}:{}".format(*self.place)})

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._revival is not None:
            self._revival.cancel()
        self._drop_idle()


def _why(error: BaseException) -> str:
    if isinstance(error, UntrustedServer):
        return str(error)
    # Of a refusal the first word: the rest may repeat what was sent.
    return f"refused, {str(error).partition(' ')[0]}" if isinstance(error, Refused) else describe_error(error)
