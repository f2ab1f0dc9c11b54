"""Listening sockets: accept connections, run TLS handshakes, and survive a lack of file descriptors.

The event loop's own server counts TLS connections only after their handshake, and closes a listening socket for good
when `accept` finds no file descriptor.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from doorward.http.connection.eager_task import run_eagerly
from doorward.http.connection.protocol import DoorwardProtocol
from doorward.http.connection.registry import HANDSHAKE, ConnectionRegistry

log = logging.getLogger(__name__)

_RETRY_SECONDS, _EXHAUSTED_PAUSE_SECONDS = 0.01, 0.2
_LOG_EVERY = 10.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(eq=False, slots=True)
class Handshake:
    """Connection during its TLS handshake."""

    stream: socket.socket
    deadline: float

    def on_timeout(self) -> None:
        """Close the connection, in case the event loop has not done so at its own deadline."""
        self.evict()

    def is_silent(self) -> bool:
        """Return True: no request can arrive before the handshake is done."""
        return True

    def is_idle(self) -> bool:
        """Return True: there is no request that could be lost."""
        return True

    def evict(self) -> None:
        """Close the socket at once, which makes the handshake fail."""
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def shutdown(self) -> None:
        """Close the connection, since the process shuts down."""
        self.evict()


@dataclass(eq=False, slots=True)
class Listener:
    """Accepts the connections of one socket.

    Attributes:
        purpose: Name of the listener in logs.
        sock: Listening socket.
        registry: Registry of the connections.
        evictable: Registry whose idle connections are closed when file descriptors run out.
        protocol_factory: Returns the protocol of a connection.
        handshakes: Handshakes under way, which the server closes when it stops.
        context: TLS context of later connections; None for plain HTTP.
    """

    purpose: str
    sock: socket.socket
    registry: ConnectionRegistry
    evictable: ConnectionRegistry
    protocol_factory: Callable[[], DoorwardProtocol]
    handshakes: set[Any]
    context: ssl.SSLContext | None = None
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _resume_timer: asyncio.TimerHandle | None = None
    _logged_at: float = -_LOG_EVERY

    def start(self, backlog: int) -> None:
        """Start to accept connections."""
        self._loop = asyncio.get_running_loop()
        self.sock.setblocking(False)
        self.sock.listen(backlog)
        self._loop.add_reader(self.sock, self._accept)

    def close(self) -> None:
        """Accept no more connections; those that are open stay open."""
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
            self.sock.close()

    async def wait_closed(self) -> None:
        """Return at once, since `close` is synchronous."""

    def _accept(self) -> None:
        # One connection per callback, so that requests are processed in between. Another worker may have accepted it.
        try:
            stream, address = self.sock.accept()
        except OSError as error:
            # Other errors concern a client that is gone already (accept(2)).
            if error.errno in _EXHAUSTED:
                self._free_descriptors(error)
            return
        stream.setblocking(False)
        handshake = None
        if self.context is not None:
            now = self._loop.time()
            handshake = Handshake(stream, now + 2 * self.registry.limits.handshake)
            if not self.registry.register(handshake, address[0], now):
                self.registry.unregister(handshake)
                stream.close()
                return
            self.handshakes.add(handshake)
        run_eagerly(self._connect(stream, self.context, handshake), self._loop)

    async def _connect(
        self, stream: socket.socket, context: ssl.SSLContext | None, handshake: Handshake | None
    ) -> None:
        protocol = self.protocol_factory()
        protocol.handshake = handshake
        timeout = self.registry.limits.handshake if context else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                stream,
                ssl=context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=timeout,
            )
        # Failed handshakes are not logged, since scanners cause them all the time.
        except ConnectionAbortedError:
            # Raised by the event loop when the handshake takes too long.
            self.registry.closed[HANDSHAKE] += handshake is not None
        except OSError:
            pass
        finally:
            if handshake is not None:
                self.registry.unregister(handshake)
                self.handshakes.discard(handshake)

    def _free_descriptors(self, error: OSError) -> None:
        """Close an idle connection, or wait for a free descriptor. The client waits in the backlog meanwhile."""
        now = monotonic()
        if now >= self._logged_at + _LOG_EVERY:
            self._logged_at = now
            log.error(
                "cannot accept connections: raise the limit on open files, or lower MAX_CONNECTIONS",
                extra={
                    "listener": self.purpose,
                    "reason": error.strerror,
                    "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                },
            )
        # The descriptor of a closed connection is free after some iterations of the event loop.
        pause = _RETRY_SECONDS if self.evictable.evict_idle(self._loop.time()) else _EXHAUSTED_PAUSE_SECONDS
        self._loop.remove_reader(self.sock)
        self._resume_timer = self._loop.call_later(pause, self._resume_accepting)

    def _resume_accepting(self) -> None:
        self._resume_timer = None
        self._loop.add_reader(self.sock, self._accept)
