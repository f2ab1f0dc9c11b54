"""What arrives over a connection becomes requests, none of which is larger or slower than it may be.

Slow senders, header sizes and ambiguous framing can only be dealt with here: an ASGI application is called too late.
"""

from typing import Any, Final, NoReturn

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from doorward.core.errors import Refusal
from doorward.http.connection.framing import check_framing, without_upgrade_offer
from doorward.http.connection.registry import ConnectionRegistry
from doorward.http.errors import (
    BadRequest,
    HeadersTooLarge,
    PayloadTooLarge,
    TooManyConnections,
    UriTooLong,
)

_CHUNK: Final = 4096
_CHUNKED_PIECE: Final = 512
_CHUNK_FRAMING: Final = 16
"""Bytes of a chunk beside its data that need no explanation: its size and two line ends."""


class RequestParser(HttpToolsProtocol):
    """The incoming half of one connection. Whoever answers refuses what is objected to here, and sets `deadline`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what uvicorn gives; the door comes from the application's lifespan."""
        super().__init__(*args, **kwargs)
        self._door: ConnectionRegistry = self.app_state["door"]
        self._limits = self._door.limits
        self._largest = self._limits.body
        self.deadline = float("inf")
        self._closing = False
        self._stopped = False
        self._refusal: Refusal | None = None
        self._in_head = False
        self._in_message = False
        self._head_size = 0
        self._body_size = 0
        self._fresh = False
        self._handed = False
        self._chunked = False
        self._chunks = 0
        self._chunk_begins = False
        self._beside = 0
        self._unsettled = 0
        self._received = 0
        self._now = 0.0

    def _refuse(self, refusal: Refusal) -> None:
        """Say no to whatever this connection is saying."""
        raise NotImplementedError

    def _stop_reading(self) -> None:
        """Execute nothing of what comes from here on."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Feed the parser; anything it or we object to is refused once and for all."""
        if self._closing or self._stopped:
            return
        self._unset_keepalive_if_required()
        self._fresh = False
        self._now = self.loop.time()
        try:
            if len(data) > _CHUNK or self._chunked:
                self._feed_in_pieces(memoryview(data))
            else:
                self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refusal):
            if not self._stopped:
                self._refuse(self._refusal or BadRequest())
        if self._in_message:
            self._measure(data)

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser, over every offer to change the protocol, which is ignored (RFC 9110, section 7.8)."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._ignore_offer()
                data = memoryview(data)[offer.args[0] :]
            else:
                return

    def _ignore_offer(self) -> None:
        """Begin the request again without its offer to change the protocol: the parser stops reading at one.

        The parser has read its head and nothing behind it. A new one is given the same head without `Upgrade`, so the
        framing of the body is decided by the same rules as ever.
        """
        head = without_upgrade_offer(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _feed_in_pieces(self, data: memoryview) -> None:
        """Feed a little at a time, and count what chunks have beside their data in the pieces that lie inside a body.

        The parser takes extensions of chunks (RFC 9112, section 7.1.1) without calling us.
        """
        start = 0
        while start < len(data):
            piece = data[start : start + (_CHUNKED_PIECE if self._chunked else _CHUNK)]
            inside, body, chunks = self._chunked and self.cycle, self._body_size, self._chunks
            self._feed(piece)
            if inside and self._chunked and inside is self.cycle:
                explained = self._body_size - body + _CHUNK_FRAMING * (self._chunks - chunks)
                self._count_framing(max(0, len(piece) - explained))
            start += len(piece)

    def _count_framing(self, size: int) -> None:
        """Refuse too much beside the data of chunks.

        What follows the size of a chunk counts once data has followed too. Otherwise it is the trailer section, which
        has the limits of a head.
        """
        self._unsettled += size
        if not self._chunk_begins:
            self._beside += self._unsettled
            self._unsettled = 0
        if self._beside > self._limits.extensions:
            self._reject(BadRequest())

    def _measure(self, data: bytes) -> None:
        """Bound what the parser takes without calling us: lines without an end, framing of chunks, trailers."""
        # Of a request that began in these bytes only the last line counts: before it may be other, whole requests.
        self._received = len(data) - data.rfind(b"\n") - 1 if self._fresh else self._received + len(data)
        if self._in_head and self._received > 2 * self._limits.head:
            self._refuse(HeadersTooLarge())
        elif self._received > 2 * self._limits.head + 8 * self._largest:
            self._refuse(PayloadTooLarge())

    def on_message_begin(self) -> None:
        """Begin a request: from now on its head has to arrive in time."""
        if len(self.pipeline) >= self._limits.pipeline:
            self._stop_reading()
            raise TooManyConnections
        self.url = b""
        self.headers = []
        self._in_head = self._in_message = self._fresh = True
        self._handed = self._chunked = False
        self._head_size = 0
        self._body_size = 0
        self._largest = self._limits.body
        self.deadline = self._now + self._limits.head_time

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self.url += url
        if len(self.url) > self._limits.target:
            self._reject(UriTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line; a trailer is never taken for one (RFC 9110, section 6.5.1)."""
        if self._in_head:
            self.headers.append((name.lower(), value))
        self._head_size += len(name) + len(value)
        if self._head_size > self._limits.head or len(self.headers) > self._limits.lines:
            self._reject(HeadersTooLarge())

    def _reject(self, refusal: Refusal) -> NoReturn:
        """Make the parser stop; `data_received` refuses."""
        self._refusal = refusal
        raise refusal

    def _begin_cycle(self) -> None:
        """Let uvicorn begin, now that the application is to be asked: the express lane needs none of it."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.scope["headers"] = headers

    def _check_head(self) -> None:
        version = self.parser.get_http_version()
        try:
            fields = check_framing(version, self.url, self.headers)
        except Refusal as refusal:
            self._reject(refusal)
        path = self.url.partition(b"?")[0]
        self._largest = self._door.sizes.get(path.removesuffix(b"/") or path, self._limits.body)
        if int(fields.get(b"content-length", 0)) > self._largest:
            self._reject(PayloadTooLarge(many=self._largest > self._limits.body))
        if b"transfer-encoding" in fields:
            self._chunked = True
            self._beside = self._unsettled = 0
            self._chunk_begins = False
        if b"expect" in fields and version != "1.0":
            self.expect_100_continue = fields[b"expect"].lower() == b"100-continue"

    def on_chunk_header(self) -> None:
        """Note that the size of a chunk was read; that of the last one is 0, and no data follows."""
        self._chunks += 1
        self._chunk_begins = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit; read no further than an ordinary body before it is asked for."""
        self._chunk_begins = False
        self._limit_body(body)
        super().on_body(body)
        if len(self.cycle.body) > self._limits.body:
            self.flow.pause_reading()

    def _limit_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._largest:
            self._reject(PayloadTooLarge(many=self._largest > self._limits.body))
