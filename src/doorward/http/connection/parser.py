"""HTTP/1.1 request parser on top of httptools: limits of headers, bodies and chunks; request framing.

Slow senders, header sizes and ambiguous framing are handled here, since an ASGI application is called too late.
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
from doorward.http.headers import HEADERS_BY_NAME

_FEED_BYTES: Final = 4096
_FEED_BYTES_CHUNKED: Final = 512
_CHUNK_FRAMING: Final = 16
"""Bytes of framing that each chunk may have: its size and two line ends."""


class RequestParser(HttpToolsProtocol):
    """Receiving half of a connection. Subclasses send responses and errors, and set `deadline`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take uvicorn's arguments; the connection registry is in the state of the application's lifespan."""
        super().__init__(*args, **kwargs)
        self._registry: ConnectionRegistry = self.app_state["connections"]
        self._limits = self._registry.limits
        self._max_body = self._limits.body
        self.deadline = float("inf")
        self._closing = False
        self._reading_stopped = False
        self._refusal: Refusal | None = None
        self._in_head = False
        self._in_message = False
        self._began_in_data = False
        self._in_application = False
        self._head_size = 0
        self._body_size = 0
        self._body: list[bytes] | None = None
        self._is_chunked = False
        self._chunks = 0
        self._at_chunk_start = False
        self._framing_bytes = 0
        self._undecided_bytes = 0
        self._received = 0
        self._now = 0.0

    def _send_error(self, refusal: Refusal) -> None:
        """Respond to the request that is arriving with an error, and close the connection."""
        raise NotImplementedError

    def _stop_reading(self) -> None:
        """Process nothing that arrives from now on."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Feed the parser; send an error for the first violation of the protocol or of a limit."""
        if self._closing or self._reading_stopped:
            return
        self._unset_keepalive_if_required()
        self._began_in_data = False
        self._now = self.loop.time()
        try:
            if len(data) > _FEED_BYTES or self._is_chunked:
                self._feed_in_pieces(memoryview(data))
            else:
                self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refusal):
            if not self._reading_stopped:
                self._send_error(self._refusal or BadRequest())
        if self._in_message:
            self._check_received(data)

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser, and ignore offers to change the protocol (RFC 9110, section 7.8)."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._drop_upgrade_offer()
                data = memoryview(data)[offer.args[0] :]
            else:
                return

    def _drop_upgrade_offer(self) -> None:
        """Parse the head again without its `Upgrade` header, since the parser stops reading at one.

        The old parser has read the head and nothing behind it. The new one decides the framing of the body by the
        same rules.
        """
        head = without_upgrade_offer(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _feed_in_pieces(self, data: memoryview) -> None:
        """Feed the parser a little at a time, and count the bytes of chunked bodies that are not data.

        The parser accepts chunk extensions (RFC 9112, section 7.1.1) without a callback.
        """
        start = 0
        while start < len(data):
            piece = data[start : start + (_FEED_BYTES_CHUNKED if self._is_chunked else _FEED_BYTES)]
            cycle, body, chunks = self._is_chunked and self.cycle, self._body_size, self._chunks
            self._feed(piece)
            if cycle and self._is_chunked and cycle is self.cycle:
                expected = self._body_size - body + _CHUNK_FRAMING * (self._chunks - chunks)
                self._count_framing(max(0, len(piece) - expected))
            start += len(piece)

    def _count_framing(self, size: int) -> None:
        """Reject a chunked body with too many bytes that are not data.

        Bytes after the size of a chunk count once its data has begun. Without data they belong to the trailer section,
        which has the limits of a head.
        """
        self._undecided_bytes += size
        if not self._at_chunk_start:
            self._framing_bytes += self._undecided_bytes
            self._undecided_bytes = 0
        if self._framing_bytes > self._limits.extensions:
            self._reject(BadRequest())

    def _check_received(self, data: bytes) -> None:
        """Limit input that the parser takes without a callback: endless lines, framing of chunks, trailers."""
        # If the request began in this data, only the last line counts: earlier lines may belong to other requests.
        self._received = len(data) - data.rfind(b"\n") - 1 if self._began_in_data else self._received + len(data)
        if self._in_head and self._received > 2 * self._limits.head:
            self._send_error(HeadersTooLarge())
        elif self._received > 2 * self._limits.head + 8 * self._max_body:
            self._send_error(PayloadTooLarge())

    def on_message_begin(self) -> None:
        """Begin a request, whose head has a deadline from now on."""
        if len(self.pipeline) >= self._limits.pipeline:
            self._stop_reading()
            raise TooManyConnections
        self.url = b""
        self.headers = []
        self._in_head = self._in_message = self._began_in_data = True
        self._in_application = self._is_chunked = False
        self._head_size = 0
        self._body_size = 0
        self._max_body = self._limits.body
        self.deadline = self._now + self._limits.head_time

    def on_url(self, url: bytes) -> None:
        """Append a piece of the request target."""
        self.url += url
        if len(self.url) > self._limits.target:
            self._reject(UriTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a header; trailers are counted and dropped (RFC 9110, section 6.5.1)."""
        if self._in_head:
            self.headers.append((name.lower(), value))
        self._head_size += len(name) + len(value)
        if self._head_size > self._limits.head or len(self.headers) > self._limits.lines:
            self._reject(HeadersTooLarge())

    def _reject(self, refusal: Refusal) -> NoReturn:
        """Stop the parser; `data_received` sends the error."""
        self._refusal = refusal
        raise refusal

    def _begin_cycle(self, by_name: dict[bytes, bytes]) -> None:
        """Check the head, and let uvicorn begin a cycle for the application. The fast path needs none."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url, self.headers = url, headers
        version = self.parser.get_http_version()
        try:
            check_framing(version, url, headers, by_name)
        except Refusal as refusal:
            self._reject(refusal)
        path = url.partition(b"?")[0]
        self._max_body = self._registry.body_limits.get(path.removesuffix(b"/") or path, self._limits.body)
        if int(by_name.get(b"content-length", 0)) > self._max_body:
            self._reject(PayloadTooLarge(many=self._max_body > self._limits.body))
        if b"transfer-encoding" in by_name:
            self._is_chunked = True
            self._framing_bytes = self._undecided_bytes = 0
            self._at_chunk_start = False
        if b"expect" in by_name and version != "1.0":
            self.expect_100_continue = by_name[b"expect"].lower() == b"100-continue"
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope |= {"headers": headers, HEADERS_BY_NAME: by_name, "max_body_bytes": self._max_body}

    def on_chunk_header(self) -> None:
        """Count a chunk whose size has arrived. The last one has size 0 and no data."""
        self._chunks += 1
        self._at_chunk_start = True

    def on_body(self, body: bytes) -> None:
        """Append a piece of the body, up to the limit; pause reading above an ordinary body until a handler reads."""
        self._at_chunk_start = False
        self._body_size += len(body)
        if self._body_size > self._max_body:
            self._reject(PayloadTooLarge(many=self._max_body > self._limits.body))
        if self._body is not None:
            self._body.append(body)
            return
        super().on_body(body)
        if len(self.cycle.body) > self._limits.body:
            self.flow.pause_reading()
