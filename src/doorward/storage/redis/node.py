"""One Redis server: its connections, and reconnection with backoff while it is unreachable."""

import asyncio
import logging
import secrets
from collections.abc import Sequence

from doorward.core.error_text import describe_error
from doorward.core.errors import StoreUnavailable
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import CONNECTION_ERRORS, GreetingRejected, RedisConnection, Reply
from doorward.storage.redis.scripts import Word
from doorward.storage.redis.server_trust import IDENTITY_COMMANDS, ServerTrust, UntrustedServer

log = logging.getLogger(__name__)

_CONNECTIONS = 8
_CONNECT_SECONDS = 1.0
_REPLAY_SECONDS = 60.0
_TRUST_SECONDS = 1.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0

# After one of these errors the server is verified before the next batch.
_ROLE_CHECK_ERRORS = ("READONLY", "LOADING", "MASTERDOWN")


class Node:
    """Runs batches on one server. Raises StoreUnavailable, at once while the server is known to be unreachable.

    A batch has a connection to itself, which is closed if the batch is interrupted. So `run` belongs into a task that
    is not cancelled.
    """

    def __init__(self, place: Place, address: Address, trust: ServerTrust) -> None:
        """Take the server's address; `run` connects."""
        self.place = place
        self._address = address
        self._trust = trust
        self._idle: list[RedisConnection] = []
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._reconnecting: asyncio.Task[None] | None = None
        self._slot_range = ""

    def serve_slots(self, slot_range: str) -> None:
        """Set the slots that the server serves. After a change it has to replay the revocations of the new slots."""
        if slot_range != self._slot_range:
            self._slot_range = slot_range
            self._drop_idle()

    async def run(self, batch: Sequence[tuple[Word, ...]], deadline: float, *, revoking: bool = False) -> list[Reply]:
        """Return the replies of a verified server by `deadline` (on the clock of the event loop).

        With `revoking`, the batch revokes sessions; it fails if another server has taken over meanwhile.
        """
        if self._reconnecting is not None:
            raise StoreUnavailable(retry_after=1)
        if self._slots.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._slots.acquire()
            except TimeoutError:
                raise StoreUnavailable(retry_after=1) from None
        else:
            # Without a timeout, which would cost more than the rest of this method.
            await self._slots.acquire()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._run(batch, revoking=revoking)
        except (*CONNECTION_ERRORS, UntrustedServer, GreetingRejected) as error:
            self._mark_down(error)
            raise StoreUnavailable(retry_after=1) from error
        finally:
            self._slots.release()

    async def _run(self, batch: Sequence[tuple[Word, ...]], *, revoking: bool) -> list[Reply]:
        connection = self._idle_connection() or await self._connect()
        try:
            replies = await self._run_verified(connection, batch)
            if revoking:
                await self._trust.check_not_superseded(connection)
        except BaseException:
            connection.close()
            raise
        if any(isinstance(reply, Exception) and str(reply).startswith(_ROLE_CHECK_ERRORS) for reply in replies):
            connection.verified_at = 0.0
        if connection.slot_range == self._slot_range and self._reconnecting is None:
            self._idle.append(connection)
        else:
            connection.close()
        return replies

    async def _run_verified(self, connection: RedisConnection, batch: Sequence[tuple[Word, ...]]) -> list[Reply]:
        now = asyncio.get_running_loop().time()
        if now - connection.verified_at < _TRUST_SECONDS:
            return await connection.run(batch)
        server, replication, *replies = await connection.run([*IDENTITY_COMMANDS, *batch])
        await self._trust.confirm(connection, server, replication)
        connection.verified_at = now
        return replies

    def _idle_connection(self) -> RedisConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    async def _connect(self) -> RedisConnection:
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await RedisConnection.connect(*self.place, self._address.tls, self._address.greeting)
        try:
            connection.slot_range = self._slot_range
            await self._trust.verify_server(connection)
        except BaseException:
            connection.close()
            raise
        connection.verified_at = now
        return connection

    def _mark_down(self, error: BaseException) -> None:
        self._drop_idle()
        if self._reconnecting is None:
            log.warning(
                "redis unreachable: requests fail until it responds",
                extra={"server": "{}:{}".format(*self.place), "reason": _reason(error)},
            )
            self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            # Jitter, so that processes do not reconnect at the same moment.
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(500) / 1000))
            try:
                async with asyncio.timeout(_REPLAY_SECONDS):
                    connection = await self._connect()
            except (*CONNECTION_ERRORS, UntrustedServer, GreetingRejected, StoreUnavailable):
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                break
        self._idle.append(connection)
        self._reconnecting = None
        log.warning("redis reachable again", extra={"server": "{}:{}".format(*self.place)})

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        self._drop_idle()


def _reason(error: BaseException) -> str:
    if isinstance(error, UntrustedServer):
        return str(error)
    # Only the error code, since the rest can contain values that were sent.
    return f"rejected, {str(error).partition(' ')[0]}" if isinstance(error, GreetingRejected) else describe_error(error)
