"""How much of an answer its client has still to read."""

import asyncio
import fcntl
import sys
import termios


class UnsentBytes:
    """Counts what is left of an answer while no more is written: a slow reader is told from one that does not read."""

    __slots__ = ("_left", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Begin to count; nothing may be added to `transport` from here on."""
        self._transport = transport
        self._left = self._count()

    def is_shrinking(self) -> bool:
        """Tell whether the client has read some of it since this began, or was asked last."""
        before, self._left = self._left, self._count()
        return self._left < before

    def _count(self) -> int:
        """Return how many bytes the client's machine has not acknowledged."""
        # The kernel takes megabytes, and asks for more only when much of it has gone: our own buffer stands still
        # although the client reads.
        queued = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self._transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
