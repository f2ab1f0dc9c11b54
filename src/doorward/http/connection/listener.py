"""Listening sockets: accept connections, shake hands where TLS is spoken, and survive a lack of file descriptors.

The event loop could do this too, but counts TLS connections only after their handshake, and closes a listening socket
for good when `accept` finds no file descriptor.
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

_MOMENT, _PAUSE = 0.01, 0.2
_LOG_EVERY = 10.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(eq=False, slots=True)
class Handshake:
    """A connection during its TLS handshake, before its first request."""

    stream: socket.socket
    deadline: float

    def on_timeout(self) -> None:
        """Close the connection; the event loop has done so at its deadline, unless something went wrong."""
        self.evict()

    def is_silent(self) -> bool:
        """Return True: nothing can be asked before the handshake is done."""
        return True

    def is_idle(self) -> bool:
        """Return True: there is no request that could be lost."""
        return True

    def evict(self) -> None:
        """Close the connection at once: without its stream the handshake fails."""
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def shutdown(self) -> None:
        """Close the connection, since the process is about to end."""
        self.evict()


@dataclass(eq=False, slots=True)
class Listener:
    """Accepts the connections of one socket, for the protocols that `make` returns.

    With a `context`, TLS is spoken; a new one is for the connections to come. The connections of `spare` are closed
    when file descriptors run out. `handshakes` is told of each handshake, so that the server can end it when it stops.
    """

    purpose: str
    sock: socket.socket
    registry: ConnectionRegistry
    spare: ConnectionRegistry
    make: Callable[[], DoorwardProtocol]
    handshakes: set[Any]
    context: ssl.SSLContext | None = None
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _resume: asyncio.TimerHandle | None = None
    _said: float = -_LOG_EVERY

    def start(self, backlog: int) -> None:
        """Listen, and accept connections from now on."""
        self._loop = asyncio.get_running_loop()
        self.sock.setblocking(False)
        self.sock.listen(backlog)
        self._loop.add_reader(self.sock, self._accept)

    def close(self) -> None:
        """Accept no more connections; those that are open stay open."""
        if self._resume is not None:
            self._resume.cancel()
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
            self.sock.close()

    async def wait_closed(self) -> None:
        """Return: nothing is left to be closed."""

    def _accept(self) -> None:
        # One each time: another worker may have taken it, and requests have a turn in between.
        try:
            stream, address = self.sock.accept()
        except OSError as error:
            # Anything else is about one client that is gone already (accept(2)).
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
        protocol = self.make()
        protocol.predecessor = handshake
        patience = self.registry.limits.handshake if context else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                stream,
                ssl=context,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
        # Failed handshakes are not logged: scanners cause them all the time.
        except ConnectionAbortedError:
            # The event loop raises this one when the handshake takes too long.
            self.registry.closed[HANDSHAKE] += handshake is not None
        except OSError:
            pass
        finally:
            if handshake is not None:
                self.registry.unregister(handshake)
                self.handshakes.discard(handshake)

    def _free_descriptors(self, error: OSError) -> None:
        """Free a file descriptor by closing an idle connection, or wait for one; the client waits in the queue."""
        now = monotonic()
        if now >= self._said + _LOG_EVERY:
            self._said = now
            log.error(
                "cannot accept connections: raise the limit on open files, or lower MAX_CONNECTIONS",
                extra={
                    "listener": self.purpose,
                    "reason": error.strerror,
                    "open_files_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                },
            )
        # The descriptor of a connection is free some turns of the loop later.
        pause = _MOMENT if self.spare.evict_idle(self._loop.time()) else _PAUSE
        self._loop.remove_reader(self.sock)
        self._resume = self._loop.call_later(pause, self._accept_again)

    def _accept_again(self) -> None:
        self._resume = None
        self._loop.add_reader(self.sock, self._accept)
